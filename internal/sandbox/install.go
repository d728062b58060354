// Package sandbox installs Drawbridge into a simulated AWS, as a configuration
// names it: the network, the cluster and task definitions that it takes for
// granted, and the base stack that drawbridge deploy makes.
package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/install"
	"drawbridge/scheduler"
)

// Functions are the Lambda functions: handlers in this process, or the paths of
// bootstrap binaries.
type Functions struct {
	// Handlers and Bootstraps are by the function's code, as launcher.
	Handlers   map[string]awssim.Handler
	Bootstraps map[string]string
	// ConfigPath is the configuration file, for the binaries.
	ConfigPath string
}

// Install adds everything that a configuration names to the account, and the installation
// with the given functions.
func Install(sim *awssim.Sim, file *config.File, f Functions) (*config.Installation, error) {
	facts, err := Account(sim, file)
	if err != nil {
		return nil, err
	}
	c, err := facts.Resolve(file)
	if err != nil {
		return nil, err
	}
	base, err := install.Base(c, facts, "arm64")
	if err != nil {
		return nil, err
	}
	template, err := base.JSON()
	if err != nil {
		return nil, err
	}
	n := cfn.NamesOf(c.Name, sim.Region())
	environment := map[string]string{app.ConfigVariable: f.ConfigPath}
	parameters := map[string]string{
		cfn.ParameterCodeBucket: awssim.NoBucket, cfn.ParameterBoundary: c.PermissionsBoundary,
		cfn.ParameterAlarmTopic: c.AlarmTopic,
	}
	for _, x := range base.Functions() {
		parameters[x.Parameter] = "none"
		sim.StandIn(x.Name, awssim.Local{
			Handler: f.Handlers[x.Code], Bootstrap: f.Bootstraps[x.Code], Environment: environment,
		})
	}
	if err := sim.PutStack(n.Stack, template, parameters, install.Tags(c)); err != nil {
		return nil, err
	}
	in, err := cfn.InstalledOf(sim.StackOutputs(n.Stack))
	if err != nil {
		return nil, err
	}
	return config.Resolve(file, app.FactsOf(in, sim.Region())), nil
}

// Account adds a configuration's prerequisites to the account: networks,
// clusters, task definitions with their roles, images and log groups. It returns
// the facts that an installation needs.
func Account(sim *awssim.Sim, file *config.File) (install.Facts, error) {
	c := config.Resolve(file, config.Facts{})
	f := install.Facts{
		Region: sim.Region(), Sets: map[scheduler.SetName]install.SetFacts{}, Roles: map[scheduler.JobName][]string{},
		S3PrefixList: sim.S3PrefixList(), Concurrency: 1000,
	}
	addNetworks(sim, c, f)
	if err := addJobs(sim, c, f); err != nil {
		return f, err
	}
	return f, resolve(sim, c, f)
}

// resolve derives the services of sets whose services follow from their jobs.
func resolve(sim *awssim.Sim, c *config.Installation, f install.Facts) error {
	tasks := ecstasks.New(ecs.NewFromConfig(AWSConfig(sim, "http://aws.invalid", sim.RoundTripper())), c)
	for name, set := range c.Sets {
		if !set.Auto {
			continue
		}
		services, err := tasks.Services(context.Background(), name)
		if err != nil {
			return err
		}
		facts := f.Sets[name]
		for _, svc := range services {
			facts.Services = append(facts.Services, svc.ID)
		}
		f.Sets[name] = facts
	}
	return nil
}

// network is a VPC of the sandbox with its resources.
type network struct {
	vpc, table, block string
	subnets           int
}

// addNetworks creates a VPC for each set. Sets with a common subnet share one.
func addNetworks(sim *awssim.Sim, c *config.Installation, f install.Facts) {
	of := map[string]*network{} // by subnet
	groups := map[string]bool{}
	count := 0
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		set := c.Sets[name]
		var n *network
		for _, subnet := range set.Subnets {
			if of[subnet] != nil {
				n = of[subnet]
			}
		}
		if n == nil {
			// Addresses of VPCs that are not connected may be the same.
			n = &network{vpc: fmt.Sprintf("vpc-%017x", 0xd0a0+count), block: fmt.Sprintf("10.%d", count%256)}
			n.table = sim.AddVPC(n.vpc, n.block+".0.0/16")
			count++
		}
		for _, subnet := range set.Subnets {
			if of[subnet] == nil {
				sim.AddSubnet(subnet, n.vpc, n.subnets, fmt.Sprintf("%s.%d.0/24", n.block, n.subnets), n.table)
				of[subnet] = n
				n.subnets++
			}
		}
		tasks, _ := c.SecurityGroups(name)
		for _, g := range append(tasks, set.EndpointSecurityGroups...) {
			if !groups[g] {
				groups[g] = true
				sim.AddSecurityGroup(g, n.vpc, "group-"+g, n.block+".0.0/16")
			}
		}
		f.Sets[name] = install.SetFacts{
			VPC: n.vpc, RouteTables: []string{n.table}, CIDRs: []string{n.block + ".0.0/16"},
		}
	}
}

// addJobs registers the task definitions that jobs name: one container with a
// private image and a log group, an execution role and a task role.
func addJobs(sim *awssim.Sim, c *config.Installation, f install.Facts) error {
	roles, revision := map[string][]string{}, map[string]int{} // by family
	for _, job := range c.Jobs {
		_, n, _ := strings.Cut(last(job.TaskDefinition), ":")
		if k, err := strconv.Atoi(n); err == nil && k <= maxRevision {
			family := cfn.Family(job.TaskDefinition)
			revision[family] = max(revision[family], k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		job := c.Jobs[name]
		if c.ECSCluster == "" || last(job.Cluster) != c.ECSCluster {
			sim.AddCluster(last(job.Cluster))
		}
		family := cfn.Family(job.TaskDefinition)
		if job.Made {
			sim.AddImage(family, "latest") // as a user pushes it after the first deployment
			continue
		}
		if roles[family] == nil {
			roles[family] = []string{
				sim.AddRole(family+"-execution", "ecs-tasks.amazonaws.com"),
				sim.AddRole(family+"-task", "ecs-tasks.amazonaws.com"),
			}
			if err := addDefinition(sim, c.Name, family, job.Container, roles[family], revision[family]); err != nil {
				return err
			}
		}
		f.Roles[name] = roles[family]
	}
	return addDeployed(sim, c, roles)
}

// addDeployed registers the task definitions that deployments name, and the clusters of
// their services.
func addDeployed(sim *awssim.Sim, c *config.Installation, known map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(c.Deployments)) {
		d := c.Deployments[name]
		if cluster, _, ok := strings.Cut(d.ECSService, "/"); ok && !strings.Contains(cluster, "*") {
			sim.AddCluster(cluster)
		}
		for _, given := range d.TaskDefinitions {
			family := cfn.Family(given)
			if known[family] != nil {
				continue
			}
			known[family] = []string{
				sim.AddRole(family+"-execution", "ecs-tasks.amazonaws.com"),
				sim.AddRole(family+"-task", "ecs-tasks.amazonaws.com"),
			}
			if err := addDefinition(sim, c.Name, family, family, known[family], 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxRevision is the highest revision of a task definition that the sandbox
// creates.
const maxRevision = 1000

func addDefinition(sim *awssim.Sim, owner, family, container string, roles []string, revision int) error {
	group := "/" + owner + "/" + family
	sim.AddLogGroup(group)
	sim.AddImage(family, "latest")
	definition, err := json.Marshal(map[string]any{
		"family": family, "networkMode": "awsvpc", "requiresCompatibilities": []string{"FARGATE"}, "cpu": "256",
		"memory": "512", "executionRoleArn": roles[0], "taskRoleArn": roles[1],
		"containerDefinitions": []any{map[string]any{
			"name": container, "essential": true,
			"image": sim.Account() + ".dkr.ecr." + sim.Region() + "." + endpoints.DNSSuffix(sim.Region()) + "/" +
				family + ":latest",
			"logConfiguration": map[string]any{"logDriver": "awslogs", "options": map[string]string{
				"awslogs-group": group, "awslogs-region": sim.Region(), "awslogs-stream-prefix": family,
			}},
		}},
	})
	if err != nil {
		return err
	}
	return sim.AddTaskDefinition(definition, revision)
}

func last(name string) string { return name[strings.LastIndex(name, "/")+1:] }
