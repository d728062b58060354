package codedeploy

import (
	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/elbv2"
)

// balancerInfo is how a deployment group's traffic is shifted, as the API has it.
type balancerInfo struct {
	Pairs []groupPair `json:"targetGroupPairInfoList,omitempty"`
}

type groupPair struct {
	TargetGroups []map[string]string `json:"targetGroups"`
	Prod         *trafficRoute       `json:"prodTrafficRoute,omitempty"`
	Test         *trafficRoute       `json:"testTrafficRoute,omitempty"`
}

type trafficRoute struct {
	ListenerArns []string `json:"listenerArns"`
}

// pair returns the group's pair of target groups; nil without one.
func (g *group) pair() *groupPair {
	if g.LoadBalancerInfo == nil || len(g.LoadBalancerInfo.Pairs) == 0 {
		return nil
	}
	return &g.LoadBalancerInfo.Pairs[0]
}

// place puts the task sets into the two target groups of the deployment group.
func (s *Service) place(d *deployment) {
	p := d.group.pair()
	if p == nil || len(p.TargetGroups) < 2 {
		return
	}
	first, second := p.TargetGroups[0]["name"], p.TargetGroups[1]["name"]
	if s.elb.Group(first) == nil || s.elb.Group(second) == nil {
		return
	}
	if d.blue.In(first) == s.elb.Group(first).ARN {
		d.green.In(second)
	} else {
		d.green.In(first)
	}
}

// route has the listeners of the production traffic forward by weight.
func (s *Service) route(d *deployment, percent float64, to, from *ecs.TaskSet) {
	p := d.group.pair()
	if p == nil || p.Prod == nil || to.In("") == "" {
		return
	}
	for _, arn := range p.Prod.ListenerArns { // one that is gone forwards nothing
		_ = s.elb.SetWeights(arn, elbv2.Weight{TargetGroupArn: to.In(""), Weight: int(percent)},
			elbv2.Weight{TargetGroupArn: from.In(""), Weight: 100 - int(percent)})
	}
}

// allowTest has the listeners of the test traffic forward to the new task set.
func (s *Service) allowTest(d *deployment) {
	p := d.group.pair()
	if p == nil || p.Test == nil || d.green.In("") == "" {
		return
	}
	for _, arn := range p.Test.ListenerArns {
		_ = s.elb.SetWeights(arn, elbv2.Weight{TargetGroupArn: d.green.In(""), Weight: 100})
	}
}
