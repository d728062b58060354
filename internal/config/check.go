package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/eventpattern"
	"drawbridge/scheduler"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	// Where is the place, such as jobs.hello.set; empty for the whole file.
	Where, What, Remedy string
}

// Error reports everything that is wrong with a file.
type Error struct {
	Path     string
	Problems []Problem
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.What
		if p.Where != "" {
			lines[i] = p.Where + ": " + p.What
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

// checker gathers problems.
type checker struct{ problems []Problem }

func (k *checker) add(where, remedy, format string, args ...any) {
	k.problems = append(k.problems, Problem{where, fmt.Sprintf(format, args...), remedy})
}

func (c *Config) check() []Problem {
	k := &checker{}
	if !namePattern.MatchString(c.Name) {
		k.add("name", "use lower-case letters, digits and hyphens, at most 25", "%q cannot begin the names of AWS resources", c.Name)
	}
	if _, err := scheduler.ParseBasis(string(c.Billing)); err != nil {
		k.add("billing", "write clock or creation", "%v", err)
	}
	if m := time.Duration(c.Margin); m < time.Minute || m > 30*time.Minute {
		k.add("margin", "write 1m to 30m", "%s is no useful time before the end of a paid hour", m)
	}
	if len(c.Sets) == 0 {
		k.add("sets", "name at least one set with its subnets", "no sets")
	}
	if len(c.Jobs) == 0 {
		k.add("jobs", "name at least one job with its set, cluster and task definition", "no jobs")
	}
	of := map[string]scheduler.SetName{}
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		for _, n := range subnetsOf(c.Sets[name]) {
			if other, taken := of[n]; taken && other != name {
				k.add("sets."+string(name)+".subnets", "let the jobs share one set: a VPC has one", "%s is a subnet of set %s already", n, other)
			}
			of[n] = name
		}
		k.set("sets."+string(name), string(name), c.Sets[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		k.job("jobs."+string(name), string(name), c.Jobs[name], c)
	}
	return k.problems
}

func subnetsOf(s *Set) []string {
	if s == nil {
		return nil
	}
	return s.Subnets
}

func (k *checker) set(where, name string, s *Set) {
	if !namePattern.MatchString(name) {
		k.add(where, "use lower-case letters, digits and hyphens, at most 25", "%q is not a set name", name)
	}
	if s == nil {
		k.add(where, "give it at least its subnets", "the set is empty")
		return
	}
	if len(s.Subnets) == 0 {
		k.add(where+".subnets", "name the private subnets that the jobs run in", "no subnets")
	}
	for _, n := range s.Subnets {
		if !strings.HasPrefix(n, "subnet-") {
			k.add(where+".subnets", "write subnet ids, as in subnet-0123456789abcdef0", "%q is not a subnet id", n)
		}
	}
	if _, err := endpoints.Resolve(s.Services); err != nil {
		remedy := ""
		if h, ok := err.(interface{ Hint() string }); ok {
			remedy = h.Hint()
		}
		k.add(where+".services", remedy, "%v", err)
	}
	if s.Zones < 1 || s.Zones > 6 {
		k.add(where+".zones", "write 1 to 6; one zone serves the whole VPC", "%d zones", s.Zones)
	}
	if s.S3Gateway != endpoints.GatewayPermanent && s.S3Gateway != endpoints.GatewaySet {
		k.add(where+".s3Gateway", "write permanent or set", "%q is no way to keep the gateway", s.S3Gateway)
	}
	if settle := time.Duration(*s.Settle); settle < 0 || settle > 10*time.Minute {
		k.add(where+".settle", "write 0s to 10m", "%s is no useful time to settle", settle)
	}
}

func (k *checker) job(where, name string, j *Job, c *Config) {
	if !namePattern.MatchString(name) {
		k.add(where, "use lower-case letters, digits and hyphens, at most 25", "%q is not a job name", name)
	}
	if j == nil {
		k.add(where, "give it at least its set, cluster and task definition", "the job is empty")
		return
	}
	s := c.Sets[j.Set]
	if s == nil {
		k.add(where+".set", "name one of: "+joined(c.Sets), "there is no set %q", j.Set)
	}
	if j.Cluster == "" {
		k.add(where+".cluster", "name the ECS cluster that the task runs in", "no cluster")
	}
	if j.TaskDefinition == "" {
		k.add(where+".taskDefinition", "name the family, family:revision or ARN", "no task definition")
	}
	for _, n := range j.Subnets {
		if s != nil && !slices.Contains(s.Subnets, n) {
			k.add(where+".subnets", "use subnets of the set", "%s is not a subnet of set %s", n, j.Set)
		}
	}
	for _, g := range j.SecurityGroups {
		if !strings.HasPrefix(g, "sg-") {
			k.add(where+".securityGroups", "write security group ids, as in sg-0123456789abcdef0", "%q is not a security group id", g)
		}
	}
	if *j.MaxRuntime < 0 {
		k.add(where+".maxRuntime", "write a duration such as 1h", "%s is negative", time.Duration(*j.MaxRuntime))
	}
	for _, o := range j.Overrides {
		if !slices.Contains(overridable, o) {
			k.add(where+".overrides", "use "+strings.Join(overridable, ", "), "%q cannot be overridden", o)
		}
	}
	for _, v := range slices.Sorted(maps.Keys(j.Environment)) {
		if !variablePattern.MatchString(v) || !pathPattern.MatchString(j.Environment[v]) {
			k.add(where+".environment", "write NAME: $.detail.some.place", "%s: %q is no variable with a place in the event", v, j.Environment[v])
		}
	}
	k.patterns(where, j)
}

func (k *checker) patterns(where string, j *Job) {
	j.patterns = nil
	for i, on := range j.On {
		text, err := json.Marshal(on)
		if err == nil {
			var p *eventpattern.Pattern
			if p, err = eventpattern.Compile(text); err == nil {
				j.patterns = append(j.patterns, p)
				continue
			}
		}
		k.add(fmt.Sprintf("%s.on[%d]", where, i), "write an EventBridge event pattern, as in source: [aws.s3]", "%v", err)
	}
}

func joined[K ~string, V any](m map[K]V) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}
