package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// certificate is a certificate with its key, in PEM.
type certificate struct{ cert, key string }

func (c certificate) pair(t *testing.T) tls.Certificate {
	t.Helper()
	p, err := tls.X509KeyPair([]byte(c.cert), []byte(c.key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (c certificate) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(c.cert)) {
		t.Fatal("no certificate")
	}
	return p
}

// authority returns a certificate authority, and a server's and a client's
// certificate that it has signed.
func authority(t *testing.T) (ca, server, client certificate) {
	t.Helper()
	var signer *x509.Certificate
	var signerKey *ecdsa.PrivateKey
	issue := func(serial int64, name string, isCA bool) certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		if signer == nil {
			signer, signerKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, signer, &key.PublicKey, signerKey)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return certificate{pemOf("CERTIFICATE", der), pemOf("EC PRIVATE KEY", secret)}
	}
	return issue(1, "authority", true), issue(2, "server", false), issue(3, "client", false)
}

// processesWith returns the command lines of the running processes that hold a text.
func processesWith(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

// wantGone waits until no running process holds a text, and fails the test if that does
// not come before its end.
func wantGone(t *testing.T, text string) {
	t.Helper()
	end, bounded := t.Deadline()
	for left := processesWith(t, text); len(left) > 0; left = processesWith(t, text) {
		if bounded && time.Until(end) < 20*time.Second {
			t.Fatalf("processes are left: %s", left)
		}
		runtime.Gosched() // what was killed is about to end
	}
}

func (w *world) list(bucket string) []string {
	w.t.Helper()
	out, err := w.s3.ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		w.t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}

// keys returns the keys of the state that begin so.
func (w *world) keys(begin string) []string {
	w.t.Helper()
	var out []string
	for _, k := range w.list(stateBucket) {
		if strings.HasPrefix(k, begin) {
			out = append(out, k)
		}
	}
	return out
}

func (w *world) text(key string) string {
	w.t.Helper()
	out, err := w.s3.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: aws.String(stateBucket), Key: &key})
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) getObject(key string, v any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.text(key)), v); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) putObject(key, text string) error {
	_, err := w.s3.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(stateBucket), Key: &key, Body: strings.NewReader(text)})
	return err
}

func (w *world) deleteObject(key string) error {
	_, err := w.s3.DeleteObject(w.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(stateBucket), Key: &key})
	return err
}
