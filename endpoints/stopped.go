package endpoints

import (
	"regexp"
	"strings"
)

// Stopped is a task that has stopped, as ECS describes it.
type Stopped struct {
	// Code is the task's stopCode, Reason its stoppedReason.
	Code, Reason string
	Containers   []StoppedContainer
}

// StoppedContainer is a container of a stopped task. ExitCode is nil for one that
// never ran.
type StoppedContainer struct {
	Name, Reason string
	ExitCode     *int
}

// Trouble is what kind of thing went wrong.
type Trouble string

// The troubles.
const (
	// Unreached is a service or registry that did not answer.
	Unreached Trouble = "unreached"
	// Denied is an answer that refused.
	Denied Trouble = "denied"
	// NotFound is something that is not there: an image, a secret, a log group.
	NotFound      Trouble = "not-found"
	Misconfigured Trouble = "misconfigured"
	WrongPlatform Trouble = "wrong-platform"
	RateLimited   Trouble = "rate-limited"
	OutOfMemory   Trouble = "out-of-memory"
	NoSpace       Trouble = "no-space"
	NoCapacity    Trouble = "no-capacity"
	// Mount is a file system that could not be mounted.
	Mount Trouble = "mount"
	// Interrupted is a task that AWS took back, StoppedByHand one that somebody
	// stopped.
	Interrupted   Trouble = "interrupted"
	StoppedByHand Trouble = "stopped-by-hand"
	// Unexplained is a text that nothing is known of.
	Unexplained Trouble = "unexplained"
)

// Symptom is what the texts of a stopped task say.
type Symptom struct {
	Trouble Trouble
	// Service is the one that was asked; empty if the text names none.
	Service ServiceID
	// Container is the one whose text it is; empty for the task's own.
	Container string
	// Action is the IAM action that was refused, if the text names it.
	Action string
	// Text is what was read.
	Text string
}

// reading is a rule: a text that matches means the trouble.
type reading struct {
	trouble Trouble
	text    *regexp.Regexp
}

func rule(t Trouble, expression string) reading {
	return reading{t, regexp.MustCompile(`(?i)` + expression)}
}

// readings are tried in order. testdata/stopped.json holds the texts that they
// were drawn from, with their sources.
var readings = []reading{
	rule(Unexplained, `CannotCreateVolume`),
	rule(WrongPlatform, `descriptor (matching|for) platform|exec format error`),
	rule(RateLimited, `toomanyrequests|429 Too Many|pull rate limit`),
	rule(NoSpace, `no space left`),
	rule(OutOfMemory, `OutOfMemory|OOM-killed`),
	rule(NoCapacity,
		`capacity is unavailable|InsufficientFreeAddresses|network interface provisioning|^RESOURCE:|reached the `+
			`limit on the number of`),
	rule(Mount, `EFS utils|mount\.nfs4`),
	rule(Interrupted, `spot (task|instance) was interrupted`),
	rule(Misconfigured,
		`MissingEndpoint|awslogs driver arguments|did not contain json key|looking for beginning of value|`+
			`executable file not found`),
	rule(Denied,
		`AccessDenied|not authorized to perform|Access to KMS is not allowed|unable to assume the role|`+
			`TagPolicyViolation|403 Forbidden|StatusCode: 403|fetch anonymous token`),
	rule(Unreached,
		`connection issue between|i/o timeout|context deadline exceeded|Client\.Timeout|request canceled|`+
			`RequestError: send request failed|signal: killed|no such host|DockerTimeoutError|context canceled`),
	rule(NotFound,
		`ResourceNotFound|not found|does not exist|invalid ssm parameters|can't find the specified secret|manifest `+
			`unknown|pull access denied`),
	// Cut off or bare texts, after all that say more.
	rule(Unreached,
		`service call has been retried \d+ time|failed to do request: (Get|Head)|asm fetching secret|`+
			`starport-layer-bucket`),
}

// asked are the services by what the texts say of them, tried in order.
var asked = []struct {
	service ServiceID
	text    *regexp.Regexp
}{
	{
		"s3", regexp.MustCompile(`(?i)env files|starport-layer-bucket|httpReadSeeker: failed open: failed to do ` +
			`request: Get "?(https://)?\d{12}\.dkr\.ecr\.|connection issue between the task and the registry. ` +
			`.*httpReadSeeker`),
	},
	{"logs", regexp.MustCompile(`(?i)logger args|logging driver|cloudwatch log|https://logs\.|DockerTimeoutError`)},
	{"secretsmanager", regexp.MustCompile(`(?i)from asm|asm fetching|secrets manager|secretsmanager`)},
	{"ssm", regexp.MustCompile(`(?i)from ssm|ssm parameter|ssm:GetParameters|Systems Manager`)},
	{
		"ecr.api", regexp.MustCompile(`(?i)ecr registry auth|registry auth from Amazon ECR|https://api\.ecr\.|` +
			`ecr:GetAuthorizationToken`),
	},
	{"ecr.dkr", regexp.MustCompile(`\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws`)},
}

var refusedAction = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

// Read reads the texts of a stopped task. The task's own text comes first, unless
// it says nothing.
func Read(t Stopped) Symptom {
	s := readText(t.Reason)
	for _, c := range t.Containers {
		if s.Trouble != Unexplained {
			break
		}
		if x := readText(c.Reason); x.Trouble != Unexplained {
			x.Container = c.Name
			s = x
		}
	}
	switch {
	case s.Trouble != Unexplained:
	case t.Code == "UserInitiated":
		s.Trouble = StoppedByHand
	case t.Code == "SpotInterruption" || t.Code == "TerminationNotice" || t.Code == "InfrastructureHealth":
		s.Trouble = Interrupted
	}
	return s
}

func readText(text string) Symptom {
	s := Symptom{Trouble: Unexplained, Text: text}
	for _, r := range readings {
		if r.text.MatchString(text) {
			s.Trouble = r.trouble
			break
		}
	}
	for _, a := range asked {
		if a.text.MatchString(text) {
			s.Service = a.service
			break
		}
	}
	if m := refusedAction.FindStringSubmatch(text); m != nil {
		s.Action = m[1]
	}
	return s
}

// FailedToStart says whether a task stopped before its containers ran.
func (t Stopped) FailedToStart() bool {
	for _, c := range t.Containers {
		if c.ExitCode != nil {
			return false
		}
	}
	return t.Code == "TaskFailedToStart" || strings.Contains(t.Reason, "Error:")
}
