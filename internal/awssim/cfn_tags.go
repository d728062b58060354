package awssim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The tags of an endpoint that a stack holds come in two ways: those of the
// resource with the request that creates it, those of the stack by a call of their
// own, a minute later or never. CloudFormation's own are always there.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#196 and #358, and the
// handlers of AWS::EC2::VPCEndpoint, which list CreateTags and DeleteTags.
const (
	stackTagsTake = time.Minute
	tagsApartTake = 2 * time.Second
)

// ownTags are CloudFormation's own tags of a resource, and those of its properties.
func ownTags(st *stack, r *resource) (system, own []tag) {
	for _, t := range stackTags(st, r) {
		switch {
		case strings.HasPrefix(t.Key, "aws:"):
			system = append(system, t)
		case slices.ContainsFunc(objects(r.properties, "Tags"), func(o map[string]any) bool { return text(o, "Key") == t.Key }):
			own = append(own, t)
		}
	}
	return system, own
}

// bornWith returns the tags that the request for an endpoint carries.
func (s *Sim) bornWith(st *stack, r *resource) []tag {
	system, own := ownTags(st, r)
	if _, apart := s.faultOn("tags-apart"); apart && st.role != "" {
		return system
	}
	return append(own, system...)
}

// deniedCreation is why the stack's role may not create an endpoint; nil if it may.
func (s *Sim) deniedCreation(st *stack, spec endpointSpec) error {
	if st.role == "" {
		return nil
	}
	return deniedResource(s.allows(st.role, s.createEndpointQuestions(spec)...), st.role)
}

func (s *Sim) deniedRemoval(st *stack, r *resource) error {
	e := s.endpoint(r.physical)
	if st.role == "" || e == nil {
		return nil
	}
	return deniedResource(s.allows(st.role, append(endpointReads(), s.deleteEndpointQuestion(e))...), st.role)
}

// deniedResource is how CloudFormation reports what its role may not do.
//
// Source: aws/aws-parallelcluster#7331 for the refused tags.
func deniedResource(q *authorisation, role string) error {
	if q == nil {
		return nil
	}
	code := "AccessDenied"
	if strings.HasSuffix(q.Action, "Tags") {
		code = "UnauthorizedTaggingOperation"
	}
	name := role[strings.LastIndex(role, "/")+1:]
	account := strings.Split(role, ":")[4]
	return reasonf("Resource handler returned message: \"You are not authorized to perform this operation. User: arn:aws:sts::%s:assumed-role/%s/AWSCloudFormation is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action (Service: Ec2, Status Code: 403, Request ID: 00000000-0000-0000-0000-000000000000)\" (HandlerErrorCode: %s)",
		account, name, q.Action, q.Resource, q.Action, code)
}

// tagLater gives an endpoint the tags that its creation did not carry. A refusal
// fails the resource, if it is not complete by then.
func (s *Sim) tagLater(st *stack, r *resource, e *vpcEndpoint, finish func(error)) {
	if _, apart := s.faultOn("tags-apart"); apart && st.role != "" {
		_, own := ownTags(st, r)
		s.clock.after(tagsApartTake, func() { s.tagEndpoint(st, e, own, finish) })
	}
	if v, on := s.faultOn("stack-tags"); !on || v != "never" {
		s.clock.after(stackTagsTake, func() { s.tagEndpoint(st, e, stackTags(st, r), finish) })
	}
}

// tagEndpoint adds the tags that an endpoint does not have yet.
func (s *Sim) tagEndpoint(st *stack, e *vpcEndpoint, tags []tag, finish func(error)) {
	if e.state(s.clock.time()) == "" || !e.deleting.IsZero() {
		return
	}
	var missing []tag
	for _, t := range tags {
		if !slices.Contains(e.tags, t) {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return
	}
	if st.role != "" {
		if denied := s.allows(st.role, s.tagEndpointQuestion("CreateTags", e, missing)); denied != nil {
			finish(deniedResource(denied, st.role))
			return
		}
	}
	e.tags = append(slices.Clone(e.tags), missing...)
	s.ec2.tags[e.id] = e.tags
}

// retagEndpoint brings the tags of an endpoint that an update changes to what its
// resource says. Those of the stack stay as they are.
func (s *Sim) retagEndpoint(st *stack, r *resource, e *vpcEndpoint) error {
	system, own := ownTags(st, r)
	wanted := append(own, system...)
	var more, gone []tag
	for _, t := range wanted {
		if !slices.Contains(e.tags, t) {
			more = append(more, t)
		}
	}
	for _, t := range e.tags {
		ofStack := slices.ContainsFunc(st.tags, func(x cfnTag) bool { return x.Key == t.Key })
		if !ofStack && !slices.ContainsFunc(wanted, func(w tag) bool { return w.Key == t.Key }) {
			gone = append(gone, t)
		}
	}
	for action, tags := range map[string][]tag{"CreateTags": more, "DeleteTags": gone} {
		if len(tags) > 0 && st.role != "" {
			if denied := s.allows(st.role, s.tagEndpointQuestion(action, e, tags)); denied != nil {
				return deniedResource(denied, st.role)
			}
		}
	}
	e.tags = slices.DeleteFunc(slices.Clone(e.tags), func(t tag) bool {
		return slices.ContainsFunc(append(gone, more...), func(x tag) bool { return x.Key == t.Key })
	})
	e.tags = append(e.tags, more...)
	s.ec2.tags[e.id] = e.tags
	return nil
}

// deniedByRole is how Lambda reports that a function's role lacks what a mapping or
// a destination needs, which it checks when they are made.
//
// Source: aws-amplify/amplify-cli#4759, aws/serverless-application-model#2534.
func deniedByRole(q *authorisation, format string) error {
	if q == nil {
		return nil
	}
	action := strings.TrimPrefix(q.Action, "sqs:")
	return errf("InvalidParameterValueException", "%s", fmt.Sprintf(format, action))
}
