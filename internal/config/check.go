package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config/field"
	deployments "drawbridge/internal/deployments/section"
	"drawbridge/internal/hint"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/schedule"
	"drawbridge/scheduler"
)

// Error reports everything that is wrong with a file.
type Error struct {
	Path     string
	Problems field.Problems
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.What
		if p.Where != "" {
			lines[i] = p.Where + ": " + p.What
		}
		if p.Line > 0 {
			lines[i] = fmt.Sprintf("line %d: %s", p.Line, lines[i])
		}
	}
	return fmt.Sprintf("config %s: %s", e.Path, strings.Join(lines, "\n  "))
}

// Hint returns the remedies, each once.
func (e *Error) Hint() string {
	var out []string
	for _, p := range e.Problems {
		if p.Remedy != "" && !slices.Contains(out, p.Remedy) {
			out = append(out, p.Remedy)
		}
	}
	return strings.Join(out, "\n      ")
}

var (
	namePattern     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,24}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	pathPattern     = regexp.MustCompile(`^\$(\.[A-Za-z0-9_-]+)+$`)
)

// overridable are the kinds of override that a job may allow.
var overridable = []string{"environment", "command", "cpu", "memory"}

// minName is the length of the shortest installation name: DynamoDB's tables, one of
// which bears it alone, have three letters at least.
const minName = 3

// selftestPrefix begins the names of the sets whose stacks a selftest makes.
const selftestPrefix = "selftest-"

// checker gathers problems.
type checker struct{ field.Problems }

// check reports everything that is wrong with the file, with its defaults.
func (f *File) check() field.Problems {
	k, c := &checker{}, Resolve(f, Facts{})
	if !namePattern.MatchString(c.Name) || len(c.Name) < minName {
		k.Add("name", "use lower-case letters, digits and hyphens, 3 to 25 of them",
			"%q cannot begin the names of AWS resources", c.Name)
	}
	if strings.Contains(c.Name+"-", "-set-") || strings.HasSuffix(c.Name, "-mirror") {
		k.Add("name", "choose one without -set- that does not end in -mirror",
			"%q could be taken for what another installation owns: "+
				"NAME-set-... are its stacks, NAME-mirror-... its bucket",
			c.Name)
	}
	if _, err := scheduler.ParseBasis(string(c.Billing)); err != nil {
		k.Add("billing", "write clock or creation", "%v", err)
	}
	if m := c.Margin; m != 0 && (m < time.Minute || m > 30*time.Minute) {
		k.Add("margin", "write 1m to 30m", "margin %s is out of range (1m to 30m)", m)
	}
	if len(f.Sets) == 0 {
		k.Add("sets", "name at least one set with its subnets", "no sets")
	}
	if len(f.Jobs) == 0 && f.Mirror == nil && len(f.Deployments) == 0 {
		k.Add("jobs", "name at least one job with its set, cluster and task definition", "no jobs")
	}
	k.installation(f, c)
	if f.Mirror != nil {
		k.mirror(f, c)
	}
	if c.EndpointPrice < 0 || c.EndpointPrice > 100 {
		k.Add("endpointPrice", "write USD for an endpoint in a zone and hour, as in 0.01", "%v is out of range",
			c.EndpointPrice)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Sets)) {
		where := "sets." + string(name)
		k.setName(where, string(name))
		if f.Sets[name] == nil {
			k.Add(where, "give it at least its subnets", "the set is empty")
			continue
		}
		k.set(where, c.Sets[name])
	}
	for _, name := range slices.Sorted(maps.Keys(f.Jobs)) {
		where := "jobs." + string(name)
		k.jobName(where, string(name))
		if f.Jobs[name] == nil {
			k.Add(where, "give it at least its set, cluster and task definition", "the job is empty")
			continue
		}
		k.schedule(where, f.Jobs[name].Schedule, f.Jobs[name].Timezone)
		k.patterns(where, f.Jobs[name].On)
		k.job(where, c.Jobs[name], c)
	}
	k.overlaps(f)
	for _, name := range slices.Sorted(maps.Keys(f.Deployments)) {
		k.deployment("deployments."+name, name, f.Deployments[name] == nil, c)
	}
	return k.Problems
}

// overlaps refuses sections that the same deployment could belong to.
func (k *checker) overlaps(f *File) {
	names := slices.Sorted(maps.Keys(f.Deployments))
	for i, a := range names {
		for _, b := range names[i+1:] {
			x, y := f.Deployments[a], f.Deployments[b]
			if x == nil || y == nil {
				continue
			}
			for _, kind := range []struct{ key, x, y string }{
				{"ecsService", x.ECSService, y.ECSService}, {"codeDeploy", x.CodeDeploy, y.CodeDeploy},
				{"pipeline", x.Pipeline, y.Pipeline}, {"codeBuild", x.CodeBuild, y.CodeBuild},
			} {
				if deployments.Matches(kind.x, kind.y) || deployments.Matches(kind.y, kind.x) {
					k.Add("deployments."+b+"."+kind.key, "have each deployment belong to one section",
						"%q is also meant by deployments.%s.%s, %q", kind.y, a, kind.key, kind.x)
				}
			}
		}
	}
}

// deployment checks a section of deployments, with the set and the jobs that it names.
func (k *checker) deployment(where, name string, empty bool, c *Installation) {
	if !namePattern.MatchString(name) {
		k.Add(where, "use lower-case letters, digits and hyphens, at most 25", "%q is not a name", name)
	}
	if empty {
		k.Add(where, "give it at least its set", "the section is empty")
		return
	}
	d := c.Deployments[name]
	s, ok := c.Sets[d.Set]
	if !ok {
		k.Add(where+".set", "name one of: "+joined(c.Sets), "there is no set %q", d.Set)
	}
	if _, err := endpoints.Resolve(d.Services); err != nil {
		k.Add(where+".services", hint.Of(err), "%v", err)
	}
	for _, id := range d.Services {
		if ok && !s.Auto && !slices.Contains(s.Services, id) {
			k.Add(where+".services", "add it to sets."+string(d.Set)+".services, or set services: auto there",
				"set %s does not have %s", d.Set, id)
		}
	}
	for _, event := range slices.Sorted(maps.Keys(d.Hooks)) {
		job := d.Hooks[event].Job
		if _, there := c.Jobs[job]; job != "" && !there {
			k.Add(where+".hooks."+event+".job", "name one of: "+joined(c.Jobs), "there is no job %q", job)
		}
	}
	k.Problems = append(k.Problems, d.Check(where)...)
}

// mirror checks the mirror, and the job that it is.
func (k *checker) mirror(f *File, c *Installation) {
	const where = "jobs." + string(section.Job)
	if _, taken := f.Jobs[section.Job]; taken {
		k.Add(where, "give it another name", "the name is taken: mirror is the job that the mirror makes")
	} else {
		k.schedule(where, c.Mirror.Schedule, c.Mirror.Timezone)
		k.job(where, c.Jobs[section.Job], c)
	}
	k.Problems = append(k.Problems, c.Mirror.Check()...)
}

// retentions are the days that CloudWatch Logs takes.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentions = []int{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

var keyPattern = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$`)

// installation checks the keys of the installation as a whole.
func (k *checker) installation(f *File, c *Installation) {
	if c.Mode != Active && c.Mode != Observe {
		k.Add("mode", "write active or observe", "invalid mode %q (want active or observe)", c.Mode)
	}
	if !slices.Contains(retentions, c.LogRetention) {
		k.Add("logRetention", "write 7, 30, 90, 365 or another number of days that CloudWatch Logs takes", "%d days",
			c.LogRetention)
	}
	if c.KMSKey != "" && !keyPattern.MatchString(c.KMSKey) {
		k.Add("kmsKey", "write the key's ARN, as in arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-...",
			"%q is not one", c.KMSKey)
	}
	if n := f.KeepEvents; n != nil && (*n < 0 || *n > 256) {
		k.Add("keepEvents", "write 0 to 256 KiB", "%d", *n)
	}
	if c.EventsPerMinute < 0 {
		k.Add("eventsPerMinute", "write how many events are taken for a job in a minute, or 0 for any number", "%d",
			c.EventsPerMinute)
	}
	if c.ReservedConcurrency < 0 || c.ReservedConcurrency == 1 {
		k.Add("reservedConcurrency",
			"write 0 to reserve nothing, or at least 2: one invocation waits for endpoints while another takes events",
			"%d", c.ReservedConcurrency)
	}
	k.tags(c.Tags)
	if c.PermissionsBoundary != "" && !field.IsARN(c.PermissionsBoundary, "iam", "policy/") {
		k.Add("permissionsBoundary",
			"write the ARN of a managed policy, as in arn:aws:iam::123456789012:policy/boundary", "%q is not one",
			c.PermissionsBoundary)
	}
	if !slices.Contains([]Monitoring{MonitorNothing, MonitorAlarms, MonitorFully}, c.Monitoring) {
		k.Add("monitoring", "write none, alarms or full", "invalid monitoring %q (want none, alarms or full)",
			c.Monitoring)
	}
	if c.Monitoring == MonitorNothing && (c.AlarmTopic != "" || c.PaidHoursAlarm > 0) {
		k.Add("monitoring", "write alarms, or take alarmTopic and paidHoursAlarm out", "no alarm sounds without it")
	}
	if c.AlarmTopic != "" && !field.IsARN(c.AlarmTopic, "sns", "") {
		k.Add("alarmTopic", "write the ARN of an SNS topic", "%q is not one", c.AlarmTopic)
	}
	if c.PaidHoursAlarm < 0 {
		k.Add("paidHoursAlarm", "write a number of endpoint-hours a day, or 0", "%d is negative", c.PaidHoursAlarm)
	}
}

// tagPattern are the characters that a tag may have in every service.
//
// Source: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// maxTags are the tags that leave room for AWS's and our own among the 50 of a resource.
const maxTags = 40

// tags checks the tags of all that is made.
func (k *checker) tags(tags map[string]string) {
	if len(tags) > maxTags {
		k.Add("tags", "write at most 40", "%d tags", len(tags))
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		where, low := "tags."+key, strings.ToLower(key)
		switch {
		case strings.HasPrefix(low, "aws:") || strings.HasPrefix(low, "drawbridge:"):
			k.Add(where, "choose another key", "keys that begin with aws: or drawbridge: are taken")
		case low == "name":
			k.Add(where, "choose another key", "each resource has a Name of its own")
		case key == "" || len(key) > 128 || !tagPattern.MatchString(key):
			k.Add(where, "use up to 128 letters, digits, blanks and _.:/=+-@", "%q is not the key of a tag", key)
		case len(tags[key]) > 256 || !tagPattern.MatchString(tags[key]):
			k.Add(where, "use up to 256 letters, digits, blanks and _.:/=+-@", "%q is not the value of a tag",
				tags[key])
		}
	}
}

// guards checks the limits of a set.
func (k *checker) guards(where string, s Set) {
	for _, g := range s.EndpointSecurityGroups {
		if !strings.HasPrefix(g, "sg-") {
			k.Add(where+".endpointSecurityGroups", "write security group ids, as in sg-0123456789abcdef0",
				"%q is not a security group id", g)
		}
	}
	if m := s.MaxLifetime; m != 0 && m < time.Hour {
		k.Add(where+".maxLifetime", "write at least 1h, or 0s for none", "%s is less than a paid hour", m)
	}
	if s.WaitCost < 0 || s.WaitCost > 1e6 {
		k.Add(where+".waitCost", "write USD an hour, as in 5", "%v is out of range", s.WaitCost)
	}
	if s.HoursPerDay < 0 || s.HoursPerDay > 0 && s.HoursPerDay < s.hoursPerHour() {
		k.Add(where+".hoursPerDay",
			fmt.Sprintf("write 0 for none, or at least %d: what one hour of the set is billed as", s.hoursPerHour()),
			"%d endpoint-hours allow not one hour", s.HoursPerDay)
	}
	if s.OverBudget != WaitForNextDay && s.OverBudget != FailRuns {
		k.Add(where+".overBudget", "write wait or fail", "invalid overBudget %q (want wait or fail)", s.OverBudget)
	}
}

func (k *checker) setName(where, name string) {
	if !namePattern.MatchString(name) {
		k.Add(where, "use lower-case letters, digits and hyphens, at most 25", "%q is not a set name", name)
	}
	if strings.HasPrefix(name, selftestPrefix) {
		k.Add(where, "choose another name: those stacks are deleted by drawbridge selftest",
			"names of sets do not begin with %s", selftestPrefix)
	}
}

func (k *checker) set(where string, s Set) {
	if len(s.Subnets) == 0 {
		k.Add(where+".subnets", "name the private subnets that the jobs run in", "no subnets")
	}
	for _, n := range s.Subnets {
		if !strings.HasPrefix(n, "subnet-") {
			k.Add(where+".subnets", "write subnet ids, as in subnet-0123456789abcdef0", "%q is not a subnet id", n)
		}
	}
	if _, err := endpoints.Resolve(s.Services); err != nil {
		k.Add(where+".services", hint.Of(err), "%v", err)
	}
	if s.Zones < 1 || s.Zones > 6 {
		k.Add(where+".zones", "write 1 to 6; one zone serves the whole VPC", "%d zones", s.Zones)
	}
	if s.S3Gateway != endpoints.GatewayPermanent && s.S3Gateway != endpoints.GatewaySet {
		k.Add(where+".s3Gateway", "write permanent or set", "invalid s3Gateway %q (want permanent or set)", s.S3Gateway)
	}
	if settle := s.Settle; settle < 0 || settle > 10*time.Minute {
		k.Add(where+".settle", "write 0s to 10m", "settle %s is out of range (0s to 10m)", settle)
	}
	k.guards(where, s)
}

func (k *checker) jobName(where, name string) {
	if !namePattern.MatchString(name) {
		k.Add(where, "use lower-case letters, digits and hyphens, at most 25", "%q is not a job name", name)
	}
}

func (k *checker) job(where string, j Job, c *Installation) {
	s, ok := c.Sets[j.Set]
	if !ok {
		k.Add(where+".set", "name one of: "+joined(c.Sets), "there is no set %q", j.Set)
	}
	if j.Cluster == "" {
		k.Add(where+".cluster", "name the ECS cluster that the task runs in", "no cluster")
	}
	if j.TaskDefinition == "" {
		k.Add(where+".taskDefinition", "name the family, family:revision or ARN", "no task definition")
	}
	if _, err := endpoints.Resolve(j.Services); err != nil {
		k.Add(where+".services", hint.Of(err), "%v", err)
	}
	for _, id := range j.Services {
		if ok && !s.Auto && !slices.Contains(s.Services, id) {
			k.Add(where+".services", "add it to sets."+string(j.Set)+".services, or set services: auto there",
				"set %s does not have %s", j.Set, id)
		}
	}
	for _, n := range j.Subnets {
		if ok && !slices.Contains(s.Subnets, n) {
			k.Add(where+".subnets", "use subnets of the set", "%s is not a subnet of set %s", n, j.Set)
		}
	}
	for _, g := range j.SecurityGroups {
		if !strings.HasPrefix(g, "sg-") {
			k.Add(where+".securityGroups", "write security group ids, as in sg-0123456789abcdef0",
				"%q is not a security group id", g)
		}
	}
	k.limits(where, j)
	if !j.Made { // whose variables are named one by one
		k.overrides(where, j)
	}
	k.environment(where, j)
}

// limits checks how long and how many of a job's tasks may run.
func (k *checker) limits(where string, j Job) {
	if j.MaxRuntime < 0 {
		k.Add(where+".maxRuntime", "write a duration such as 1h", "%s is negative", j.MaxRuntime)
	}
	if j.MaxConcurrent < 0 {
		k.Add(where+".maxConcurrent", "write how many tasks may run at a time, or 0 for any number", "%d",
			j.MaxConcurrent)
	}
	if d := j.MaxDelay; d < 0 || d > 7*24*time.Hour {
		k.Add(where+".maxDelay", "write 0s to 168h", "%s is out of range", d)
	}
	if d := j.StartTimeout; d != 0 && (d < time.Minute || d > 24*time.Hour) {
		k.Add(where+".startTimeout", "write 1m to 24h", "%s is out of range", d)
	}
}

// environment checks the variables that a job's tasks take from the event.
func (k *checker) environment(where string, j Job) {
	for _, v := range slices.Sorted(maps.Keys(j.Environment)) {
		if !variablePattern.MatchString(v) || !pathPattern.MatchString(j.Environment[v]) {
			k.Add(where+".environment", "write NAME: $.detail.some.place",
				"%s: %q is not a place in the event", v, j.Environment[v])
		}
		if Reserved(v) {
			k.Add(where+".environment", "choose another name for what an event may say", "no event sets %s", v)
		}
	}
}

func (k *checker) schedule(where, text, zone string) {
	if text == "" {
		if zone != "" {
			k.Add(where+".timezone", "add a schedule, or leave it out", "there is no schedule")
		}
		return
	}
	if _, err := schedule.Parse(text, zone); err != nil {
		k.Add(where+".schedule", hint.Of(err), "%v", err)
	}
}

func (k *checker) patterns(where string, patterns []map[string]any) {
	for i, on := range patterns {
		if _, err := compile(on); err != nil {
			k.Add(fmt.Sprintf("%s.on[%d]", where, i), "write an EventBridge event pattern, as in source: [aws.s3]",
				"%v", err)
		}
	}
}

func joined[K ~string, V any](m map[K]V) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}
