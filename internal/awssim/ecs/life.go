package ecs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// These are the durations of a Fargate task's phases other than its run.
const (
	provisionTakes = 5 * time.Second
	pullTakes      = 10 * time.Second
	// giveUpAfter is how long the agent retries an unreachable service.
	giveUpAfter = 30 * time.Second
	stopTakes   = 3 * time.Second
	// runsFor is how long a container runs by default.
	runsFor = time.Minute
)

func (s *Service) addTask(in *runTaskInput, cluster string, d *taskDefinition, sub *ec2.Subnet, n int) *task {
	id := s.NewID("task", 32)
	if in.ClientToken != "" { // does not depend on the order of calls at the same instant
		id = s.Digest(fmt.Sprintf("task %s %s %d %d", cluster, in.ClientToken, n, s.Clock.Now().UnixMilli()), 32)
	}
	c := in.NetworkConfiguration.AwsvpcConfiguration
	t := &task{
		ARN: s.ARN("ecs", "task/"+cluster+"/"+id), id: id, cluster: cluster, StartedBy: in.StartedBy,
		ClientToken: in.ClientToken, Group: in.Group, Definition: d, overrides: in.Overrides, subnet: sub,
		groups: c.SecurityGroups, publicIP: c.AssignPublicIP == "ENABLED", tags: in.Tags,
		life: life{Created: s.Clock.Now(), HadEndpoints: true},
	}
	if t.Group == "" {
		t.Group = "family:" + d.Family
	}
	if len(t.groups) == 0 {
		t.groups = []string{kernel.Find(s.ec2.Groups, func(g *ec2.SecurityGroup) bool {
			return g.VPC == sub.VPC && g.Name == "default"
		}).ID}
	}
	s.Tasks = append(s.Tasks, t)
	s.setTask(t, "PROVISIONING")
	t.next = s.Clock.After(provisionTakes, func() { s.pull(t) })
	return t
}

// setTask changes a task's status and notifies EventBridge.
func (s *Service) setTask(t *task, status string) {
	now := s.Clock.Now()
	t.status = status
	t.version++
	t.history = append(t.history, kernel.StatusAt{At: now, Status: status, Reason: ""})
	j := s.taskJSON(t, now)
	detail := map[string]any{
		"taskArn": j.TaskArn, "clusterArn": j.ClusterArn, "taskDefinitionArn": j.TaskDefinitionArn, "group": j.Group,
		"startedBy":  j.StartedBy,
		"lastStatus": j.LastStatus, "desiredStatus": j.DesiredStatus, "launchType": t.launchType(),
		"version":          t.version,
		"availabilityZone": j.AvailabilityZone,
		"containers":       j.Containers, "overrides": j.Overrides, "attachments": j.Attachments,
	}
	for k, v := range map[string]time.Time{
		"createdAt": t.Created, "startedAt": t.Started, "stoppingAt": t.stopping, "stoppedAt": t.Stopped,
		"updatedAt": now,
	} {
		if !v.IsZero() {
			detail[k] = v.UTC().Format("2006-01-02T15:04:05.000Z")
		}
	}
	if t.StopCode != "" {
		detail["stopCode"], detail["stoppedReason"] = t.StopCode, t.StopReason
	}
	s.Emit("aws.ecs", "ECS Task State Change", []string{t.ARN}, detail)
	s.changed(t)
}

// pull starts the steps that need the endpoints: login, image, secrets, log
// stream.
func (s *Service) pull(t *task) {
	t.pulling = s.Clock.Now()
	s.setTask(t, "PENDING")
	if reason := s.unreachable(t); reason != "" {
		t.HadEndpoints = false
		t.next = s.Clock.After(giveUpAfter, func() { s.beginStop(t, "TaskFailedToStart", reason, reason, nil) })
		return
	}
	takes := pullTakes + time.Duration(s.Digest(t.id, 1)[0]%5)*time.Second
	t.next = s.Clock.After(takes, func() { s.runContainer(t) })
}

func (s *Service) runContainer(t *task) {
	if reason := s.unreachable(t); reason != "" {
		s.beginStop(t, "TaskFailedToStart", reason, reason, nil)
		return
	}
	s.askForPull(t)
	p, err := s.program(t)
	if err != nil {
		reason := "CannotPullContainerError: " + err.Error()
		s.beginStop(t, "TaskFailedToStart", reason, reason, nil)
		return
	}
	t.Started, t.program = s.Clock.Now(), p
	s.setTask(t, "RUNNING")
	env := t.Environment()
	if p != nil {
		s.runProgram(t, p, env)
		return
	}
	length := runsFor
	if d, err := time.ParseDuration(env["SANDBOX_RUN_FOR"]); err == nil && d >= 0 {
		length = d
	}
	code := 0
	if n, err := strconv.Atoi(env["SANDBOX_EXIT_CODE"]); err == nil {
		code = n
	}
	s.logTask(t, "started")
	if strings.HasPrefix(t.Group, "service:") {
		return // its service stops it
	}
	t.next = s.Clock.After(length, func() { s.containerExited(t, code) })
}

// command returns the local command that replaces an image: named by its whole
// reference, by repository and tag, or only by the repository.
func (s *Service) command(image string) (string, bool) {
	repository := image[strings.LastIndex(image, "/")+1:]
	name, _, _ := strings.Cut(repository, "@")
	name, _, _ = strings.Cut(name, ":")
	for _, ref := range []string{image, repository, name} {
		if c, ok := s.Options.Images[ref]; ok {
			return c, true
		}
	}
	return "", false
}

func (s *Service) containerExited(t *task, code int) {
	s.logTask(t, fmt.Sprintf("exit code %d", code))
	s.beginStop(t, "EssentialContainerExited", "Essential container in task exited", "", &code)
}

// beginStop starts to stop a task.
func (s *Service) beginStop(t *task, code, reason, containerReason string, exit *int) {
	if !t.stopping.IsZero() {
		return
	}
	s.Clock.Cancel(t.next)
	t.program.stop()
	t.stopping = s.Clock.Now()
	t.StopCode = code
	t.StopReason = reason
	t.containerReason = containerReason
	if t.code == nil {
		t.code = exit
	}
	s.setTask(t, "DEPROVISIONING")
	t.next = s.Clock.After(stopTakes, func() {
		t.Stopped = s.Clock.Now()
		s.setTask(t, "STOPPED")
	})
}

// recheck checks whether tasks have just lost an endpoint that they need.
func (s *Service) recheck() {
	for _, t := range s.Tasks {
		if t.HadEndpoints && !t.pulling.IsZero() && t.stopping.IsZero() && s.unreachable(t) != "" {
			t.HadEndpoints = false
		}
	}
}

// unreachable returns the reason that Fargate gives when the task cannot reach a
// service, or "" if it can. The texts are those that users of Fargate report.
func (s *Service) unreachable(t *task) string {
	if s.hasWayOut(t) {
		return ""
	}
	for _, c := range t.Definition.containers {
		for _, check := range []func(*task, containerDefinition) string{
			s.cannotLogIn, s.cannotFetch, s.cannotDownload, s.cannotPull, s.cannotLog,
		} {
			if reason := check(t, c); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// callBytes is what a call by an endpoint counts as.
const callBytes = 10 << 10

// reach returns the endpoint by which a task reaches a service in a Region, or nil;
// an empty Region is its own.
func (s *Service) reach(t *task, id, region string) *ec2.Endpoint {
	if region != "" && region != s.Options.Region {
		return nil
	}
	e := s.ec2.Serving(s.EndpointService(id), t.subnet, t.groups, s.Clock.Now())
	if e != nil && e.Kind == "Interface" {
		s.cloudwatch.Endpoint(e.Service, e.ID, e.VPC, callBytes)
	}
	return e
}

// refused returns AWS's error when an endpoint policy denies a call of the task's
// execution role, or "".
func (s *Service) refused(t *task, e *ec2.Endpoint, action, resource string) string {
	if e.Lets(action, resource, true) {
		return ""
	}
	role := kernel.Text(t.Definition.raw, "executionRoleArn")
	return "AccessDeniedException: User: arn:aws:sts::" + s.Options.Account + ":assumed-role/" +
		role[strings.LastIndex(role, "/")+1:] + "/" + t.id + " is not authorized to perform: " + action +
		" on resource: " + resource +
		" because no VPC endpoint policy allows the " + action + " action"
}

const initFailed = "ResourceInitializationError: "

func registryOf(image string) (host, region string) {
	host, _, _ = strings.Cut(image, "/")
	if _, rest, ok := strings.Cut(host, ".dkr.ecr."); ok {
		region, _, _ = strings.Cut(rest, ".")
		return host, region
	}
	return host, ""
}

func (s *Service) cannotLogIn(t *task, c containerDefinition) string {
	host, region := registryOf(c.Image)
	if !strings.Contains(host, ".dkr.ecr.") {
		return ""
	}
	e := s.reach(t, "ecr.api", region)
	if e == nil {
		return initFailed +
			"unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is " +
			"a connection issue between the task and Amazon ECR. Check your task network configuration. operation " +
			"error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error " +
			"StatusCode: 0, RequestID: , request send failed, Post \"https://api.ecr." + s.Suffix() +
			"/\": dial tcp 192.0.2.20:443: i/o timeout"
	}
	if denied := s.refused(t, e, "ecr:GetAuthorizationToken", "*"); denied != "" {
		return initFailed +
			"unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr " +
			"registry auth: service call has been retried 1 time(s): " + denied
	}
	return ""
}

func (s *Service) cannotFetch(t *task, c containerDefinition) string {
	for _, secret := range c.Secrets {
		region := ""
		if parts := strings.Split(secret.ValueFrom, ":"); parts[0] == "arn" && len(parts) > 5 {
			region = parts[3]
		}
		if !strings.Contains(secret.ValueFrom, ":secretsmanager:") {
			if s.reach(t, "ssm", region) == nil {
				return initFailed +
					"unable to pull secrets or registry auth: unable to retrieve secrets from ssm: The task cannot " +
					"pull secrets from AWS Systems Manager. There is a connection issue between the task and AWS " +
					"Systems Manager Parameter Store. Check your task network configuration. RequestCanceled: " +
					"request context canceled caused by: context deadline exceeded"
			}
			continue
		}
		e := s.reach(t, "secretsmanager", region)
		if e == nil {
			return initFailed +
				"unable to pull secrets or registry auth: unable to retrieve secret from asm: There is a connection " +
				"issue between the task and AWS Secrets Manager. Check your task network configuration. failed to " +
				"fetch secret " + secret.ValueFrom +
				" from secrets manager: operation error Secrets Manager: GetSecretValue, https response error " +
				"StatusCode: 0, RequestID: , canceled, context deadline exceeded"
		}
		if denied := s.refused(t, e, "secretsmanager:GetSecretValue", secret.ValueFrom); denied != "" {
			return initFailed +
				"unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve " +
				"secret from asm: service call has been retried 1 time(s): failed to fetch secret " + secret.ValueFrom +
				" from secrets manager: " + denied
		}
	}
	return ""
}

func (s *Service) cannotDownload(t *task, c containerDefinition) string {
	for range c.EnvironmentFiles {
		if s.reach(t, "s3", "") == nil {
			return initFailed +
				"failed to download env files: file download command: non-empty error stream: RequestCanceled: " +
				"request context cancelled caused by: context deadline exceeded"
		}
	}
	return ""
}

func (s *Service) cannotPull(t *task, c containerDefinition) string {
	host, region := registryOf(c.Image)
	switch {
	case !strings.Contains(host, ".") || !strings.Contains(c.Image, "/"):
		return "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref " +
			"docker.io/library/" + c.Image +
			": failed to do request: Head \"https://registry-1.docker.io/v2/library/\": dial tcp 192.0.2.10:443: " +
			"i/o timeout"
	case region == "" || s.reach(t, "ecr.dkr", region) == nil:
		return "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref " +
			c.Image + ": failed to do request: Head \"https://" + host + "/v2/\": dial tcp 192.0.2.21:443: i/o timeout"
	}
	bucket := "prod-" + s.Options.Region + "-starport-layer-bucket"
	e := s.reach(t, "s3", "")
	if e == nil {
		return "CannotPullContainerError: The task cannot pull " + c.Image + " from the registry " + c.Image +
			". There is a connection issue between the task and the registry. Check your task network " +
			"configuration. : failed to copy: httpReadSeeker: failed open: failed to do request: Get \"https://" +
			bucket + ".s3." + s.Suffix() + "/\": dial tcp 192.0.2.22:443: i/o timeout"
	}
	if !e.Lets("s3:GetObject", s.Partition()+"s3:::"+bucket+"/layer", false) {
		return "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: " +
			"failed open: unexpected status code https://" + bucket + ".s3." + s.Suffix() + "/: 403 Forbidden"
	}
	return ""
}

func (s *Service) cannotLog(t *task, c containerDefinition) string {
	l := c.LogConfiguration
	if l == nil {
		return ""
	}
	if l.LogDriver == "awsfirelens" {
		service := map[string]string{
			"cloudwatch": "logs", "cloudwatch_logs": "logs", "kinesis_firehose": "kinesis-firehose",
			"kinesis_streams": "kinesis-streams", "s3": "s3",
		}[l.Options["Name"]]
		if service != "" && s.reach(t, service, l.Options["region"]) == nil {
			t.HadEndpoints = false // the container runs, and its log is lost
		}
		return ""
	}
	if l.LogDriver != "awslogs" {
		return ""
	}
	if s.reach(t, "logs", l.Options["awslogs-region"]) == nil {
		return initFailed +
			"failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the " +
			"task definition. There is a connection issue between the task and Amazon CloudWatch. Check your " +
			"network configuration. : signal: killed"
	}
	if l.Options["awslogs-create-group"] != "true" && s.logs.LogGroup(l.Options["awslogs-group"]) == nil {
		return initFailed +
			"failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch " +
			"log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1"
	}
	return ""
}

// hasWayOut reports whether the task reaches the internet, so that it needs no
// endpoint.
func (s *Service) hasWayOut(t *task) bool {
	table := s.ec2.TableOf(t.subnet)
	if table == nil {
		return false
	}
	for _, r := range table.Routes {
		if r.Destination == "0.0.0.0/0" &&
			(strings.HasPrefix(r.Target, "nat-") || strings.HasPrefix(r.Target, "igw-") && t.publicIP) {
			return true
		}
	}
	return false
}

// logTask writes a line to the task's log stream, if its group exists.
func (s *Service) logTask(t *task, line string) {
	c := t.Definition.containers[0]
	if c.LogConfiguration == nil || c.LogConfiguration.LogDriver != "awslogs" {
		return
	}
	o := c.LogConfiguration.Options
	g := s.logs.LogGroup(o["awslogs-group"])
	if g == nil && o["awslogs-create-group"] == "true" {
		g = s.logs.AddLogGroup(o["awslogs-group"])
	}
	if g != nil {
		g.Write(o["awslogs-stream-prefix"]+"/"+c.Name+"/"+t.id, line, s.Clock.Now())
		s.cloudwatch.ObserveLog(line)
	}
}
