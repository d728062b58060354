package wing

import (
	"maps"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
)

// statements returns what the deployments' roles may do: each right on what they name, and
// none that no deployment asks for.
func (p part) statements() []cfn.Statement {
	function := func(name string) string { return cfn.ARN("lambda", "function:"+name) }
	logs := []string{cfn.ARN("logs", "log-group:/aws/lambda/"+p.names.Hook+":*")}
	for _, name := range slices.Sorted(maps.Keys(p.deployments)) {
		for _, event := range p.deployments[name].Events() {
			logs = append(logs, cfn.ARN("logs",
				"log-group:/aws/lambda/"+section.HookFunction(p.Name, name, event)+":*"))
		}
	}
	out := []cfn.Statement{
		{Role: HookRole, Sid: "Store",
			Actions: []string{
				"dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem",
			}, Resources: []string{cfn.ARN("dynamodb", "table/"+p.names.Table)},
			Why: "records of deployments and their holds are written, sets and runs read"},
		{Role: HookRole, Sid: "StoreIndex", Actions: []string{"dynamodb:Query"},
			Resources: []string{cfn.ARN("dynamodb", "table/"+p.names.Table+"/index/live")},
			Why:       "which deployments have not ended is one query of the table's index"},
		{Role: HookRole, Sid: "ReadInstallation", Actions: []string{"cloudformation:DescribeStacks"},
			Resources: []string{cfn.ARN("cloudformation", "stack/"+p.names.Stack+"/*")},
			Why:       "the base stack's outputs name the sets' VPCs"},
		{Role: HookRole, Sid: "Wake", Actions: []string{"lambda:InvokeFunction"},
			Resources: []string{function(p.names.Launcher), function(p.names.Reaper)},
			Why:       "the launcher raises what a deployment holds and runs its jobs, the reaper lowers it"},
		{Role: HookRole, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, Resources: logs,
			Why: "the functions' logs; the groups themselves belong to the base stack"},
		{Role: cfn.ReaperRole, Sid: "TellHook", Actions: []string{"lambda:InvokeFunction"},
			Resources: []string{function(p.names.Hook)},
			Why:       "the end of a run that decides a hook is told at once"},
		{Role: cfn.LauncherRole, Sid: "TellHook", Actions: []string{"lambda:InvokeFunction"},
			Resources: []string{function(p.names.Hook)},
			Why:       "the end of a run that decides a hook is told at once"},
	}
	out = append(out, p.UseKey(HookRole, "dynamodb")...)
	if p.ofECS() {
		out = append(out, cfn.Statement{Role: CallerRole, Sid: "CallHook", Actions: []string{"lambda:InvokeFunction"},
			Resources: []string{function(p.names.Hook)},
			Why:       "ECS calls the function at lifecycle hooks with this role"})
	}
	return slices.Concat(out, p.reads(), p.watches(), p.checks())
}

// checks is what the checks of hooks take.
func (p part) checks() []cfn.Statement {
	var out []cfn.Statement
	balancer := false
	var clusters, tasks, distributions []string
	for _, d := range p.deployments {
		balancer = balancer || len(d.Listeners) > 0
		for _, h := range d.Hooks {
			for _, c := range h.Checks {
				if c.Invalidate != nil {
					distributions = append(distributions,
						"arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/"+c.Invalidate.Distribution)
				}
				if c.Tasks != nil {
					clusters = append(clusters, clusterOf(d))
				}
				balancer = balancer || c.Targets != "" || c.Weights != ""
			}
		}
	}
	for _, cluster := range sorted(clusters) {
		tasks = append(tasks, cfn.ARN("ecs", "task/"+cluster+"/*"))
	}
	if len(tasks) > 0 {
		var arns []string
		for _, cluster := range sorted(clusters) {
			arns = append(arns, cfn.ARN("ecs", "cluster/"+cluster))
		}
		inClusters := map[string]map[string]any{"ArnLike": {"ecs:cluster": cfn.OneOrMore(arns)}}
		out = append(out,
			cfn.Statement{Role: HookRole, Sid: "ReadTasks", Actions: []string{"ecs:DescribeTasks"}, Resources: tasks,
				Condition: inClusters, Why: "the addresses of the tasks that a deployment has started"},
			cfn.Statement{Role: HookRole, Sid: "ListTasks", Actions: []string{"ecs:ListTasks"},
				Resources: []string{"*"},
				Condition: inClusters, Why: "which tasks those are; ECS knows the cluster alone for this read"})
	}
	if balancer {
		out = append(out, cfn.Statement{Role: HookRole, Sid: "ReadLoadBalancers",
			Actions: []string{
				"elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetHealth",
			}, Resources: []string{"*"},
			Why: "where the traffic goes, and whether its targets are healthy; these reads allow only *"})
	}
	if len(distributions) > 0 {
		out = append(out, cfn.Statement{Role: HookRole, Sid: "Invalidate", Acts: true,
			Actions:   []string{"cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"},
			Resources: sorted(distributions), Why: "what CloudFront has of an old version is dropped"})
	}
	return append(out, p.probes()...)
}

// probes is what the functions that look from within a VPC take, and who calls them.
func (p part) probes() []cfn.Statement {
	var probes, logs []string
	for _, s := range p.probed() {
		name := section.ProbeFunction(p.Name, scheduler.SetName(s.Name))
		probes = append(probes, cfn.ARN("lambda", "function:"+name))
		logs = append(logs, cfn.ARN("logs", "log-group:/aws/lambda/"+name+":*"))
	}
	if len(probes) == 0 {
		return nil
	}
	return []cfn.Statement{
		{Role: HookRole, Sid: "Probe", Actions: []string{"lambda:InvokeFunction"}, Resources: probes,
			Why: "checks from within the VPC"},
		{Role: ProbeRole, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: logs, Why: "the functions' logs; the groups themselves belong to the base stack"},
		{Role: ProbeRole, Sid: "JoinVPC",
			Actions: []string{
				"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
				"ec2:UnassignPrivateIpAddresses",
			}, Resources: []string{
				cfn.ARN("ec2", "network-interface/*"), cfn.ARN("ec2", "security-group/*"), cfn.ARN("ec2", "subnet/*"),
			},
			Why: "Lambda puts the functions into the subnets with their role, and refuses one that is for single " +
				"resources"},
		{Role: ProbeRole, Sid: "ReadVPC",
			Actions: []string{"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}, Resources: []string{"*"},
			Why: "as above; these reads allow only *"},
	}
}

// watches is what it takes to see whether hook functions of others reach CodeDeploy.
func (p part) watches() []cfn.Statement {
	functions := []string{cfn.ARN("lambda", "function:CodeDeployHook_*")}
	watched := false
	for _, d := range p.deployments {
		watched = watched || d.CodeDeploy != "" || len(d.Functions) > 0
		for _, f := range d.Functions {
			functions = append(functions, cfn.ARN("lambda", "function:"+f))
		}
	}
	if !watched {
		return nil
	}
	return []cfn.Statement{
		{Role: HookRole, Sid: "ReadHookFunctions", Actions: []string{"lambda:GetFunctionConfiguration"},
			Resources: sorted(functions), Why: "where the hook functions of others run"},
		{Role: HookRole, Sid: "ReadNetwork",
			Actions: []string{
				"ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups",
				"ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints",
			}, Resources: []string{"*"},
			Why: "whether they reach CodeDeploy from there; these reads allow only *"},
		{Role: HookRole, Sid: "ReadVPCs", Actions: []string{"ec2:DescribeVpcAttribute"}, Resources: p.vpcs(),
			Why: "private DNS needs both DNS attributes of the VPC"},
		{Role: HookRole, Sid: "ReadHostedZones", Actions: []string{"ec2:DescribeVpcs", "route53:ListHostedZonesByVPC"},
			Resources: []string{"*"},
			Why: "a private hosted zone may answer for CodeDeploy's name in the VPC; Route 53 asks EC2 for the " +
				"VPC, and knows no resources for this read"},
	}
}

// vpcs are the sets' VPCs.
func (p part) vpcs() []string {
	var out []string
	for _, s := range p.Sets {
		out = append(out, cfn.ARN("ec2", "vpc/"+s.VPC))
	}
	return sorted(out)
}

// reads is what the functions read of deployments, and how they answer.
func (p part) reads() []cfn.Statement {
	var services, serviceDeployments, groups, pipelines, projects []string
	answersPauses, answersHooks := false, false
	for _, name := range slices.Sorted(maps.Keys(p.deployments)) {
		d := p.deployments[name]
		if d.ECSService != "" {
			services = append(services, cfn.ARN("ecs", "service/"+d.ECSService))
			serviceDeployments = append(serviceDeployments, cfn.ARN("ecs", "service-deployment/"+d.ECSService+"/*"))
			answersPauses = answersPauses || len(d.Hooks) > len(d.Events())
		}
		if d.CodeDeploy != "" {
			groups = append(groups, cfn.ARN("codedeploy", "deploymentgroup:"+d.CodeDeploy))
			answersHooks = answersHooks || len(d.Events()) > 0
		}
		if d.Pipeline != "" {
			pipelines = append(pipelines, cfn.ARN("codepipeline", d.Pipeline))
		}
		if d.CodeBuild != "" {
			projects = append(projects, cfn.ARN("codebuild", "project/"+d.CodeBuild))
		}
	}
	var out []cfn.Statement
	add := func(on bool, resources []string, sid, why string, actions ...string) {
		if on && len(resources) > 0 {
			out = append(out, cfn.Statement{
				Role: HookRole, Sid: sid, Actions: actions, Resources: sorted(resources), Why: why,
				Acts: !strings.HasPrefix(sid, "Read"),
			})
		}
	}
	add(true, services, "ReadServices", "ECS's events name the service alone: its deployments are looked up",
		"ecs:ListServiceDeployments")
	add(true, serviceDeployments, "ReadServiceDeployments", "how far a deployment is, and at which pause it waits",
		"ecs:DescribeServiceDeployments")
	add(answersPauses, serviceDeployments, "AnswerPauses", "a pause ends as its job did: on, or back",
		"ecs:ContinueServiceDeployment")
	add(true, groups, "ReadDeployments", "how far a deployment is, and whether it needs the endpoints any longer",
		"codedeploy:GetDeployment")
	add(len(groups) > 0, []string{"*"}, "ReadTargets",
		"at which lifecycle event a deployment is; CodeDeploy knows no resources for these reads",
		"codedeploy:GetDeploymentTarget", "codedeploy:ListDeploymentTargets")
	add(answersHooks, []string{"*"}, "AnswerHooks",
		"a hook of CodeDeploy waits for an hour unless it is answered; CodeDeploy knows no resources for it",
		"codedeploy:PutLifecycleEventHookExecutionStatus")
	add(true, pipelines, "ReadPipelines", "whether an execution has ended", "codepipeline:GetPipelineExecution")
	add(len(pipelines) > 0, []string{"*"}, "AnswerPipelines",
		"an action of a pipeline is answered; CodePipeline knows no resources for it",
		"codepipeline:PutJobFailureResult", "codepipeline:PutJobSuccessResult")
	add(true, projects, "ReadBuilds", "whether a build has ended", "codebuild:BatchGetBuilds")
	add(true, exact(groups), "ReadGroups", "CodeDeploy may lose an event: those under way are listed",
		"codedeploy:ListDeployments")
	add(true, exact(projects), "ReadProjects", "CodeBuild may lose an event: those under way are listed",
		"codebuild:ListBuildsForProject")
	return out
}

// exact are the resources whose names hold no *: others are not asked for.
func exact(arns []string) []string {
	return slices.DeleteFunc(slices.Clone(arns), func(arn string) bool { return strings.Contains(arn, "*") })
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// clusterOf is the cluster of a section's services, which a check of tasks asks for.
func clusterOf(d section.Deployment) string {
	cluster, _, _ := strings.Cut(d.ECSService, "/")
	return cluster
}
