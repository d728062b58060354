package cloudformation

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// balancerKinds are the types of load balancers and of the services behind them. Each is made
// by the call of its API.
func balancerKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::ElasticLoadBalancingV2::LoadBalancer": {
			Create: made(calls{"elasticloadbalancing", "CreateLoadBalancer", "Balancers.Member.ARN", map[string]string{
				"LoadBalancerArn": "Balancers.Member.ARN", "DNSName": "Balancers.Member.DNS",
				"LoadBalancerName": "Balancers.Member.Name", "LoadBalancerFullName": "Balancers.Member.Full",
			}, []string{"LoadBalancerAttributes"}}, "Name"),
			remove:     func(s *Service, r *Resource, done func(error)) { s.ELB.Remove(r.Physical); s.soon(done) },
			createOnly: []string{"Name", "Scheme", "Type"},
		},
		"AWS::ElasticLoadBalancingV2::TargetGroup": {
			Create: made(calls{"elasticloadbalancing", "CreateTargetGroup", "Groups.Member.ARN", map[string]string{
				"TargetGroupArn": "Groups.Member.ARN", "TargetGroupName": "Groups.Member.Name",
				"TargetGroupFullName": "Groups.Member.Full",
			}, []string{"TargetGroupAttributes", "HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds",
				"HealthyThresholdCount", "UnhealthyThresholdCount", "HealthCheckPort"}}, "Name"),
			remove:     func(s *Service, r *Resource, done func(error)) { s.ELB.Remove(r.Physical); s.soon(done) },
			createOnly: []string{"Name", "Port", "Protocol", "TargetType", "VpcId"},
		},
		"AWS::ElasticLoadBalancingV2::Listener": {
			Create: made(calls{"elasticloadbalancing", "CreateListener", "Listeners.Member.ARN", map[string]string{
				"ListenerArn": "Listeners.Member.ARN",
			}, nil}, ""),
			update: changed("elasticloadbalancing", "ModifyListener", "ListenerArn", "DefaultActions"),
			remove: func(s *Service, r *Resource, done func(error)) { s.ELB.Remove(r.Physical); s.soon(done) },
		},
		"AWS::ElasticLoadBalancingV2::ListenerRule": {
			Create: made(calls{"elasticloadbalancing", "CreateRule", "Rules.Member.ARN", map[string]string{
				"RuleArn": "Rules.Member.ARN",
			}, nil}, ""),
			update: changed("elasticloadbalancing", "ModifyRule", "RuleArn", "Actions"),
			remove: func(s *Service, r *Resource, done func(error)) { s.ELB.Remove(r.Physical); s.soon(done) },
		},
		"AWS::ECS::Service": {
			Create: createServiceResource, update: updateServiceResource,
			settle: func(s *Service, _ *Stack, r *Resource, finish func(error)) {
				s.awaitService(r, s.Clock.Now().Add(serviceWaits), finish)
			},
			remove: func(s *Service, r *Resource, done func(error)) {
				s.ECSServices.Remove(r.Physical)
				s.soon(done)
			},
			createOnly: []string{"Cluster", "ServiceName", "LaunchType", "DeploymentController", "LoadBalancers"},
		},
	}
}

// releaseKinds are the types of CodeDeploy, CodeBuild and CodePipeline.
func releaseKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::CodeDeploy::Application": {
			Create: made(calls{"codedeploy", "CreateApplication", "", nil, nil}, "ApplicationName"),
			remove: func(s *Service, r *Resource, done func(error)) {
				s.CodeDeploy.Remove(r.Physical, "")
				s.soon(done)
			},
			createOnly: []string{"ApplicationName", "ComputePlatform"},
		},
		"AWS::CodeDeploy::DeploymentGroup": {
			Create: made(calls{"codedeploy", "CreateDeploymentGroup", "", nil, nil}, "DeploymentGroupName"),
			remove: func(s *Service, r *Resource, done func(error)) {
				s.CodeDeploy.Remove(kernel.Text(r.Properties, "ApplicationName"), r.Physical)
				s.soon(done)
			},
			createOnly: []string{"ApplicationName", "DeploymentGroupName"},
		},
		"AWS::CodeBuild::Project": {
			update: updateBuildResource,
			Create: made(calls{"codebuild", "CreateProject", "", map[string]string{"Arn": "project.arn"},
				[]string{"Cache", "Triggers", "Visibility"}}, "Name"),
			remove: func(s *Service, r *Resource, done func(error)) {
				s.CodeBuild.Remove(r.Physical)
				s.soon(done)
			},
			createOnly: []string{"Name"},
		},
		"AWS::CodePipeline::Pipeline": {
			update: updatePipelineResource,
			Create: createPipelineResource,
			remove: func(s *Service, r *Resource, done func(error)) {
				s.CodePipeline.Remove(r.Physical)
				s.soon(done)
			},
			createOnly: []string{"Name"},
		},
	}
}

func updateBuildResource(s *Service, _ *Stack, r *Resource) error {
	in, _ := smallLetters(r.Properties).(map[string]any)
	in = maps.Clone(in)
	for _, k := range []string{"tags", "cache", "triggers", "visibility"} {
		delete(in, k)
	}
	in["name"] = r.Physical
	_, err := s.Perform("codebuild", "UpdateProject", in)
	return err
}

func updatePipelineResource(s *Service, _ *Stack, r *Resource) error {
	in := maps.Clone(r.Properties)
	delete(in, "Tags")
	delete(in, "RestartExecutionOnUpdate")
	in["Name"] = r.Physical
	_, err := s.Perform("codepipeline", "UpdatePipeline", map[string]any{"pipeline": smallLetters(in)})
	return err
}

// calls says how a resource is made: by an action of a service, with its properties as they
// are save those left out. id is where its physical id is in the answer, attributes where
// those are.
type calls struct {
	service, action, id string
	attributes          map[string]string
	without             []string
}

// made returns how a resource is made by a call. named is the property that holds its name,
// which is its physical id unless the answer has one; it gets one if it has none.
func made(c calls, named string) func(*Service, *Stack, *Resource, func(error)) error {
	return func(s *Service, st *Stack, r *Resource, finish func(error)) error {
		in := maps.Clone(r.Properties)
		for _, k := range append([]string{"Tags"}, c.without...) {
			delete(in, k)
		}
		if named != "" {
			r.Physical = kernel.Text(in, named)
			if r.Physical == "" {
				r.Physical = strings.ToLower(fmt.Sprintf("%.10s-%.8s-%s", st.Name, r.Logical,
					s.Digest(st.ID+r.Logical, 12)))
				in[named] = r.Physical
			}
		}
		if c.service != "elasticloadbalancing" { // whose members are written as the properties are
			in, _ = smallLetters(in).(map[string]any)
		}
		out, err := s.Perform(c.service, c.action, in)
		if err != nil {
			return err
		}
		if c.id != "" {
			r.Physical = kernel.At(out, c.id)
		}
		for name, path := range c.attributes {
			r.Attributes[name] = kernel.At(out, path)
		}
		s.soon(finish)
		return nil
	}
}

// changed returns how a resource is changed by a call with its id and some of its properties:
// whatever stands there, such as weights that a deployment has shifted, is overwritten.
func changed(service, action, id string, properties ...string) func(*Service, *Stack, *Resource) error {
	return func(s *Service, _ *Stack, r *Resource) error {
		in := map[string]any{id: r.Physical}
		for _, p := range properties {
			if v, ok := r.Properties[p]; ok {
				in[p] = v
			}
		}
		_, err := s.Perform(service, action, in)
		return err
	}
}

// serviceTakes is how often the stack looks whether a service's deployment has ended, and
// serviceWaits how long it waits for that.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecs-service.html
const serviceTakes, serviceWaits = 15 * time.Second, 3 * time.Hour

// createServiceResource makes a service. It is complete once its first deployment is.
func createServiceResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	create := made(calls{"ecs", "CreateService", "service.serviceArn", map[string]string{
		"ServiceArn": "service.serviceArn", "Name": "service.serviceName",
	}, []string{"EnableECSManagedTags", "PropagateTags", "AvailabilityZoneRebalancing", "PlacementStrategies"}},
		"ServiceName")
	counted(r)
	if err := create(s, st, r, func(error) {}); err != nil {
		return err
	}
	s.awaitService(r, s.Clock.Now().Add(serviceWaits), finish)
	return nil
}

// counted has the count of a service be a number: a parameter of the stack is a text.
func counted(r *Resource) {
	if n, err := strconv.Atoi(kernel.Text(r.Properties, "DesiredCount")); err == nil {
		r.Properties["DesiredCount"] = n
	}
}

// awaitService waits for the end of a service's last deployment.
func (s *Service) awaitService(r *Resource, until time.Time, finish func(error)) {
	s.Clock.After(serviceTakes, func() {
		switch state := s.ECSServices.Deployed(r.Physical); {
		case state == "SUCCESSFUL" || state == "":
			finish(nil)
		case strings.HasPrefix(state, "ROLLBACK_S") || state == "STOPPED" || s.Clock.Now().After(until):
			finish(reasonf("Error occurred during operation 'ECS Deployment' (SDK Error: the deployment ended %s).",
				state))
		default:
			s.awaitService(r, until, finish)
		}
	})
}

func updateServiceResource(s *Service, _ *Stack, r *Resource) error {
	counted(r)
	in := map[string]any{"Service": r.Physical}
	for _, p := range []string{"Cluster", "TaskDefinition", "DesiredCount", "DeploymentConfiguration"} {
		if v, ok := r.Properties[p]; ok {
			in[p] = v
		}
	}
	_, err := s.Perform("ecs", "UpdateService", in)
	return err
}

// createPipelineResource makes a pipeline; CloudFormation starts an execution of it.
func createPipelineResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	in := maps.Clone(r.Properties)
	delete(in, "Tags")
	delete(in, "RestartExecutionOnUpdate")
	r.Physical = kernel.Text(in, "Name")
	if r.Physical == "" {
		r.Physical = st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
		in["Name"] = r.Physical
	}
	if _, err := s.Perform("codepipeline", "CreatePipeline", map[string]any{"pipeline": smallLetters(in)}); err != nil {
		return err
	}
	r.Attributes["Version"] = "1"
	if _, err := s.Perform("codepipeline", "StartPipelineExecution", map[string]any{"Name": r.Physical}); err != nil {
		return err
	}
	s.soon(finish)
	return nil
}
