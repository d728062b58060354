// Package finding holds what checks of an account have found.
package finding

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
)

// Result is the result of a check.
type Result string

// A warning costs money or may surprise but breaks nothing; a failure keeps a
// job from running.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Failed  Result = "failed"
)

// Finding is the outcome of one check.
type Finding struct {
	// Check is the kind of check, Subject its object.
	Check   string `json:"check"`
	Subject string `json:"subject"`
	Result  Result `json:"result"`
	// Found is the fact, Why what depends on it, Remedy what to do; Remedy is
	// empty if the result is ok.
	Found  string `json:"found"`
	Why    string `json:"why"`
	Remedy string `json:"remedy,omitempty"`
	// MendedByDeploy says that drawbridge deploy is the remedy, and is not stopped by it.
	MendedByDeploy bool `json:"mendedByDeploy,omitempty"`
}

// List gathers findings.
type List []Finding

// Topic begins a check on a subject; why says what depends on it.
func (l *List) Topic(check, subject, why string) Topic { return Topic{l, check, subject, why} }

// fatal are the checks without which nothing of a set or a job can work, whatever comes later. An
// image that is not pushed yet, a log group or a secret may come after the deployment.
var fatal = []string{
	"rights", "subnets", "DNS", "endpoints", "services", "security groups", "cluster", "container", "task definition",
	"execution role", "task role",
}

// Blocks reports whether a finding says that what deploy installs could not work.
func Blocks(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool {
		return f.Result == Failed && !f.MendedByDeploy && slices.Contains(fatal, f.Check)
	})
}

// Once returns findings without those that say again what one before them says: the same of the
// same subject, or that the same could not be read.
func Once(findings []Finding) (out []Finding) {
	said := map[string]bool{}
	for _, f := range findings {
		key := fmt.Sprint(f.Check, f.Subject, f.Found)
		if strings.HasPrefix(f.Found, unread) {
			key = f.Found
		}
		if !said[key] {
			said[key] = true
			out = append(out, f)
		}
	}
	return out
}

// NotOK returns the findings that are not ok.
func NotOK(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Result == OK })
}

// Worst returns the worst result of findings.
func Worst(findings []Finding) Result {
	worst := OK
	for _, f := range findings {
		if f.Result == Failed || f.Result == Warning && worst == OK {
			worst = f.Result
		}
	}
	return worst
}

// Said returns AWS's message, without the rest of the error.
func Said(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		return api.ErrorMessage()
	}
	return err.Error()
}

// Topic is one kind of check on one subject.
type Topic struct {
	list                *List
	check, subject, why string
}

func (t Topic) add(r Result, remedy, format string, args ...any) {
	*t.list = append(*t.list, Finding{
		Check: t.check, Subject: t.subject, Result: r, Found: fmt.Sprintf(format, args...), Why: t.why, Remedy: remedy,
	})
}

// OK says that all is well.
func (t Topic) OK(format string, args ...any) { t.add(OK, "", format, args...) }

// Fail says what is wrong, and the remedy.
func (t Topic) Fail(remedy, format string, args ...any) { t.add(Failed, remedy, format, args...) }

// Stale says what is wrong with what is deployed, where drawbridge deploy is the remedy.
func (t Topic) Stale(remedy, format string, args ...any) {
	t.add(Failed, remedy, format, args...)
	(*t.list)[len(*t.list)-1].MendedByDeploy = true
}

// Warn says what may surprise, and the remedy.
func (t Topic) Warn(remedy, format string, args ...any) { t.add(Warning, remedy, format, args...) }

// unread begins what is found of something that could not be read.
const unread = "could not be read: "

// Unread reports a check that could not be made.
func (t Topic) Unread(err error) {
	remedy := "read the message"
	if strings.Contains(err.Error(), "not authorized") {
		remedy = "request permission for the action that the message names, or run doctor as a role that has it"
	}
	t.Warn(remedy, unread+"%s", Said(err))
}
