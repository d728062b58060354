package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"drawbridge/internal/mirror/section"
)

// lfsSource is the LFS server of an HTTPS source.
//
// Source of the protocol: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
type lfsSource struct {
	address            string
	username, password string
	// hosts are the hosts that objects may come from.
	hosts  []string
	client *http.Client
	// stall is how long a server may make no progress.
	stall time.Duration
}

// lfsBatch is the number of objects in one request.
const lfsBatch = 100

// newLFS returns the LFS server of a source.
func (r *remotes) newLFS(ctx context.Context, from section.Source, stall time.Duration) (*lfsSource, error) {
	address, arn := from.URL, from.Secret
	base := strings.TrimSuffix(address, "/")
	if !strings.HasSuffix(base, ".git") {
		base += ".git"
	}
	home, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("invalid source URL: %w", err)
	}
	out := &lfsSource{address: base + "/info/lfs", stall: stall, hosts: append([]string{home.Host}, from.LFSHosts...)}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if arn != "" {
		s, err := ReadSecret(ctx, r.secrets, arn)
		if err != nil {
			return nil, err
		}
		r.redact.add(s.all()...)
		out.username, out.password = s.Username, s.Password
		if s.CA != "" {
			settings.RootCAs = x509.NewCertPool()
			settings.RootCAs.AppendCertsFromPEM([]byte(s.CA))
		}
		if s.ClientCertificate != "" {
			pair, err := tls.X509KeyPair([]byte(s.ClientCertificate), []byte(s.ClientKey))
			if err != nil {
				return nil, fmt.Errorf("secret %s: client certificate and key do not match", arn)
			}
			settings.Certificates = []tls.Certificate{pair}
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.ResponseHeaderTimeout = settings, time.Minute
	if proxy, err := url.Parse(from.Proxy); err == nil && from.Proxy != "" {
		transport.Proxy = http.ProxyURL(proxy)
	}
	transport.DialContext = (&net.Dialer{Timeout: 30 * time.Second, Control: outside}).DialContext
	out.client = &http.Client{Transport: transport, CheckRedirect: func(to *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return errors.New("too many redirects")
		}
		return out.lets(to.URL)
	}}
	return out, nil
}

// maxRedirects bounds a server's redirects.
const maxRedirects = 5

// lets refuses an address that is not the source's: otherwise a repository's server, or
// an impostor, could have the mirror fetch what only the mirror can reach.
func (l *lfsSource) lets(to *url.URL) error {
	if !strings.HasPrefix(l.address, to.Scheme+"://") || !slices.Contains(l.hosts, to.Host) {
		return &refusal{what: fmt.Sprintf("the LFS server refers to %s://%s, which is not the source's host", to.Scheme,
			to.Host), hint: "add the host to source.lfsHosts if you trust it"}
	}
	return nil
}

// outside refuses connections to addresses local to this machine: credentials and
// metadata of tasks and instances, whatever name resolved to them.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html and
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
func outside(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := at.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() ||
		netip.MustParsePrefix("fd00:ec2::/32").Contains(ip) {
		return fmt.Errorf("%s is a local address of this machine", ip)
	}
	return nil
}

type lfsObject struct {
	OID     string `json:"oid"`
	Size    int64  `json:"size"`
	Actions struct {
		Download struct {
			Href   string            `json:"href"`
			Header map[string]string `json:"header"`
		} `json:"download"`
	} `json:"actions,omitzero"`
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error,omitzero"`
}

// copyTo copies the objects of pointers into S3 as PREFIX/ab/cd/abcd..., those that
// are not there yet. It returns their number and their bytes.
func (l *lfsSource) copyTo(ctx context.Context, to *Bucket, pointers map[string]Pointer,
	limits Limits) (count int, n int64, err error) {
	var lacking []Pointer
	seen := map[string]bool{}
	for _, blob := range slices.Sorted(maps.Keys(pointers)) {
		p := pointers[blob]
		if seen[p.OID] {
			continue
		}
		seen[p.OID] = true
		_, size, err := to.head(ctx, lfsKey(p.OID))
		if err != nil && !errors.Is(err, errMissing) {
			return count, n, err
		}
		if err != nil || size != p.Size {
			lacking = append(lacking, p)
		}
	}
	for len(lacking) > 0 {
		batch := lacking[:min(lfsBatch, len(lacking))]
		lacking = lacking[len(batch):]
		var objects []lfsObject
		if _, err := again(ctx, limits, func() (err error) {
			objects, err = l.ask(ctx, batch)
			return err
		}); err != nil {
			return count, n, err
		}
		for _, o := range objects {
			if _, err := again(ctx, limits, func() error { return l.copyOne(ctx, to, o) }); err != nil {
				return count, n, err
			}
			count, n = count+1, n+o.Size
		}
	}
	return count, n, nil
}

func lfsKey(oid string) string { return oid[:2] + "/" + oid[2:4] + "/" + oid }

// ask requests the download addresses of objects.
func (l *lfsSource) ask(ctx context.Context, pointers []Pointer) ([]lfsObject, error) {
	in := struct {
		Operation string      `json:"operation"`
		Transfers []string    `json:"transfers"`
		Objects   []lfsObject `json:"objects"`
	}{Operation: "download", Transfers: []string{"basic"}}
	wanted := map[string]int64{}
	for _, p := range pointers {
		in.Objects = append(in.Objects, lfsObject{OID: p.OID, Size: p.Size})
		wanted[p.OID] = p.Size
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.address+"/objects/batch", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.git-lfs+json")
	req.Header.Set("Content-Type", "application/vnd.git-lfs+json")
	if l.password != "" {
		req.SetBasicAuth(l.username, l.password)
	}
	var out struct {
		Objects []lfsObject `json:"objects"`
	}
	if err := l.do(req, "request LFS objects", func(r io.Reader) error {
		return json.NewDecoder(io.LimitReader(r, maxDocument)).Decode(&out)
	}); err != nil {
		return nil, err
	}
	for _, o := range out.Objects {
		if size, ok := wanted[o.OID]; !ok || size != o.Size && o.Error.Code == 0 {
			return nil, fmt.Errorf("request LFS objects: unexpected response %.80q", o.OID)
		}
		if o.Error.Code != 0 || o.Actions.Download.Href == "" {
			return nil, &refusal{what: fmt.Sprintf("the LFS server lacks object %s: %d %s", o.OID, o.Error.Code,
				o.Error.Message), hint: "push it there with git lfs push --all, or set lfs: ignore"}
		}
		delete(wanted, o.OID)
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("request LFS objects: no answer for %s",
			names(slices.Sorted(maps.Keys(wanted))))
	}
	return out.Objects, nil
}

func (l *lfsSource) copyOne(ctx context.Context, to *Bucket, o lfsObject) error {
	href, err := url.Parse(o.Actions.Download.Href)
	if err != nil {
		return fmt.Errorf("LFS object %s: invalid download URL", o.OID)
	}
	if err := l.lets(href); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href.String(), nil)
	if err != nil {
		return err
	}
	for k, v := range o.Actions.Download.Header {
		req.Header.Set(k, v)
	}
	if home, err := url.Parse(l.address); err == nil && home.Host == href.Host && home.Scheme == href.Scheme &&
		req.Header.Get("Authorization") == "" && l.password != "" {
		req.SetBasicAuth(l.username, l.password)
	}
	return l.do(req, "get LFS object "+o.OID, func(r io.Reader) error {
		return to.upload(ctx, lfsKey(o.OID), &verified{r: r, hash: sha256.New(), oid: o.OID, left: o.Size})
	})
}

// do sends a request; its failures have the same classes as git's.
func (l *lfsSource) do(req *http.Request, what string, read func(io.Reader) error) error {
	ctx, stop := context.WithCancelCause(req.Context())
	defer stop(nil)
	idle := time.AfterFunc(l.stall, func() { stop(fmt.Errorf("%w for %s", errStalled, l.stall)) })
	defer idle.Stop()
	res, err := l.client.Do(req.WithContext(ctx))
	if err != nil {
		return lfsError(ctx, what, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		body := &lively{r: res.Body, alive: func() { idle.Reset(l.stall) }}
		err := read(body)
		if body.err != nil {
			return lfsError(ctx, what, body.err)
		}
		return err
	}
	return classify("lfs", fmt.Errorf("%s: %s", what, res.Status), fmt.Sprintf("HTTP %d", res.StatusCode))
}

// lfsError is a failure of the network, or a server that failed authentication.
func lfsError(ctx context.Context, what string, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		err = cause
	}
	var stranger *refusal
	if errors.As(err, &stranger) { // a redirect to a host that is not the source's
		return stranger
	}
	e := &gitError{
		verb: "lfs", class: passing, cause: fmt.Errorf("%s: %w", what, plain(err)),
		hint: "the network or the server failed; the next run resumes",
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		e.class, e.hint = unsafe, "the server's certificate is not trusted; put the certificate of its authority "+
			"into the secret under ca"
	}
	if errors.Is(err, context.Canceled) {
		e.class = broken
	}
	return e
}

// lively signals each read, and keeps the error that ended it early.
type lively struct {
	r     io.Reader
	alive func()
	err   error
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.alive()
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// plain removes the address from an error of package http: it may be signed.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// verified reads an object and fails at its end if its hash is wrong.
type verified struct {
	r    io.Reader
	hash hash.Hash
	oid  string
	left int64
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n]) // a hash never fails
	v.left -= int64(n)
	if errors.Is(err, io.EOF) && (v.left != 0 || hex.EncodeToString(v.hash.Sum(nil)) != v.oid) {
		return n, fmt.Errorf("LFS object %s: hash mismatch", v.oid)
	}
	return n, err
}
