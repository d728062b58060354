package ecs

import (
	"archive/tar"
	"bytes"
	"cmp"
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
	// system reports whether it runs in a system of its own, from its image.
	system bool
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
	architecture := "amd64"
	if kernel.At(t.Definition.raw, "runtimePlatform.cpuArchitecture") == "ARM64" {
		architecture = "arm64"
	}
	image, err := s.Pulled(c.Image, architecture)
	if image == nil {
		return nil, err
	}
	return s.unpacked(image, c.EntryPoint, given)
}

// unpacked returns the program of an image: static, as from scratch, or one that needs the rest of the image.
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
		if err := extract(image, root); err != nil {
			return nil, errors.Join(err, os.RemoveAll(root))
		}
		s.unpackedAt[digest.String()] = root
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
	p := &program{port: port}
	if _, err := os.Stat(filepath.Join(root, "bin", "sh")); err == nil {
		args, err = within(root, config.Config, args)
		if err != nil {
			return nil, err
		}
		p.cmd, p.system = exec.CommandContext(s.Context, args[0], args[1:]...), true
	} else {
		p.cmd = exec.CommandContext(s.Context, filepath.Join(root, args[0]), args[1:]...)
	}
	p.cmd.Dir = root
	p.cmd.Env = append(p.cmd.Env, config.Config.Env...)
	return p, nil
}

// within is the command that runs another one inside an image with a system of its own, as the image's user: by
// bubblewrap, in namespaces. The image is not written to, but for /tmp, which is empty at first, and the network is
// this machine's.
func within(root string, config v1.Config, command []string) ([]string, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, errors.New("bwrap, which the sandbox runs such an image with, is missing on this machine; install " +
			"with: apt-get install bubblewrap")
	}
	for _, place := range []string{"dev", "proc", "tmp"} { // what is mounted over an image
		if err := os.MkdirAll(filepath.Join(root, place), 0o700); err != nil {
			return nil, err
		}
	}
	user, group, _ := strings.Cut(config.User, ":")
	args := []string{
		bwrap, "--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-user",
		"--unshare-pid", "--die-with-parent", "--chdir", cmp.Or(config.WorkingDir, "/"),
		"--uid", cmp.Or(user, "0"), "--gid", cmp.Or(group, user, "0"), "--",
	}
	return append(args, command...), nil
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
		case tar.TypeSymlink:
			err = errors.Join(to.MkdirAll(filepath.Dir(at), 0o700), to.Symlink(h.Linkname, at))
		case tar.TypeLink:
			err = errors.Join(to.MkdirAll(filepath.Dir(at), 0o700), to.Link(strings.TrimPrefix(filepath.Clean("/"+h.Linkname), "/"), at))
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
	if !p.system {
		p.cmd.Env = append(p.cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
	}
	p.cmd.Env = append(p.cmd.Env,
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
