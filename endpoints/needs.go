package endpoints

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Need is a service that a workload calls, with the reasons.
type Need struct {
	Service ServiceID `json:"service"`
	Type    Type      `json:"type"`
	Because []string  `json:"because"`
}

// Unreachable is a destination that no endpoint serves.
type Unreachable struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// Avoidable is a service that the workload could do without.
type Avoidable struct {
	Service ServiceID `json:"service"`
	How     string    `json:"how"`
}

// Requirements are the services that a workload in subnets without a default
// route needs endpoints for, in order of ID, and what no endpoint can provide.
type Requirements struct {
	Services    []Need        `json:"services"`
	Unreachable []Unreachable `json:"unreachable"`
	Avoidable   []Avoidable   `json:"avoidable"`
	// Unseen lists what was named but not examined.
	Unseen []string `json:"unseen,omitempty"`
}

// IDs returns the ids of the services, in order.
func (r Requirements) IDs() []ServiceID {
	out := make([]ServiceID, len(r.Services))
	for i, n := range r.Services {
		out[i] = n.Service
	}
	return out
}

// Workload is the input of Requirements: the JSON output of AWS CLI commands,
// each with or without the outer object.
type Workload struct {
	// Region is where the tasks run, if their ARN does not give it; if empty, the
	// first Region that they name counts.
	Region string
	// TaskDefinitions are as aws ecs describe-task-definition prints them,
	// AppSpecs as an AppSpec file holds it, HookFunctions as aws lambda
	// get-function-configuration, Projects as aws codebuild batch-get-projects,
	// Pipelines as aws codepipeline get-pipeline, Clusters as aws ecs
	// describe-clusters --include CONFIGURATIONS.
	TaskDefinitions, AppSpecs, HookFunctions, Projects, Pipelines, Clusters [][]byte
	// Exec is true if ECS Exec is used.
	Exec bool
	// Calls are what programs are known to call.
	Calls []Call
	// Hints are services named by hand.
	Hints []ServiceID
}

// Call is a service that a program is known to call.
type Call struct {
	Service ServiceID
	// Why says who calls it and what for. Spare says how to do without; empty if there is no
	// other way.
	Why, Spare string
}

// Requirements derives what the workload needs. It returns an error for input
// that it cannot read.
func (w Workload) Requirements() (Requirements, error) {
	c := &collector{base: w.Region, region: w.Region, needs: map[ServiceID][]string{}, invoked: map[string]bool{}}
	for _, text := range w.TaskDefinitions {
		if err := c.taskDefinition(text); err != nil {
			return Requirements{}, err
		}
	}
	for _, text := range w.Pipelines {
		if err := c.pipeline(text, w.HookFunctions); err != nil {
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
	c.region = c.base
	if w.Exec {
		c.need("ssmmessages", "ECS Exec")
	}
	for _, text := range w.Clusters {
		if err := c.clusters(text); err != nil {
			return Requirements{}, err
		}
	}
	for _, x := range w.Calls {
		c.need(x.Service, "%s", x.Why)
		if x.Spare != "" {
			c.spare(x.Service, x.Spare)
		}
	}
	for _, id := range w.Hints {
		if _, err := Lookup(id); err != nil {
			return Requirements{}, err
		}
		c.need(id, "named by hand")
	}
	return c.done(), nil
}

// clusters adds the services that ECS Exec calls as the clusters configure it.
//
// Source: "Using Amazon ECS Exec", "encrypt data" and "logging",
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html
func (c *collector) clusters(text []byte) error {
	type cluster struct {
		Name          string `json:"clusterName"`
		Configuration struct {
			Exec *struct {
				Key     string `json:"kmsKeyId"`
				Logging string `json:"logging"`
				Log     struct {
					Group  string `json:"cloudWatchLogGroupName"`
					Bucket string `json:"s3BucketName"`
				} `json:"logConfiguration"`
			} `json:"executeCommandConfiguration"`
		} `json:"configuration"`
	}
	var outer struct {
		Clusters []cluster `json:"clusters"`
	}
	if err := decode(text, "clusters", "aws ecs describe-clusters --include CONFIGURATIONS", &outer); err != nil {
		return err
	}
	if len(outer.Clusters) == 0 {
		return &PlanError{
			"read clusters: no clusters in the input",
			"pass the output of aws ecs describe-clusters --include CONFIGURATIONS",
		}
	}
	for _, x := range outer.Clusters {
		exec := x.Configuration.Exec
		if exec == nil || c.needs["ssmmessages"] == nil {
			continue
		}
		if exec.Key != "" {
			c.need("kms", "ECS Exec: cluster %s encrypts the session with %s", x.Name, exec.Key)
		}
		if exec.Logging == "OVERRIDE" && exec.Log.Group != "" {
			c.need("logs", "ECS Exec: cluster %s logs sessions to %s", x.Name, exec.Log.Group)
		}
		if exec.Logging == "OVERRIDE" && exec.Log.Bucket != "" {
			c.need("s3", "ECS Exec: cluster %s logs sessions to bucket %s", x.Name, exec.Log.Bucket)
		}
	}
	return nil
}

// decode reads a document. The error names the expected document.
func decode(text []byte, what, command string, into any) error {
	err := json.Unmarshal(text, into)
	if err == nil {
		return nil
	}
	why := err.Error()
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		why = kind.Field + " has the wrong type, " + kind.Value
		if kind.Field == "" {
			why = "it has the wrong type, " + kind.Value
		}
	}
	return &PlanError{"read " + what + ": " + why, "pass the output of " + command}
}

// collector gathers requirements.
type collector struct {
	base, region string // of the workload, and of the current document
	needs        map[ServiceID][]string
	unreachable  []Unreachable
	avoidable    []Avoidable
	unseen       []string
	invoked      map[string]bool // functions that pipelines call
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

func (c *collector) done() Requirements {
	r := Requirements{Services: []Need{}, Avoidable: []Avoidable{}, Unseen: c.unseen}
	for id, why := range c.needs {
		s, err := Lookup(id)
		if err != nil { // a word in a tag
			c.cannot((&UnknownServiceError{ID: id}).Hint(), "%s: %v", why[0], err)
			continue
		}
		r.Services = append(r.Services, Need{id, s.Type, why})
	}
	r.Unreachable = append([]Unreachable{}, c.unreachable...)
	sort.Slice(r.Services, func(i, j int) bool { return r.Services[i].Service < r.Services[j].Service })
	sort.SliceStable(r.Unreachable, func(i, j int) bool { return r.Unreachable[i].What < r.Unreachable[j].What })
	for _, a := range c.avoidable {
		if c.needs[a.Service] != nil {
			r.Avoidable = append(r.Avoidable, a)
		}
	}
	sort.SliceStable(r.Avoidable, func(i, j int) bool { return r.Avoidable[i].Service < r.Avoidable[j].Service })
	return r
}

// lateRegions are those that opened after 23 December 2023, or are treated so:
// Fargate tasks there need the endpoints of ECS as well.
//
// Source: "Amazon ECS interface VPC endpoints",
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/vpc-endpoints.html
var lateRegions = []string{
	"ca-west-1", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ap-east-2", "mx-central-1",
}

type taskDefinition struct {
	ARN                  string      `json:"taskDefinitionArn"`
	Requires             []string    `json:"requiresCompatibilities"`
	Compatibilities      []string    `json:"compatibilities"`
	Containers           []container `json:"containerDefinitions"`
	EnableExecuteCommand bool        `json:"enableExecuteCommand"`
	Volumes              []volume    `json:"volumes"`
	Tags                 []struct{ Key, Value string }
}

type container struct {
	of                    string // its name, if it is not a task's
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

type volume struct {
	Name string `json:"name"`
	EFS  *struct {
		Authorization struct {
			IAM string `json:"iam"`
		} `json:"authorizationConfig"`
	} `json:"efsVolumeConfiguration"`
}

type secret struct {
	Name      string `json:"name"`
	ValueFrom string `json:"valueFrom"`
}

// HintTag is the tag of a task definition that names further services its
// programs call at run time, separated by blanks, commas or plus signs.
const HintTag = "drawbridge:endpoints"

// readDefinition reads the output of aws ecs describe-task-definition, with or
// without the outer object, which holds the tags.
func readDefinition(text []byte) (taskDefinition, error) {
	var outer struct {
		Inner *taskDefinition `json:"taskDefinition"`
		taskDefinition
	}
	if err := decode(text, "task definition", "aws ecs describe-task-definition", &outer); err != nil {
		return taskDefinition{}, err
	}
	if outer.Inner == nil {
		return outer.taskDefinition, nil
	}
	outer.Inner.Tags = append(outer.Inner.Tags, outer.Tags...)
	return *outer.Inner, nil
}

func (c *collector) taskDefinition(text []byte) error {
	d, err := readDefinition(text)
	if err != nil {
		return err
	}
	if len(d.Containers) == 0 {
		return &PlanError{
			"read task definition: containerDefinitions is missing",
			"pass the output of aws ecs describe-task-definition",
		}
	}
	c.region = cmp.Or(regionOf(d.ARN), c.base, firstRegion(d))
	for _, v := range d.Volumes {
		if v.EFS != nil && v.EFS.Authorization.IAM == "ENABLED" {
			c.need("elasticfilesystem", "volume %s: EFS with IAM authorisation", v.Name)
			c.spare("elasticfilesystem", "mount the volume without IAM authorisation: the mount target is in the VPC")
		}
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
	for _, t := range d.Tags {
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
	if len(types) == 0 { // what ECS determined at registration
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

// placeholder is a part of a text that a pipeline, a template or a program has yet to replace.
var placeholder = regexp.MustCompile(`<[A-Za-z][A-Za-z0-9_-]*>|\$\{[^}]*\}|\{\{[^}]*\}\}`)

// Placeholder returns the first part of a text that has yet to be replaced, such as <IMAGE1_NAME>,
// ${IMAGE} or {{ image }}; nothing if there is none.
func Placeholder(text string) string { return placeholder.FindString(text) }

// image adds what pulling a container's image needs.
//
// Source: "Amazon ECR interface VPC endpoints",
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
func (c *collector) image(x container) {
	if p := x.RepositoryCredentials.CredentialsParameter; p != "" { // the ARN or the name of a secret
		c.secret("container "+x.Name, "secretsmanager", secret{"registry credentials", p})
	}
	of := cmp.Or(x.of, "container "+x.Name)
	if x.Image == "" {
		c.cannot("name its image", "%s: no image", of)
		return
	}
	if p := Placeholder(x.Image); p != "" {
		c.unseen = append(c.unseen, fmt.Sprintf("%s: image %s, as %s is a placeholder: it is taken for one in ECR", of,
			x.Image, p))
		for _, id := range []ServiceID{"ecr.api", "ecr.dkr", "s3"} {
			c.need(id, "%s: image %s, taken for one in ECR", of, x.Image)
		}
		return
	}
	host, path, _ := strings.Cut(x.Image, "/")
	m := ecrHost.FindStringSubmatch(host)
	if m == nil && ecrOnAWS.MatchString(host) {
		c.cannot("use the image's host "+ecrOnAWS.ReplaceAllString(host, "$1.dkr.ecr.$3.")+
			DNSSuffix(ecrOnAWS.ReplaceAllString(host, "$3")),
			"%s: image %s: ECR endpoints do not serve dual-stack hosts", of, x.Image)
		return
	}
	if m == nil {
		c.cannot("push it to a private ECR repository in "+c.here()+" and use that image",
			"%s: image %s: %s has no endpoint", of, x.Image, registryOf(x.Image))
		return
	}
	switch {
	case m[2] != "":
		c.cannot("use the image's host "+ecrHost.ReplaceAllString(host, "$1.dkr.ecr.$3.amazonaws.com$4"),
			"%s: image %s: ECR endpoints do not serve FIPS hosts", of, x.Image)
		return
	case c.region != "" && m[3] != c.region:
		c.cannot("replicate the repository to "+c.region+" and use that image",
			"%s: image %s is in %s, but the task runs in %s", of, x.Image, m[3], c.region)
		return
	case cacheRoot.MatchString(path):
		c.cannot("pull it once from a network with internet access, or push it to a repository outside that prefix",
			"%s: image %s: if %s is a pull-through cache, as its name suggests: the first pull through a cache needs "+
				"internet access", of, x.Image, cacheRoot.FindString(path))
	}
	for _, id := range []ServiceID{"ecr.api", "ecr.dkr", "s3"} {
		c.need(id, "%s: image %s", of, x.Image)
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
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" || host == "docker.io" ||
		host == "registry-1.docker.io" {
		return "Docker Hub"
	}
	if host == "public.ecr.aws" {
		return "the public gallery of ECR"
	}
	return host
}

// log adds the services that a container's log driver calls.
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
			c.cannot("log to a group in "+c.region, "container %s: log group %s is in %s, but the task runs in %s",
				x.Name, l.Options["awslogs-group"], r, c.region)
			return
		}
		c.need("logs", "container %s: awslogs to %s", x.Name, l.Options["awslogs-group"])
		c.spare("logs", "send the log to S3 with FireLens: the gateway is free")
	case "awsfirelens":
		c.fireLens(x)
	case "splunk":
		c.cannot("log with awslogs, or with FireLens to an AWS service", "container %s: the log goes to Splunk at %s",
			x.Name, l.Options["splunk-url"])
	}
}

// fireLensTo maps FireLens's outputs to the services that they write to.
var fireLensTo = map[string]ServiceID{
	"cloudwatch": "logs", "cloudwatch_logs": "logs", "firehose": "kinesis-firehose",
	"kinesis_firehose": "kinesis-firehose", "kinesis": "kinesis-streams", "kinesis_streams": "kinesis-streams",
	"s3": "s3",
}

func (c *collector) fireLens(x container) {
	options := map[string]string{}
	for k, v := range x.Log.Options {
		options[strings.ToLower(k)] = v
	}
	out := strings.ToLower(cmp.Or(options["name"], options["@type"])) // Fluent Bit's key, and Fluentd's
	id, ok := fireLensTo[out]
	switch {
	case out == "" || slices.Contains([]string{"stdout", "null", "file"}, out):
		return // its own configuration file names the target, or nothing leaves the task
	case !ok && inVPC(options["host"]):
		return
	case !ok:
		c.cannot("send the log to CloudWatch Logs, Firehose, Kinesis or S3, or to a host inside the VPC",
			"container %s: FireLens sends the log with output %s to %s", x.Name, out, options["host"])
	case options["region"] != "" && c.region != "" && options["region"] != c.region:
		c.cannot("send it to "+c.region, "container %s: FireLens sends the log to %s, but the task runs in %s", x.Name,
			options["region"], c.region)
	default:
		c.need(id, "container %s: FireLens to %s", x.Name, out)
	}
}

// vpcHost matches hosts that are in a VPC by their name: the usual suffixes of
// private hosted zones, the VPC's own names, an OpenSearch domain in a VPC.
var vpcHost = regexp.MustCompile(`(^localhost|\.(internal|local|lan|corp|private)|^vpc-.*\.es\.amazonaws\.com(\.cn)?)$`)

// inVPC reports whether a host is certainly reachable inside the VPC.
func inVPC(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	}
	return vpcHost.MatchString(strings.ToLower(host))
}

// DefinitionRegion returns the Region of a task definition as Requirements derives
// it, or "" if the definition names none.
func DefinitionRegion(text []byte) string {
	d, err := readDefinition(text)
	if err != nil {
		return ""
	}
	return cmp.Or(regionOf(d.ARN), firstRegion(d))
}

// firstRegion returns the Region that a task definition without an ARN names first,
// "" if none.
func firstRegion(d taskDefinition) string {
	for _, x := range d.Containers {
		host, _, _ := strings.Cut(x.Image, "/")
		for _, e := range []*regexp.Regexp{ecrHost, ecrOnAWS} {
			if m := e.FindStringSubmatch(host); m != nil {
				return m[3]
			}
		}
	}
	for _, x := range d.Containers {
		if x.Log != nil && x.Log.Options["awslogs-region"] != "" {
			return x.Log.Options["awslogs-region"]
		}
	}
	return ""
}

// secrets adds the services that secrets and parameters are read from.
func (c *collector) secrets(of string, list []secret) {
	for _, s := range list {
		id := ServiceID("ssm")
		if strings.Contains(s.ValueFrom, ":secretsmanager:") {
			id = "secretsmanager"
		}
		if s.ValueFrom != "" { // ECS rejects an empty one
			c.secret(of, id, s)
		}
	}
}

// secret adds the service that one secret or parameter is read from.
func (c *collector) secret(of string, id ServiceID, s secret) {
	kind := map[ServiceID]string{"ssm": "parameter", "secretsmanager": "secret"}[id]
	if r := regionOf(s.ValueFrom); r != "" && c.region != "" && r != c.region {
		c.cannot("replicate it to "+c.region, "%s: %s %s is in %s, but the task runs in %s", of, kind, s.ValueFrom, r,
			c.region)
		return
	}
	c.need(id, "%s: %s %s", of, kind, s.Name)
	c.spare(id, "read the value from an environment file in S3, whose gateway is free, if the bucket is as safe a "+
		"place for it")
}

// sidecars are well-known images and the services that they call.
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
