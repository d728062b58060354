package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"drawbridge/internal/app"
	"drawbridge/internal/awsconf"
	"drawbridge/internal/awserr"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/internal/hint"
	"drawbridge/internal/install"
	"drawbridge/internal/output"
)

// awsFlags are the flags of every verb that reaches AWS and prints data.
type awsFlags struct {
	connectFlags
	outputFlag
}

// outputFlag is the flag of every verb that prints data.
type outputFlag struct {
	Output output.Format `short:"o" help:"Output: ${enum}." enum:"table,json,yaml" default:"table" env:"DRAWBRIDGE_OUTPUT"`
}

// configFlag is the flag of every verb that reads the configuration.
type configFlag struct {
	Config string `help:"Configuration file." default:"drawbridge.yaml" env:"DRAWBRIDGE_CONFIG" type:"path" placeholder:"FILE"`
}

// connectFlags are the flags of every verb that reaches AWS.
type connectFlags struct {
	configFlag
	Profile       string        `help:"Profile of the AWS configuration." env:"AWS_PROFILE" placeholder:"NAME"`
	Region        string        `help:"AWS Region. Default: the configuration's, else the profile's." env:"AWS_REGION,AWS_DEFAULT_REGION" placeholder:"REGION"`
	EndpointURL   string        `help:"Endpoint to call in place of AWS, as the sandbox's." name:"endpoint-url" env:"AWS_ENDPOINT_URL" placeholder:"URL"`
	AssumeRoleARN string        `help:"Role to act as." name:"assume-role-arn" env:"DRAWBRIDGE_ASSUME_ROLE_ARN" placeholder:"ARN"`
	Timeout       time.Duration `help:"Give up after this time; 0 never. What goes on in AWS is not stopped by it." default:"0" env:"DRAWBRIDGE_TIMEOUT"`
	LogLevel      string        `help:"What to log to standard error: ${enum}." enum:"debug,info,warn,error" default:"error" env:"DRAWBRIDGE_LOG_LEVEL"`
	UTC           bool          `help:"Show times in UTC, not in the local zone." name:"utc" env:"DRAWBRIDGE_UTC"`
	NoColor       bool          `help:"No colours; as NO_COLOR in the environment." env:"DRAWBRIDGE_NO_COLOR"`
}

// args returns the flags as arguments, for another verb that is to reach the same installation.
func (f connectFlags) args() (out []string) {
	for _, x := range [][2]string{{"config", f.Config}, {"profile", f.Profile}, {"region", f.Region},
		{"endpoint-url", f.EndpointURL}, {"assume-role-arn", f.AssumeRoleARN}} {
		if x[1] != "" {
			out = append(out, "--"+x[0]+"="+x[1])
		}
	}
	return out
}

// dryRunFlag is the flag of verbs that change something.
type dryRunFlag struct {
	DryRun bool `help:"Say what would be done, and do nothing." env:"DRAWBRIDGE_DRY_RUN"`
}

// changeFlags are the flags of verbs that ask before they change something.
type changeFlags struct {
	dryRunFlag
	Yes bool `short:"y" help:"Do not ask." env:"DRAWBRIDGE_YES"`
}

// session is a verb at work with AWS.
type session struct {
	streams
	flags awsFlags
	file  *config.File
	// config is the installation as far as it is known.
	config *config.Installation
	// text is the configuration file as it was read.
	text    []byte
	aws     aws.Config
	place   app.Place
	caller  string
	clients app.Clients
	clock   clock.Clock
	log     *zap.Logger
	install *install.Installer
}

// open reads the configuration and finds out who and where we are, for a verb
// that prints data.
func (f awsFlags) open(ctx context.Context, s streams) (*session, error) {
	out, err := f.connectFlags.open(ctx, s)
	if err == nil {
		out.flags = f
	}
	return out, err
}

// open reads the configuration and finds out who and where we are.
func (f connectFlags) open(ctx context.Context, s streams) (*session, error) {
	text, err := config.Read(f.Config)
	if err != nil {
		return nil, err
	}
	file, err := config.Parse(f.Config, text)
	if err != nil {
		return nil, err
	}
	out, err := f.connect(ctx, s, file.Region)
	if err != nil {
		return nil, err
	}
	out.file, out.text = file, text
	out.config = config.Resolve(file, config.Facts{Region: out.place.Region})
	return out, nil
}

// connect reaches AWS, in the given Region unless a flag names one.
func (f connectFlags) connect(ctx context.Context, s streams, region string) (*session, error) {
	if region != "" && f.Region != "" && region != f.Region {
		return nil, hint.With(fmt.Errorf("the configuration %s is for Region %s, and %s is asked for", f.Config, region,
			f.Region), "leave --region and AWS_REGION out, or use another configuration")
	}
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithSharedConfigProfile(f.Profile), awsconfig.WithLogger(logging.Nop{}),
	}
	if f.Region != "" {
		region = f.Region
	}
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, hint.With(
			fmt.Errorf("read the AWS configuration: %w", err),
			"aws configure list-profiles shows the profiles there are",
		)
	}
	if c.Region == "" {
		return nil, hint.With(
			errors.New("no Region"), "name one by --region, AWS_REGION, region: in "+f.Config+" or in the profile",
		)
	}
	awsconf.Encrypted(&c)
	if f.EndpointURL != "" {
		c.BaseEndpoint = aws.String(f.EndpointURL)
	}
	if f.AssumeRoleARN != "" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(c), f.AssumeRoleARN,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = "drawbridge"
			}))
	}
	log, err := f.logger(s.err)
	if err != nil {
		return nil, err
	}
	out := &session{
		streams: s, flags: awsFlags{connectFlags: f, outputFlag: outputFlag{output.Table}}, aws: c,
		clock: clock.For(ctx, f.EndpointURL), log: log,
	}
	return out, out.identify(ctx)
}

// identify asks AWS who we are.
func (s *session) identify(ctx context.Context) error {
	id, err := sts.NewFromConfig(s.aws).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil && ctx.Err() == nil {
		if _, cerr := s.aws.Credentials.Retrieve(ctx); cerr != nil {
			return hint.With(
				fmt.Errorf("no AWS credentials: %w", cerr),
				"sign in, as with aws sso login or aws configure, or choose a profile by --profile",
			)
		}
		if awserr.Temporary(err) {
			return hint.With(fmt.Errorf("reach AWS: %w", err), "check the network, --endpoint-url and AWS_ENDPOINT_URL")
		}
		return awserr.Mark(err, "ask AWS who we are")
	}
	if err != nil {
		return err
	}
	s.place = app.Place{Region: s.aws.Region, Account: aws.ToString(id.Account)}
	s.caller = aws.ToString(id.Arn)
	if caller, err := arn.Parse(s.caller); err == nil {
		s.caller = caller.Resource
	}
	s.clients = app.NewClients(s.aws)
	s.install = install.New(s.aws, s.place, s.clients, s.clock)
	return nil
}

func (f connectFlags) logger(w io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(f.LogLevel)
	if err != nil {
		return nil, err
	}
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(w),
		level)), nil
}

// installed returns the base stack and the installation as it sees itself. The
// configuration then knows what is installed.
func (s *session) installed(ctx context.Context) (*app.App, error) {
	stack, err := s.install.Installed(ctx, s.config.Name)
	if errors.Is(err, install.ErrNotInstalled) {
		if hint.Of(err) != "" {
			return nil, err
		}
		return nil, hint.With(
			&notInstalledError{s.config.Name, s.place},
			"drawbridge deploy installs it; drawbridge doctor looks at what it needs first",
		)
	}
	if err != nil {
		return nil, err
	}
	known := app.FactsOf(stack.Installed, s.place.Region)
	known.Adopt = true
	s.config = config.Resolve(s.file, known)
	return s.app(), nil
}

// openInstalled opens a session and returns the installation with it.
func openInstalled(ctx context.Context, s streams,
	open func(context.Context, streams) (*session, error)) (*session, *app.App, error) {
	ss, err := open(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	a, err := ss.installed(ctx)
	return ss, a, err
}

// notInstalledError says where nothing is installed.
type notInstalledError struct {
	name  string
	place app.Place
}

func (e *notInstalledError) Error() string {
	return fmt.Sprintf("%s is not installed in %s of account %s", e.name, e.place.Region, e.place.Account)
}

func (e *notInstalledError) Unwrap() error { return install.ErrNotInstalled }

func (s *session) app() *app.App {
	return app.New(s.config, s.place, s.clients, s.clock, s.log, io.Discard)
}

// print writes v in the format that was asked for; table writes it for people.
func (s *session) print(v any, table func(io.Writer, output.Style) error) error {
	return output.Write(s.out, s.flags.Output, v, func(w io.Writer) error { return table(w, s.style()) })
}

// style is how tables on standard output are written.
func (s *session) style() output.Style {
	zone := time.Local
	if s.flags.UTC {
		zone = time.UTC
	}
	width, terminal := terminalWidth(s.out)
	if !terminal {
		return output.Style{Zone: zone}
	}
	return output.Style{
		Width: width, Zone: zone, Color: !s.flags.NoColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// say writes a line of progress.
func (s *session) say(format string, args ...any) { fmt.Fprintf(s.err, format+"\n", args...) }

// confirm asks before a change. Without a terminal to ask on, --yes is needed.
func (s *session) confirm(ctx context.Context, f changeFlags, question string) error {
	if f.Yes {
		return nil
	}
	if in, ok := s.in.(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return &usageError{hint.With(
			errors.New("not a terminal: use --yes to confirm"),
			"--yes continues without asking, --dry-run shows what would be done",
		)}
	}
	fmt.Fprintf(s.err, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // a read cannot be interrupted; it ends with the process
		line, err := bufio.NewReader(s.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
		return hint.With(errors.New("not confirmed"), "nothing was changed")
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return ctx.Err()
	}
}

// AfterApply bounds the verb by --timeout; kong calls it.
func (f connectFlags) AfterApply(k *kong.Context, ctx context.Context) error {
	if f.Timeout <= 0 {
		return nil
	}
	bounded, cancel := context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("gave up after %s (--timeout)", f.Timeout))
	context.AfterFunc(bounded, cancel)
	k.BindTo(bounded, (*context.Context)(nil))
	return nil
}
