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
)

// standIns are what stand in for the functions: no test here runs them.
var standIns = map[string]functions.Code{"launcher": {Bootstrap: []byte("#!/bin/sh\n"), Architecture: "arm64"}, "reaper": {Bootstrap: []byte("#!/bin/sh\n"), Architecture: "arm64"}}

// inAccount runs a story in an account that is ready for the configuration, in a
// bubble of virtual time.
func inAccount(t *testing.T, text string, story func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := config.Parse("drawbridge.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		sim := awssim.New(awssim.Options{Speed: 1})
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
	parameters := map[string]string{cfn.ParameterCodeBucket: "b", cfn.ParameterLauncherCode: "l", cfn.ParameterReaperCode: "r"}
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
		inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.Config) {
			template := templateOf(t, hello(t))
			if tt.change != nil {
				if changed := tt.change(template); changed == template {
					t.Fatalf("%s: the case changes nothing", tt.name)
				} else {
					template = changed
				}
			}
			put(t, sim, template, tt.schema)
			p, err := i.Plan(t.Context(), c, []byte("x"), standIns, true)
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
	inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.Config) {
		ours := func() (left []string) {
			for _, r := range sim.Ledger().Resources {
				if r.Tags[cfn.OwnerTag] == "drawbridge" {
					left = append(left, r.Type)
				}
			}
			return left
		}
		p, err := i.Plan(t.Context(), c, []byte("sets: {}"), standIns, true)
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
		if p, err = i.Plan(t.Context(), c, []byte("sets: {}"), standIns, true); err != nil {
			t.Fatal(err)
		}
		var last install.Event
		if err := i.Execute(t.Context(), p, func(e install.Event) { last = e }); err != nil {
			t.Fatal(err)
		}
		if !last.Stack || last.Status != "CREATE_COMPLETE" {
			t.Errorf("the last event is %+v", last)
		}
		stack, err := i.Installed(t.Context(), "drawbridge")
		if err != nil || stack.Schema != cfn.Schema || stack.Installed.Sets["main"].VPC == "" || len(stack.Installed.Sets["main"].EndpointSecurityGroups) != 1 {
			t.Errorf("installed: %+v, %v", stack, err)
		}
		found, err := i.Remove(t.Context(), "drawbridge", func(install.Event) {})
		if err != nil || !found {
			t.Errorf("Remove = %t, %v", found, err)
		}
		if left := ours(); len(left) > 0 {
			t.Errorf("removed, and there are %v", left)
		}
		if found, err = i.Remove(t.Context(), "drawbridge", func(install.Event) {}); err != nil || found {
			t.Errorf("the second Remove = %t, %v", found, err)
		}
	})
}

func TestABucketOfSomebodyElseIsLeftAlone(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.Config) {
		sim.AddBucket(i.Bucket("drawbridge"))
		p, err := i.Plan(t.Context(), c, []byte("x"), standIns, true)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Execute(t.Context(), p, func(install.Event) {})
		if err == nil || !strings.Contains(err.Error(), "does not carry the tag") || hintOf(err) == "" {
			t.Errorf("Execute = %v", err)
		}
	})
}
