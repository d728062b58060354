package cloudformation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// An endpoint of a stack gets its tags in two ways: those of the resource with the
// create request, those of the stack by a separate call, a minute later or never.
// CloudFormation's own are always there.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#196 and #358, and the
// handlers of AWS::EC2::VPCEndpoint, which list CreateTags and DeleteTags.
const (
	stackTagsTake = time.Minute
	tagsApartTake = 2 * time.Second
)

// ownTags are CloudFormation's own tags of a resource, and those of its properties.
func ownTags(st *Stack, r *Resource) (system, own []ec2.Tag) {
	for _, t := range StackTags(st, r) {
		switch {
		case strings.HasPrefix(t.Key, "aws:"):
			system = append(system, t)
		case slices.ContainsFunc(kernel.Objects(r.Properties, "Tags"), func(o map[string]any) bool {
			return kernel.Text(o, "Key") == t.Key
		}):
			own = append(own, t)
		}
	}
	return system, own
}

// bornWith returns the tags in the create request of an endpoint.
func (s *Service) bornWith(st *Stack, r *Resource) []ec2.Tag {
	system, own := ownTags(st, r)
	if _, apart := s.FaultOn("tags-apart"); apart && st.role != "" {
		return system
	}
	return append(own, system...)
}

// deniedCreation is why the stack's role may not create an endpoint; nil if it is
// allowed.
func (s *Service) deniedCreation(st *Stack, spec ec2.EndpointSpec) error {
	if st.role == "" {
		return nil
	}
	return deniedResource(s.IAM.Allows(st.role, s.EC2.CreateEndpointQuestions(spec)...), st.role)
}

func (s *Service) deniedRemoval(st *Stack, r *Resource) error {
	e := s.EC2.Endpoint(r.Physical)
	if st.role == "" || e == nil {
		return nil
	}
	return deniedResource(s.IAM.Allows(st.role, append(ec2.EndpointReads(), s.EC2.DeleteEndpointQuestion(e))...),
		st.role)
}

// deniedResource is how CloudFormation reports a denied call of its role.
//
// Source: aws/aws-parallelcluster#7331 for the refused tags.
func deniedResource(q *kernel.Question, role string) error {
	if q == nil {
		return nil
	}
	code := "AccessDenied"
	if strings.HasSuffix(q.Action, "Tags") {
		code = "UnauthorizedTaggingOperation"
	}
	name := role[strings.LastIndex(role, "/")+1:]
	account := strings.Split(role, ":")[4]
	return reasonf("Resource handler returned message: \"You are not authorized to perform this operation. User: "+
		"arn:aws:sts::%s:assumed-role/%s/AWSCloudFormation is not authorized to perform: %s on resource: %s because "+
		"no identity-based policy allows the %s action (Service: Ec2, Status Code: 403, Request ID: "+
		"00000000-0000-0000-0000-000000000000)\" (HandlerErrorCode: %s)",
		account, name, q.Action, q.Resource, q.Action, code)
}

// tagLater gives an endpoint the tags that its creation did not carry. A refusal
// fails the resource, if it is not complete by then.
func (s *Service) tagLater(st *Stack, r *Resource, e *ec2.Endpoint, finish func(error)) {
	if _, apart := s.FaultOn("tags-apart"); apart && st.role != "" {
		_, own := ownTags(st, r)
		s.Clock.After(tagsApartTake, func() { s.tagEndpoint(st, e, own, finish) })
	}
	if v, on := s.FaultOn("stack-tags"); !on || v != "never" {
		s.Clock.After(stackTagsTake, func() { s.tagEndpoint(st, e, StackTags(st, r), finish) })
	}
}

// tagEndpoint adds the missing tags to an endpoint.
func (s *Service) tagEndpoint(st *Stack, e *ec2.Endpoint, tags []ec2.Tag, finish func(error)) {
	if e.State(s.Clock.Now()) == "" || !e.Deleting.IsZero() {
		return
	}
	var missing []ec2.Tag
	for _, t := range tags {
		if !slices.Contains(e.Tags, t) {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return
	}
	if st.role != "" {
		if denied := s.IAM.Allows(st.role, s.EC2.TagEndpointQuestion("CreateTags", e, missing)); denied != nil {
			finish(deniedResource(denied, st.role))
			return
		}
	}
	e.Tags = append(slices.Clone(e.Tags), missing...)
	s.EC2.Tags[e.ID] = e.Tags
}

// retagEndpoint sets the tags of an updated endpoint to those of its resource.
// The stack's tags stay as they are.
func (s *Service) retagEndpoint(st *Stack, r *Resource, e *ec2.Endpoint) error {
	system, own := ownTags(st, r)
	wanted := append(own, system...)
	var more, gone []ec2.Tag
	for _, t := range wanted {
		if !slices.Contains(e.Tags, t) {
			more = append(more, t)
		}
	}
	for _, t := range e.Tags {
		ofStack := slices.ContainsFunc(st.Tags, func(x kernel.Tag) bool { return x.Key == t.Key })
		if !ofStack && !slices.ContainsFunc(wanted, func(w ec2.Tag) bool { return w.Key == t.Key }) {
			gone = append(gone, t)
		}
	}
	for action, tags := range map[string][]ec2.Tag{"CreateTags": more, "DeleteTags": gone} {
		if len(tags) > 0 && st.role != "" {
			if denied := s.IAM.Allows(st.role, s.EC2.TagEndpointQuestion(action, e, tags)); denied != nil {
				return deniedResource(denied, st.role)
			}
		}
	}
	e.Tags = slices.DeleteFunc(slices.Clone(e.Tags), func(t ec2.Tag) bool {
		return slices.ContainsFunc(append(gone, more...), func(x ec2.Tag) bool { return x.Key == t.Key })
	})
	e.Tags = append(e.Tags, more...)
	s.EC2.Tags[e.ID] = e.Tags
	return nil
}

// deniedByRole is how Lambda reports that a function's role lacks what a mapping or
// a destination needs, which it checks when they are made.
//
// Source: aws-amplify/amplify-cli#4759, aws/serverless-application-model#2534.
func deniedByRole(q *kernel.Question, format string) error {
	if q == nil {
		return nil
	}
	action := strings.TrimPrefix(q.Action, "sqs:")
	return kernel.Errorf("InvalidParameterValueException", "%s", fmt.Sprintf(format, action))
}
