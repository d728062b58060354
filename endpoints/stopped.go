package endpoints

import (
	"regexp"
	"strings"
)

// Stopped is a stopped task, as ECS describes it.
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

// Trouble is a kind of failure.
type Trouble string

// The troubles.
const (
	// Unreached means that a service or registry did not answer.
	Unreached Trouble = "unreached"
	// Denied means that the answer was a refusal.
	Denied Trouble = "denied"
	// NotFound means that an image, a secret or a log group does not exist.
	NotFound      Trouble = "not-found"
	Misconfigured Trouble = "misconfigured"
	WrongPlatform Trouble = "wrong-platform"
	RateLimited   Trouble = "rate-limited"
	OutOfMemory   Trouble = "out-of-memory"
	NoSpace       Trouble = "no-space"
	NoCapacity    Trouble = "no-capacity"
	// Mount means that a file system could not be mounted.
	Mount Trouble = "mount"
	// Interrupted means that AWS reclaimed the task, StoppedByHand that a user
	// stopped it.
	Interrupted   Trouble = "interrupted"
	StoppedByHand Trouble = "stopped-by-hand"
	// Unexplained means that no rule matches the text.
	Unexplained Trouble = "unexplained"
)

// Symptom is what the texts of a stopped task report.
type Symptom struct {
	Trouble Trouble
	// Service is the one that was called; empty if the text names none.
	Service ServiceID
	// Container is the one the text belongs to; empty for the task's own text.
	Container string
	// Action is the IAM action that was denied, if the text names it.
	Action string
	// Text is the text that was read.
	Text string
}

// reading is a rule: a matching text means the trouble.
type reading struct {
	trouble Trouble
	text    *regexp.Regexp
}

func rule(t Trouble, expression string) reading {
	return reading{t, regexp.MustCompile(`(?i)` + expression)}
}

// readings are tried in order. testdata/stopped.json holds the texts that they
// come from, with their sources.
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
	// Truncated or bare texts come after all that are more specific.
	rule(Unreached,
		`service call has been retried \d+ time|failed to do request: (Get|Head)|asm fetching secret|`+
			`starport-layer-bucket`),
}

// asked maps what the texts say to services, tried in order.
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
// it is unspecific.
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

// FailedToStart reports whether a task stopped before its containers ran.
func (t Stopped) FailedToStart() bool {
	for _, c := range t.Containers {
		if c.ExitCode != nil {
			return false
		}
	}
	return t.Code == "TaskFailedToStart" || strings.Contains(t.Reason, "Error:")
}
