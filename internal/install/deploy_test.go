package install_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/functions"
	"drawbridge/internal/install"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
)

// standIns are what stand in for the functions: no test here runs them.
var standIns = map[string]functions.Code{"launcher": {Bootstrap: []byte("#!/bin/sh\n"), Architecture: "arm64"}, "reaper": {Bootstrap: []byte("#!/bin/sh\n"), Architecture: "arm64"}}

// inAccount runs a story in an account that is ready for the configuration, in a
// bubble of virtual time.
func inAccount(t *testing.T, text string, story func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File)) {
	t.Helper()
	inAccountOf(t, text, awssim.Options{Speed: 1}, story)
}

// inNewAccount is inAccount for an account that never used ECS.
func inNewAccount(t *testing.T, text string, story func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File)) {
	t.Helper()
	inAccountOf(t, text, awssim.Options{Speed: 1, NewAccount: true}, story)
}

func inAccountOf(t *testing.T, text string, o awssim.Options, story func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := config.Parse("drawbridge.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		sim := awssim.New(o)
		defer sim.Close()
		if _, err := sandbox.Account(sim, c); err != nil {
			t.Fatal(err)
		}
		aws := sandbox.AWSConfig(sim, "http://aws.invalid", sim.RoundTripper())
		i := install.New(aws, app.Place{Region: sim.Region(), Account: sim.Account()}, app.NewClients(aws), sandbox.Clock{Sim: sim})
		story(t, sim, i, c)
	})
}

// hintOf returns the remedy that rides on an error.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// put puts a base stack into the account as it was deployed some time before.
func put(t *testing.T, sim *awssim.Sim, template, schema string) {
	t.Helper()
	n := cfn.NamesOf("drawbridge", sim.Region())
	handler := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	sim.StandIn(n.Launcher, awssim.Local{Handler: handler})
	sim.StandIn(n.Reaper, awssim.Local{Handler: handler})
	tags := map[string]string{cfn.OwnerTag: "drawbridge", cfn.SchemaTag: schema}
	if schema == "" {
		delete(tags, cfn.SchemaTag)
	}
	parameters := map[string]string{cfn.ParameterCodeBucket: awssim.NoBucket, cfn.ParameterLauncherCode: "l", cfn.ParameterReaperCode: "r"}
	if err := sim.PutStack("drawbridge", []byte(template), parameters, tags); err != nil {
		t.Fatal(err)
	}
}

func templateOf(t *testing.T, text string) string {
	t.Helper()
	b, err := base(t, text).JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDeployOverAnotherVersion(t *testing.T) {
	for _, tt := range []struct {
		name, schema, failure, hint string
		change                      func(string) string
	}{
		{"of the first schema: goes on", "1", "", "", nil},
		{"of a newer schema: refused", "2", "stores schema 2, this drawbridge knows schemas up to 1", "use that one or a later one", nil},
		{"without a schema: refused", "", "names no schema in its tag", "changed by hand", nil},
		{"with another key of the table: refused, the runs would be lost", "1", "would replace the table", "go back to the configuration that was deployed", func(s string) string {
			return strings.Replace(s, `{"AttributeName":"item","KeyType":"RANGE"}],"LocalSecondaryIndexes"`, `{"AttributeName":"live","KeyType":"RANGE"}],"LocalSecondaryIndexes"`, 1)
		}},
	} {
		inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
			template := templateOf(t, hello(t))
			if tt.change != nil {
				if changed := tt.change(template); changed == template {
					t.Fatalf("%s: the case changes nothing", tt.name)
				} else {
					template = changed
				}
			}
			put(t, sim, template, tt.schema)
			p, err := i.Plan(t.Context(), c, []byte("x"), standIns)
			switch {
			case tt.failure == "" && err != nil:
				t.Errorf("%s: %v", tt.name, err)
			case tt.failure == "" && p.Creates:
				t.Errorf("%s: it would be created anew", tt.name)
			case tt.failure != "" && (err == nil || !strings.Contains(err.Error(), tt.failure) || !strings.Contains(hintOf(err), tt.hint)):
				t.Errorf("%s: %v; %s, want %q; %q", tt.name, err, hintOf(err), tt.failure, tt.hint)
			}
		})
	}
}

func TestDeployAndRemoveLeaveNothingBehind(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
		ours := func() (left []string) {
			for _, r := range sim.Ledger().Resources {
				if r.Tags[cfn.OwnerTag] == "drawbridge" {
					left = append(left, r.Type)
				}
			}
			return left
		}
		p, err := i.Plan(t.Context(), c, []byte("sets: {}"), standIns)
		if err != nil || !p.Creates {
			t.Fatalf("plan %+v, %v", p, err)
		}
		if err := i.Discard(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if left := ours(); len(left) > 0 {
			t.Errorf("a plan that was discarded left %v", left)
		}
		if p, err = i.Plan(t.Context(), c, []byte("sets: {}"), standIns); err != nil {
			t.Fatal(err)
		}
		var last cfn.Event
		if err := i.Execute(t.Context(), p, func(e cfn.Event) { last = e }); err != nil {
			t.Fatal(err)
		}
		if !last.Stack || last.Status != "CREATE_COMPLETE" {
			t.Errorf("the last event is %+v", last)
		}
		stack, err := i.Installed(t.Context(), "drawbridge")
		if err != nil || stack.Schema != cfn.Schema || stack.Installed.Sets["main"].VPC == "" || len(stack.Installed.Sets["main"].EndpointSecurityGroups) != 1 {
			t.Errorf("installed: %+v, %v", stack, err)
		}
		found, err := i.Remove(t.Context(), "drawbridge", func(cfn.Event) {})
		if err != nil || !found {
			t.Errorf("Remove = %t, %v", found, err)
		}
		if left := ours(); len(left) > 0 {
			t.Errorf("removed, and there are %v", left)
		}
		if found, err = i.Remove(t.Context(), "drawbridge", func(cfn.Event) {}); err != nil || found {
			t.Errorf("the second Remove = %t, %v", found, err)
		}
	})
}

func TestABucketOfSomebodyElseIsLeftAlone(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
		sim.AddBucket(i.Bucket("drawbridge"))
		p, err := i.Plan(t.Context(), c, []byte("x"), standIns)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Execute(t.Context(), p, func(cfn.Event) {})
		if err == nil || !strings.Contains(err.Error(), "does not carry the tag") || hintOf(err) == "" {
			t.Errorf("Execute = %v", err)
		}
	})
}

// TestDeployTakesNothingAwayFromUnderASet goes through what a deployment may not
// do while a set is up with a run, and may do once it is absent.
func TestDeployTakesNothingAwayFromUnderASet(t *testing.T) {
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	const before = `
sets:
  main: {subnets: [subnet-1, subnet-2]}
jobs:
  hello: {set: main, cluster: c, taskDefinition: hello}
  other: {set: main, cluster: c, taskDefinition: other}
`
	for _, tt := range []struct{ name, old, new, failure string }{
		{"the set", "main", "renamed", "set main is no longer a set of its own"},
		{"its mode", "sets:", "mode: observe\nsets:", "set main changes from active to observe"},
		{"the job of a run", "  hello: {set: main, cluster: c, taskDefinition: hello}\n", "", "job hello is no longer in the configuration, and its run hello/a is running"},
		{"the cluster of a run", "cluster: c, taskDefinition: hello", "cluster: d, taskDefinition: hello", "job hello moves to cluster d"},
		{"the endpoints' security group", "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1, subnet-2], endpointSecurityGroups: [sg-1]", "which tasks may use"},
		{"the S3 gateway", "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1, subnet-2], s3Gateway: set", "the deployment would remove S3GatewayMain"},
		{"a service that it has", "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1, subnet-2], services: [ecr.api, ecr.dkr, logs, s3]", "set main no longer has secretsmanager"},
		{"a gateway that it has", "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1, subnet-2], services: [ecr.api, ecr.dkr, logs, secretsmanager]", "set main no longer has s3"},
		{"another job: nothing", "  other: {set: main, cluster: c, taskDefinition: other}\n", "", ""},
		{"a limit: nothing", "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1, subnet-2], hoursPerDay: 20", ""},
	} {
		after := strings.ReplaceAll(before, tt.old, tt.new)
		if after == before {
			t.Fatalf("%s: the case changes nothing", tt.name)
		}
		for _, up := range []bool{true, false} {
			inAccount(t, before, func(t *testing.T, sim *awssim.Sim, i *install.Installer, _ *config.File) {
				put(t, sim, templateOf(t, before), "1")
				c, err := config.Parse("drawbridge.yaml", []byte(after))
				if err != nil {
					t.Fatal(err)
				}
				sim.AddCluster("d")
				sim.AddSecurityGroup("sg-1", "vpc-0000000000000d0a0", "theirs")
				if up {
					state := store.New(i.Clients.DynamoDB, "drawbridge")
					if _, err := state.SaveSet(t.Context(), scheduler.Set{Name: "main", Phase: scheduler.Available, Life: scheduler.Life{Generation: 1, Services: []string{"ecr.api", "ecr.dkr", "logs", "s3", "secretsmanager"}}}); err != nil {
						t.Fatal(err)
					}
					run := scheduler.Run{ID: "hello/a", Job: "hello", Set: "main", Request: scheduler.Request{Event: "a", Cluster: "c"}, Progress: scheduler.Progress{State: scheduler.Running, Attempt: 1}}
					if _, err := state.Record(t.Context(), run); err != nil {
						t.Fatal(err)
					}
				}
				p, err := i.Plan(t.Context(), c, []byte("x"), standIns)
				switch {
				case up && tt.failure != "" && (err == nil || !strings.Contains(err.Error(), tt.failure) || hintOf(err) == ""):
					t.Errorf("%s, while it is up: %v, want %q with a remedy", tt.name, err, tt.failure)
				case (!up || tt.failure == "") && err != nil:
					t.Errorf("%s, up %t: %v", tt.name, up, err)
				case err == nil:
					if err := i.Discard(t.Context(), p); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func TestEveryNameGetsALogicalIDOfItsOwn(t *testing.T) {
	const text = `
sets:
  a-b: {subnets: [subnet-1]}
  ab: {subnets: [subnet-2]}
  a--b: {subnets: [subnet-3]}
  idle: {subnets: [subnet-4]}
jobs:
  hello-1: {set: a-b, cluster: c, taskDefinition: h, on: [{source: [x]}]}
  hello1: {set: ab, cluster: c, taskDefinition: h, on: [{source: [x]}]}
  hello: {set: a--b, cluster: c, taskDefinition: h, on: [{source: [x]}, {source: [y]}]}
`
	template := templateOf(t, text)
	if n := strings.Count(template, `"AWS::Events::Rule"`); n != 3+4 {
		t.Errorf("%d rules, want three of the reaper and four of jobs", n)
	}
	if n := strings.Count(template, `"AWS::EC2::SecurityGroup"`); n != 4+3 {
		t.Errorf("%d security groups, want four of endpoints and three of tasks", n)
	}
	inAccount(t, text, func(t *testing.T, sim *awssim.Sim, _ *install.Installer, _ *config.File) {
		put(t, sim, template, "1") // a set without jobs included
	})
}

func TestAPauseReachesSetsThatAreNew(t *testing.T) {
	const before, after = "sets:\n  main: {subnets: [subnet-1]}\njobs:\n  hello: {set: main, cluster: c, taskDefinition: hello}\n",
		"sets:\n  main: {subnets: [subnet-1]}\n  more: {subnets: [subnet-2]}\njobs:\n  hello: {set: main, cluster: c, taskDefinition: hello}\n"
	inAccount(t, after, func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
		put(t, sim, templateOf(t, before), "1")
		state := store.New(i.Clients.DynamoDB, "drawbridge")
		if _, err := state.SaveSet(t.Context(), scheduler.Set{Name: "main", Phase: scheduler.Absent, Pause: &scheduler.Pause{By: "user/a"}}); err != nil {
			t.Fatal(err)
		}
		p, err := i.Plan(t.Context(), c, []byte("x"), standIns)
		if err == nil {
			err = i.Execute(t.Context(), p, func(cfn.Event) {})
		}
		if err != nil {
			t.Fatal(err)
		}
		set, err := state.LoadSet(t.Context(), "more")
		if err != nil || set.Pause == nil {
			t.Errorf("the new set is %+v, %v; want it paused as the others are", set, err)
		}
	})
}
