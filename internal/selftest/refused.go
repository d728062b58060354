package selftest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// denial is how AWS names who may not do what to which resource.
var denial = regexp.MustCompile(`User: (\S+) is not authorized to perform: ([\w-]+:\w+)(?: on resource: (\S+))?`)

// lacks is how our own texts name it.
var lacks = regexp.MustCompile(`role (\S+) lacks ([\w-]+:\w+)`)

// others are refusals that are not about rights, with their remedies.
var others = []struct{ text, remedy string }{
	{"service linked role", "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com; drawbridge deploy does it where it may"},
	{"UnauthorizedTaggingOperation", "drawbridge deploy sets the service role right: it needs ec2:CreateTags on the endpoints that it creates"},
	{"4KB limit", "this drawbridge keeps what grows out of the functions' environment: deploy it again"},
	{"conflicting DNS domain", "an endpoint or a private hosted zone of somebody else holds the name; drawbridge doctor names it"},
	{"does not exist within the Region", "leave the service out of the set: the Region does not offer it"},
	{"InvalidServiceName", "leave the service out of the set: the Region does not offer it under the name that Drawbridge knows; please report it"},
	{"limit on the number of vCPUs", "raise the quota Fargate On-Demand vCPU resource count (Service Quotas, L-3032A538)"},
	{"Capacity is unavailable", "wait, or name subnets in more zones under the set"},
}

// refusals reads what was refused from texts of AWS: each action and role once, and
// each refusal of another kind.
func refusals(texts []string) []Refusal {
	out := []Refusal{}
	known := map[string]bool{}
	add := func(key string, r Refusal) {
		if !known[key] {
			known[key] = true
			out = append(out, r)
		}
	}
	for _, text := range texts {
		if m := denial.FindStringSubmatch(text); m != nil {
			resource := m[3]
			if resource == "" {
				resource = "*"
			}
			who := nameOf(m[1])
			add(who+" "+m[2], Refusal{Action: m[2], Who: who, Text: brief(text), Remedy: statement(m[2], resource)})
			continue
		}
		if m := lacks.FindStringSubmatch(text); m != nil {
			add("role "+m[1]+" "+m[2], Refusal{Action: m[2], Who: "role " + m[1], Text: brief(text), Remedy: statement(m[2], "*")})
			continue
		}
		for _, o := range others {
			if strings.Contains(text, o.text) {
				add(o.text, Refusal{Text: brief(text), Remedy: o.remedy})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Refusal) int { return strings.Compare(a.Who+a.Action, b.Who+b.Action) })
	return out
}

// nameOf returns who an ARN is, without account and session.
func nameOf(arn string) string {
	who := arn[strings.LastIndex(arn, ":")+1:]
	if role, ok := strings.CutPrefix(who, "assumed-role/"); ok {
		role, _, _ = strings.Cut(role, "/")
		return "role " + role
	}
	return who
}

// statement is the statement that lets an action pass.
func statement(action, resource string) string {
	b, err := json.Marshal(map[string]string{"Effect": "Allow", "Action": action, "Resource": resource})
	if err != nil {
		return "" // texts always encode
	}
	return fmt.Sprintf("add %s; drawbridge deploy sets the roles of the installation right", b)
}

func brief(text string) string {
	if len(text) > 300 {
		return text[:297] + "..."
	}
	return text
}
