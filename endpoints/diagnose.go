package endpoints

import (
	"fmt"
	"slices"
	"strings"
)

// Cause is why a task did not start, as one word for metrics and records.
type Cause string

// These causes are in the network. Every Trouble except Unreached is also a
// cause.
const (
	MissingEndpoint  Cause = "missing-endpoint"   // the set does not have the service
	EndpointGone     Cause = "endpoint-gone"      // the set should have one
	EndpointNotReady Cause = "endpoint-not-ready" // not available, or not settled
	PrivateDNSOff    Cause = "private-dns-off"
	DNSOff           Cause = "vpc-dns-off"
	EndpointClosed   Cause = "endpoint-security-group"
	TaskClosed       Cause = "task-security-group"
	MissingRoute     Cause = "missing-route"
	EndpointPolicy   Cause = "endpoint-policy"
	NoEndpointServes Cause = "no-endpoint-serves" // and none can be created
	OtherRegion      Cause = "other-region"
	// HostedZoneAnswers means a private hosted zone whose target does not
	// answer.
	HostedZoneAnswers Cause = "hosted-zone"
	LogsLost          Cause = "logs-lost"
)

// Diagnosis explains a stopped task.
type Diagnosis struct {
	Cause Cause
	// Service is the one that did not answer; empty if unknown.
	Service ServiceID
	// What failed, Why, and the remedy; each without a full stop.
	What, Why, Remedy string
	// Lasting is true if another attempt would fail the same way.
	Lasting bool
}

func (d Diagnosis) String() string {
	s := d.What
	if d.Why != "" {
		s += ": " + d.Why
	}
	if d.Remedy != "" {
		s += "; " + d.Remedy
	}
	return s
}

// Diagnose explains why a task did not start, from its texts and its network.
func Diagnose(t Stopped, s Scene) Diagnosis {
	symptom := Read(t)
	v := victimOf(symptom, s.Definition)
	d := Diagnosis{Cause: Cause(symptom.Trouble), Service: symptom.Service, What: v.could(symptom)}
	switch symptom.Trouble {
	case Unreached:
		return s.unreached(d, symptom, v)
	case Denied:
		return s.denied(d, symptom, v)
	}
	d.Why, d.Remedy, d.Lasting = known(symptom)
	return d
}

// LostLogs explains a task that ran while its log went nowhere: FireLens starts
// its containers whether or not its target can be reached. It returns false if
// no loss is visible.
func LostLogs(s Scene) (Diagnosis, bool) {
	d, err := readDefinition(s.Definition)
	if err != nil {
		return Diagnosis{}, false
	}
	for _, x := range d.Containers {
		if x.Log == nil || x.Log.Driver != "awsfirelens" {
			continue
		}
		c := &collector{region: s.Region, needs: map[ServiceID][]string{}}
		c.fireLens(x)
		for id := range c.needs {
			service, err := Lookup(id)
			if err != nil || s.serving(service) {
				continue
			}
			return Diagnosis{
				Cause: LogsLost, Service: id, What: "container " + x.Name + " lost its log",
				Why:    fmt.Sprintf("FireLens could not reach %s: set %s has no endpoint for it", id, s.Set),
				Remedy: add(id),
			}, true
		}
		for _, u := range c.unreachable {
			return Diagnosis{
				Cause: LogsLost, What: "container " + x.Name + " lost its log",
				Why: strings.TrimPrefix(u.What, "container "+x.Name+": "), Remedy: u.Remedy,
			}, true
		}
	}
	return Diagnosis{}, false
}

func add(id ServiceID) string {
	return fmt.Sprintf("add %s to the set's services, or set services: auto", id)
}

// serving reports whether an endpoint serves the service under its usual name.
func (s Scene) serving(service Service) bool {
	return slices.ContainsFunc(s.of(service), func(e Endpoint) bool {
		return e.State == "available" && (e.Type == Gateway || e.PrivateDNS)
	})
}

// of returns the endpoints of a service that are not deleted.
func (s Scene) of(service Service) []Endpoint {
	var out []Endpoint
	for _, e := range s.VPC.Endpoints {
		if e.Service == service.Name(s.Region) && e.Type == service.Type && e.State != "deleted" &&
			e.State != "deleting" {
			out = append(out, e)
		}
	}
	return out
}

// unreached compares the service that did not answer with the task's network.
func (s Scene) unreached(d Diagnosis, symptom Symptom, v victim) Diagnosis {
	if u, ok := s.never(symptom, v); ok {
		d.Cause = NoEndpointServes
		d.Why = u.What
		d.Remedy = u.Remedy
		d.Lasting = true
		if strings.Contains(u.What, " is in ") {
			d.Cause = OtherRegion
		}
		return d
	}
	if out := s.wayOut(); out != "" {
		d.Why, d.Remedy = fmt.Sprintf("its subnets have a default route, %s, but the call failed",
			out), "check that gateway, the network ACLs and the task's security groups"
		return d
	}
	service, err := Lookup(symptom.Service)
	if err != nil {
		d.Why, d.Remedy = "the text does not name the service: "+
			brief(symptom.Text), "drawbridge doctor checks everything a job needs"
		return d
	}
	if e, ok := s.nearest(service); ok {
		return s.through(d, service, e)
	}
	if z, ok := s.VPC.zoneOf(service, s.Region); ok {
		d.Cause, d.Why = HostedZoneAnswers, fmt.Sprintf("private hosted zone %s of account %s answers for %s in %s, "+
			"and its target did not answer", z.ID, z.Account, z.Name, s.VPC.ID)
		d.Remedy = "check its records, and the route to the endpoint that they name"
		return d
	}
	d.Cause = MissingEndpoint
	switch {
	case service.Type == Gateway:
		d.Why = fmt.Sprintf("%s has no %s gateway endpoint", s.VPC.ID, service.ID)
		d.Remedy = fmt.Sprintf("drawbridge deploy creates it if %s is among the set's services; it is free",
			service.ID)
		d.Lasting = true
	case slices.Contains(s.Services, service.ID):
		d.Cause = EndpointGone
		d.Why = fmt.Sprintf("the %s endpoint of set %s is gone, and Drawbridge did not delete it", service.ID, s.Set)
		d.Remedy = "the sweep creates it again; find out what deletes it"
	default:
		d.Why = fmt.Sprintf("set %s has no %s endpoint", s.Set, service.ID)
		d.Remedy = add(service.ID)
		d.Lasting = true
	}
	return d
}

// nearest returns the endpoint that a call to the service takes, or would take
// once it is fixed.
func (s Scene) nearest(service Service) (Endpoint, bool) {
	list := s.of(service)
	for _, e := range list {
		if subnets, _ := s.unrouted(e); e.PrivateDNS || e.Type == Gateway && len(subnets) == 0 {
			return e, true
		}
	}
	if len(list) > 0 {
		return list[0], true
	}
	return Endpoint{}, false
}

// through explains why an existing endpoint did not carry the call.
func (s Scene) through(d Diagnosis, service Service, e Endpoint) Diagnosis {
	task := strings.Join(s.Groups, ", ")
	subnets, tables := s.unrouted(e)
	switch {
	case e.State != "available":
		d.Cause = EndpointNotReady
		d.Why = fmt.Sprintf("endpoint %s of %s is %s", e.ID, service.ID, e.State)
		d.Remedy = "wait until it is available, or delete it if it has failed"
	case e.Type == Gateway && len(subnets) > 0:
		d.Cause, d.Lasting = MissingRoute, true
		d.Why = fmt.Sprintf("gateway endpoint %s is not on the route table of %s", e.ID, strings.Join(subnets, ", "))
		d.Remedy = "aws ec2 modify-vpc-endpoint --vpc-endpoint-id " + e.ID + " --add-route-table-ids " +
			strings.Join(slices.Compact(tables), " ")
	case e.Type != Gateway && !s.VPC.DNSSupport, e.Type != Gateway && !s.VPC.DNSHostnames:
		d.Cause, d.Lasting = DNSOff, true
		err := Check(s.VPC)
		d.Why = fmt.Sprint(err)
		if h, ok := err.(interface{ Hint() string }); ok {
			d.Remedy = h.Hint()
		}
	case e.Type != Gateway && !e.PrivateDNS:
		d.Cause, d.Lasting = PrivateDNSOff, true
		d.Why, d.Remedy = fmt.Sprintf("endpoint %s of %s has private DNS off, and set %s has none of its own", e.ID,
			service.ID, s.Set), add(service.ID)
	case s.closedOut(e):
		d.Cause, d.Lasting = TaskClosed, true
		d.Why = fmt.Sprintf("the task's security groups (%s) do not allow HTTPS out to endpoint %s", task, e.ID)
		d.Remedy = "allow TCP 443 out to " + strings.Join(e.SecurityGroups, ", ")
		if e.Type == Gateway {
			d.Remedy = "allow TCP 443 out to the prefix list of " + service.Name(s.Region)
		}
	case e.Type != Gateway && s.closedIn(e):
		d.Cause, d.Lasting = EndpointClosed, true
		d.Why = fmt.Sprintf("the security groups (%s) of endpoint %s do not allow HTTPS in from the task (%s)",
			strings.Join(e.SecurityGroups, ", "), e.ID, task)
		d.Remedy = "allow TCP 443 in from " + task
	default:
		d.Cause = EndpointNotReady
		d.Why = fmt.Sprintf("endpoint %s of %s is available, and route tables and security groups allow the call", e.ID,
			service.ID)
		d.Remedy = "it may not have settled, so increase the set's settle time; otherwise check the network ACLs of " +
			"its subnets"
	}
	return d
}

// never returns the destination that no endpoint could have served.
func (s Scene) never(symptom Symptom, v victim) (Unreachable, bool) {
	if v.container == "" {
		return Unreachable{}, false
	}
	r, err := Workload{Region: s.Region, TaskDefinitions: [][]byte{s.Definition}}.Requirements()
	if err != nil {
		return Unreachable{}, false
	}
	for _, u := range r.Unreachable {
		rest, ok := strings.CutPrefix(u.What, "container "+v.container+": ")
		if !ok || strings.Contains(u.What, "first pull through a cache") && symptom.Service != "ecr.dkr" {
			continue
		}
		if image, isImage := strings.CutPrefix(rest, "image "); isImage {
			if v.kind == "image" {
				return Unreachable{strings.TrimPrefix(strings.TrimPrefix(image, v.name), ": "), u.Remedy}, true
			}
			continue
		}
		if v.arn != "" && strings.Contains(rest, v.arn) || v.kind == "log" && strings.HasPrefix(rest, "log group") {
			return Unreachable{rest, u.Remedy}, true
		}
	}
	return Unreachable{}, false
}

// actions are the IAM actions that starting a task calls, by service.
var actions = map[ServiceID]string{
	"ecr.api": "ecr:GetAuthorizationToken", "ecr.dkr": "ecr:BatchGetImage", "s3": "s3:GetObject",
	"logs":           "logs:CreateLogStream",
	"secretsmanager": "secretsmanager:GetSecretValue", "ssm": "ssm:GetParameters",
}

// denied distinguishes a denial by an endpoint policy from one by the role.
func (s Scene) denied(d Diagnosis, symptom Symptom, v victim) Diagnosis {
	d.Lasting = true
	action := symptom.Action
	if action == "" {
		action = actions[symptom.Service]
	}
	switch {
	case strings.Contains(symptom.Text, "Access to KMS"):
		action = "kms:Decrypt"
	case strings.Contains(symptom.Text, "unable to assume the role"):
		d.Why = "ECS is not allowed to assume the task's role"
		d.Remedy = "allow ecs-tasks.amazonaws.com in its trust policy"
		return d
	}
	if service, err := Lookup(symptom.Service); err == nil && action != "kms:Decrypt" {
		layers := service.ID == "s3" && v.kind == "image"
		resource := v.arn
		if layers {
			resource = "arn:" + Partition(s.Region) + ":s3:::prod-" + s.Region + "-starport-layer-bucket/layer"
		}
		for _, e := range s.of(service) {
			if strings.Contains(symptom.Text, "VPC endpoint policy") ||
				policyForbids(e.Policy, action, resource, layers) {
				d.Cause = EndpointPolicy
				d.Why, d.Remedy = fmt.Sprintf("the policy of endpoint %s does not allow %s", e.ID,
					action), "allow it there"
				if resource != "" {
					d.Remedy = "allow it there on " + resource
				}
				return d
			}
		}
	}
	role := "the task's execution role"
	if _, rest, ok := strings.Cut(symptom.Text, ":assumed-role/"); ok {
		name, _, _ := strings.Cut(rest, "/")
		role = "role " + name
	}
	d.Why, d.Remedy = role+" was denied", "grant it the permission: "+brief(symptom.Text)
	if action != "" {
		d.Why, d.Remedy = role+" is not allowed to call "+action, "allow it "+action
		if v.arn != "" {
			d.Remedy += " on " + v.arn
		}
	}
	return d
}

// known explains failures that have nothing to do with endpoints.
func known(s Symptom) (why, remedy string, lasting bool) {
	text := brief(s.Text)
	switch s.Trouble {
	case NotFound:
		switch s.Service {
		case "logs":
			return "the log group does not exist", "create it, or set awslogs-create-group and allow the execution " +
				"role to create it", true
		case "secretsmanager":
			return "it does not exist, or has no value",
				"check its ARN, including the six characters at its end, and its staging label", true
		case "ssm":
			return "no parameter has that name: " +
				text, "check the names; a leading slash is part of the name", true
		}
		return "it does not exist: " + text, "check the repository and the tag", true
	case Misconfigured:
		if strings.Contains(s.Text, "json key") || strings.Contains(s.Text, "looking for beginning of value") {
			return "the secret has no such JSON key: " +
				text, "add the key to the secret, or remove the key from valueFrom", true
		}
		return text, "correct the task definition", true
	case WrongPlatform:
		return "the image was not built for the task's CPU architecture", "build it for both, or set " +
			"runtimePlatform.cpuArchitecture", true
	case RateLimited:
		return "the registry limits the rate of pulls", "push the image to a private ECR repository", false
	case OutOfMemory:
		return "it ran out of memory", "increase the container's or the task's memory", false
	case NoSpace:
		return "the image is larger than the task's disk", "increase ephemeralStorage", true
	case NoCapacity:
		return text, "Drawbridge retries; if it persists, free addresses in the subnet or request a higher quota", false
	case Mount:
		remedy := "allow NFS (TCP 2049) in to a mount target in the task's zone, " +
			"and check the file system's id and access point"
		return "its file system could not be mounted: " + text, remedy, false
	case Interrupted:
		return "AWS reclaimed the task: " + text, "the job is not at fault", false
	case StoppedByHand:
		return "a user stopped it: " + text, "", false
	}
	return text, "", false
}

// brief shortens a text to fit in a sentence.
func brief(s string) string {
	if s == "" {
		return "no reason given"
	}
	if r := []rune(s); len(r) > 160 {
		return string(r[:157]) + "..."
	}
	return strings.TrimRight(s, ". ")
}

// victim is the part of a task definition that was being prepared.
type victim struct {
	container string
	// kind is image, secret, parameter, file or log; name is its name, arn its
	// ARN if it has one.
	kind, name, arn string
}

// could describes what could not be done.
func (v victim) could(s Symptom) string {
	who := "the task"
	if v.container != "" {
		who = "container " + v.container
	}
	switch {
	case s.Trouble == OutOfMemory || s.Trouble == Interrupted || s.Trouble == StoppedByHand || s.Trouble == Unexplained:
		return who + " stopped"
	case v.kind == "image" && s.Service == "ecr.api":
		return who + " could not log in to ECR for its image " + v.name
	case v.kind == "image" && s.Service == "s3":
		return who + " could not fetch the layers of its image " + v.name + " from S3"
	case v.kind == "image":
		return who + " could not pull its image " + v.name
	case v.kind == "log":
		return who + " could not open its log in " + v.name
	case v.kind != "":
		return who + " could not fetch its " + v.kind + " " + v.name
	}
	return who + " did not start"
}

// victimOf finds the part that the text is about: by its name if that is in the
// text, else the first of its kind.
func victimOf(s Symptom, definition []byte) victim {
	d, err := readDefinition(definition)
	if err != nil {
		return victim{container: s.Container}
	}
	var all []victim
	for _, x := range d.Containers {
		if s.Container == "" || s.Container == x.Name {
			all = append(all, victimsIn(x, s)...)
		}
	}
	for _, v := range all {
		if v.arn != "" && strings.Contains(s.Text, v.arn) || v.kind == "image" && namesImage(s.Text, v.name) ||
			v.kind == "log" && strings.Contains(s.Text, v.name) {
			return v
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return victim{container: s.Container}
}

// victimsIn returns the parts of a container that the service holds.
func victimsIn(x container, s Symptom) []victim {
	var out []victim
	file := strings.Contains(s.Text, "env files")
	for _, secret := range x.Secrets {
		ofSM := strings.Contains(secret.ValueFrom, ":secretsmanager:")
		arn := secretARN(secret.ValueFrom)
		switch {
		case s.Service == "secretsmanager" && ofSM:
			out = append(out, victim{x.Name, "secret", secret.Name, arn})
		case s.Service == "ssm" && !ofSM:
			out = append(out, victim{x.Name, "parameter", secret.Name, arn})
		}
	}
	switch {
	case s.Service == "s3" && file:
		for _, f := range x.EnvironmentFiles {
			out = append(out, victim{x.Name, "environment file", f.Value, f.Value})
		}
	case s.Service == "logs" && x.Log != nil && x.Log.Driver == "awslogs":
		out = append(out, victim{x.Name, "log", x.Log.Options["awslogs-group"], ""})
	case s.Service == "s3" || strings.HasPrefix(string(s.Service), "ecr.") ||
		s.Service == "" && strings.Contains(s.Text, "CannotPull"):
		out = append(out, victim{x.Name, "image", x.Image, ""})
	}
	return out
}

// secretARN returns the ARN in a valueFrom without the JSON key and version that
// may follow it; "" for a name.
func secretARN(valueFrom string) string {
	if !strings.HasPrefix(valueFrom, "arn:") {
		return ""
	}
	parts := strings.Split(valueFrom, ":")
	if strings.Contains(valueFrom, ":secretsmanager:") && len(parts) > 7 {
		parts = parts[:7]
	}
	return strings.Join(parts, ":")
}

// namesImage reports whether a text mentions an image or its registry.
func namesImage(text, image string) bool {
	if strings.Contains(text, image) {
		return true
	}
	host, _, _ := strings.Cut(image, "/")
	if registryOf(image) == "Docker Hub" {
		return strings.Contains(text, "docker.io")
	}
	return strings.Contains(host, ".") && strings.Contains(text, host)
}
