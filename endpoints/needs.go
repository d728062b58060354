package endpoints

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Need is a service that a workload reaches, with the reasons.
type Need struct {
	Service ServiceID `json:"service"`
	Type    Type      `json:"type"`
	Because []string  `json:"because"`
}

// Unreachable is something that no endpoint serves.
type Unreachable struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// Avoidable is a service that the workload could do without.
type Avoidable struct {
	Service ServiceID `json:"service"`
	How     string    `json:"how"`
}

// Requirements are the services that a workload in subnets without a way out
// needs endpoints of, in order of ID, and what it asks for in vain.
type Requirements struct {
	Services    []Need        `json:"services"`
	Unreachable []Unreachable `json:"unreachable"`
	Avoidable   []Avoidable   `json:"avoidable"`
}

// IDs returns the ids of the services, in order.
func (r Requirements) IDs() []ServiceID {
	out := make([]ServiceID, len(r.Services))
	for i, n := range r.Services {
		out[i] = n.Service
	}
	return out
}

// Workload is what requirements are worked out from: what AWS's own commands
// print, as JSON, each with or without the outer object.
type Workload struct {
	// Region is where the tasks run; empty takes it from the task definition's
	// ARN.
	Region string
	// TaskDefinitions are as aws ecs describe-task-definition prints them,
	// AppSpecs as an AppSpec file holds it, HookFunctions as aws lambda
	// get-function-configuration, Projects as aws codebuild batch-get-projects.
	TaskDefinitions, AppSpecs, HookFunctions, Projects [][]byte
	// Exec says that ECS Exec is used, Mirror that a git mirror to CodeCommit
	// runs.
	Exec, Mirror bool
	// Hints are services that are named by hand.
	Hints []ServiceID
}

// Requirements works out what the workload needs. An error is input that cannot
// be read.
func (w Workload) Requirements() (Requirements, error) {
	c := &collector{region: w.Region, needs: map[ServiceID][]string{}}
	for _, text := range w.TaskDefinitions {
		if err := c.taskDefinition(text); err != nil {
			return Requirements{}, err
		}
	}
	if err := c.deployments(w.AppSpecs, w.HookFunctions); err != nil {
		return Requirements{}, err
	}
	for _, text := range w.Projects {
		if err := c.projects(text); err != nil {
			return Requirements{}, err
		}
	}
	if w.Exec {
		c.need("ssmmessages", "ECS Exec")
	}
	if w.Mirror {
		c.need("git-codecommit", "the git mirror pushes to CodeCommit")
	}
	for _, id := range w.Hints {
		c.need(id, "named by hand")
	}
	return c.done()
}

// collector gathers requirements.
type collector struct {
	region      string
	needs       map[ServiceID][]string
	unreachable []Unreachable
	avoidable   []Avoidable
}

func (c *collector) need(id ServiceID, format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if !slices.Contains(c.needs[id], why) {
		c.needs[id] = append(c.needs[id], why)
	}
}

func (c *collector) cannot(remedy, format string, args ...any) {
	u := Unreachable{fmt.Sprintf(format, args...), remedy}
	if !slices.Contains(c.unreachable, u) {
		c.unreachable = append(c.unreachable, u)
	}
}

func (c *collector) spare(id ServiceID, how string) {
	a := Avoidable{id, how}
	if !slices.Contains(c.avoidable, a) {
		c.avoidable = append(c.avoidable, a)
	}
}

func (c *collector) done() (Requirements, error) {
	r := Requirements{Services: []Need{}, Unreachable: append([]Unreachable{}, c.unreachable...), Avoidable: []Avoidable{}}
	for id, why := range c.needs {
		s, err := Lookup(id)
		if err != nil {
			return r, err
		}
		r.Services = append(r.Services, Need{id, s.Type, why})
	}
	sort.Slice(r.Services, func(i, j int) bool { return r.Services[i].Service < r.Services[j].Service })
	sort.SliceStable(r.Unreachable, func(i, j int) bool { return r.Unreachable[i].What < r.Unreachable[j].What })
	for _, a := range c.avoidable {
		if c.needs[a.Service] != nil {
			r.Avoidable = append(r.Avoidable, a)
		}
	}
	sort.SliceStable(r.Avoidable, func(i, j int) bool { return r.Avoidable[i].Service < r.Avoidable[j].Service })
	return r, nil
}

// lateRegions are those that opened after 23 December 2023, or are treated so:
// Fargate tasks there need the endpoints of ECS as well.
//
// Source: "Amazon ECS interface VPC endpoints",
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/vpc-endpoints.html
var lateRegions = []string{"ca-west-1", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ap-east-2", "mx-central-1"}

type taskDefinition struct {
	ARN                  string      `json:"taskDefinitionArn"`
	Requires             []string    `json:"requiresCompatibilities"`
	Compatibilities      []string    `json:"compatibilities"`
	Containers           []container `json:"containerDefinitions"`
	EnableExecuteCommand bool        `json:"enableExecuteCommand"`
	Tags                 []struct{ Key, Value string }
}

type container struct {
	Name                  string
	Image                 string
	RepositoryCredentials struct {
		CredentialsParameter string `json:"credentialsParameter"`
	} `json:"repositoryCredentials"`
	Secrets          []secret `json:"secrets"`
	EnvironmentFiles []struct{ Value, Type string }
	Log              *struct {
		Driver  string            `json:"logDriver"`
		Options map[string]string `json:"options"`
		Secrets []secret          `json:"secretOptions"`
	} `json:"logConfiguration"`
	FireLens *struct {
		Options map[string]string `json:"options"`
	} `json:"firelensConfiguration"`
}

type secret struct {
	Name      string `json:"name"`
	ValueFrom string `json:"valueFrom"`
}

// HintTag is the tag of a task definition that names services which its programs
// call beyond their start, separated by blanks, commas or plus signs.
const HintTag = "drawbridge:endpoints"

func (c *collector) taskDefinition(text []byte) error {
	var outer struct {
		Inner json.RawMessage `json:"taskDefinition"`
		Tags  []struct{ Key, Value string }
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return fmt.Errorf("read task definition: %w", err)
	}
	if len(outer.Inner) > 0 && outer.Inner[0] == '{' {
		text = outer.Inner
	}
	var d taskDefinition
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("read task definition: %w", err)
	}
	if len(d.Containers) == 0 {
		return &PlanError{"read task definition: it has no containerDefinitions", "give what aws ecs describe-task-definition prints"}
	}
	if r := regionOf(d.ARN); r != "" {
		c.region = r
	}
	for _, x := range d.Containers {
		c.image(x)
		c.log(x)
		c.secrets("container "+x.Name, x.Secrets)
		for _, f := range x.EnvironmentFiles {
			c.need("s3", "container %s: environment file %s", x.Name, f.Value)
		}
		c.sidecar(x)
	}
	c.launchType(d)
	for _, t := range append(d.Tags, outer.Tags...) {
		if t.Key != HintTag {
			continue
		}
		for _, id := range strings.FieldsFunc(t.Value, func(r rune) bool { return strings.ContainsRune(" ,+", r) }) {
			c.need(ServiceID(id), "the task definition's tag %s", HintTag)
		}
	}
	return nil
}

func (c *collector) launchType(d taskDefinition) {
	types := d.Requires
	if len(types) == 0 { // what ECS found when it was registered
		types = d.Compatibilities
	}
	onlyEC2 := slices.Contains(types, "EC2") && !slices.Contains(types, "FARGATE")
	late := slices.Contains(lateRegions, c.region)
	if d.EnableExecuteCommand {
		c.need("ssmmessages", "ECS Exec")
	}
	for _, id := range []ServiceID{"ecs", "ecs-agent", "ecs-telemetry"} {
		switch {
		case onlyEC2:
			c.need(id, "launch type EC2: the agent on the instance")
		case late:
			c.need(id, "Fargate in %s", c.region)
		}
	}
}

// regionOf returns the Region in an ARN, or "".
func regionOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return ""
	}
	return parts[3]
}

var (
	ecrHost   = regexp.MustCompile(`^(\d{12})\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)
	ecrOnAWS  = regexp.MustCompile(`^(\d{12})\.dkr-ecr(-fips)?\.([a-z0-9-]+)\.on\.(aws|amazonwebservices\.com\.cn)$`)
	cacheRoot = regexp.MustCompile(`^(docker-hub|ecr-public|quay|kubernetes|github|gitlab|chainguard|azurecr)/`)
)

// image adds what pulling a container's image needs.
//
// Source: "Amazon ECR interface VPC endpoints",
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
func (c *collector) image(x container) {
	if p := x.RepositoryCredentials.CredentialsParameter; p != "" {
		c.secrets("container "+x.Name, []secret{{"registry credentials", p}})
	}
	host, path, _ := strings.Cut(x.Image, "/")
	m := ecrHost.FindStringSubmatch(host)
	if m == nil && ecrOnAWS.MatchString(host) {
		c.cannot("name the image by its host "+ecrOnAWS.ReplaceAllString(host, "$1.dkr.ecr.$3.amazonaws.com"), "container %s: image %s: the endpoints of ECR answer no dual-stack host", x.Name, x.Image)
		return
	}
	if m == nil {
		c.cannot("push it to a private ECR repository in "+c.here()+" and name it there", "container %s: image %s: %s has no endpoint", x.Name, x.Image, registryOf(x.Image))
		return
	}
	switch {
	case m[2] != "":
		c.cannot("name the image by its host "+ecrHost.ReplaceAllString(host, "$1.dkr.ecr.$3.amazonaws.com$4"), "container %s: image %s: the endpoints of ECR answer no FIPS host", x.Name, x.Image)
		return
	case c.region != "" && m[3] != c.region:
		c.cannot("replicate the repository to "+c.region+" and name it there", "container %s: image %s lies in %s, the task runs in %s", x.Name, x.Image, m[3], c.region)
		return
	case cacheRoot.MatchString(path):
		c.cannot("pull it once from where there is a way out, or push it to a repository that is no pull-through cache", "container %s: image %s: the first pull through a cache needs a way out", x.Name, x.Image)
	}
	for _, id := range []ServiceID{"ecr.api", "ecr.dkr", "s3"} {
		c.need(id, "container %s: image %s", x.Name, x.Image)
	}
}

func (c *collector) here() string {
	if c.region == "" {
		return "the task's Region"
	}
	return c.region
}

// registryOf names the registry of an image.
func registryOf(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" || host == "docker.io" || host == "registry-1.docker.io" {
		return "Docker Hub"
	}
	if host == "public.ecr.aws" {
		return "the public gallery of ECR"
	}
	return host
}

// log adds what a container's log driver reaches.
func (c *collector) log(x container) {
	if x.FireLens != nil && x.FireLens.Options["config-file-type"] == "s3" {
		c.need("s3", "container %s: FireLens reads its configuration from S3", x.Name)
	}
	l := x.Log
	if l == nil {
		return
	}
	c.secrets("the log of container "+x.Name, l.Secrets)
	switch l.Driver {
	case "awslogs":
		if r := l.Options["awslogs-region"]; r != "" && c.region != "" && r != c.region {
			c.cannot("log to a group in "+c.region, "container %s: log group %s lies in %s, the task runs in %s", x.Name, l.Options["awslogs-group"], r, c.region)
			return
		}
		c.need("logs", "container %s: awslogs to %s", x.Name, l.Options["awslogs-group"])
		c.spare("logs", "send the log to S3 by FireLens: the gateway is free")
	case "awsfirelens":
		c.fireLens(x)
	case "splunk":
		c.cannot("log by awslogs, or by FireLens to an AWS service", "container %s: the log goes to Splunk at %s", x.Name, l.Options["splunk-url"])
	}
}

// fireLensTo maps FireLens's outputs to the services that they write to.
var fireLensTo = map[string]ServiceID{
	"cloudwatch": "logs", "cloudwatch_logs": "logs", "firehose": "kinesis-firehose", "kinesis_firehose": "kinesis-firehose", "kinesis": "kinesis-streams", "kinesis_streams": "kinesis-streams", "s3": "s3",
}

func (c *collector) fireLens(x container) {
	options := map[string]string{}
	for k, v := range x.Log.Options {
		options[strings.ToLower(k)] = v
	}
	out := strings.ToLower(options["name"])
	id, ok := fireLensTo[out]
	switch {
	case out == "":
		return // its own configuration file says where
	case !ok:
		c.cannot("send the log to CloudWatch Logs, Firehose, Kinesis or S3, or to a host inside the VPC", "container %s: FireLens sends the log by %s to %s", x.Name, out, options["host"])
	case options["region"] != "" && c.region != "" && options["region"] != c.region:
		c.cannot("send it to "+c.region, "container %s: FireLens sends the log to %s, the task runs in %s", x.Name, options["region"], c.region)
	default:
		c.need(id, "container %s: FireLens to %s", x.Name, out)
	}
}

// secrets adds what secrets and parameters are read from.
func (c *collector) secrets(of string, list []secret) {
	for _, s := range list {
		id, kind := ServiceID("ssm"), "parameter"
		if strings.Contains(s.ValueFrom, ":secretsmanager:") {
			id, kind = "secretsmanager", "secret"
		}
		if r := regionOf(s.ValueFrom); r != "" && c.region != "" && r != c.region {
			c.cannot("replicate it to "+c.region, "%s: %s %s lies in %s, the task runs in %s", of, kind, s.ValueFrom, r, c.region)
			continue
		}
		c.need(id, "%s: %s %s", of, kind, s.Name)
		c.spare(id, "read the value from an environment file in S3, whose gateway is free, if the bucket is as safe a place for it")
	}
}

// sidecars are well-known images and what they call.
var sidecars = []struct {
	image string
	calls []ServiceID
	what  string
}{
	{"aws-xray-daemon", []ServiceID{"xray"}, "the X-Ray daemon sends traces"},
	{"aws-otel-collector", []ServiceID{"logs", "xray"}, "the ADOT collector sends traces, and metrics as log events"},
	{"cloudwatch-agent", []ServiceID{"logs", "monitoring"}, "the CloudWatch agent sends metrics and logs"},
}

func (c *collector) sidecar(x container) {
	for _, s := range sidecars {
		if strings.Contains(x.Image, s.image) {
			for _, id := range s.calls {
				c.need(id, "container %s: %s", x.Name, s.what)
			}
		}
	}
}
