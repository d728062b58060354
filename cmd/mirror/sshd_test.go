package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshd is a server that ssh reaches, on a port of its own.
type sshd struct{ url, userKey, otherKey, knownHosts, otherHosts string }

// startSSHD starts an SSH server that lets one key in and runs what it is asked to, as
// OpenSSH's does for git. The clients are the machine's own git and ssh.
func startSSHD(t *testing.T) sshd {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatal("missing on this machine: ssh; install with: apt-get install openssh-client")
	}
	_, host := newKey(t)
	_, otherHost := newKey(t)
	userKey, user := newKey(t)
	otherKey, _ := newKey(t)
	settings := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, ssh.ErrNoAuth
		}
		return &ssh.Permissions{}, nil
	}}
	settings.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return // closed
			}
			all.Go(func() { serveSSH(c, settings) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // nobody is left to tell
		all.Wait()
	})
	address := listener.Addr().String()
	place := []string{knownhosts.Normalize(address)}
	return sshd{
		url: "ssh://git@" + address, userKey: userKey, otherKey: otherKey,
		knownHosts: knownhosts.Line(place, host.PublicKey()), otherHosts: knownhosts.Line(place, otherHost.PublicKey()),
	}
}

// newKey returns a private key, as OpenSSH's files hold it and to sign with.
func newKey(t *testing.T) (text string, signer ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(key); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer
}

// serveSSH serves one connection until the client ends it.
func serveSSH(c net.Conn, settings *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, settings)
	if err != nil {
		return // not let in, or a client that does not trust the host's key
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.UnknownChannelType, "sessions alone") // a client that is gone needs no answer
			continue
		}
		channel, asked, err := n.Accept()
		if err != nil {
			return
		}
		go serveSession(channel, asked)
	}
}

// serveSession runs the one command of a session.
func serveSession(channel ssh.Channel, asked <-chan *ssh.Request) {
	defer channel.Close()
	for r := range asked {
		var command struct{ Text string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
			_ = r.Reply(false, nil) // an environment, say, which git does without
			continue
		}
		_ = r.Reply(true, nil) // a client that is gone reads no output either
		cmd := exec.Command("sh", "-c", command.Text)
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			go func() {
				_, _ = io.Copy(in, channel) // the command's end ends it
				_ = in.Close()
			}()
			err = cmd.Wait()
		}
		status := struct{ Code uint32 }{}
		if err != nil {
			status.Code = 1
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status)) // as above
		return
	}
}
