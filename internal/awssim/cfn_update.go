package awssim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

func (s *Sim) updateStack(_ *call, in *stackInput) (*stackIDXML, error) {
	st := s.stackLive(in.StackName)
	if st == nil || st.status == "REVIEW_IN_PROGRESS" {
		return nil, invalid("Stack [%s] does not exist", in.StackName)
	}
	p, err := s.planUpdate(st, in)
	if err != nil {
		return nil, err
	}
	if p.same {
		return nil, invalid("No updates are to be performed.")
	}
	if err := s.useToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	s.startUpdate(st, p)
	return &stackIDXML{st.id}, nil
}

// plannedUpdate is an update that was checked.
type plannedUpdate struct {
	in       *stackInput
	template *template
	params   map[string]string
	same     bool
}

func (s *Sim) planUpdate(st *stack, in *stackInput) (plannedUpdate, error) {
	if st.status != "CREATE_COMPLETE" && st.status != "UPDATE_COMPLETE" && st.status != "UPDATE_ROLLBACK_COMPLETE" {
		return plannedUpdate{}, invalid("Stack:%s is in %s state and can not be updated.", st.id, st.status)
	}
	if in.UsePreviousTemplate {
		in.TemplateBody = st.body
	}
	for i, p := range in.Parameters {
		if p.UsePreviousValue {
			in.Parameters[i].ParameterValue = st.parameters[p.ParameterKey]
		}
	}
	t, params, err := s.checkStack(in)
	if err != nil {
		return plannedUpdate{}, err
	}
	same := reflect.DeepEqual(t.resources(params), st.template.resources(st.parameters)) && reflect.DeepEqual(params, st.parameters) && (in.Tags == nil || reflect.DeepEqual(in.Tags, st.tags))
	return plannedUpdate{in, t, params, same}, nil
}

func (s *Sim) startUpdate(st *stack, p plannedUpdate) {
	if p.in.Tags != nil {
		st.tags = p.in.Tags
	}
	if p.in.RoleARN != "" {
		st.role = p.in.RoleARN
	}
	st.previous, st.previousParams, st.previousBody = st.template, st.parameters, st.body
	st.template, st.parameters, st.body, st.token, st.capabilities = p.template, p.params, p.in.TemplateBody, p.in.ClientRequestToken, p.in.Capabilities
	st.updated, st.express = s.clock.time(), p.in.DeploymentConfig.Mode == "EXPRESS"
	s.setStack(st, "UPDATE_IN_PROGRESS", "User Initiated")
	st.operation++
	st.failed, st.wanted, st.handled, st.replaced = nil, st.template.resources(st.parameters), map[string]bool{}, map[string]*resource{}
	for name, r := range st.resources {
		if r.status == "DELETE_COMPLETE" {
			delete(st.resources, name)
		}
	}
	s.later(st, stepTakes, func() { s.createReady(st) })
}

// differences returns the properties in which a resource would change, and
// whether one of them replaces it.
func (s *Sim) differences(r *resource, after map[string]any) (changed []string, replaces bool) {
	for _, k := range unionKeys(r.properties, after) {
		if !reflect.DeepEqual(r.properties[k], after[k]) {
			changed = append(changed, k)
			replaces = replaces || slices.Contains(r.made().createOnly, k)
		}
	}
	return changed, replaces
}

func unionKeys(a, b map[string]any) []string {
	out := append(sortedKeys(a), sortedKeys(b)...)
	slices.Sort(out)
	return slices.Compact(out)
}

// updateResource changes a resource that was there before the update, in place or
// by another one in its place, if it changes at all.
func (s *Sim) updateResource(st *stack, name string, spec resourceSpec) {
	r := st.resources[name]
	st.handled[name] = true
	v, err := st.template.evaluate(spec.properties, s.scope(st))
	after, _ := v.(map[string]any)
	if err == nil {
		changed, replaces := s.differences(r, after)
		switch {
		case len(changed) == 0:
			return
		case replaces:
			s.setResource(st, r, "UPDATE_IN_PROGRESS", "Requested update requires the creation of a new physical resource; hence creating one.")
			st.replaced[name] = r
			s.createResource(st, name, spec)
			return
		}
		s.setResource(st, r, "UPDATE_IN_PROGRESS", "")
		before := r.properties
		r.properties = after
		if update := r.made().update; update != nil {
			err = update(s, st, r)
		}
		if err != nil {
			r.properties = before
		}
	}
	s.later(st, stepTakes, func() {
		if err == nil {
			s.setResource(st, r, "UPDATE_COMPLETE", "")
			s.createReady(st)
			return
		}
		s.setResource(st, r, "UPDATE_FAILED", handlerMessage(err))
		st.failed = append(st.failed, name)
		s.endCreate(st, fmt.Sprintf("The following resource(s) failed to update: [%s]. ", name))
	})
}

func (s *Sim) finishUpdate(st *stack) {
	s.setStack(st, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "")
	left := 1
	done := func() {
		if left--; left == 0 {
			s.later(st, stepTakes, func() { s.setStack(st, "UPDATE_COMPLETE", "") })
		}
	}
	gone := func(r *resource) {
		left++
		s.setResource(st, r, "DELETE_IN_PROGRESS", "")
		r.made().remove(s, r, func(err error) {
			if err != nil { // the update is complete all the same, and the resource stays
				s.setResource(st, r, "DELETE_FAILED", handlerMessage(err))
			} else {
				s.setResource(st, r, "DELETE_COMPLETE", "")
			}
			done()
		})
	}
	for _, name := range sortedKeys(st.replaced) {
		gone(st.replaced[name])
	}
	for _, name := range reversed(sortedKeys(st.resources)) {
		r := st.resources[name]
		if _, wanted := st.wanted[name]; !wanted && r.status != "DELETE_COMPLETE" {
			gone(r)
		}
	}
	st.replaced = nil
	done()
}

// rollbackUpdate goes back to the template before.
func (s *Sim) rollbackUpdate(st *stack, reason string) {
	s.setStack(st, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
	st.template, st.parameters, st.body = st.previous, st.previousParams, st.previousBody
	st.wanted = st.template.resources(st.parameters)
	left := 1
	done := func(error) { // what cannot be removed stays, and the rollback is complete all the same
		if left--; left == 0 {
			s.later(st, stepTakes, func() { s.setStack(st, "UPDATE_ROLLBACK_COMPLETE", "") })
		}
	}
	for _, name := range sortedKeys(st.resources) {
		r := st.resources[name]
		old, wasReplaced := st.replaced[name]
		if _, wanted := st.wanted[name]; wanted && !wasReplaced {
			s.restore(st, r)
			continue
		}
		if r.physical != "" {
			left++
			r.made().remove(s, r, done)
		}
		s.setResource(st, r, "DELETE_COMPLETE", "")
		if wasReplaced {
			st.resources[name] = old
			s.setResource(st, old, "UPDATE_COMPLETE", "")
		}
	}
	st.replaced = nil
	s.later(st, stepTakes, func() {
		s.setStack(st, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "")
		done(nil)
	})
}

// restore gives a resource the properties of the template before.
func (s *Sim) restore(st *stack, r *resource) {
	v, err := st.template.evaluate(st.wanted[r.logical].properties, s.scope(st))
	before, _ := v.(map[string]any)
	if err != nil || reflect.DeepEqual(before, r.properties) {
		return
	}
	r.properties = before
	if update := r.made().update; update != nil {
		_ = update(s, st, r) // as it was before, which was accepted
	}
	s.setResource(st, r, "UPDATE_COMPLETE", "")
}

// changeSet is a change set of a stack.
type changeSet struct {
	id, name, kind, status, execution, reason string
	created                                   time.Time
	planned                                   plannedUpdate
	changes                                   []changeXML
	tags                                      []cfnTag
}

type changeSetInput struct {
	stackInput
	ChangeSetName, ChangeSetType, Description string
	ClientToken                               string
	IncludeNestedStacks                       bool
	ImportExistingResources                   bool
	OnStackFailure                            string
}

type changeSetIDXML struct {
	ID      string `xml:"Id"`
	StackID string `xml:"StackId"`
}

// changeSetTakes is how long a change set is in creation.
const changeSetTakes = 2 * time.Second

func (s *Sim) createChangeSet(c *call, in *changeSetInput) (*changeSetIDXML, error) {
	if in.ImportExistingResources {
		return nil, c.unsupported("ImportExistingResources")
	}
	if in.ChangeSetType == "" {
		in.ChangeSetType = "UPDATE"
	}
	if err := s.checkStackName(in.StackName); err != nil && !strings.HasPrefix(in.StackName, "arn:") {
		return nil, err
	}
	st := s.stackLive(in.StackName)
	fresh := st == nil || st.status == "REVIEW_IN_PROGRESS"
	cs := &changeSet{name: in.ChangeSetName, kind: in.ChangeSetType, status: "CREATE_IN_PROGRESS", execution: "UNAVAILABLE", created: s.clock.time(), tags: in.Tags}
	switch {
	case in.ChangeSetType == "CREATE" && !fresh:
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", in.StackName, in.ChangeSetName)
	case in.ChangeSetType == "UPDATE" && fresh:
		return nil, invalid("Stack [%s] does not exist", in.StackName)
	case in.ChangeSetType == "CREATE":
		t, params, err := s.checkStack(&in.stackInput)
		if err != nil {
			return nil, err
		}
		cs.planned = plannedUpdate{&in.stackInput, t, params, false}
		if st == nil {
			st = &stack{name: in.StackName, id: s.arn("cloudformation", "stack/"+in.StackName+"/"+s.uuid("stack")), role: in.RoleARN, onFailure: "ROLLBACK", created: s.clock.time(),
				tags: in.Tags, template: &template{}, parameters: map[string]string{}, resources: map[string]*resource{}}
			s.cfn.stacks = append(s.cfn.stacks, st)
			s.setStack(st, "REVIEW_IN_PROGRESS", "User Initiated")
		}
	default:
		p, err := s.planUpdate(st, &in.stackInput)
		if err != nil {
			return nil, err
		}
		cs.planned = p
	}
	if slices.ContainsFunc(st.changeSets, func(x *changeSet) bool { return x.name == in.ChangeSetName }) {
		return nil, errf("AlreadyExistsException", "ChangeSet %s cannot be created due to a mismatch with existing attribute Template", in.ChangeSetName)
	}
	cs.id = s.arn("cloudformation", "changeSet/"+in.ChangeSetName+"/"+s.uuid("change-set"))
	st.changeSets = append(st.changeSets, cs)
	s.clock.after(changeSetTakes, func() {
		cs.changes = s.changesOf(st, cs.planned)
		sameTags := in.Tags == nil || reflect.DeepEqual(in.Tags, st.tags)
		if cs.kind == "UPDATE" && len(cs.changes) == 0 && sameTags {
			cs.status, cs.reason = "FAILED", "The submitted information didn't contain changes. Submit different information to create a change set."
			return
		}
		cs.status, cs.execution = "CREATE_COMPLETE", "AVAILABLE"
	})
	return &changeSetIDXML{cs.id, st.id}, nil
}

type changeXML struct {
	Type           string
	ResourceChange resourceChangeXML
}

type resourceChangeXML struct {
	Action      string
	Logical     string `xml:"LogicalResourceId"`
	Physical    string `xml:"PhysicalResourceId,omitempty"`
	Kind        string `xml:"ResourceType"`
	Replacement string `xml:",omitempty"`
	Scope       members[string]
	Details     members[changeDetailXML]
}

type changeDetailXML struct {
	Target struct {
		Attribute, Name         string
		RequiresRecreation      string
		BeforeValue, AfterValue string `xml:",omitempty"`
	}
	Evaluation   string
	ChangeSource string
}

// changesOf compares a stack with what it is to become.
func (s *Sim) changesOf(st *stack, p plannedUpdate) []changeXML {
	var out []changeXML
	wanted := p.template.resources(p.params)
	sc := s.scope(st)
	sc.parameters = p.params
	for _, name := range sortedKeys(wanted) {
		spec := wanted[name]
		r := st.resources[name]
		if r == nil || r.status == "DELETE_COMPLETE" {
			out = append(out, changeXML{"Resource", resourceChangeXML{Action: "Add", Logical: name, Kind: spec.kind}})
			continue
		}
		v, err := p.template.evaluate(spec.properties, sc)
		after, _ := v.(map[string]any)
		if err != nil {
			after = spec.properties // it refers to what is not there yet
		}
		changed, replaces := s.differences(r, after)
		if len(changed) == 0 {
			continue
		}
		c := resourceChangeXML{Action: "Modify", Logical: name, Physical: r.physical, Kind: spec.kind, Replacement: "False", Scope: members[string]{[]string{"Properties"}}}
		if replaces {
			c.Replacement = "True"
		}
		for _, k := range changed {
			d := changeDetailXML{Evaluation: "Static", ChangeSource: "DirectModification"}
			d.Target.Attribute, d.Target.Name, d.Target.RequiresRecreation = "Properties", k, "Never"
			if slices.Contains(r.made().createOnly, k) {
				d.Target.RequiresRecreation = "Always"
			}
			d.Target.BeforeValue, d.Target.AfterValue = shown(r.properties[k]), shown(after[k])
			c.Details.Member = append(c.Details.Member, d)
		}
		out = append(out, changeXML{"Resource", c})
	}
	for _, name := range sortedKeys(st.resources) {
		r := st.resources[name]
		if _, ok := wanted[name]; !ok && r.status != "DELETE_COMPLETE" {
			out = append(out, changeXML{"Resource", resourceChangeXML{Action: "Remove", Logical: name, Physical: r.physical, Kind: r.kind}})
		}
	}
	return out
}

// shown is a property's value as a change set shows it.
func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func (s *Sim) listChangeSets(_ *call, in *struct{ StackName, NextToken string }) (*struct {
	Summaries members[changeSetSummaryXML]
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, invalid("Stack [%s] does not exist", in.StackName)
	}
	out := &struct {
		Summaries members[changeSetSummaryXML]
	}{}
	for _, cs := range st.changeSets {
		out.Summaries.Member = append(out.Summaries.Member, changeSetSummaryXML{st.id, st.name, cs.id, cs.name, cs.execution, cs.status, stamp{cs.created}})
	}
	return out, nil
}

type changeSetSummaryXML struct {
	StackID         string `xml:"StackId"`
	StackName       string
	ChangeSetID     string `xml:"ChangeSetId"`
	ChangeSetName   string
	ExecutionStatus string
	Status          string
	CreationTime    stamp
}

// changeSetOf finds a change set by its ARN, or by name and stack.
func (s *Sim) changeSetOf(stackName, name string) (*stack, *changeSet, error) {
	if strings.HasPrefix(name, "arn:") {
		for _, st := range s.cfn.stacks {
			if cs := find(st.changeSets, func(x *changeSet) bool { return x.id == name }); cs != nil {
				return st, cs, nil
			}
		}
		return nil, nil, errf("ChangeSetNotFound", "ChangeSet [%s] does not exist", name).status(404)
	}
	if stackName == "" {
		return nil, nil, invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
	}
	st := s.stackByAny(stackName)
	if st == nil {
		return nil, nil, invalid("Stack [%s] does not exist", stackName)
	}
	cs := find(st.changeSets, func(x *changeSet) bool { return x.name == name })
	if cs == nil {
		return st, nil, errf("ChangeSetNotFound", "ChangeSet [%s] does not exist", name).status(404)
	}
	return st, cs, nil
}

func (s *Sim) describeChangeSet(_ *call, in *struct {
	StackName, ChangeSetName, NextToken string
	IncludePropertyValues               bool
}) (*struct {
	ChangeSetName   string
	ChangeSetID     string `xml:"ChangeSetId"`
	StackID         string `xml:"StackId"`
	StackName       string
	CreationTime    stamp
	ExecutionStatus string
	Status          string
	StatusReason    string `xml:",omitempty"`
	Tags            members[cfnTag]
	Changes         members[changeXML]
}, error) {
	st, cs, err := s.changeSetOf(in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	return &struct {
		ChangeSetName   string
		ChangeSetID     string `xml:"ChangeSetId"`
		StackID         string `xml:"StackId"`
		StackName       string
		CreationTime    stamp
		ExecutionStatus string
		Status          string
		StatusReason    string `xml:",omitempty"`
		Tags            members[cfnTag]
		Changes         members[changeXML]
	}{cs.name, cs.id, st.id, st.name, stamp{cs.created}, cs.execution, cs.status, cs.reason, members[cfnTag]{cs.tags}, members[changeXML]{cs.changes}}, nil
}

func (s *Sim) executeChangeSet(_ *call, in *struct {
	StackName, ChangeSetName, ClientRequestToken string
	DisableRollback, RetainExceptOnCreate        bool
}) (*emptyResult, error) {
	st, cs, err := s.changeSetOf(in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	if cs.status != "CREATE_COMPLETE" {
		return nil, errf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current status of [%s]", cs.id, cs.status)
	}
	if cs.execution != "AVAILABLE" {
		return nil, errf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current execution status of [%s]", cs.id, cs.execution)
	}
	cs.planned.in.ClientRequestToken = in.ClientRequestToken
	if st.status == "REVIEW_IN_PROGRESS" {
		p := cs.planned
		st.template, st.parameters, st.body, st.token, st.capabilities, st.tags = p.template, p.params, p.in.TemplateBody, in.ClientRequestToken, p.in.Capabilities, p.in.Tags
		s.setStack(st, "CREATE_IN_PROGRESS", "User Initiated")
		s.beginCreate(st)
	} else {
		p, err := s.planUpdate(st, cs.planned.in)
		if err != nil {
			return nil, err
		}
		s.startUpdate(st, p)
	}
	for _, other := range st.changeSets {
		other.execution = "OBSOLETE"
	}
	cs.execution = "EXECUTE_COMPLETE"
	return &emptyResult{}, nil
}

// emptyResult is the answer of operations whose result is there and empty.
type emptyResult struct{}

func (s *Sim) deleteChangeSet(_ *call, in *struct{ StackName, ChangeSetName string }) (*emptyResult, error) {
	st, cs, err := s.changeSetOf(in.StackName, in.ChangeSetName)
	if err != nil {
		if st != nil {
			return &emptyResult{}, nil
		}
		return nil, err
	}
	st.changeSets = slices.DeleteFunc(st.changeSets, func(x *changeSet) bool { return x == cs })
	return &emptyResult{}, nil
}

func (s *Sim) updateTerminationProtection(_ *call, in *struct {
	StackName                   string
	EnableTerminationProtection bool
}) (*stackIDXML, error) {
	st := s.stackLive(in.StackName)
	if st == nil {
		return nil, invalid("Stack [%s] does not exist", in.StackName)
	}
	st.protected = in.EnableTerminationProtection
	return &stackIDXML{st.id}, nil
}
