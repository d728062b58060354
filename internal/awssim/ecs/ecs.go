// Package ecs simulates ECS on Fargate: clusters, task definitions, and tasks that need their endpoints.
package ecs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"drawbridge/internal/awssim/cloudwatch"
	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/logs"
)

// Service is the simulated ECS on Fargate.
type Service struct {
	*kernel.Kernel
	cloudwatch *cloudwatch.Service
	ec2        *ec2.Service
	iam        *iam.Service
	logs       *logs.Service

	Clusters    []string
	Definitions []*taskDefinition
	Tasks       []*task
	tokens      map[string]*tokenUse
	tokensLeft  float64 // of the RunTask bucket
	refilled    time.Time
	running     map[*exec.Cmd]bool
	// Pulled returns an image with its layers for an architecture, nil without layers, or why it cannot be pulled.
	Pulled     func(ref, architecture string) (v1.Image, error)
	unpackedAt map[string]string // folders, by digest
	api        *kernel.API
	changed    func(*task) // told of every change of a task
}

type tokenUse struct {
	parameters string
	tasks      []*task
	at         time.Time
}

type taskDefinition struct {
	Family     string
	Revision   int
	Status     string
	raw        map[string]any // as it was registered, without tags
	tags       any            // as they were registered; nil for none
	containers []containerDefinition
	registered time.Time
}

// ARN returns the ARN of the definition, with its revision.
func (d *taskDefinition) ARN(s *Service) string {
	return s.ARN("ecs", fmt.Sprintf("task-definition/%s:%d", d.Family, d.Revision))
}

type keyValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type containerDefinition struct {
	Name        string     `json:"name"`
	Image       string     `json:"image"`
	Essential   *bool      `json:"essential"`
	Environment []keyValue `json:"environment"`
	Command     []string   `json:"command"`
	EntryPoint  []string   `json:"entryPoint"`
	Secrets     []struct {
		Name      string `json:"name"`
		ValueFrom string `json:"valueFrom"`
	} `json:"secrets"`
	EnvironmentFiles []struct {
		Value string `json:"value"`
		Type  string `json:"type"`
	} `json:"environmentFiles"`
	LogConfiguration *struct {
		LogDriver string            `json:"logDriver"`
		Options   map[string]string `json:"options"`
	} `json:"logConfiguration"`
}

type containerOverride struct {
	Name                 string              `json:"name"`
	Command              []string            `json:"command,omitempty"`
	Environment          []keyValue          `json:"environment,omitempty"`
	EnvironmentFiles     []map[string]string `json:"environmentFiles,omitempty"`
	CPU                  *int                `json:"cpu,omitempty"`
	Memory               *int                `json:"memory,omitempty"`
	MemoryReservation    *int                `json:"memoryReservation,omitempty"`
	ResourceRequirements []map[string]string `json:"resourceRequirements,omitempty"`
}

type taskOverride struct {
	ContainerOverrides            []containerOverride `json:"containerOverrides"`
	CPU                           string              `json:"cpu,omitempty"`
	Memory                        string              `json:"memory,omitempty"`
	TaskRoleArn                   string              `json:"taskRoleArn,omitempty"`
	ExecutionRoleArn              string              `json:"executionRoleArn,omitempty"`
	EphemeralStorage              *map[string]int     `json:"ephemeralStorage,omitempty"`
	InferenceAcceleratorOverrides []map[string]string `json:"inferenceAcceleratorOverrides,omitempty"`
}

type ecsTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// task is one task, with its whole life.
type task struct {
	ARN         string
	id          string
	cluster     string
	StartedBy   string
	ClientToken string
	Group       string
	Definition  *taskDefinition
	overrides   taskOverride
	instance    string // of EC2; empty on Fargate
	subnet      *ec2.Subnet
	groups      []string
	publicIP    bool
	tags        []ecsTag
	life
}

// life is the history of a task.
type life struct {
	status          string
	Created         time.Time
	pulling         time.Time
	Started         time.Time
	stopping        time.Time
	Stopped         time.Time
	StopCode        string
	StopReason      string
	containerReason string
	code            *int
	version         int
	HadEndpoints    bool
	history         []kernel.StatusAt
	next            *kernel.Due
	program         *program // that runs on this machine; nil for none
}

// New puts the service into an account.
func New(k *kernel.Kernel, cloudwatch *cloudwatch.Service, ec2 *ec2.Service, iam *iam.Service,
	logs *logs.Service) *Service {
	s := &Service{
		Kernel: k, cloudwatch: cloudwatch, ec2: ec2, iam: iam, logs: logs, tokens: map[string]*tokenUse{},
		tokensLeft: runTaskBurst, running: map[*exec.Cmd]bool{}, unpackedAt: map[string]string{},
	}
	s.ec2.Changed = s.recheck
	s.AtEnd = append(s.AtEnd, func() {
		for cmd := range s.running {
			_ = cmd.Process.Kill() // it may have exited already
		}
		for _, folder := range s.unpackedAt {
			_ = os.RemoveAll(folder) // a folder for temporary files
		}
	})
	s.ec2.NetworkRefs = func(group string) int {
		n := 0
		for _, t := range s.Tasks {
			if t.status != "STOPPED" && slices.Contains(t.groups, group) {
				n++
			}
		}
		return n
	}
	s.api = &kernel.API{Name: "ecs", Asks: s.ecsQuestions, Prefix: "AmazonEC2ContainerServiceV20141113",
		Protocol: kernel.JSON11, Ops: map[string]kernel.Operation{
			"CreateCluster":            kernel.Op(s.createCluster),
			"DescribeClusters":         kernel.Op(s.describeClusters),
			"ListClusters":             kernel.Op(s.listClusters),
			"DeleteCluster":            kernel.Op(s.deleteCluster),
			"RegisterTaskDefinition":   s.registerTaskDefinition,
			"DeregisterTaskDefinition": kernel.Op(s.deregisterTaskDefinition),
			"DescribeTaskDefinition":   kernel.Op(s.describeTaskDefinition),
			"ListTaskDefinitions":      kernel.Op(s.listTaskDefinitions),
			"RunTask":                  kernel.Op(s.runTask),
			"DescribeTasks":            kernel.Op(s.describeTasks),
			"ListTasks":                kernel.Op(s.listTasks),
			"StopTask":                 kernel.Op(s.stopTask),
			"ListTagsForResource":      kernel.Op(s.listECSTags),
			"TagResource":              kernel.Op(s.tagECS),
			"UntagResource":            kernel.Op(s.untagECS),
		}}
	s.changed = func(*task) {}
	k.Register(s.api)
	return s
}

// ClusterARN returns the ARN of a cluster by its name.
func (s *Service) ClusterARN(name string) string { return s.ARN("ecs", "cluster/"+name) }

// AddCluster adds a cluster.
func (s *Service) AddCluster(name string) {
	if !slices.Contains(s.Clusters, name) {
		s.Clusters = append(s.Clusters, name)
	}
}

// clusterName returns the name of a cluster given by name or ARN, or an error if
// there is none.
func (s *Service) clusterName(given string) (string, error) {
	name := clusterIn(given)
	if !slices.Contains(s.Clusters, name) {
		return "", kernel.Errorf("ClusterNotFoundException", "Cluster not found.")
	}
	return name, nil
}

type clusterJSON struct {
	ClusterArn   string `json:"clusterArn"`
	ClusterName  string `json:"clusterName"`
	Status       string `json:"status"`
	RunningTasks int    `json:"runningTasksCount"`
	PendingTasks int    `json:"pendingTasksCount"`

	Tags     []ecsTag   `json:"tags"`
	Settings []keyValue `json:"settings"`
}

func (s *Service) clusterJSON(name string) clusterJSON {
	c := clusterJSON{
		ClusterArn: s.ClusterARN(name), ClusterName: name, Status: "ACTIVE", Tags: s.ecsTags(s.ClusterARN(name)),
		Settings: []keyValue{{"containerInsights", "disabled"}},
	}
	for _, t := range s.Tasks {
		switch {
		case t.cluster != name:
		case t.status == "RUNNING":
			c.RunningTasks++
		case t.status == "PENDING" || t.status == "PROVISIONING":
			c.PendingTasks++
		}
	}
	return c
}

func (s *Service) createCluster(_ *kernel.Call, in *struct {
	ClusterName                     string
	Tags                            []ecsTag
	Settings                        []keyValue
	CapacityProviders               []string
	DefaultCapacityProviderStrategy []map[string]any
}) (*struct {
	Cluster clusterJSON `json:"cluster"`
}, error) {
	if in.ClusterName == "" {
		in.ClusterName = "default"
	}
	if err := s.ECSLinked(); err != nil {
		return nil, err
	}
	s.AddCluster(in.ClusterName)
	for _, t := range in.Tags {
		s.TagResource(s.ClusterARN(in.ClusterName), map[string]string{t.Key: t.Value})
	}
	return &struct {
		Cluster clusterJSON `json:"cluster"`
	}{s.clusterJSON(in.ClusterName)}, nil
}

type failureJSON struct {
	Arn    string `json:"arn,omitempty"`
	Reason string `json:"reason"`
}

func (s *Service) describeClusters(_ *kernel.Call, in *struct {
	Clusters []string
	Include  []string
}) (*struct {
	Clusters []clusterJSON `json:"clusters"`
	Failures []failureJSON `json:"failures"`
}, error) {
	out := &struct {
		Clusters []clusterJSON `json:"clusters"`
		Failures []failureJSON `json:"failures"`
	}{[]clusterJSON{}, []failureJSON{}}
	if len(in.Clusters) == 0 {
		in.Clusters = []string{"default"}
	}
	for _, c := range in.Clusters {
		name, err := s.clusterName(c)
		if err != nil {
			out.Failures = append(out.Failures, failureJSON{s.ClusterARN(c), "MISSING"})
			continue
		}
		out.Clusters = append(out.Clusters, s.clusterJSON(name))
	}
	return out, nil
}

func (s *Service) listClusters(_ *kernel.Call, _ *struct {
	NextToken  string
	MaxResults int
}) (*struct {
	ClusterArns []string `json:"clusterArns"`
}, error) {
	out := &struct {
		ClusterArns []string `json:"clusterArns"`
	}{[]string{}}
	for _, c := range s.Clusters {
		out.ClusterArns = append(out.ClusterArns, s.ClusterARN(c))
	}
	return out, nil
}

func (s *Service) deleteCluster(_ *kernel.Call, in *struct{ Cluster string }) (*struct {
	Cluster clusterJSON `json:"cluster"`
}, error) {
	name, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if c := s.clusterJSON(name); c.RunningTasks+c.PendingTasks > 0 {
		return nil, kernel.Errorf("ClusterContainsTasksException",
			"The Cluster cannot be deleted while Tasks are active.")
	}
	delete(s.Tags, s.ClusterARN(name))
	s.Clusters = slices.DeleteFunc(s.Clusters, func(c string) bool { return c == name })
	out := s.clusterJSON(name)
	out.Status = "INACTIVE"
	return &struct {
		Cluster clusterJSON `json:"cluster"`
	}{out}, nil
}

var definitionMembers = []string{
	"family", "taskRoleArn", "executionRoleArn", "networkMode", "containerDefinitions", "volumes",
	"placementConstraints", "requiresCompatibilities",
	"cpu", "memory", "pidMode", "ipcMode", "proxyConfiguration", "inferenceAccelerators", "ephemeralStorage",
	"runtimePlatform", "enableFaultInjection",
}

func (s *Service) registerTaskDefinition(c *kernel.Call) (any, error) {
	var raw map[string]any
	if err := json.Unmarshal(c.Body, &raw); err != nil {
		return nil, kernel.Errorf("SerializationException", "%v", err)
	}
	tags := raw["tags"]
	delete(raw, "tags")
	for k := range raw {
		if !slices.Contains(definitionMembers, k) {
			return nil, c.Unsupported(k)
		}
	}
	d, err := s.AddDefinition(raw)
	if err != nil {
		return nil, err
	}
	d.tags = tags
	return s.definitionReply(d, d.tags != nil), nil
}

// definitionReply is a task definition, with its tags if requested.
func (s *Service) definitionReply(d *taskDefinition, withTags bool) map[string]any {
	out := map[string]any{"taskDefinition": s.definitionJSON(d)}
	if withTags {
		out["tags"] = []any{}
		if d.tags != nil {
			out["tags"] = d.tags
		}
	}
	return out
}

// AddDefinition registers a task definition as the next revision of its family.
func (s *Service) AddDefinition(raw map[string]any) (*taskDefinition, error) {
	family, _ := raw["family"].(string)
	if family == "" {
		return nil, kernel.Errorf("InvalidParameterException", "Family should not be null or empty.")
	}
	d := &taskDefinition{Family: family, Status: "ACTIVE", raw: raw, Revision: 1, registered: s.Clock.Now()}
	b, err := json.Marshal(raw["containerDefinitions"])
	if err == nil {
		err = json.Unmarshal(b, &d.containers)
	}
	if err != nil || len(d.containers) == 0 {
		return nil, kernel.Errorf("ClientException", "Container definitions should not be null or empty.")
	}
	if err := checkFargate(raw); err != nil {
		return nil, err
	}
	for _, o := range s.Definitions {
		if o.Family == family {
			d.Revision = o.Revision + 1
		}
	}
	s.Definitions = append(s.Definitions, d)
	return d, nil
}

// fargateMemory are the pairs of CPU units and MiB that Fargate offers: from, to and in
// steps of.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
var fargateMemory = map[string][3]int{
	"512": {1024, 4096, 1024}, "1024": {2048, 8192, 1024}, "2048": {4096, 16384, 1024}, "4096": {8192, 30720, 1024},
	"8192": {16384, 61440, 4096}, "16384": {32768, 122880, 8192},
}

// checkFargate refuses a pair of CPU and memory that Fargate does not offer.
func checkFargate(raw map[string]any) error {
	needs, _ := raw["requiresCompatibilities"].([]any)
	if !slices.Contains(kernel.TextsOf(needs), "FARGATE") {
		return nil
	}
	cpu, memory := units(textOr(raw["cpu"]), "vcpu"), units(textOr(raw["memory"]), "gb")
	refused := kernel.Errorf("ClientException",
		"No Fargate configuration exists for given values: %d CPU, %d memory. See the Amazon ECS documentation for "+
			"the valid values.", cpu, memory)
	if cpu == 256 {
		if memory == 512 || memory == 1024 || memory == 2048 {
			return nil
		}
		return refused
	}
	r, ok := fargateMemory[fmt.Sprint(cpu)]
	if !ok || memory < r[0] || memory > r[1] || (memory-r[0])%r[2] != 0 {
		return refused
	}
	return nil
}

// units reads a size given as a number, or with a unit of 1024.
func units(text, unit string) int {
	if inner, ok := strings.CutSuffix(strings.ToLower(text), unit); ok {
		var v float64
		_, _ = fmt.Sscan(strings.TrimSpace(inner), &v) // 0 is not a valid size
		return int(v * 1024)
	}
	n := 0
	_, _ = fmt.Sscan(text, &n) // absent is not a valid size
	return n
}

func (s *Service) definitionJSON(d *taskDefinition) map[string]any {
	out := map[string]any{}
	for k, v := range d.raw {
		out[k] = v
	}
	out["taskDefinitionArn"] = d.ARN(s)
	out["revision"] = d.Revision
	out["status"] = d.Status
	out["compatibilities"] = []string{"EC2", "FARGATE"}
	out["registeredAt"] = kernel.Stamp{Time: d.registered}
	for _, k := range []string{"volumes", "placementConstraints"} {
		if _, ok := out[k]; !ok {
			out[k] = []any{}
		}
	}
	return out
}

// definition finds a task definition by family, family:revision or ARN. A bare
// family means its newest active revision.
func (s *Service) definition(given string) *taskDefinition {
	name := given
	if i := strings.LastIndex(name, "/"); i >= 0 {
		name = name[i+1:]
	}
	family, revision, exact := strings.Cut(name, ":")
	for _, d := range slices.Backward(s.Definitions) {
		if d.Family == family && (exact && fmt.Sprint(d.Revision) == revision || !exact && d.Status == "ACTIVE") {
			return d
		}
	}
	return nil
}

func (s *Service) deregisterTaskDefinition(_ *kernel.Call,
	in *struct{ TaskDefinition string }) (*map[string]any, error) {
	d := s.definition(in.TaskDefinition)
	if d == nil || !strings.Contains(in.TaskDefinition, ":") {
		return nil, kernel.Errorf("ClientException", "Unable to describe task definition.")
	}
	d.Status = "INACTIVE"
	return &map[string]any{"taskDefinition": s.definitionJSON(d)}, nil
}

func (s *Service) describeTaskDefinition(_ *kernel.Call, in *struct {
	TaskDefinition string
	Include        []string
}) (*map[string]any, error) {
	d := s.definition(in.TaskDefinition)
	if d == nil {
		return nil, kernel.Errorf("ClientException", "Unable to describe task definition.")
	}
	reply := s.definitionReply(d, slices.Contains(in.Include, "TAGS"))
	return &reply, nil
}

func (s *Service) listTaskDefinitions(_ *kernel.Call, in *struct {
	FamilyPrefix, Status, Sort, NextToken string
	MaxResults                            int
}) (*struct {
	Arns []string `json:"taskDefinitionArns"`
}, error) {
	out := &struct {
		Arns []string `json:"taskDefinitionArns"`
	}{[]string{}}
	if in.Status == "" {
		in.Status = "ACTIVE"
	}
	for _, d := range s.Definitions {
		if d.Status == in.Status && (in.FamilyPrefix == "" || d.Family == in.FamilyPrefix) {
			out.Arns = append(out.Arns, d.ARN(s))
		}
	}
	return out, nil
}

type vpcConfiguration struct {
	Subnets        []string `json:"subnets"`
	SecurityGroups []string `json:"securityGroups"`
	AssignPublicIP string   `json:"assignPublicIp"`
}

type runTaskInput struct {
	Cluster, TaskDefinition, ClientToken, StartedBy, Group string
	LaunchType, PlatformVersion, PropagateTags             string
	ReferenceID                                            string `json:"referenceId"`
	Count                                                  *int
	NetworkConfiguration                                   struct {
		AwsvpcConfiguration vpcConfiguration
	}
	Overrides                taskOverride
	Tags                     []ecsTag
	EnableECSManagedTags     bool
	EnableExecuteCommand     bool
	CapacityProviderStrategy []struct {
		CapacityProvider string
		Weight, Base     int
	}
}

type runTaskOutput struct {
	Tasks    []taskJSON    `json:"tasks"`
	Failures []failureJSON `json:"failures"`
}

// The RunTask rate: a bucket of 20 calls, refilled by 20 a second.
const runTaskBurst, runTaskRate = 20.0, 20.0

func (s *Service) takeRunTaskToken() bool {
	now := s.Clock.Now()
	if !s.refilled.IsZero() {
		s.tokensLeft = min(runTaskBurst, s.tokensLeft+now.Sub(s.refilled).Seconds()*runTaskRate)
	}
	s.refilled = now
	if s.tokensLeft < 1 {
		return false
	}
	s.tokensLeft--
	return true
}

func bad(format string, args ...any) *kernel.APIError {
	return kernel.Errorf("InvalidParameterException", format, args...)
}

func (s *Service) runTask(c *kernel.Call, in *runTaskInput) (*runTaskOutput, error) {
	if !s.takeRunTaskToken() {
		return nil, kernel.Errorf("ThrottlingException", "Rate exceeded")
	}
	for name, given := range map[string]bool{
		"enableExecuteCommand": in.EnableExecuteCommand, "referenceId": in.ReferenceID != "",
		"capacityProviderStrategy": len(in.CapacityProviderStrategy) > 0,
		"launchType":               in.LaunchType != "" && in.LaunchType != "FARGATE",
	} {
		if given {
			return nil, c.Unsupported(name)
		}
	}
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	count := 1
	if in.Count != nil {
		count = *in.Count
	}
	d, sub, err := s.checkRunTask(c, in, count)
	if err != nil {
		return nil, err
	}
	parameters := digestOf(in)
	if in.ClientToken != "" {
		if use := s.tokenUse(cluster, in.ClientToken); use != nil {
			if use.parameters != parameters {
				var arns []string
				for _, t := range use.tasks {
					arns = append(arns, t.ARN)
				}
				e := kernel.Errorf("ConflictException",
					"The request could not be processed because of conflict in the current state of the resource.")
				e.Extra = map[string]any{"resourceIds": arns}
				return nil, e
			}
			return s.ranTasks(use.tasks), nil
		}
	}
	if err := s.ECSLinked(); err != nil {
		return nil, err
	}
	if out, err := s.refuseTask(d, sub, count); out != nil || err != nil {
		return out, err
	}
	var made []*task
	for i := range count {
		made = append(made, s.addTask(in, cluster, d, sub, i))
	}
	if in.ClientToken != "" {
		s.tokens[cluster+" "+in.ClientToken] = &tokenUse{parameters, made, s.Clock.Now()}
	}
	return s.ranTasks(made), nil
}

func digestOf(in *runTaskInput) string {
	b, _ := json.Marshal(in) // plain data
	return string(b)
}

// tokenUse returns the use of a client token that is still valid: for 24 hours,
// or until an hour after the last of its tasks has stopped.
func (s *Service) tokenUse(cluster, token string) *tokenUse {
	use := s.tokens[cluster+" "+token]
	if use == nil {
		return nil
	}
	end := use.at.Add(24 * time.Hour)
	var last time.Time
	for _, t := range use.tasks {
		if t.Stopped.IsZero() {
			last = end
		} else if t.Stopped.After(last) {
			last = t.Stopped
		}
	}
	if hour := last.Add(time.Hour); hour.Before(end) {
		end = hour
	}
	if s.Clock.Now().After(end) {
		return nil
	}
	return use
}

func (s *Service) checkRunTask(c *kernel.Call, in *runTaskInput, count int) (*taskDefinition, *ec2.Subnet, error) {
	d := s.definition(in.TaskDefinition)
	if d == nil {
		return nil, nil, kernel.Errorf("ClientException", "TaskDefinition not found.")
	}
	if d.Status != "ACTIVE" {
		return nil, nil, bad("TaskDefinition is inactive")
	}
	if count < 1 || count > 10 {
		return nil, nil, bad("Count must be between 1 and 10.")
	}
	if len(in.StartedBy) > 128 {
		return nil, nil, bad("startedBy longer than 128.")
	}
	if len(in.ClientToken) > 64 {
		return nil, nil, bad("clientToken longer than 64.")
	}
	if strings.Trim(in.StartedBy, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_") != "" {
		return nil, nil, bad("startedBy contains invalid characters.")
	}
	if b, _ := json.Marshal(in.Overrides); len(b) > 8192 {
		return nil, nil, bad("Container Overrides length must be at most 8192")
	}
	for _, o := range in.Overrides.ContainerOverrides {
		if !slices.ContainsFunc(d.containers, func(x containerDefinition) bool { return x.Name == o.Name }) {
			return nil, nil, bad("Override for container named %s is not a container in the TaskDefinition.", o.Name)
		}
	}
	n := in.NetworkConfiguration.AwsvpcConfiguration
	if len(n.Subnets) == 0 {
		return nil, nil, bad("subnets can not be empty.")
	}
	for _, id := range n.Subnets {
		if s.ec2.Subnet(id) == nil {
			return nil, nil, bad("Error retrieving subnet information for [%s]: The subnet ID '%s' does not exist "+
				"(ErrorCode: InvalidSubnetID.NotFound)", id, id)
		}
		if s.ec2.Subnet(id).VPC != s.ec2.Subnet(n.Subnets[0]).VPC {
			return nil, nil, bad("Subnets must belong to the same VPC.")
		}
	}
	for _, id := range n.SecurityGroups {
		if s.ec2.Group(id) == nil {
			return nil, nil, bad("Error retrieving security group information for [%s]: The security group '%s' "+
				"does not exist (ErrorCode: InvalidGroup.NotFound)", id, id)
		}
	}
	if in.PropagateTags != "" && in.PropagateTags != "TASK_DEFINITION" && in.PropagateTags != "NONE" {
		return nil, nil, bad("Invalid value for propagateTags")
	}
	return d, s.ec2.Subnet(n.Subnets[0]), nil
}

func (s *Service) ranTasks(tasks []*task) *runTaskOutput {
	out := &runTaskOutput{Failures: []failureJSON{}, Tasks: []taskJSON{}}
	for _, t := range tasks {
		out.Tasks = append(out.Tasks, s.taskJSON(t, s.Clock.Now()))
	}
	return out
}

type attachmentJSON struct {
	ID      string     `json:"id"`
	Type    string     `json:"type"`
	Status  string     `json:"status"`
	Details []keyValue `json:"details"`
}

type containerJSON struct {
	ContainerArn string `json:"containerArn"`
	TaskArn      string `json:"taskArn"`
	Name         string `json:"name"`
	Image        string `json:"image"`
	LastStatus   string `json:"lastStatus"`
	ExitCode     *int   `json:"exitCode,omitempty"`
	Reason       string `json:"reason,omitempty"`
}

type taskJSON struct {
	TaskArn           string `json:"taskArn"`
	ClusterArn        string `json:"clusterArn"`
	TaskDefinitionArn string `json:"taskDefinitionArn"`
	Group             string `json:"group"`
	StartedBy         string `json:"startedBy,omitempty"`
	LaunchType        string `json:"launchType"`
	PlatformVersion   string `json:"platformVersion,omitempty"`
	AvailabilityZone  string `json:"availabilityZone"`
	LastStatus        string `json:"lastStatus"`
	DesiredStatus     string `json:"desiredStatus"`
	CPU               string `json:"cpu,omitempty"`
	Memory            string `json:"memory,omitempty"`
	taskTimesJSON
	Version              int              `json:"version"`
	Overrides            taskOverride     `json:"overrides"`
	Containers           []containerJSON  `json:"containers"`
	Attachments          []attachmentJSON `json:"attachments"`
	Tags                 []ecsTag         `json:"tags"`
	EnableExecuteCommand bool             `json:"enableExecuteCommand"`
}

// taskTimesJSON is the part of a task with its timestamps.
type taskTimesJSON struct {
	CreatedAt     *kernel.Stamp `json:"createdAt,omitempty"`
	PullStartedAt *kernel.Stamp `json:"pullStartedAt,omitempty"`
	PullStoppedAt *kernel.Stamp `json:"pullStoppedAt,omitempty"`
	StartedAt     *kernel.Stamp `json:"startedAt,omitempty"`
	StoppingAt    *kernel.Stamp `json:"stoppingAt,omitempty"`
	StoppedAt     *kernel.Stamp `json:"stoppedAt,omitempty"`
	StopCode      string        `json:"stopCode,omitempty"`
	StoppedReason string        `json:"stoppedReason,omitempty"`
}

func (s *Service) taskJSON(t *task, at time.Time) taskJSON {
	status := t.statusAt(at)
	j := taskJSON{
		TaskArn: t.ARN, ClusterArn: s.ClusterARN(t.cluster), TaskDefinitionArn: t.Definition.ARN(s), Group: t.Group,
		StartedBy: t.StartedBy, LaunchType: t.launchType(), PlatformVersion: t.platform(),
		AvailabilityZone: t.subnet.Zone,
		LastStatus:       status, DesiredStatus: "RUNNING", Version: t.version, Overrides: t.overrides, Tags: t.tags,
		Attachments: []attachmentJSON{}, CPU: textOr(t.Definition.raw["cpu"]),
		Memory: textOr(t.Definition.raw["memory"]), taskTimesJSON: taskTimesJSON{CreatedAt: kernel.StampOf(t.Created)},
	}
	if j.Overrides.ContainerOverrides == nil {
		j.Overrides.ContainerOverrides = []containerOverride{}
	}
	if j.Tags == nil {
		j.Tags = []ecsTag{}
	}
	if !t.pulling.After(at) {
		j.PullStartedAt = kernel.StampOf(t.pulling)
	}
	if !t.Started.After(at) {
		j.StartedAt, j.PullStoppedAt = kernel.StampOf(t.Started), kernel.StampOf(t.Started)
	}
	if status == "STOPPED" || status == "DEPROVISIONING" || status == "STOPPING" || status == "DEACTIVATING" {
		j.DesiredStatus = "STOPPED"
		j.StoppingAt = kernel.StampOf(t.stopping)
		j.StopCode = t.StopCode
		j.StoppedReason = t.StopReason
	}
	if status == "STOPPED" {
		j.StoppedAt = kernel.StampOf(t.Stopped)
	}
	j.Attachments = append(j.Attachments, attachmentJSON{
		s.Digest("attachment"+t.id, 8) + "-0000-4000-a000-" + s.Digest(t.id, 12), "ElasticNetworkInterface", "ATTACHED",
		[]keyValue{{"subnetId", t.subnet.ID}, {"privateIPv4Address", s.address(t)}},
	})
	for _, d := range t.Definition.containers {
		cj := containerJSON{
			s.ARN("ecs", "container/"+t.cluster+"/"+t.id+"/"+s.Digest(t.id+d.Name, 8)), t.ARN, d.Name, d.Image, status,
			nil, "",
		}
		if status != "PROVISIONING" && status != "PENDING" && status != "RUNNING" && status != "STOPPED" {
			cj.LastStatus = "STOPPED"
		}
		if status == "STOPPED" {
			cj.ExitCode, cj.Reason = t.ExitCode(), t.containerReason
		}
		j.Containers = append(j.Containers, cj)
	}
	return j
}

func textOr(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// ExitCode returns the exit code of the essential container; nil if it never ran.
func (t *task) ExitCode() *int { return t.code }

func (t *task) statusAt(at time.Time) string {
	status := t.history[0].Status
	for _, h := range t.history {
		if !h.At.After(at) {
			status = h.Status
		}
	}
	return status
}

// Environment returns the environment of the task's first container.
func (t *task) Environment() map[string]string {
	out := map[string]string{}
	c := t.Definition.containers[0]
	for _, kv := range c.Environment {
		out[kv.Name] = kv.Value
	}
	for _, o := range t.overrides.ContainerOverrides {
		if o.Name == c.Name {
			for _, kv := range o.Environment {
				out[kv.Name] = kv.Value
			}
		}
	}
	return out
}

// taskKept is how long ECS shows a task after it has stopped.
const taskKept = time.Hour

func (s *Service) findTask(cluster, given string) *task {
	id := given[strings.LastIndex(given, "/")+1:]
	return kernel.Find(s.Tasks, func(t *task) bool {
		return t.id == id && t.cluster == cluster && (t.Stopped.IsZero() || s.Clock.Now().Sub(t.Stopped) < taskKept)
	})
}

func (s *Service) describeTasks(_ *kernel.Call, in *struct {
	Cluster        string
	Tasks, Include []string
}) (*runTaskOutput, error) {
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Tasks) == 0 {
		return nil, bad("Tasks cannot be empty.")
	}
	if len(in.Tasks) > 100 {
		return nil, bad("Tasks cannot be more than 100.")
	}
	out := &runTaskOutput{Tasks: []taskJSON{}, Failures: []failureJSON{}}
	at := s.AsOf()
	for _, given := range in.Tasks {
		t := s.findTask(cluster, given)
		if t == nil || t.Created.After(at) {
			arn := given
			if !strings.HasPrefix(arn, "arn:") {
				arn = s.ARN("ecs", "task/"+cluster+"/"+given)
			}
			out.Failures = append(out.Failures, failureJSON{arn, "MISSING"})
			continue
		}
		out.Tasks = append(out.Tasks, s.taskJSON(t, at))
	}
	return out, nil
}

func (s *Service) listTasks(_ *kernel.Call, in *struct {
	Cluster, Family, StartedBy, ServiceName, DesiredStatus, LaunchType, ContainerInstance, NextToken string
	MaxResults                                                                                       int
}) (*struct {
	TaskArns  []string `json:"taskArns"`
	NextToken string   `json:"nextToken,omitempty"`
}, error) {
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if in.StartedBy != "" && (in.Family != "" || in.ServiceName != "" || in.ContainerInstance != "") {
		return nil, bad("Cannot specify startedBy with other filters.")
	}
	if in.DesiredStatus == "" {
		in.DesiredStatus = "RUNNING"
	}
	out := &struct {
		TaskArns  []string `json:"taskArns"`
		NextToken string   `json:"nextToken,omitempty"`
	}{TaskArns: []string{}}
	at := s.AsOf()
	skip := 0
	_, _ = fmt.Sscan(in.NextToken, &skip) // empty on the first page
	for _, t := range s.Tasks {
		j := s.taskJSON(t, at)
		if t.cluster != cluster || t.Created.After(at) || j.DesiredStatus != in.DesiredStatus ||
			in.StartedBy != "" && t.StartedBy != in.StartedBy ||
			in.Family != "" && t.Definition.Family != in.Family ||
			!t.Stopped.IsZero() && at.Sub(t.Stopped) >= taskKept {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(out.TaskArns) == 100 {
			n := 0
			_, _ = fmt.Sscan(in.NextToken, &n)
			out.NextToken = fmt.Sprint(n + 100)
			break
		}
		out.TaskArns = append(out.TaskArns, t.ARN)
	}
	return out, nil
}

func (s *Service) stopTask(_ *kernel.Call, in *struct{ Cluster, Task, Reason string }) (*struct {
	Task taskJSON `json:"task"`
}, error) {
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	t := s.findTask(cluster, in.Task)
	if t == nil {
		return nil, bad("The referenced task was not found.")
	}
	if t.stopping.IsZero() {
		code := 143
		var exit *int
		if t.status == "RUNNING" {
			exit = &code
		}
		s.beginStop(t, "UserInitiated", in.Reason, "", exit)
	}
	return &struct {
		Task taskJSON `json:"task"`
	}{s.taskJSON(t, s.Clock.Now())}, nil
}
