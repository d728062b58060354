// Package wing is what deployments bring into an installation: the function that follows
// them and answers their hooks, the rules that tell it of them, and its checks.
package wing

import (
	"maps"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/internal/config"
	"drawbridge/internal/deployments/section"
	"drawbridge/internal/seam"
	"drawbridge/scheduler"
)

// The roles of deployments.
const (
	HookRole   cfn.Role = "hook"
	CallerRole cfn.Role = "hook-caller"
	ProbeRole  cfn.Role = "probe"
)

// Wing is the deployments of an installation.
type Wing struct{ config *config.Installation }

// New returns the deployments of an installation that names some.
func New(c *config.Installation) Wing { return Wing{c} }

// Job is none: what deployments run are jobs of the configuration.
func (Wing) Job() scheduler.JobName { return "" }

// Image is none.
func (Wing) Image() *seam.Image { return nil }

// Reserves is what the functions reserve.
func (w Wing) Reserves() int { return 0 }

// hookSeconds is the functions' time-out: they look, and leave what lasts to the next look.
const hookSeconds = 120

// parameterCode is the key of the functions' zip.
const parameterCode = "HookCode"

// Addition is the deployments' part of the base stack.
func (w Wing) Addition(b cfn.Base, _ seam.Known) (cfn.Addition, error) {
	p := part{b, w.config.Deployments, cfn.NamesOf(b.Name, b.Region)}
	r := cfn.Object{}
	for _, x := range p.rules() {
		p.addRule(r, x)
	}
	p.addAlarms(r)
	role := func(role cfn.Role, id, service string) cfn.RoleSpec {
		return cfn.RoleSpec{Role: role, ID: id, Name: b.Name + "-" + string(role) + "-" + b.Region, Service: service}
	}
	out := cfn.Addition{
		Resources: r, Statements: p.statements(),
		Roles: []cfn.RoleSpec{role(HookRole, "HookRole", "lambda")},
		Functions: []cfn.Function{{
			Code: "hook", Name: p.names.Hook, ID: "Hook", Role: "HookRole", Parameter: parameterCode,
			What: "deployments followed, their hooks answered", Seconds: hookSeconds,
		}},
		Outputs: cfn.Object{"Hook": cfn.Object{
			"Description": "The function for hooks of ECS deployments and for actions of pipelines",
			"Value":       cfn.Att("Hook", "Arn"),
		}},
	}
	for _, name := range slices.Sorted(maps.Keys(p.deployments)) {
		for _, event := range p.deployments[name].Events() {
			out.Functions = append(out.Functions, cfn.Function{
				Code: "hook", Name: section.HookFunction(b.Name, name, event), ID: "Hook" + cfn.IDPart(name) + event,
				Role: "HookRole", Parameter: parameterCode, What: event + " of deployments " + name,
				Seconds: hookSeconds,
			})
		}
	}
	if sets := p.probed(); len(sets) > 0 {
		out.Roles = append(out.Roles, role(ProbeRole, "ProbeRole", "lambda"))
		for _, set := range sets {
			out.Functions = append(out.Functions, p.addProbe(r, out.Outputs, set))
		}
	}
	if p.ofECS() {
		out.Roles = append(out.Roles, role(CallerRole, "HookCallerRole", "ecs"))
		out.Outputs["HookRole"] = cfn.Object{
			"Description": "The role by which ECS calls that function, for roleArn of a lifecycle hook",
			"Value":       cfn.Att("HookCallerRole", "Arn"),
		}
	}
	return out, nil
}

// Next says where hooks and actions go.
func (w Wing) Next(outputs map[string]string, _ string) []string {
	out := []string{"Hooks of ECS deployments, and actions of pipelines, invoke " + outputs["Hook"] + "."}
	for _, name := range slices.Sorted(maps.Keys(w.config.Deployments)) {
		for _, event := range w.config.Deployments[name].Events() {
			out = append(out, "An AppSpec of deployments "+name+" names "+
				section.HookFunction(w.config.Name, name, event)+" at "+event+".")
		}
	}
	return out
}

// part is the deployments' part of a base stack.
type part struct {
	cfn.Base
	deployments map[string]section.Deployment
	names       cfn.Names
}

func (p part) ofECS() bool {
	for _, d := range p.deployments {
		if d.ECSService != "" {
			return true
		}
	}
	return false
}

// rule is a rule of EventBridge that tells the function of deployments.
type rule struct {
	id, name, description string
	pattern               cfn.Object
	rate                  string
}

// like is the value of a pattern for a name that may hold a *.
func like(name string) []any {
	if strings.Contains(name, "*") {
		return []any{cfn.Object{"wildcard": name}}
	}
	return []any{name}
}

// rules are the rules of all deployments, and the one of every minute: it sees what events
// that were lost would have told.
func (p part) rules() []rule {
	out := []rule{{
		id: "DeploymentsLook", name: p.names.Hook + "-look", description: "the look at deployments, every minute",
		rate: "rate(1 minute)",
	}}
	add := func(name, kind, what string, pattern cfn.Object) {
		pattern["account"] = []any{cfn.Ref("AWS::AccountId")}
		out = append(out, rule{
			id: "Deployment" + cfn.IDPart(name) + kind, name: p.names.Hook + "-" + name + "-" + strings.ToLower(kind),
			description: what + " of deployments " + name, pattern: pattern,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(p.deployments)) {
		d := p.deployments[name]
		if d.ECSService != "" {
			add(name, "ECS", "the service's deployments and hooks", cfn.Object{
				"source":      []any{"aws.ecs"},
				"detail-type": []any{"ECS Deployment State Change", "ECS Hook State Change"},
				"resources": []any{
					cfn.Object{"wildcard": "arn:*:ecs:*:service/" + d.ECSService},
					cfn.Object{"wildcard": "arn:*:ecs:*:service-deployment/" + d.ECSService + "/*"},
				},
			})
		}
		if application, group, ok := strings.Cut(d.CodeDeploy, "/"); ok {
			add(name, "CodeDeploy", "the group's deployments", cfn.Object{
				"source":      []any{"aws.codedeploy"},
				"detail-type": []any{"CodeDeploy Deployment State-change Notification"},
				"detail":      cfn.Object{"application": like(application), "deploymentGroup": like(group)},
			})
		}
		if d.Pipeline != "" {
			add(name, "Pipeline", "the pipeline's executions", cfn.Object{
				"source":      []any{"aws.codepipeline"},
				"detail-type": []any{"CodePipeline Pipeline Execution State Change"},
				"detail":      cfn.Object{"pipeline": like(d.Pipeline)},
			})
		}
		if d.CodeBuild != "" {
			add(name, "Build", "the project's builds", cfn.Object{
				"source": []any{"aws.codebuild"}, "detail-type": []any{"CodeBuild Build State Change"},
				"detail": cfn.Object{"project-name": like(d.CodeBuild)},
			})
		}
	}
	return out
}

func (p part) addRule(r cfn.Object, x rule) {
	properties := cfn.Object{
		"Name": x.name, "Description": "Drawbridge " + p.Name + ": " + x.description, "State": "ENABLED",
		"Targets": []any{cfn.Object{"Id": "target", "Arn": cfn.Att("Hook", "Arn")}},
	}
	if x.rate != "" {
		properties["ScheduleExpression"] = x.rate
	} else {
		properties["EventPattern"] = x.pattern
	}
	r[x.id] = cfn.Resource("AWS::Events::Rule", properties)
	r[x.id+"Permission"] = cfn.Resource("AWS::Lambda::Permission", cfn.Object{
		"FunctionName": cfn.Ref("Hook"), "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com",
		"SourceArn": cfn.Att(x.id, "Arn"),
	})
}

// addAlarms adds the alarm for deployments that cannot go on, and the one for a look that does
// not come by.
func (p part) addAlarms(r cfn.Object) {
	add := func(a cfn.Alarm, more cfn.Object) {
		x := p.Alarm(a)
		x["Namespace"], x["MetricName"] = cfn.Namespace, cfn.MetricHanging
		x["Dimensions"] = []any{cfn.Object{"Name": "Installation", "Value": p.Name}}
		maps.Copy(x, more)
		r[a.ID+"Alarm"] = cfn.Resource("AWS::CloudWatch::Alarm", x)
	}
	add(cfn.Alarm{
		ID: "HangingDeployments", Description: "a deployment waits for a hook that cannot report to CodeDeploy, or " +
			"traffic was moved to a target group without a healthy target; drawbridge status shows the cause",
		Statistic: "Maximum", Period: 60, Periods: 1, Missing: "notBreaching",
	}, nil)
	add(cfn.Alarm{
		ID: "SilentDeployments", Description: "nobody has looked at deployments for 15 minutes: the function of " +
			"the hooks does not run", Statistic: "SampleCount", Period: 900, Periods: 1, Above: 1, Missing: "breaching",
	}, cfn.Object{"ComparisonOperator": "LessThanThreshold"})
}

// probed are the sets in whose VPC checks are made, in order of name.
func (p part) probed() []cfn.BaseSet {
	var out []cfn.BaseSet
	for _, s := range p.Sets {
		for _, d := range p.deployments {
			if string(d.Set) == s.Name && d.Inside() {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

// addProbe adds the function that looks from within a set's VPC, with its security group,
// which lets out to the VPC by TCP and nothing in.
func (p part) addProbe(r, outputs cfn.Object, s cfn.BaseSet) cfn.Function {
	id := "Probe" + cfn.IDPart(s.Name)
	group := id + "SecurityGroup"
	var egress []any
	for _, block := range sorted(s.CIDRs) {
		egress = append(egress, cfn.Object{
			"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "CidrIp": block,
			"Description": "what is checked in the VPC",
		})
	}
	r[group] = cfn.Resource("AWS::EC2::SecurityGroup", cfn.Object{
		"GroupDescription": "Drawbridge set " + s.Name + ": checks of deployments", "VpcId": s.VPC,
		"SecurityGroupEgress": egress, "Tags": p.Tags(s.Name + "-probe"),
	})
	outputs[group] = cfn.Object{
		"Description": "The security group of checks in the VPC of set " + s.Name + ", which what is checked lets in",
		"Value":       cfn.Att(group, "GroupId"),
	}
	return cfn.Function{
		Code: "hook", Name: section.ProbeFunction(p.Name, scheduler.SetName(s.Name)), ID: id, Role: "ProbeRole",
		Parameter: parameterCode, What: "checks of deployments from within the VPC", Seconds: 60, Subnets: s.Subnets,
		Groups: []any{cfn.Att(group, "GroupId")},
	}
}
