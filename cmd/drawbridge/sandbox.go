package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/functions"
	"drawbridge/internal/hint"
	"drawbridge/internal/sandbox"
)

type sandboxCmd struct {
	Listen string        `help:"Address and port to listen on; port 0 takes a free one." default:"127.0.0.1:4577"`
	Config string        `help:"Configuration to put into the account, with Drawbridge installed." type:"path" placeholder:"FILE"`
	Speed  float64       `help:"How many times as fast as real time the clock runs; 0 stands still until POST /_sim/advance." default:"1"`
	Raise  time.Duration `help:"How long an interface endpoint takes to become available." default:"150s"`
	Lower  time.Duration `help:"How long an interface endpoint takes to be deleted." default:"120s"`
	Seed   int64         `help:"The same seed gives the same ids and the same luck." default:"1"`
	Fault  []string      `help:"Fault to turn on at the start; GET /_sim/fault lists them. May be given several times." placeholder:"NAME[=VALUE]" sep:"none"`
	Image  []string      `help:"Local command that runs in place of a container image. May be given several times." placeholder:"REF=COMMAND" sep:"none"`
	Region string        `help:"Region." default:"us-east-1"`

	Repository []string `help:"Local folder that a repository is. Repeatable." placeholder:"ORG/NAME=FOLDER" sep:"none"`
	RunCode    bool     `help:"Run the commands of builds and the programs in pushed images here, as you."`

	NewAccount bool `help:"An account that never used ECS: its service-linked role is not there yet."`

	AccessKey []string `help:"Access key to accept, in place of any. Repeatable." placeholder:"ID" sep:"none"`

	Start   time.Time `help:"First instant of the clock, as 2026-05-14T09:00:00Z. Default: now." placeholder:"TIME"`
	Install bool      `help:"Install Drawbridge too." default:"true" negatable:""`

	State string `help:"File that keeps the account over a restart." type:"path" placeholder:"FILE"`

	local    map[string]string // the functions' binaries for this machine, once needed
	cleanups []func()
	foreign  string // where the functions come from, if they are not this program's own
}

// Help is the longer text of --help; kong calls it.
func (sandboxCmd) Help() string {
	var b strings.Builder
	b.WriteString("Set AWS_ENDPOINT_URL to the printed endpoint, and SDKs, the AWS CLI and the Lambda binaries " +
		"work.\n\nFaults:\n\n")
	for _, f := range awssim.FaultHelp {
		name := f.Name
		if f.Value != "" {
			name += "=" + f.Value
		}
		fmt.Fprintf(&b, "  %-28s %s\n", name, f.Help)
	}
	return b.String()
}

// Run serves the simulated AWS until ctx ends.
func (c *sandboxCmd) Run(ctx context.Context, s streams) (failure error) {
	options, err := c.options()
	if err != nil {
		return err
	}
	var journal *awssim.Journal
	if c.State != "" {
		if journal, err = c.journal(&options); err != nil {
			return err
		}
	}
	sim := awssim.New(options)
	defer sim.Close()
	for _, f := range c.Fault {
		name, value, _ := strings.Cut(f, "=")
		if err := sim.SetFault(name, value, 0); err != nil {
			return err
		}
	}
	listener, err := c.listen(ctx, s)
	if err != nil {
		return err
	}
	sim.SetAddress(listener.Addr().String())
	var handler http.Handler = sim
	if journal != nil {
		handler = journal.Handler(sim)
	}
	server := &http.Server{
		Handler: handler, ErrorLog: log.New(s.err, "drawbridge: ", 0), ReadHeaderTimeout: time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer server.Close()
	cleanup, err := c.install(ctx, sim)
	if err != nil {
		return err
	}
	defer cleanup()
	if journal != nil {
		if err := c.restore(s, sim, journal); err != nil {
			return err
		}
		defer func() { failure = errors.Join(failure, journal.Close(sim.Now())) }()
	}
	if err := json.NewEncoder(s.out).Encode(map[string]string{"endpoint": "http://" +
		listener.Addr().String()}); err != nil {
		return err
	}
	if c.foreign != "" {
		fmt.Fprintf(s.err, "drawbridge: the functions come from %s; they run as you\n", c.foreign)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// listen listens where functions on this machine find the sandbox.
func (c *sandboxCmd) listen(ctx context.Context, s streams) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if a, ok := listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		if !a.IP.IsUnspecified() {
			return nil, hint.With(
				errors.Join(fmt.Errorf("listen on %s: functions follow a sandbox on 127.0.0.1 alone", a),
					listener.Close()),
				fmt.Sprintf("listen on 127.0.0.1:%d, or on 0.0.0.0:%d to be reached from elsewhere too", a.Port,
					a.Port),
			)
		}
		fmt.Fprintf(s.err,
			"drawbridge: %s is reached from other machines: whoever reaches it may run programs here, as you\n", a)
	}
	return listener, nil
}

// journal opens the file that keeps the account, and has the clock stand still until the
// account is there again.
func (c *sandboxCmd) journal(o *awssim.Options) (*awssim.Journal, error) {
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	terms := map[string]string{
		"--region": c.Region, "--seed": fmt.Sprint(c.Seed), "--raise": c.Raise.String(), "--lower": c.Lower.String(),
		"--new-account": fmt.Sprint(c.NewAccount),
		"--install":     fmt.Sprint(c.Install), "--fault": strings.Join(c.Fault, " "),
		"--image": strings.Join(c.Image, " "), "--config": "",
		"--repository": strings.Join(c.Repository, " "), "--run-code": fmt.Sprint(c.RunCode),
	}
	if c.Config != "" {
		text, err := os.ReadFile(c.Config)
		if err != nil {
			return nil, err
		}
		terms["--config"] = fmt.Sprintf("%x", sha256.Sum256(text))[:16]
	}
	journal, err := awssim.OpenJournal(c.State, terms, o.Start)
	if err != nil {
		return nil, hint.With(err, "give the flags that it was made with, or name another file by --state")
	}
	o.Start, o.Speed = journal.Start(), 0
	return journal, nil
}

// restore makes the account that a journal keeps, and lets the clock run.
func (c *sandboxCmd) restore(s streams, sim *awssim.Sim, journal *awssim.Journal) error {
	otherwise, err := journal.Replay(sim)
	if err != nil {
		return err
	}
	if otherwise > 0 {
		fmt.Fprintf(s.err,
			"drawbridge: %d calls of %s were answered otherwise than they were; the account is not quite the one "+
				"that it was\n", otherwise, c.State)
	}
	sim.Run(c.Speed)
	return nil
}

func (c *sandboxCmd) options() (awssim.Options, error) {
	o := awssim.Options{
		Speed: c.Speed, Start: c.Start, Raise: c.Raise, Lower: c.Lower, Seed: c.Seed, Region: c.Region,
		NewAccount: c.NewAccount, AccessKeys: c.AccessKey, Images: map[string]string{}, RunCode: c.RunCode,
		Repositories: map[string]string{},
	}
	if c.Speed < 0 {
		return o, errors.New("--speed cannot be negative")
	}
	for _, i := range c.Image {
		ref, command, ok := strings.Cut(i, "=")
		if !ok {
			return o, fmt.Errorf("--image %s: want REF=COMMAND", i)
		}
		o.Images[ref] = command
	}
	for _, r := range c.Repository {
		name, folder, ok := strings.Cut(r, "=")
		if info, err := os.Stat(folder); !ok || err != nil || !info.IsDir() {
			return o, fmt.Errorf("--repository %s: want ORG/NAME=FOLDER, a folder that is there", r)
		}
		o.Repositories[name] = folder
	}
	var err error
	o.Record, err = awssim.Recorder()
	o.StandIn = c.standIn
	return o, err
}

// standIn returns the path of a function of this project that is built for this
// machine, for one that was deployed for another.
func (c *sandboxCmd) standIn(program string) (string, error) {
	if c.local == nil {
		if err := c.findFunctions(context.Background()); err != nil {
			return "", err
		}
	}
	path, ok := c.local[strings.TrimPrefix(program, "drawbridge/cmd/")]
	if !ok {
		return "", fmt.Errorf("nothing stands in for %s", program)
	}
	return path, nil
}

// findFunctions finds the functions for this machine, and says if they are another
// program's than this one's: they run as whoever started the sandbox.
func (c *sandboxCmd) findFunctions(ctx context.Context) error {
	paths, from, cleanup, err := functions.Local(ctx)
	if err != nil {
		return err
	}
	if from != "" {
		c.foreign = from // said once the endpoint is: whoever waits for it reads that first
	}
	c.local, c.cleanups = paths, append(c.cleanups, cleanup)
	return nil
}

// install puts the configuration into the account and, unless told otherwise,
// Drawbridge too.
func (c *sandboxCmd) install(ctx context.Context, sim *awssim.Sim) (cleanup func(), err error) {
	cleanup = func() {
		for _, f := range c.cleanups {
			f()
		}
	}
	if c.Config == "" {
		return cleanup, nil
	}
	text, err := config.Read(c.Config)
	if err != nil {
		return nil, err
	}
	file, err := config.Parse(c.Config, text)
	if err != nil {
		return nil, err
	}
	if !c.Install {
		_, err := sandbox.Account(sim, file)
		return cleanup, err
	}
	path, err := c.expanded(text)
	if err != nil {
		return nil, err
	}
	if err := c.findFunctions(ctx); err != nil {
		return nil, err
	}
	if _, err := sandbox.Install(sim, file, sandbox.Functions{Bootstraps: c.local, ConfigPath: path}); err != nil {
		cleanup()
		return nil, err
	}
	return cleanup, nil
}

// expanded returns the path of a file with the text of the configuration, which functions read.
func (c *sandboxCmd) expanded(text []byte) (string, error) {
	folder, err := os.MkdirTemp("", "drawbridge-sandbox-")
	if err != nil {
		return "", fmt.Errorf("keep the configuration for the functions: %w", err)
	}
	c.cleanups = append(c.cleanups, func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "drawbridge.yaml")
	return path, os.WriteFile(path, text, 0o600)
}
