package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"drawbridge/docs"
	"drawbridge/endpoints"
	"drawbridge/internal/audit"
	"drawbridge/internal/hint"
	"drawbridge/internal/output"
)

// Exit codes of every verb.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNothing     = 3
	exitTrouble     = 4
	exitInterrupted = 130
)

// cli is the command line: one field a verb, in the groups of its help.
type cli struct {
	installVerbs `embed:"" group:"install"`
	jobVerbs     `embed:"" group:"jobs"`
	operateVerbs `embed:"" group:"operate"`
	planVerbs    `embed:"" group:"plan"`
	tryVerbs     `embed:"" group:"try"`
	otherVerbs   `embed:"" group:"other"`

	Man mangokong.ManFlag `help:"Print the manual page, for a package." hidden:""`
}

// installVerbs install an installation and look after it.
type installVerbs struct {
	Validate validateCmd `cmd:"" help:"Check the configuration, without credentials."`
	Init     initCmd     `cmd:"" help:"Write a configuration from a VPC, its subnets and task definitions."`
	Doctor   doctorCmd   `cmd:"" help:"Look at everything that an installation and its jobs need."`
	Selftest selftestCmd `cmd:"" help:"Find out, for a few cents, whether AWS does what Drawbridge expects of it."`
	Plan     planCmd     `cmd:"" help:"Show what deploy would change, and what the endpoints cost."`
	Template templateCmd `cmd:"" help:"Print the base stack, or its roles, as a CloudFormation template."`
	Deploy   deployCmd   `cmd:"" help:"Install, or bring an installation up to date."`
	Destroy  destroyCmd  `cmd:"" help:"Remove an installation."`
}

// jobVerbs run jobs and show what became of them.
type jobVerbs struct {
	Run     runCmd     `cmd:"" help:"Run a job."`
	Runs    runsCmd    `cmd:"" help:"List runs."`
	Show    showCmd    `cmd:"" help:"Show all that is known of a run."`
	Logs    logsCmd    `cmd:"" help:"Show what a run has logged."`
	Cancel  cancelCmd  `cmd:"" help:"End a run: one that waits at once, one that runs by stopping its task."`
	Replay  replayCmd  `cmd:"" help:"Put dead letters back into the queue."`
	Mirrors mirrorsCmd `cmd:"" help:"List mirrored repositories: when each was last in sync, and what its last run did."`
	Mirror  mirrorCmd  `cmd:"" help:"Push the mirror's image."`
}

// operateVerbs show how the sets stand, and steer them.
type operateVerbs struct {
	Status  statusCmd  `cmd:"" help:"Show how the sets stand."`
	Why     whyCmd     `cmd:"" help:"Show a set's last decisions, what holds it, and when it is looked at next."`
	Hold    holdCmd    `cmd:"" help:"Keep a set up for some time; raise it if it is not."`
	Release releaseCmd `cmd:"" help:"End the holds of a set."`
	Pause   pauseCmd   `cmd:"" help:"Create and start nothing any more; what is up is still taken down."`
	Resume  resumeCmd  `cmd:"" help:"End a pause."`
	UI      uiCmd      `cmd:"" name:"ui" help:"Serve a page on this machine that shows how things stand, with buttons."`
	Report  reportCmd  `cmd:"" help:"Show what was up and ran, what it cost and could have cost, as a page, a table or text."`
}

// planVerbs work things out.
type planVerbs struct {
	Estimate  estimateCmd  `cmd:"" help:"Compare what ways of reaching AWS from a private subnet cost in a month."`
	Audit     auditCmd     `cmd:"" help:"Tell what endpoints an account has, how idle they are, what could be saved."`
	Endpoints endpointsCmd `cmd:"" help:"Work out which endpoints a workload needs, and why."`
	Calibrate calibrateCmd `cmd:"" help:"Find out from the bill where paid hours begin."`
	Savings   savingsCmd   `cmd:"" help:"Say what the recorded runs would have cost otherwise."`
	Prices    pricesCmd    `cmd:"" help:"Show what endpoints and their substitutes cost, or read it from the AWS Price List."`
}

// tryVerbs need no AWS account.
type tryVerbs struct {
	Demo     demoCmd     `cmd:"" help:"Replay a day of real arrivals against a simulated AWS, and show what it costs."`
	Drill    drillCmd    `cmd:"" help:"Run the functions on a simulated AWS under injected faults, and check every promise."`
	Simulate simulateCmd `cmd:"" help:"Replay arrivals through the scheduler's decisions in virtual time."`
	Sandbox  sandboxCmd  `cmd:"" help:"Serve a simulated AWS on one port."`
}

// otherVerbs are about the command line itself.
type otherVerbs struct {
	Completion kongcompletion.Completion `cmd:"" help:"Print what a shell needs to complete this command."`
	Version    versionCmd                `cmd:"" help:"Print the version."`
}

// groups are the titles of the verbs' groups in the help.
var groups = []kong.Group{
	{Key: "install", Title: "Install"}, {Key: "jobs", Title: "Jobs and runs"},
	{Key: "operate", Title: "Operate"}, {Key: "plan", Title: "Work out"},
	{Key: "try", Title: "Try without AWS"}, {Key: "other", Title: "Other"},
}

// streams are what a verb reads and writes: data to out, everything else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a wrong use of a verb that shows only while it runs.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// exitCode ends a verb with a code of its own, quietly.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// newParser returns the parser of the command line.
func newParser(c *cli, ctx context.Context, s streams, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{
		kong.Name("drawbridge"),
		kong.Description("Keeps AWS interface VPC endpoints alive only while private Fargate jobs need them."),
		kong.Writers(s.out, s.err),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
		durations(),
		kong.ExplicitGroups(groups),
		kong.Vars{"services": joinIDs(endpoints.Default()), "selftest_parts": selftestParts, "run_states": runStates,
			"audit_days": strconv.Itoa(audit.MaxDays)},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
	}, more...)...)
}

func joinIDs(ids []endpoints.ServiceID) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return strings.Join(out, ", ")
}

// run parses args, carries out the verb and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	stdout, stderr = output.NewClean(stdout), output.NewClean(stderr)
	exit := func(code int) { exited = code; panic(exitCode(code)) }
	parser, err := newParser(&c, ctx, streams{os.Stdin, stdout, stderr}, kong.Exit(exit))
	if err != nil {
		fmt.Fprintln(stderr, "drawbridge:", err)
		return exitFailed
	}
	var result error
	func() {
		defer func() { // kong calls Exit in the middle of printing a help or a completion
			if r := recover(); r != nil && exited < 0 {
				panic(r)
			}
		}()
		kongcompletion.Register(parser, completions())
		var k *kong.Context
		if k, err = parser.Parse(arranged(parser.Model.Node, args)); err == nil {
			result = k.Run()
		}
	}()
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		fmt.Fprintf(stderr,
			"drawbridge: %v\nhint: drawbridge --help shows the verbs, drawbridge VERB --help the flags of one\n", err)
		return exitUsage
	}
	return explain(ctx, result, stderr)
}

// explain prints an error with its remedy and returns the exit code for it.
func explain(ctx context.Context, err error, stderr io.Writer) int {
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	interrupted := ctx.Err() != nil
	remedy := hint.Of(err)
	if interrupted && remedy == "" {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(stderr, "drawbridge:", err)
	if remedy != "" {
		fmt.Fprintln(stderr, "hint:", remedy)
		if entry := docs.Entry(err.Error()); entry != "" {
			fmt.Fprintln(stderr, "see:", entry)
		}
	}
	var usage *usageError
	switch {
	case interrupted:
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}
