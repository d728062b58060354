package selftest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
)

// denial matches AWS's denial of an action on a resource to a principal.
var denial = regexp.MustCompile(`User: (\S+) is not authorized to perform: ([\w-]+:\w+)(?: on resource: (\S+))?`)

// lacks matches our own texts of a denial.
var lacks = regexp.MustCompile(`role (\S+) lacks ([\w-]+:\w+)`)

// others are refusals other than denials, with their remedies.
var others = []struct{ text, remedy string }{
	{
		"service linked role",
		"aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com; deploy does it if permitted",
	},
	{
		"UnauthorizedTaggingOperation",
		"drawbridge deploy corrects the service role: it needs ec2:CreateTags on the endpoints that it creates",
	},
	{"4KB limit", "this drawbridge keeps what grows out of the functions' environment: deploy it again"},
	{
		"conflicting DNS domain",
		"another owner's endpoint or private hosted zone holds the name; drawbridge doctor names it",
	},
	{"does not exist within the Region", "leave the service out of the set: the Region does not offer it"},
	{
		"InvalidServiceName",
		"leave the service out of the set: the Region does not offer it under the name that Drawbridge knows; " +
			"please report it",
	},
	{
		"limit on the number of vCPUs",
		"request a higher quota of Fargate On-Demand vCPU resource count (Service Quotas, L-3032A538)",
	},
	{"Capacity is unavailable", "wait, or name subnets in more zones under the set"},
}

// refusals extracts the refusals from texts of AWS: each action and role once, and
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
			who := awserr.Caller(m[1])
			add(who+" "+m[2], Refusal{
				Action: m[2], Who: who, Text: brief(text), Remedy: remedy(text, who, m[2], resource),
			})
			continue
		}
		if m := lacks.FindStringSubmatch(text); m != nil {
			add("role "+m[1]+" "+m[2], Refusal{
				Action: m[2], Who: "role " + m[1], Text: brief(text), Remedy: remedy(text, "role "+m[1], m[2], "*"),
			})
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

// changing matches parts of a resource's ARN that differ each time.
var changing = regexp.MustCompile(`/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$|vpce-[0-9a-f]+$`)

// remedy returns what allows an action.
func remedy(text, who, action, resource string) string {
	if _, policy := cfn.Forbidden(text); policy != "" {
		return "a " + policy + " denies it, not the permissions of " + who + ": have its owner allow " +
			action + " on " + generalised(resource)
	}
	out := "add " + statement(action, generalised(resource))
	if strings.HasPrefix(who, "role ") {
		out += "; drawbridge deploy corrects the roles of the installation"
	}
	return out
}

func generalised(resource string) string {
	return changing.ReplaceAllStringFunc(resource, func(end string) string {
		if strings.HasPrefix(end, "/") {
			return "/*"
		}
		return "*"
	})
}

// statement is the statement that allows an action.
func statement(action, resource string) string {
	b, err := json.Marshal(map[string]string{"Effect": "Allow", "Action": action, "Resource": resource})
	if err != nil {
		return "" // texts always encode
	}
	return string(b)
}

func brief(text string) string {
	if len(text) > 300 {
		return text[:297] + "..."
	}
	return text
}
