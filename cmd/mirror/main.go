// Command mirror replicates git repositories. It runs in the container of the job
// mirror, and is the credential helper of the git that it runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"drawbridge/internal/hint"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDiffers     = 3
	exitInterrupted = 130
)

// streams are a command's input and outputs.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is the command line.
type cli struct {
	Run        runCmd        `cmd:"" default:"withargs" help:"Mirror all configured repositories, or the named ones."`
	Credential credentialCmd `cmd:"" help:"Act as git's credential helper."`
}

func main() { os.Exit(run(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})) }

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, s streams) (code int) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("mirror"), kong.Writers(s.out, s.err), kong.Exit(func(n int) {
		exited = n
	}), kong.UsageOnError(),
		kong.Description("Replicates git repositories to AWS CodeCommit, to other git repositories, or to "+
			"bundles in S3.\n\nExit codes: 0 all replicas match their sources, 1 some do not, 2 usage or "+
			"configuration, 3 a dry run found differences, 130 interrupted."))
	if err != nil {
		return fail(s, err)
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(s.err, "mirror: error: %v\n", err)
		return exitUsage
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(s)
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if err == nil {
		return exitDone
	}
	return fail(s, err)
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	what string
}

func (e *exitError) Error() string { return e.what }

func fail(s streams, err error) int {
	fmt.Fprintf(s.err, "mirror: error: %v\n", err)
	if remedy := hint.Of(err); remedy != "" {
		fmt.Fprintf(s.err, "hint: %s\n", remedy)
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitFailed
}
