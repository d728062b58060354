package cloudformation

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/template"
)

func (s *Service) updateStack(_ *kernel.Call, in *stackInput) (*stackIDXML, error) {
	st := s.StackLive(in.StackName)
	if st == nil || st.Status == "REVIEW_IN_PROGRESS" {
		return nil, template.Invalid("Stack [%s] does not exist", in.StackName)
	}
	p, err := s.planUpdate(st, in)
	if err != nil {
		return nil, err
	}
	if p.same {
		return nil, template.Invalid("No updates are to be performed.")
	}
	if err := s.useToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	s.startUpdate(st, p)
	return &stackIDXML{st.ID}, nil
}

// plannedUpdate is an update that was checked.
type plannedUpdate struct {
	in       *stackInput
	template *template.Template
	params   map[string]string
	same     bool
}

func (s *Service) planUpdate(st *Stack, in *stackInput) (plannedUpdate, error) {
	if st.Status != "CREATE_COMPLETE" && st.Status != "UPDATE_COMPLETE" && st.Status != "UPDATE_ROLLBACK_COMPLETE" {
		return plannedUpdate{}, template.Invalid("Stack:%s is in %s state and can not be updated.", st.ID, st.Status)
	}
	if in.UsePreviousTemplate {
		in.TemplateBody = st.Body
	}
	for i, p := range in.Parameters {
		if p.UsePreviousValue {
			in.Parameters[i].ParameterValue = st.Parameters[p.ParameterKey]
		}
	}
	t, params, err := s.checkStack(in)
	if err != nil {
		return plannedUpdate{}, err
	}
	same := reflect.DeepEqual(t.Resources(params), st.Template.Resources(st.Parameters)) &&
		reflect.DeepEqual(t.Outputs, st.Template.Outputs) && reflect.DeepEqual(t.Exports, st.Template.Exports) &&
		reflect.DeepEqual(params, st.Parameters) && (in.Tags == nil || reflect.DeepEqual(in.Tags, st.Tags))
	return plannedUpdate{in, t, params, same}, nil
}

func (s *Service) startUpdate(st *Stack, p plannedUpdate) {
	if p.in.Tags != nil {
		st.Tags = p.in.Tags
	}
	if p.in.RoleARN != "" {
		st.role = p.in.RoleARN
	}
	st.exported = s.exports(st)
	st.previous = st.Template
	st.previousParams = st.Parameters
	st.previousBody = st.Body
	st.Template = p.template
	st.Parameters = p.params
	st.Body = p.in.TemplateBody
	st.token = p.in.ClientRequestToken
	st.Capabilities = p.in.Capabilities
	st.updated, st.express = s.Clock.Now(), p.in.DeploymentConfig.Mode == "EXPRESS"
	s.setStack(st, "UPDATE_IN_PROGRESS", "User Initiated")
	st.operation++
	st.failed = nil
	st.Wanted = st.Template.Resources(st.Parameters)
	st.Handled = map[string]bool{}
	st.replaced = map[string]*Resource{}
	for name, r := range st.Resources {
		if r.gone() {
			delete(st.Resources, name)
		}
	}
	s.later(st, stepTakes, func() { s.createReady(st) })
}

// differences returns the properties in which a resource would change, and
// whether one of them replaces it.
func (r *Resource) differences(after map[string]any) (changed []string, replaces bool) {
	for _, k := range unionKeys(r.Properties, after) {
		if !reflect.DeepEqual(r.Properties[k], after[k]) {
			changed = append(changed, k)
			replaces = replaces || slices.Contains(r.Made().createOnly, k)
		}
	}
	return changed, replaces
}

func unionKeys(a, b map[string]any) []string {
	out := append(kernel.SortedKeys(a), kernel.SortedKeys(b)...)
	slices.Sort(out)
	return slices.Compact(out)
}

// updateResource updates an existing resource, in place or by replacement, if it
// changes at all.
func (s *Service) updateResource(st *Stack, name string, spec template.ResourceSpec) {
	r := st.Resources[name]
	st.Handled[name] = true
	end := func(err error) { s.updated(st, r, err) }
	v, err := st.Template.Evaluate(spec.Properties, s.Scope(st))
	after, _ := v.(map[string]any)
	if err == nil {
		changed, replaces := r.differences(after)
		switch {
		case len(changed) == 0:
			return
		case replaces:
			s.setResource(st, r, "UPDATE_IN_PROGRESS",
				"Requested update requires the creation of a new physical resource; hence creating one.")
			st.replaced[name] = r
			s.createResource(st, name, spec)
			return
		}
		s.setResource(st, r, "UPDATE_IN_PROGRESS", "")
		before := r.Properties
		r.Properties = after
		if update := r.Made().update; update != nil {
			err = update(s, st, r)
		}
		if err != nil {
			r.Properties = before
		}
		if settle := r.Made().settle; err == nil && settle != nil {
			settle(s, st, r, end)
			return
		}
	}
	end(err)
}

// updated ends the update of a resource.
func (s *Service) updated(st *Stack, r *Resource, err error) {
	s.later(st, stepTakes, func() {
		if err == nil {
			s.setResource(st, r, "UPDATE_COMPLETE", "")
			s.createReady(st)
			return
		}
		s.setResource(st, r, "UPDATE_FAILED", handlerMessage(err))
		st.failed = append(st.failed, r.Logical)
		s.endCreate(st, fmt.Sprintf("The following resource(s) failed to update: [%s]. ", r.Logical))
	})
}

func (s *Service) finishUpdate(st *Stack) {
	if why := s.takesExport(st); why != "" {
		s.rollbackUpdate(st, why)
		return
	}
	s.setStack(st, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "")
	left := 1
	done := func() {
		if left--; left == 0 {
			s.later(st, stepTakes, func() { s.setStack(st, "UPDATE_COMPLETE", "") })
		}
	}
	gone := func(r *Resource, stays bool) {
		if stays {
			s.setResource(st, r, "DELETE_SKIPPED", "")
			return
		}
		left++
		s.setResource(st, r, "DELETE_IN_PROGRESS", "")
		r.Made().remove(s, r, func(err error) {
			if err != nil { // the update still completes, and the resource stays
				s.setResource(st, r, "DELETE_FAILED", handlerMessage(err))
			} else {
				s.setResource(st, r, "DELETE_COMPLETE", "")
			}
			done()
		})
	}
	for _, name := range kernel.SortedKeys(st.replaced) {
		gone(st.replaced[name], st.previous.Specs[name].KeptWhenReplaced)
	}
	for _, name := range reversed(kernel.SortedKeys(st.Resources)) {
		r := st.Resources[name]
		if _, wanted := st.Wanted[name]; !wanted && !r.gone() {
			gone(r, st.previous.Specs[name].Retained)
		}
	}
	st.replaced = nil
	done()
}

// rollbackUpdate returns to the previous template.
func (s *Service) rollbackUpdate(st *Stack, reason string) {
	s.setStack(st, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
	st.Template = st.previous
	st.Parameters = st.previousParams
	st.Body = st.previousBody
	st.Wanted = st.Template.Resources(st.Parameters)
	left := 1
	done := func(error) { // a resource that cannot be removed stays, and the rollback still completes
		if left--; left == 0 {
			s.later(st, stepTakes, func() { s.setStack(st, "UPDATE_ROLLBACK_COMPLETE", "") })
		}
	}
	for _, name := range kernel.SortedKeys(st.Resources) {
		r := st.Resources[name]
		old, wasReplaced := st.replaced[name]
		if _, wanted := st.Wanted[name]; wanted && !wasReplaced {
			s.restore(st, r)
			continue
		}
		if r.Physical != "" {
			left++
			r.Made().remove(s, r, done)
		}
		s.setResource(st, r, "DELETE_COMPLETE", "")
		if wasReplaced {
			st.Resources[name] = old
			s.setResource(st, old, "UPDATE_COMPLETE", "")
		}
	}
	st.replaced = nil
	s.later(st, stepTakes, func() {
		s.setStack(st, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "")
		done(nil)
	})
}

// restore gives a resource the properties of the previous template.
func (s *Service) restore(st *Stack, r *Resource) {
	v, err := st.Template.Evaluate(st.Wanted[r.Logical].Properties, s.Scope(st))
	before, _ := v.(map[string]any)
	if err != nil || reflect.DeepEqual(before, r.Properties) {
		return
	}
	r.Properties = before
	if update := r.Made().update; update != nil {
		_ = update(s, st, r) // as it was before, which was accepted
	}
	s.setResource(st, r, "UPDATE_COMPLETE", "")
}

// gone reports whether the resource is none of the stack's any more.
func (r *Resource) gone() bool { return r.Status == "DELETE_COMPLETE" || r.Status == "DELETE_SKIPPED" }

// changeSet is a change set of a stack.
type changeSet struct {
	id, name, kind, status, execution, reason string
	created                                   time.Time
	planned                                   plannedUpdate
	changes                                   []changeXML
	tags                                      []kernel.Tag
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

func (s *Service) createChangeSet(c *kernel.Call, in *changeSetInput) (*changeSetIDXML, error) {
	if in.ImportExistingResources {
		return nil, c.Unsupported("ImportExistingResources")
	}
	if in.ChangeSetType == "" {
		in.ChangeSetType = "UPDATE"
	}
	if err := checkStackName(in.StackName); err != nil && !strings.HasPrefix(in.StackName, "arn:") {
		return nil, err
	}
	st := s.StackLive(in.StackName)
	fresh := st == nil || st.Status == "REVIEW_IN_PROGRESS"
	cs := &changeSet{
		name: in.ChangeSetName, kind: in.ChangeSetType, status: "CREATE_IN_PROGRESS", execution: "UNAVAILABLE",
		created: s.Clock.Now(), tags: in.Tags,
	}
	switch {
	case in.ChangeSetType == "CREATE" && !fresh:
		return nil, template.Invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].",
			in.StackName, in.ChangeSetName)
	case in.ChangeSetType == "UPDATE" && fresh:
		return nil, template.Invalid("Stack [%s] does not exist", in.StackName)
	case in.ChangeSetType == "CREATE":
		t, params, err := s.checkStack(&in.stackInput)
		if err != nil {
			return nil, err
		}
		cs.planned = plannedUpdate{&in.stackInput, t, params, false}
		if st == nil {
			st = reviewStack(s, in)
		}
	default:
		p, err := s.planUpdate(st, &in.stackInput)
		if err != nil {
			return nil, err
		}
		cs.planned = p
	}
	if slices.ContainsFunc(st.changeSets, func(x *changeSet) bool { return x.name == in.ChangeSetName }) {
		return nil, kernel.Errorf("AlreadyExistsException",
			"ChangeSet %s cannot be created due to a mismatch with existing attribute Template", in.ChangeSetName)
	}
	cs.id = s.ARN("cloudformation", "changeSet/"+in.ChangeSetName+"/"+s.UUID("change-set"))
	st.changeSets = append(st.changeSets, cs)
	s.Clock.After(changeSetTakes, func() {
		cs.changes = s.changesOf(st, cs.planned)
		sameTags := in.Tags == nil || reflect.DeepEqual(in.Tags, st.Tags)
		if cs.kind == "UPDATE" && len(cs.changes) == 0 && sameTags {
			cs.status, cs.reason = "FAILED", "The submitted information didn't contain changes. Submit different "+
				"information to create a change set."
			return
		}
		cs.status, cs.execution = "CREATE_COMPLETE", "AVAILABLE"
	})
	return &changeSetIDXML{cs.id, st.ID}, nil
}

// reviewStack adds the empty stack of a change set that creates one.
func reviewStack(s *Service, in *changeSetInput) *Stack {
	st := &Stack{
		Name: in.StackName, ID: s.ARN("cloudformation", "stack/"+in.StackName+"/"+s.UUID("stack")),
		role: in.RoleARN, Times: Times{Created: s.Clock.Now()}, Tags: in.Tags, Template: &template.Template{},
		Parameters: map[string]string{}, Resources: map[string]*Resource{},
		Operation: Operation{OnFailure: "ROLLBACK"},
	}
	s.Stacks = append(s.Stacks, st)
	s.setStack(st, "REVIEW_IN_PROGRESS", "User Initiated")
	return st
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
	Scope       kernel.Members[string]
	Details     kernel.Members[changeDetailXML]
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

// changesOf compares a stack with its planned state.
func (s *Service) changesOf(st *Stack, p plannedUpdate) []changeXML {
	var out []changeXML
	wanted := p.template.Resources(p.params)
	sc := s.Scope(st)
	sc.Parameters = p.params
	for _, name := range kernel.SortedKeys(wanted) {
		spec := wanted[name]
		r := st.Resources[name]
		if r == nil || r.gone() {
			out = append(out, changeXML{"Resource", resourceChangeXML{Action: "Add", Logical: name, Kind: spec.Kind}})
			continue
		}
		v, err := p.template.Evaluate(spec.Properties, sc)
		after, _ := v.(map[string]any)
		if err != nil {
			after = spec.Properties // it refers to a resource that does not exist yet
		}
		changed, replaces := r.differences(after)
		if len(changed) == 0 {
			continue
		}
		c := resourceChangeXML{
			Action: "Modify", Logical: name, Physical: r.Physical, Kind: spec.Kind, Replacement: "False",
			Scope: kernel.Members[string]{Member: []string{"Properties"}},
		}
		if replaces {
			c.Replacement = "True"
		}
		for _, k := range changed {
			d := changeDetailXML{Evaluation: "Static", ChangeSource: "DirectModification"}
			d.Target.Attribute = "Properties"
			d.Target.Name = k
			d.Target.RequiresRecreation = "Never"
			if slices.Contains(r.Made().createOnly, k) {
				d.Target.RequiresRecreation = "Always"
			}
			d.Target.BeforeValue, d.Target.AfterValue = shown(r.Properties[k]), shown(after[k])
			c.Details.Member = append(c.Details.Member, d)
		}
		out = append(out, changeXML{"Resource", c})
	}
	for _, name := range kernel.SortedKeys(st.Resources) {
		r := st.Resources[name]
		if _, ok := wanted[name]; !ok && !r.gone() {
			out = append(out, changeXML{
				"Resource", resourceChangeXML{Action: "Remove", Logical: name, Physical: r.Physical, Kind: r.Kind},
			})
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

func (s *Service) listChangeSets(_ *kernel.Call, in *struct{ StackName, NextToken string }) (*struct {
	Summaries kernel.Members[changeSetSummaryXML]
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, template.Invalid("Stack [%s] does not exist", in.StackName)
	}
	out := &struct {
		Summaries kernel.Members[changeSetSummaryXML]
	}{}
	for _, cs := range st.changeSets {
		out.Summaries.Member = append(out.Summaries.Member, changeSetSummaryXML{
			st.ID, st.Name, cs.id, cs.name, cs.execution, cs.status, kernel.Stamp{Time: cs.created},
		})
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
	CreationTime    kernel.Stamp
}

// changeSetOf finds a change set by its ARN, or by name and stack.
func (s *Service) changeSetOf(stackName, name string) (*Stack, *changeSet, error) {
	if strings.HasPrefix(name, "arn:") {
		for _, st := range s.Stacks {
			if cs := kernel.Find(st.changeSets, func(x *changeSet) bool { return x.id == name }); cs != nil {
				return st, cs, nil
			}
		}
		return nil, nil, kernel.Errorf("ChangeSetNotFound", "ChangeSet [%s] does not exist", name).WithStatus(404)
	}
	if stackName == "" {
		return nil, nil, template.Invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
	}
	st := s.stackByAny(stackName)
	if st == nil {
		return nil, nil, template.Invalid("Stack [%s] does not exist", stackName)
	}
	cs := kernel.Find(st.changeSets, func(x *changeSet) bool { return x.name == name })
	if cs == nil {
		return st, nil, kernel.Errorf("ChangeSetNotFound", "ChangeSet [%s] does not exist", name).WithStatus(404)
	}
	return st, cs, nil
}

type changeSetXML struct {
	ChangeSetName   string
	ChangeSetID     string `xml:"ChangeSetId"`
	StackID         string `xml:"StackId"`
	StackName       string
	CreationTime    kernel.Stamp
	ExecutionStatus string
	Status          string
	StatusReason    string `xml:",omitempty"`
	Tags            kernel.Members[kernel.Tag]
	Changes         kernel.Members[changeXML]
}

func (s *Service) describeChangeSet(_ *kernel.Call, in *struct {
	StackName, ChangeSetName, NextToken string
	IncludePropertyValues               bool
}) (*changeSetXML, error) {
	st, cs, err := s.changeSetOf(in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	return &changeSetXML{
		cs.name, cs.id, st.ID, st.Name, kernel.Stamp{Time: cs.created}, cs.execution, cs.status, cs.reason,
		kernel.Members[kernel.Tag]{Member: cs.tags}, kernel.Members[changeXML]{Member: cs.changes},
	}, nil
}

func (s *Service) executeChangeSet(_ *kernel.Call, in *struct {
	StackName, ChangeSetName, ClientRequestToken string
	DisableRollback, RetainExceptOnCreate        bool
}) (*emptyResult, error) {
	st, cs, err := s.changeSetOf(in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	if cs.status != "CREATE_COMPLETE" {
		return nil, kernel.Errorf("InvalidChangeSetStatus",
			"ChangeSet [%s] cannot be executed in its current status of [%s]", cs.id, cs.status)
	}
	if cs.execution != "AVAILABLE" {
		return nil, kernel.Errorf("InvalidChangeSetStatus",
			"ChangeSet [%s] cannot be executed in its current execution status of [%s]", cs.id, cs.execution)
	}
	cs.planned.in.ClientRequestToken = in.ClientRequestToken
	if st.Status == "REVIEW_IN_PROGRESS" {
		p := cs.planned
		st.Template = p.template
		st.Parameters = p.params
		st.Body = p.in.TemplateBody
		st.token = in.ClientRequestToken
		st.Capabilities = p.in.Capabilities
		st.Tags = p.in.Tags
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

// emptyResult is the reply of operations with an empty result element.
type emptyResult struct{}

func (s *Service) deleteChangeSet(_ *kernel.Call, in *struct{ StackName, ChangeSetName string }) (*emptyResult, error) {
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

func (s *Service) updateTerminationProtection(_ *kernel.Call, in *struct {
	StackName                   string
	EnableTerminationProtection bool
}) (*stackIDXML, error) {
	st := s.StackLive(in.StackName)
	if st == nil {
		return nil, template.Invalid("Stack [%s] does not exist", in.StackName)
	}
	st.protected = in.EnableTerminationProtection
	return &stackIDXML{st.ID}, nil
}
