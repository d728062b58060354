package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// Exit codes of every verb.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// cli is the command line: one field a verb.
type cli struct {
	Demo     demoCmd     `cmd:"" help:"Replay a day of real arrivals against a simulated AWS, and show what it costs."`
	Simulate simulateCmd `cmd:"" help:"Replay arrivals through the scheduler's decisions in virtual time."`
	Sandbox  sandboxCmd  `cmd:"" help:"Serve a simulated AWS on one port."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// streams are where a verb writes: data to out, everything else to err.
type streams struct{ out, err io.Writer }

// exitCode ends a verb with a code of its own, quietly.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run parses args, carries out the verb and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("drawbridge"),
		kong.Description("Keeps AWS interface VPC endpoints alive only while private Fargate jobs need them."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code; panic(exitCode(code)) }),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{stdout, stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "drawbridge:", err)
		return exitFailed
	}
	var k *kong.Context
	func() {
		defer func() { // kong calls Exit in the middle of printing the help
			if r := recover(); r != nil && exited < 0 {
				panic(r)
			}
		}()
		k, err = parser.Parse(args)
	}()
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "drawbridge: %v\nhint: drawbridge --help shows the verbs, drawbridge VERB --help the flags of one\n", err)
		return exitUsage
	}
	return report(ctx, k.Run(), stderr)
}

// report prints an error with its remedy and returns the exit code for it.
func report(ctx context.Context, err error, stderr io.Writer) int {
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "drawbridge: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "drawbridge:", err)
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintln(stderr, "hint:", h.Hint())
	}
	return exitFailed
}
