package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/internal/install"
	"drawbridge/scheduler"
)

// scenes are the options of every world that a test has made, by its configuration.
var scenes sync.Map

// TestMain runs the tests, and then holds what plan shows against what the launcher
// prepares, in every scene that the tests have made.
func TestMain(m *testing.M) {
	code := m.Run()
	n := 0
	scenes.Range(func(text, o any) bool {
		n++
		if err := planAgrees(text.(string), o.(awssim.Options)); err != nil {
			fmt.Printf("plan and launcher do not agree: %v\nin the scene:\n%s\n", err, text)
			code = 1
		}
		return true
	})
	if code == 0 {
		fmt.Printf("plan and launcher agree in %d scenes\n", n)
	}
	os.Exit(code)
}

// TestPlanAndLauncherAgree makes scenes of its own: what differs between them is what
// both have to know.
func TestPlanAndLauncherAgree(t *testing.T) {
	for _, text := range []string{
		oneSet("zones: 2"), oneSet("services: auto"), oneSet("services: [s3, dynamodb]", "s3Gateway: set"),
		oneSet("services: [ecr.api, logs]"), "mode: observe\n" + oneSet(),
	} {
		if err := planAgrees(text, awssim.Options{}); err != nil {
			t.Errorf("%v\nin the scene:\n%s", err, text)
		}
	}
}

// oneSet is a configuration of one set with more keys, and one job.
func oneSet(keys ...string) string {
	text := "sets:\n  main:\n    subnets: [subnet-1, subnet-2]\n"
	for _, k := range keys {
		text += "    " + k + "\n"
	}
	return text + "jobs:\n  hello:\n    set: main\n    cluster: c\n    taskDefinition: hello\n    securityGroups: [sg-1]\n"
}

// planned is what a plan and the launcher say of a set.
type planned struct {
	Create, Zones []string
	PerHour       int
}

// planAgrees plans an account before the installation, installs, and compares with what
// the launcher prepares.
func planAgrees(text string, o awssim.Options) error {
	file, err := config.Parse("scene", []byte(text))
	if err != nil {
		return err
	}
	o.Speed, o.Record = 0, recording()
	sim := awssim.New(o)
	defer sim.Close()
	if _, err := Account(sim, file); err != nil {
		return err
	}
	conf := AWSConfig(sim, "http://aws.invalid", sim.RoundTripper())
	place := app.Place{Region: sim.Region(), Account: sim.Account()}
	survey, err := install.New(conf, place, app.NewClients(conf), clock.System{}).Read(context.Background(), file)
	if err != nil {
		return err
	}
	want := map[scheduler.SetName]planned{}
	for name, p := range survey.Plans {
		want[name] = planned{idsOf(p.Create), p.Zones(), p.PerHour()}
	}
	again := awssim.New(o)
	defer again.Close()
	c, err := InstallInProcess(again, file, "http://aws.invalid", again.RoundTripper(), zap.NewNop(), io.Discard)
	if err != nil {
		return err
	}
	conf = AWSConfig(again, "http://aws.invalid", again.RoundTripper())
	a := app.New(c, place, app.NewClients(conf), clock.System{}, zap.NewNop(), io.Discard)
	got := map[scheduler.SetName]planned{}
	for name := range c.Sets {
		p, err := a.Prepare(context.Background(), name)
		if err != nil {
			return err
		}
		got[name] = planned{p.Creates, p.Zones, p.PerHour}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("(-plan +launcher):\n%s", diff)
	}
	return nil
}

func idsOf(services []endpoints.Service) []string {
	var out []string
	for _, s := range services {
		out = append(out, string(s.ID))
	}
	slices.Sort(out)
	return out
}
