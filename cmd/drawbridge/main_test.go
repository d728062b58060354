package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/awssim"
	"drawbridge/internal/clock"
	"drawbridge/internal/functions"
	"drawbridge/internal/sandbox"
)

var update = flag.Bool("update", false, "write the expected outputs of the scripts anew")

func TestMain(m *testing.M) {
	testscript.Main(cleaning{m}, map[string]func(){
		"drawbridge": main,
		"pass":       pass,
	})
}

// pass lets time pass on the clock of a script's commands, for a shell: pass 10s
func pass() {
	d, err := time.ParseDuration(os.Args[1])
	if err == nil {
		err = clock.FromEnvironment().Sleep(context.Background(), d)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pass:", err)
		os.Exit(1)
	}
}

// cleaning removes what all tests share once they have run.
type cleaning struct{ m *testing.M }

func (c cleaning) Run() int {
	for _, program := range []string{"git", "curl", "perl"} { // the last two are for the hook of examples/mirror
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "missing on this machine: %s; install with: apt-get install %[1]s\n", program)
			return 1
		}
	}
	defer func() { removeBootstraps(); removeMirror() }()
	return c.m.Run()
}

func TestScripts(t *testing.T) {
	var dir, mirror string
	if !testing.Short() { // scripts that need them are long stories
		var err error
		if dir, err = bootstraps(); err != nil {
			t.Fatal(err)
		}
		if mirror, err = mirrorProgram(); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			for k, v := range map[string]string{functions.FolderVariable: dir, "MIRROR": mirror, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1", "TZ": "UTC",
				"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
				e.Setenv(k, v)
			}
			action, err := filepath.Abs("../../deploy/action")
			if err != nil {
				return err
			}
			e.Setenv("ACTION", action)
			path, err := exec.LookPath("drawbridge") // the one of testscript
			e.Setenv("DRAWBRIDGE", path)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"account": accountCmd, "advance": advanceCmd, "fault": faultCmd, "left": leftCmd, "down": downCmd, "foreign-stack": foreignStackCmd, "foreign-endpoint": foreignEndpointCmd, "role": roleCmd, "session": sessionCmd, "hang": hangCmd, "layout": layoutCmd, "hung": hungCmd},
	})
}

// accountCmd starts a sandbox with the given arguments, whose clock stands still until
// advance or a command that sleeps moves it, and sets the environment for it: account
// ARGS...
func accountCmd(ts *testscript.TestScript, _ bool, args []string) {
	endpoint, stop, err := startSandbox(append([]string{"--speed", "0"}, args...))
	ts.Check(err)
	ts.Defer(func() {
		if code, text := stop(); code != exitDone {
			ts.Logf("the sandbox ended with %d: %s", code, text)
		}
	})
	ck := newStrideClock(endpoint)
	ts.Defer(ck.Close)
	strides.Store(ck.URL, ck)
	ts.Setenv("AWS_ENDPOINT_URL", endpoint)
	ts.Setenv(clock.Variable, ck.URL)
}

// strides are the clocks of the scripts, by their addresses.
var strides sync.Map

func strideOf(ts *testscript.TestScript) *strideClock {
	ck, ok := strides.Load(ts.Getenv(clock.Variable))
	if !ok {
		ts.Fatalf("there is no account yet")
	}
	return ck.(*strideClock)
}

// hangCmd lets commands hang where they sleep, once a file holds a text: hang FILE TEXT
func hangCmd(ts *testscript.TestScript, _ bool, args []string) {
	strideOf(ts).hangOnce(ts.MkAbs(args[0]), args[1])
}

// hungCmd waits until a command hangs; those that sleep later do not.
func hungCmd(ts *testscript.TestScript, _ bool, _ []string) { strideOf(ts).awaitHung() }

// startSandbox runs drawbridge sandbox and returns its endpoint.
func startSandbox(args []string) (endpoint string, stop func() (int, string), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		code := run(ctx, append([]string{"sandbox", "--listen", "127.0.0.1:0"}, args...), in, &stderr)
		_ = in.Close()
		done <- code
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var hello struct{ Endpoint string }
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		cancel()
		<-done
		return "", nil, fmt.Errorf("the sandbox says %q, %w: %s", line, err, stderr.String())
	}
	return hello.Endpoint, func() (int, string) { cancel(); return <-done, stderr.String() }, nil
}

// control calls a path of the sandbox itself.
func control(ts *testscript.TestScript, path, body string) []byte {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(context.Background(), method, ts.Getenv("AWS_ENDPOINT_URL")+"/_sim/"+path, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", path, text)
	}
	return text
}

// advanceCmd moves the sandbox's clock: advance 10m
func advanceCmd(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	control(ts, "advance", fmt.Sprintf(`{"seconds": %f}`, d.Seconds()))
}

// faultCmd turns a fault of the sandbox on: fault NAME VALUE
func faultCmd(ts *testscript.TestScript, _ bool, args []string) {
	control(ts, "fault", fmt.Sprintf(`{"name": %q, "value": %q}`, args[0], args[1]))
}

// leftCmd fails if anything in the account carries our owner tag; with ! if
// nothing does.
func leftCmd(ts *testscript.TestScript, neg bool, _ []string) {
	var l awssim.Ledger
	ts.Check(json.Unmarshal(control(ts, "ledger", ""), &l))
	var left []string
	for _, r := range l.Resources {
		if r.Tags["drawbridge:owner"] != "" {
			left = append(left, r.Type+" "+r.ID)
		}
	}
	if (len(left) > 0) != neg {
		ts.Fatalf("%d resources carry our tag: %s", len(left), strings.Join(left, ", "))
	}
}

// downCmd fails if any interface endpoint is there.
func downCmd(ts *testscript.TestScript, _ bool, _ []string) {
	var l awssim.Ledger
	ts.Check(json.Unmarshal(control(ts, "ledger", ""), &l))
	for _, e := range l.Endpoints {
		if e.Type == "interface" && e.Deleted == nil {
			ts.Fatalf("endpoint %s of %s is there", e.ID, e.Service)
		}
	}
}

// foreignStackCmd makes a stack as somebody else would: foreign-stack NAME
func foreignStackCmd(ts *testscript.TestScript, _ bool, args []string) {
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	api := cloudformation.NewFromConfig(sandbox.AWSConfig(sim, ts.Getenv("AWS_ENDPOINT_URL"), http.DefaultTransport))
	_, err := api.CreateStack(context.Background(), &cloudformation.CreateStackInput{StackName: aws.String(args[0]), TemplateBody: aws.String(`{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}`)})
	ts.Check(err)
	control(ts, "advance", `{"seconds": 60}`)
}

// foreignEndpointCmd makes an endpoint as somebody else would: foreign-endpoint SERVICE VPC SUBNET
func foreignEndpointCmd(ts *testscript.TestScript, _ bool, args []string) {
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	api := ec2.NewFromConfig(sandbox.AWSConfig(sim, ts.Getenv("AWS_ENDPOINT_URL"), http.DefaultTransport))
	ctx := context.Background()
	group, err := api.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("https-to-" + args[0]), Description: aws.String("HTTPS"), VpcId: &args[1],
	})
	ts.Check(err)
	_, err = api.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: group.GroupId, IpPermissions: []ec2types.IpPermission{{
			IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443),
			IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}},
		}},
	})
	ts.Check(err)
	_, err = api.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		SecurityGroupIds: []string{*group.GroupId},
		ServiceName:      aws.String("com.amazonaws.us-east-1." + args[0]), VpcId: &args[1], SubnetIds: args[2:3],
		VpcEndpointType: ec2types.VpcEndpointTypeInterface, PrivateDnsEnabled: aws.Bool(true),
	})
	ts.Check(err)
	control(ts, "advance", `{"seconds": 300}`)
}

// roleCmd makes a role of the account with the policies of docs/policies: role NAME POLICY...
func roleCmd(ts *testscript.TestScript, _ bool, args []string) {
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	api := iam.NewFromConfig(sandbox.AWSConfig(sim, ts.Getenv("AWS_ENDPOINT_URL"), http.DefaultTransport))
	ctx := context.Background()
	_, err := api.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: &args[0], AssumeRolePolicyDocument: aws.String(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
			"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}]}`),
	})
	ts.Check(err)
	for _, policy := range args[1:] {
		text, err := os.ReadFile("../../docs/policies/" + policy + ".json")
		ts.Check(err)
		named := strings.NewReplacer("ACCOUNT", "123456789012", "REGION", "us-east-1", "CLUSTER", "hello", "JOB_LOG_GROUP",
			"/drawbridge/hello").Replace(string(text))
		_, err = api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
			RoleName: &args[0], PolicyName: &policy, PolicyDocument: &named,
		})
		ts.Check(err)
	}
}

// sessionCmd writes the commands of a section of the README, or of another document, to a file, as they
// stand, for somebody who takes ten seconds over each: session FILE HEADING [DOCUMENT]
func sessionCmd(ts *testscript.TestScript, _ bool, args []string) {
	document := "README.md"
	if len(args) > 2 {
		document = args[2]
	}
	text, err := os.ReadFile("../../" + document)
	ts.Check(err)
	_, section, ok := strings.Cut(string(text), "\n## "+args[1]+"\n")
	_, block, fenced := strings.Cut(section, "```\n")
	block, _, closed := strings.Cut(block, "```")
	if !ok || !fenced || !closed {
		ts.Fatalf("%s has no section %q with commands", document, args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("set -e\n"+strings.ReplaceAll(block, "\n", "\npass 10s\n")), 0o644))
}
