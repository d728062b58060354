// Package sandbox installs Drawbridge into a simulated AWS, as a configuration
// names it: the network, the cluster and task definitions that it takes for
// granted, and all that the installation owns.
package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/reaper"
	"drawbridge/internal/store"
)

// Functions are the two functions: handlers in this process, or the paths of
// bootstrap binaries.
type Functions struct {
	Launcher, Reaper                   awssim.Handler
	LauncherBootstrap, ReaperBootstrap string
	// ConfigPath is the configuration file, for the binaries.
	ConfigPath string
}

// functionTimeout is how long a handler may run: Lambda's maximum.
const functionTimeout = 15 * time.Minute

// The event source mapping of the launcher. Two batches at a time keep a burst
// upon a warm set within the rate of RunTask.
const batchSize, batchConcurrency = 10, 2

// maxReceives is how often a message is tried before it goes to the dead-letter
// queue as it is.
const maxReceives = 5

// Install puts everything that c names into the account, and the installation
// with the given functions.
func Install(sim *awssim.Sim, c *config.Config, f Functions) error {
	if err := installNetwork(sim, c); err != nil {
		return err
	}
	if err := installJobs(sim, c); err != nil {
		return err
	}
	return installDrawbridge(sim, c, f)
}

func installNetwork(sim *awssim.Sim, c *config.Config) error {
	seen := map[string]bool{}
	for i, name := range slices.Sorted(maps.Keys(c.Sets)) {
		set := c.Sets[name]
		vpc := fmt.Sprintf("vpc-%017x", 0xd0a0+i)
		network := fmt.Sprintf("10.%d", i)
		table := sim.AddVPC(vpc, network+".0.0/16")
		for n, subnet := range set.Subnets {
			if seen[subnet] {
				return fmt.Errorf("install: subnet %s is in two sets", subnet)
			}
			seen[subnet] = true
			sim.AddSubnet(subnet, vpc, n, fmt.Sprintf("%s.%d.0/24", network, n), table)
		}
		groups, _ := c.SecurityGroups(name)
		slices.Sort(groups)
		for _, g := range slices.Compact(groups) {
			if !seen[g] {
				seen[g] = true
				sim.AddSecurityGroup(g, vpc, "tasks-"+g)
			}
		}
		if set.S3Gateway == endpoints.GatewayPermanent {
			s3, err := endpoints.Lookup("s3")
			if err != nil {
				return err
			}
			if _, err := sim.AddEndpoint(s3.Name(sim.Region()), "Gateway", vpc, nil, nil, []string{table}); err != nil {
				return fmt.Errorf("install the permanent S3 gateway: %w", err)
			}
		}
	}
	return nil
}

// installJobs registers the task definitions that jobs name: one container with a
// private image and a log group.
func installJobs(sim *awssim.Sim, c *config.Config) error {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		job := c.Jobs[name]
		sim.AddCluster(last(job.Cluster))
		family, _, _ := strings.Cut(last(job.TaskDefinition), ":")
		if seen[family] {
			continue
		}
		seen[family] = true
		group := "/" + c.Name + "/" + family
		sim.AddLogGroup(group)
		definition, err := json.Marshal(map[string]any{
			"family": family, "networkMode": "awsvpc", "requiresCompatibilities": []string{"FARGATE"}, "cpu": "256", "memory": "512",
			"containerDefinitions": []any{map[string]any{
				"name": job.Container, "essential": true, "image": sim.Account() + ".dkr.ecr." + sim.Region() + ".amazonaws.com/" + family + ":latest",
				"logConfiguration": map[string]any{"logDriver": "awslogs", "options": map[string]string{
					"awslogs-group": group, "awslogs-region": sim.Region(), "awslogs-stream-prefix": family,
				}},
			}},
		})
		if err != nil {
			return err
		}
		if err := sim.AddTaskDefinition(definition); err != nil {
			return err
		}
	}
	return nil
}

func last(name string) string { return name[strings.LastIndex(name, "/")+1:] }

func installDrawbridge(sim *awssim.Sim, c *config.Config, f Functions) error {
	n := app.NamesOf(c.Name)
	sim.AddRole(n.StackRole, "cloudformation.amazonaws.com")
	sim.AddRole(n.TimerRole, "scheduler.amazonaws.com")
	if err := sim.AddTable(store.TableInput(n.Table)); err != nil {
		return fmt.Errorf("install table: %w", err)
	}
	sim.AddScheduleGroup(n.ScheduleGroup)
	dead, err := sim.AddQueue(n.DeadLetters, map[string]string{"MessageRetentionPeriod": "1209600"})
	if err != nil {
		return err
	}
	redrive, err := json.Marshal(map[string]any{"deadLetterTargetArn": dead, "maxReceiveCount": maxReceives})
	if err != nil {
		return err
	}
	queue, err := sim.AddQueue(n.Events, map[string]string{"VisibilityTimeout": fmt.Sprint(int(functionTimeout.Seconds())), "RedrivePolicy": string(redrive)})
	if err != nil {
		return err
	}
	environment := map[string]string{app.ConfigVariable: f.ConfigPath}
	sim.InstallFunction(awssim.FunctionSpec{Name: n.Launcher, Handler: f.Launcher, Bootstrap: f.LauncherBootstrap, Environment: environment, Timeout: functionTimeout,
		Role: sim.AddRole(n.Launcher, "lambda.amazonaws.com"), OnFailure: dead})
	sim.InstallFunction(awssim.FunctionSpec{Name: n.Reaper, Handler: f.Reaper, Bootstrap: f.ReaperBootstrap, Environment: environment, Timeout: functionTimeout,
		Role: sim.AddRole(n.Reaper, "lambda.amazonaws.com")})
	if err := sim.MapQueue(n.Events, n.Launcher, batchSize, batchConcurrency); err != nil {
		return err
	}
	return installRules(sim, c, n, queue)
}

func installRules(sim *awssim.Sim, c *config.Config, n app.Names, queue string) error {
	target := sim.FunctionARN(n.Reaper)
	pattern := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
	rules := []struct{ name, pattern, rate, target string }{
		{n.Reaper + "-tasks", pattern(map[string]any{"source": []string{"aws.ecs"}, "detail-type": []string{"ECS Task State Change"},
			"detail": map[string]any{"lastStatus": []string{"STOPPED"}, "startedBy": []any{map[string]string{"prefix": c.Name + "/"}}}}), "", target},
		{n.Reaper + "-stacks", pattern(map[string]any{"source": []string{"aws.cloudformation"}, "detail-type": []string{"CloudFormation Stack Status Change"},
			"detail": map[string]any{"stack-id": []any{map[string]string{"wildcard": "*:stack/" + c.Name + "-set-*"}}}}), "", target},
		{n.Reaper + "-sweep", "", fmt.Sprintf("rate(%d minutes)", int(reaper.SweepEvery.Minutes())), target},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		for i, on := range c.Jobs[name].On {
			rules = append(rules, struct{ name, pattern, rate, target string }{fmt.Sprintf("%s-job-%s-%d", c.Name, name, i), pattern(on), "", queue})
		}
	}
	for _, r := range rules {
		if err := sim.AddRule(r.name, r.pattern, r.rate, r.target); err != nil {
			return err
		}
	}
	return nil
}
