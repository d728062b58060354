package install_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/install"
	"drawbridge/internal/sandbox"
)

// deploy plans and carries out a deployment of a configuration.
func deploy(t *testing.T, i *install.Installer, text string) *install.Plan {
	t.Helper()
	c, err := config.Parse("drawbridge.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := i.Plan(t.Context(), c, []byte(text), standIns)
	if err == nil && len(p.Changes) > 0 {
		err = i.Execute(t.Context(), p, func(cfn.Event) {})
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func gateways(sim *awssim.Sim) (there int) {
	for _, e := range sim.Ledger().Endpoints {
		if e.Type == "gateway" && e.Deleted == nil {
			there++
		}
	}
	return there
}

// TestTheGatewaySurvivesASecondDeployment: tags of a stack reach its endpoints late or
// never, so a gateway of ours must not be taken for somebody else's.
func TestTheGatewaySurvivesASecondDeployment(t *testing.T) {
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	second := func(t *testing.T) string {
		return strings.Replace(hello(t), "sets:", "logRetention: 7\nsets:", 1)
	}
	inAccount(t, second(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, _ *config.File) {
		if err := sim.SetFault("stack-tags", "never", 0); err != nil {
			t.Fatal(err)
		}
		deploy(t, i, hello(t))
		if n := gateways(sim); n != 1 {
			t.Fatalf("%d gateways after the first deployment", n)
		}
		deploy(t, i, second(t))
		time.Sleep(time.Hour)
		if n := gateways(sim); n != 1 {
			t.Errorf("%d gateways after the second deployment, want the one of the first", n)
		}
	})
	inAccount(t, second(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, _ *config.File) { // of a version that left the owner to the stack's tags
		if err := sim.SetFault("stack-tags", "never", 0); err != nil {
			t.Fatal(err)
		}
		tag := `,{"Key":"drawbridge:owner","Value":"drawbridge"}`
		old := strings.ReplaceAll(templateOf(t, hello(t)), tag, "")
		if old == templateOf(t, hello(t)) {
			t.Fatal("the case changes nothing")
		}
		put(t, sim, old, "1")
		deploy(t, i, second(t))
		time.Sleep(time.Hour)
		if n := gateways(sim); n != 1 {
			t.Errorf("%d gateways after an upgrade, want the one that was there", n)
		}
	})
}

// many is a configuration of many jobs, each with a task definition and roles of its
// own, and of many sets.
func many(jobs, sets int) string {
	var out strings.Builder
	out.WriteString("sets:\n")
	for i := range sets {
		fmt.Fprintf(&out, "  set-%d: {subnets: [subnet-%d, subnet-%d], endpointSecurityGroups: [sg-e%d]}\n", i, 2*i, 2*i+1, i)
	}
	out.WriteString("jobs:\n")
	for i := range jobs {
		fmt.Fprintf(&out, "  job-%d: {set: set-%d, cluster: c, taskDefinition: family-%d, securityGroups: [sg-t%d]}\n", i, i%sets, i, i%sets)
	}
	return out.String()
}

// TestManyJobsAndSetsDeploy: what grows with them has room.
func TestManyJobsAndSetsDeploy(t *testing.T) {
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	for _, tt := range []struct{ jobs, sets int }{{300, 50}, {200, 200}} {
		t.Run(fmt.Sprintf("%d jobs and %d sets", tt.jobs, tt.sets), func(t *testing.T) {
			text := many(tt.jobs, tt.sets)
			c, err := config.Parse("drawbridge.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			sim := awssim.New(awssim.Options{})
			defer sim.Close()
			if _, err := sandbox.Install(sim, c, sandbox.Functions{}); err != nil {
				t.Fatal(err)
			}
			n := cfn.NamesOf("drawbridge", sim.Region())
			for _, f := range []string{n.Launcher, n.Reaper} {
				if size := sim.FunctionEnvironmentSize(f); size == 0 || size > 1024 {
					t.Errorf("the environment of %s takes %d bytes, want little, whatever the number of sets", f, size)
				}
			}
			last := tt.jobs - 1
			definition := fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task-definition/family-%d:1", last)
			cluster := map[string]any{"ecs:cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/c"}
			if !sim.RoleMay(n.LauncherRole, "ecs:RunTask", definition, cluster) {
				t.Errorf("the launcher may not run %s", definition)
			}
			if sim.RoleMay(n.LauncherRole, "ecs:RunTask", strings.Replace(definition, "family-", "other-", 1), cluster) {
				t.Error("the launcher may run what no job names")
			}
			vpc := fmt.Sprintf("arn:aws:ec2:us-east-1:123456789012:vpc/vpc-%017x", 0xd0a0+tt.sets-1)
			if !sim.RoleMay(n.StackRole, "ec2:CreateVpcEndpoint", vpc, nil) {
				t.Errorf("CloudFormation's role may not create endpoints in %s", vpc)
			}
			if got := len(c.Sets); got != tt.sets {
				t.Errorf("%d sets are installed", got)
			}
		})
	}
}

// TestPoliciesNeverLeaveARoleWithoutRights: more and fewer jobs, at deployments one
// after another, with one policy a role and with several, each of them made before what
// is checked against it.
func TestPoliciesNeverLeaveARoleWithoutRights(t *testing.T) {
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	inAccount(t, many(60, 1), func(t *testing.T, sim *awssim.Sim, i *install.Installer, _ *config.File) {
		n := cfn.NamesOf("drawbridge", sim.Region())
		cluster := map[string]any{"ecs:cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/c"}
		deploy(t, i, many(3, 1))
		done := make(chan struct{})
		without := 0
		go func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
				}
				for _, job := range []int{0, 2} { // those of every configuration
					definition := fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task-definition/family-%d:1", job)
					role := fmt.Sprintf("arn:aws:iam::123456789012:role/family-%d-task", job)
					if !sim.RoleMay(n.LauncherRole, "ecs:RunTask", definition, cluster) || !sim.RoleMay(n.LauncherRole, "iam:PassRole", role, map[string]any{"iam:PassedToService": "ecs-tasks.amazonaws.com"}) {
						without++
					}
				}
			}
		}()
		for _, jobs := range []int{24, 25, 60, 40, 3, 60} {
			deploy(t, i, many(jobs, 1))
			time.Sleep(time.Minute)
		}
		close(done)
		if without > 0 {
			t.Errorf("at %d moments the launcher lacked a right that every configuration gives it", without)
		}
	})
}

// TestAnAccountThatNeverUsedECS: deploy makes the service-linked role first.
func TestAnAccountThatNeverUsedECS(t *testing.T) {
	text := strings.Replace(hello(t), "sets:", "ecsCluster: hello\nsets:", 1)
	inNewAccount(t, text, func(t *testing.T, sim *awssim.Sim, i *install.Installer, _ *config.File) {
		deploy(t, i, text)
		if s := sim.Ledger().Calls["iam:CreateServiceLinkedRole"]; s != 1 {
			t.Errorf("the role was made %d times, want once", s)
		}
	})
}

// TestAPlanLeavesNothingInTheWay: the deployment that follows a plan at once finds no
// stack that is still being deleted.
func TestAPlanLeavesNothingInTheWay(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, _ *awssim.Sim, i *install.Installer, c *config.File) {
		p, err := i.Plan(t.Context(), c, []byte(hello(t)), standIns)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Discard(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		deploy(t, i, hello(t))
	})
}

// TestAResourceOfALargeStackIsFound: CloudFormation describes a hundred at once.
func TestAResourceOfALargeStackIsFound(t *testing.T) {
	text := strings.ReplaceAll(many(110, 1), "]}\n", "], on: [{source: [x]}]}\n")
	text = strings.Replace(text, "endpointSecurityGroups: [sg-e0], on: [{source: [x]}]}", "endpointSecurityGroups: [sg-e0]}", 1)
	inAccount(t, text, func(t *testing.T, _ *awssim.Sim, i *install.Installer, c *config.File) {
		roll(t, i, c, text)
		if policy, err := i.TimerPolicy(t.Context(), "drawbridge"); err != nil || !strings.Contains(policy, "TimerRolePolicy") {
			t.Errorf("the policy of the timers' role is %q (%v)", policy, err)
		}
	})
}
