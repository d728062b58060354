package ecs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"drawbridge/internal/awssim/kernel"
)

// program is a local program that a task's container is, with the port of this machine that
// it was told to listen on.
type program struct {
	cmd  *exec.Cmd
	port int
}

// program returns the local program for a task: the command that replaces its image, or what
// is in the image, if it was pushed; nil if there is neither.
func (s *Service) program(t *task) (*program, error) {
	c := t.Definition.containers[0]
	given := c.Command
	for _, o := range t.overrides.ContainerOverrides {
		if o.Name == c.Name && len(o.Command) > 0 {
			given = o.Command
		}
	}
	if command, ok := s.command(c.Image); ok {
		args := append([]string{"-c", command + ` "$@"`, command}, given...)
		return &program{cmd: exec.CommandContext(s.Context, "sh", args...)}, nil
	}
	if !s.Options.RunCode || s.Pulled == nil {
		return nil, nil
	}
	image := s.Pulled(c.Image)
	if image == nil {
		return nil, nil
	}
	return s.unpacked(image, c.EntryPoint, given)
}

// unpacked returns the program of an image. It has to run without the rest of it: static, as
// from scratch.
func (s *Service) unpacked(image v1.Image, entry, command []string) (*program, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	root := s.unpackedAt[digest.String()]
	if root == "" {
		if root, err = os.MkdirTemp("", "image"); err != nil {
			return nil, err
		}
		s.unpackedAt[digest.String()] = root
		if err := extract(image, root); err != nil {
			return nil, err
		}
	}
	if len(entry) == 0 {
		entry = config.Config.Entrypoint
	}
	if len(command) == 0 {
		command = config.Config.Cmd
	}
	args := append(append([]string{}, entry...), command...)
	if len(args) == 0 {
		return nil, errors.New("the image has no command")
	}
	free, err := (&net.ListenConfig{}).Listen(s.Context, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return nil, err
	}
	p := &program{exec.CommandContext(s.Context, filepath.Join(root, args[0]), args[1:]...), port}
	p.cmd.Dir = root
	p.cmd.Env = append(p.cmd.Env, config.Config.Env...)
	return p, nil
}

// extract writes the files of an image into a folder, and nothing beyond it.
func extract(image v1.Image, root string) error {
	in := mutate.Extract(image)
	defer in.Close()
	to, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer to.Close()
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(filepath.Clean("/"+h.Name), "/")
		switch h.Typeflag {
		case tar.TypeDir:
			err = to.MkdirAll(at, 0o700)
		case tar.TypeReg:
			err = write(to, at, r, h.FileInfo().Mode().Perm()|0o600)
		}
		if err != nil && at != "" {
			return err
		}
	}
}

func write(to *os.Root, at string, content io.Reader, mode os.FileMode) error {
	if err := to.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	f, err := to.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// runProgram runs a local program in place of the container. A task of a service runs until
// it is stopped; any other lasts as long as the program, and no simulated time passes
// meanwhile.
func (s *Service) runProgram(t *task, p *program, env map[string]string) {
	p.cmd.Env = append(p.cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"),
		"AWS_REGION="+s.Options.Region, "AWS_ENDPOINT_URL=http://"+s.Address,
		"AWS_ACCESS_KEY_ID="+s.taskKey(t), "AWS_SECRET_ACCESS_KEY="+s.taskSecret(t), "AWS_SESSION_TOKEN="+taskToken,
		"HTTP_PROXY=http://"+s.Address, "PORT="+strconv.Itoa(p.port))
	for _, k := range kernel.SortedKeys(env) {
		p.cmd.Env = append(p.cmd.Env, k+"="+env[k])
	}
	for _, x := range t.Definition.containers[0].Secrets {
		v, err := s.secret(t, x.ValueFrom)
		if err != nil {
			reason := initFailed + "unable to pull secrets or registry auth: " + err.Error()
			s.beginStop(t, "TaskFailedToStart", reason, reason, nil)
			return
		}
		p.cmd.Env = append(p.cmd.Env, x.Name+"="+v)
	}
	s.Principals[s.taskKey(t)] = s.taskPrincipal(t)
	lines := &taskLines{service: s, task: t}
	p.cmd.Stdout, p.cmd.Stderr = lines, lines
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		reason := "CannotStartContainerError: " + err.Error()
		s.beginStop(t, "TaskFailedToStart", reason, reason, nil)
		return
	}
	s.running[p.cmd] = true
	job := !strings.HasPrefix(t.Group, "service:")
	if job {
		s.Clock.SetBusy(1)
	}
	go func() {
		err := p.cmd.Wait()
		s.Mu.Lock()
		defer s.Mu.Unlock()
		delete(s.running, p.cmd)
		lines.end()
		code := p.cmd.ProcessState.ExitCode()
		if err != nil && code < 0 {
			code = 137
		}
		s.containerExited(t, code)
		if job {
			s.Clock.SetBusy(-1)
		}
	}()
}

// secret reads a secret or parameter with the execution role of a task.
func (s *Service) secret(t *task, from string) (string, error) {
	role := kernel.Text(t.Definition.raw, "executionRoleArn")
	if strings.Contains(from, ":secretsmanager:") {
		out, err := s.PerformAs(role, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": from})
		return kernel.At(out, "SecretString"), err
	}
	out, err := s.PerformAs(role, "ssm", "GetParameters", map[string]any{
		"Names": []any{from}, "WithDecryption": true,
	})
	return kernel.At(out, "Parameters.Value"), err
}

// stop asks the program of a task to end, and ends it a little later.
func (p *program) stop() {
	if p == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have exited already
	time.AfterFunc(2*time.Second, func() { _ = p.cmd.Process.Kill() })
}

// taskLines writes what a program says to its task's log, line by line.
type taskLines struct {
	service *Service
	task    *task
	rest    []byte
}

func (l *taskLines) Write(b []byte) (int, error) {
	l.service.Mu.Lock()
	defer l.service.Mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.service.logTask(l.task, string(line))
		l.rest = rest
	}
}

// end writes the last line, if it has no end.
func (l *taskLines) end() {
	if len(l.rest) > 0 {
		l.service.logTask(l.task, string(l.rest))
	}
}

// asked returns how a task's program answers a request for a path: 0 if it does not.
func (p *program) asked(path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address()+path, nil)
	if err != nil {
		return 0, ""
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(text)
}

func (p *program) address() string { return "127.0.0.1:" + strconv.Itoa(p.port) }
