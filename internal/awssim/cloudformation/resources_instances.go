package cloudformation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/autoscaling"
	"drawbridge/internal/awssim/kernel"
)

// instanceKinds are the types of EC2 instances in groups, and of KMS.
func instanceKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::EC2::LaunchTemplate": {
			Create: func(s *Service, _ *Stack, r *Resource, finish func(error)) error {
				r.Physical = s.AutoScaling.Put("", templateData(r)).ID
				versionOf(s, r)
				s.soon(finish)
				return nil
			},
			update: func(s *Service, _ *Stack, r *Resource) error {
				s.AutoScaling.Put(r.Physical, templateData(r))
				versionOf(s, r)
				return nil
			},
			remove:     removeInstances,
			createOnly: []string{"LaunchTemplateName"},
		},
		"AWS::AutoScaling::AutoScalingGroup": {
			Create: createScalingGroupResource, update: updateScalingGroupResource, settle: rollInstances,
			remove:     removeInstances,
			createOnly: []string{"AutoScalingGroupName"},
		},
		"AWS::IAM::InstanceProfile": {
			Create: func(s *Service, st *Stack, r *Resource, finish func(error)) error {
				r.Physical = kernel.Text(r.Properties, "InstanceProfileName")
				if r.Physical == "" {
					r.Physical = st.Name + "-" + r.Logical + "-" + strings.ToUpper(s.Digest(st.ID+r.Logical, 12))
				}
				r.Attributes["Arn"] = s.GlobalARN("iam", "instance-profile/"+r.Physical)
				s.Clock.After(2*time.Minute, func() { finish(nil) }) // it takes its time on AWS too
				return nil
			},
			remove: removeNothing, createOnly: []string{"InstanceProfileName"},
		},
		"AWS::KMS::Key": {
			Create: made(calls{"kms", "CreateKey", "KeyMetadata.KeyId", map[string]string{"Arn": "KeyMetadata.Arn"},
				[]string{"EnableKeyRotation", "KeyPolicy", "PendingWindowInDays"}}, ""),
			remove: func(s *Service, r *Resource, done func(error)) { s.KMS.Remove(r.Physical); s.soon(done) },
		},
		"AWS::KMS::Alias": {
			Create: func(s *Service, _ *Stack, r *Resource, finish func(error)) error {
				r.Physical = kernel.Text(r.Properties, "AliasName")
				if _, err := s.Perform("kms", "CreateAlias", map[string]any{
					"AliasName": r.Physical, "TargetKeyId": kernel.Text(r.Properties, "TargetKeyId"),
				}); err != nil {
					return err
				}
				s.soon(finish)
				return nil
			},
			remove:     func(s *Service, r *Resource, done func(error)) { s.KMS.Remove(r.Physical); s.soon(done) },
			createOnly: []string{"AliasName"},
		},
	}
}

func removeInstances(s *Service, r *Resource, done func(error)) {
	s.AutoScaling.Remove(r.Physical)
	s.soon(done)
}

func templateData(r *Resource) map[string]any {
	data, _ := r.Properties["LaunchTemplateData"].(map[string]any)
	return data
}

func versionOf(s *Service, r *Resource) {
	r.Attributes["LaunchTemplateId"] = r.Physical
	r.Attributes["LatestVersionNumber"] = strconv.Itoa(s.AutoScaling.Template(r.Physical).Version)
	r.Attributes["DefaultVersionNumber"] = "1"
}

// sizes puts the properties of a group into it.
func sizes(s *Service, r *Resource, g *autoscaling.Group) error {
	number := func(k string) int {
		n, _ := strconv.Atoi(fmt.Sprint(r.Properties[k])) // absent is 0
		return n
	}
	g.Min, g.Max = number("MinSize"), number("MaxSize")
	g.Want = number("DesiredCapacity")
	if _, given := r.Properties["DesiredCapacity"]; !given {
		g.Want = max(g.Min, min(len(g.Instances), g.Max))
	}
	g.Subnets = kernel.Texts(r.Properties, "VPCZoneIdentifier")
	spec, _ := r.Properties["LaunchTemplate"].(map[string]any)
	g.Template = s.AutoScaling.Template(kernel.Text(spec, "LaunchTemplateId"))
	if g.Template == nil || len(g.Subnets) == 0 {
		return reasonf("A group needs a launch template and subnets (Service: AutoScaling)")
	}
	return nil
}

func createScalingGroupResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	r.Physical = kernel.Text(r.Properties, "AutoScalingGroupName")
	if r.Physical == "" {
		r.Physical = st.Name + "-" + r.Logical + "-" + strings.ToUpper(s.Digest(st.ID+r.Logical, 12))
	}
	g := &autoscaling.Group{Name: r.Physical}
	if err := sizes(s, r, g); err != nil {
		return err
	}
	s.AutoScaling.Add(g)
	policy := st.Template.Specs[r.Logical].CreationPolicy
	signal, _ := policy["ResourceSignal"].(map[string]any)
	if signal == nil {
		s.soon(finish)
		return nil
	}
	wanted := 1
	if n, ok := s.number(st, signal["Count"]); ok {
		wanted = n
	}
	s.awaitSignals(g.Instances, wanted, s.Clock.Now().Add(duration(kernel.Text(signal, "Timeout"))), finish)
	return nil
}

func updateScalingGroupResource(s *Service, _ *Stack, r *Resource) error {
	g := s.AutoScaling.Group(r.Physical)
	if err := sizes(s, r, g); err != nil {
		return err
	}
	s.AutoScaling.Keep(g)
	return nil
}

// number evaluates a number in a policy of a resource.
func (s *Service) number(st *Stack, v any) (int, bool) {
	v, err := st.Template.Evaluate(v, s.Scope(st))
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(fmt.Sprint(v))
	return n, err == nil
}

// duration reads an ISO 8601 duration of hours, minutes and seconds; 5 minutes without one.
func duration(text string) time.Duration {
	d, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(text, "PT")))
	if err != nil {
		return 5 * time.Minute
	}
	return d
}

// signalsEvery is how often a stack looks for signals.
const signalsEvery = 10 * time.Second

// awaitSignals waits until as many instances have signalled.
func (s *Service) awaitSignals(of []*autoscaling.Instance, wanted int, until time.Time, finish func(error)) {
	s.Clock.After(signalsEvery, func() {
		sent := 0
		for _, i := range of {
			if i.Sent {
				sent++
			}
		}
		switch {
		case sent >= wanted:
			finish(nil)
		case s.Clock.Now().After(until):
			finish(reasonf("Received %d SUCCESS signal(s) out of %d. Unable to satisfy 100%% "+
				"MinSuccessfulInstancesPercent requirement", sent, wanted))
		default:
			s.awaitSignals(of, wanted, until, finish)
		}
	})
}

// rollInstances replaces the instances of an older version, one after the other, as the
// group's update policy says: each new one has to signal before the next old one goes.
func rollInstances(s *Service, st *Stack, r *Resource, finish func(error)) {
	g := s.AutoScaling.Group(r.Physical)
	policy, _ := st.Template.Specs[r.Logical].UpdatePolicy["AutoScalingRollingUpdate"].(map[string]any)
	old := func() *autoscaling.Instance {
		return kernel.Find(g.Instances, func(i *autoscaling.Instance) bool { return i.Version != g.Template.Version })
	}
	if policy == nil || old() == nil {
		finish(nil)
		return
	}
	signals := fmt.Sprint(policy["WaitOnResourceSignals"]) == "true"
	least, _ := s.number(st, policy["MinInstancesInService"]) // none is 0
	pause := duration(kernel.Text(policy, "PauseTime"))
	var next func(error)
	next = func(err error) {
		i := old()
		if err != nil || i == nil {
			finish(err)
			return
		}
		end := func() { s.AutoScaling.End(g, i) }
		then := next
		if least >= g.Want { // one more than wanted, until it has joined
			g.Want++
			then = func(err error) {
				g.Want--
				end()
				next(err)
			}
		} else {
			end()
		}
		s.AutoScaling.Keep(g)
		fresh := g.Instances[len(g.Instances)-1:]
		if !signals {
			s.Clock.After(pause, func() { then(nil) })
			return
		}
		s.awaitSignals(fresh, 1, s.Clock.Now().Add(pause), then)
	}
	next(nil)
}
