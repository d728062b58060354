package wing

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/listener"
	"drawbridge/internal/deployments/section"
	"drawbridge/internal/seam"
)

// Check checks what deployments need besides their set: the services and deployment groups
// that the configuration names without a *, their hooks and their alarms.
func (w Wing) Check(ctx context.Context, look seam.Look) {
	for _, name := range slices.Sorted(maps.Keys(w.config.Deployments)) {
		d := w.config.Deployments[name]
		for _, arn := range d.Listeners {
			listens(ctx, look, name, arn)
		}
		if d.ECSService != "" && !strings.Contains(d.ECSService, "*") {
			service(ctx, look, name, d)
		}
		if d.CodeDeploy != "" && !strings.Contains(d.CodeDeploy, "*") {
			group(ctx, look, name, d)
		}
	}
}

// listens checks a listener, or a rule, whose weights are watched.
func listens(ctx context.Context, look seam.Look, name, arn string) {
	t := look.Topic("deployments", "deployments "+name, "weights that a stack resets send requests to no task")
	_, err := listener.Rules(ctx, elb.NewFromConfig(look.AWS), arn)
	if listener.IsGone(err) {
		t.Warn("create it, or correct listeners", "there is no %s", arn)
		return
	}
	if err != nil {
		t.Unread(err)
		return
	}
	t.OK("listener %s", arn[strings.LastIndex(arn, ":")+1:])
}

// service checks a service that ECS deploys.
func service(ctx context.Context, look seam.Look, name string, d section.Deployment) {
	t := look.Topic("deployments", "deployments "+name, "a pause that nobody answers lasts until it expires")
	cluster, given, _ := strings.Cut(d.ECSService, "/")
	out, err := ecs.NewFromConfig(look.AWS).DescribeServices(ctx, &ecs.DescribeServicesInput{
		Cluster: &cluster, Services: []string{given},
	})
	if awserr.Code(err) == "ClusterNotFoundException" || err == nil && len(out.Services) == 0 {
		t.OK("service %s is not there yet; create it after drawbridge deploy, so that its first pause is answered",
			d.ECSService)
		return
	}
	if err != nil {
		t.Unread(err)
		return
	}
	c := out.Services[0].DeploymentConfiguration
	if c == nil {
		c = &ecstypes.DeploymentConfiguration{}
	}
	called := map[string]bool{}
	for _, h := range c.LifecycleHooks {
		for _, stage := range h.LifecycleStages {
			called[string(stage)] = true
			if _, ours := d.Hooks[string(stage)]; !ours &&
				h.TargetType == ecstypes.DeploymentLifecycleHookTargetTypePause {
				t.Warn("add it under hooks, or continue it by hand",
					"service %s pauses at %s, which the configuration "+
						"does not name", d.ECSService, stage)
			}
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(d.Hooks)) {
		if slices.Contains(section.ECSStages, stage) && !called[stage] {
			t.Warn("give the service a PAUSE hook there, or take it out of the configuration",
				"service %s has no hook at %s", d.ECSService, stage)
		}
	}
	var names []string
	if c.Alarms != nil && c.Alarms.Enable {
		names = c.Alarms.AlarmNames
	}
	sounding(ctx, look, name, names, "ECS ignores an alarm that sounds already when a deployment begins")
	if len(called) > 0 {
		t.OK("service %s", d.ECSService)
	}
}

// group checks a deployment group of CodeDeploy.
func group(ctx context.Context, look seam.Look, name string, d section.Deployment) {
	t := look.Topic("deployments", "deployments "+name, "CodeDeploy waits for an hour at a hook that does not report")
	application, given, _ := strings.Cut(d.CodeDeploy, "/")
	out, err := codedeploy.NewFromConfig(look.AWS).GetDeploymentGroup(ctx, &codedeploy.GetDeploymentGroupInput{
		ApplicationName: &application, DeploymentGroupName: &given,
	})
	switch awserr.Code(err) {
	case "ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException":
		t.Warn("create it, or correct codeDeploy", "there is no deployment group %s", d.CodeDeploy)
		return
	}
	if err != nil {
		t.Unread(err)
		return
	}
	g := out.DeploymentGroupInfo
	if _, hooked := d.Hooks["AfterAllowTestTraffic"]; hooked && !tests(g.LoadBalancerInfo) {
		t.Fail("give the deployment group a test listener, or use AfterInstall",
			"deployment group %s has no test listener: CodeDeploy does not call a hook at AfterAllowTestTraffic",
			d.CodeDeploy)
	} else {
		t.OK("deployment group %s", d.CodeDeploy)
	}
	var names []string
	if a := g.AlarmConfiguration; a != nil && a.Enabled {
		for _, x := range a.Alarms {
			names = append(names, aws.ToString(x.Name))
		}
	}
	sounding(ctx, look, name, names, "CodeDeploy stops a deployment whose alarm sounds already when it begins")
}

// tests reports whether a deployment group has a test listener.
func tests(b *types.LoadBalancerInfo) bool {
	if b == nil {
		return false
	}
	return slices.ContainsFunc(b.TargetGroupPairInfoList, func(p types.TargetGroupPairInfo) bool {
		return p.TestTrafficRoute != nil && len(p.TestTrafficRoute.ListenerArns) > 0
	})
}

// sounding names alarms of deployments that sound now.
func sounding(ctx context.Context, look seam.Look, name string, alarms []string, why string) {
	if len(alarms) == 0 {
		return
	}
	t := look.Topic("alarms", "deployments "+name, why)
	out, err := cloudwatch.NewFromConfig(look.AWS).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: alarms, StateValue: cwtypes.StateValueAlarm,
		AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm, cwtypes.AlarmTypeCompositeAlarm},
	})
	if err != nil {
		t.Unread(err)
		return
	}
	for _, a := range out.MetricAlarms {
		t.Fail("mend what it tells of before you deploy", "alarm %s sounds", aws.ToString(a.AlarmName))
	}
	for _, a := range out.CompositeAlarms {
		t.Fail("mend what it tells of before you deploy", "alarm %s sounds", aws.ToString(a.AlarmName))
	}
	if len(out.MetricAlarms)+len(out.CompositeAlarms) == 0 {
		t.OK("%d alarms, none sounds", len(alarms))
	}
}
