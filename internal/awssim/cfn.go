package awssim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

type cfnState struct {
	stacks []*stack
	// tokens are the client request tokens that were used, by the operation.
	tokens map[string]bool
}

// stack is one life of a stack; a deleted stack stays to be asked for by id.
type stack struct {
	name, id, status, reason  string
	role, onFailure, token    string
	created, updated, deleted time.Time
	tags                      []cfnTag
	template                  *template
	body                      string
	parameters                map[string]string
	capabilities              []string
	timeout                   time.Duration
	timer                     *event
	protected                 bool
	resources                 map[string]*resource
	events                    []stackEvent
	history                   []statusAt
	failed                    []string // logical ids of what failed in the present operation
	operation                 int      // counts operations, so that late callbacks of older ones do nothing
	wanted                    map[string]resourceSpec
	previous                  *template
	previousParams            map[string]string
	previousBody              string
	handled                   map[string]bool      // resources that this operation has looked at
	replaced                  map[string]*resource // what an update has put others in the place of
	changeSets                []*changeSet
	before                    bool // there before the simulation began
	express                   bool // the present operation does not wait for what it began
}

// statusAt is when a stack took on a status, for stale reads.
type statusAt struct {
	at     time.Time
	status string
	reason string
}

type resource struct {
	logical, kind, physical, status, reason string
	properties                              map[string]any
	attributes                              map[string]string
	updated                                 time.Time
}

type cfnTag struct {
	Key   string
	Value string
}

type stackEvent struct {
	id, logical, physical, kind, status, reason, token string
	at                                                 time.Time
}

func (s *Sim) newCFN() *service {
	s.cfn = &cfnState{tokens: map[string]bool{}}
	return &service{name: "cloudformation", asks: s.stackQuestions, protocol: query, xmlns: "http://cloudformation.amazonaws.com/doc/2010-05-15/", ops: map[string]operation{
		"CreateStack":            op(s.createStack),
		"UpdateStack":            op(s.updateStack),
		"DeleteStack":            op(s.deleteStack),
		"DescribeStacks":         op(s.describeStacks),
		"DescribeStackEvents":    op(s.describeStackEvents),
		"DescribeStackResources": op(s.describeStackResources),
		"ListStackResources":     op(s.listStackResources),
		"ListStacks":             op(s.listStacks),
		"GetTemplate":            op(s.getTemplate),
		"CreateChangeSet":        op(s.createChangeSet),
		"DescribeChangeSet":      op(s.describeChangeSet),
		"ExecuteChangeSet":       op(s.executeChangeSet),
		"DeleteChangeSet":        op(s.deleteChangeSet),
		"ListChangeSets":         op(s.listChangeSets),

		"UpdateTerminationProtection": op(s.updateTerminationProtection),
		"ValidateTemplate":            op(s.validateTemplate),
	}}
}

// live returns the stack of that name or id that is not deleted, or nil.
func (s *Sim) stackLive(name string) *stack {
	return find(s.cfn.stacks, func(st *stack) bool { return (st.name == name || st.id == name) && st.status != "DELETE_COMPLETE" })
}

type stackParameter struct {
	ParameterKey, ParameterValue string
	UsePreviousValue             bool
	ResolvedValue                string
}

type stackInput struct {
	StackName, TemplateBody, TemplateURL string
	Parameters                           []stackParameter
	Capabilities, ResourceTypes          []string
	RoleARN, OnFailure                   string
	DisableRollback                      bool
	TimeoutInMinutes                     int
	Tags                                 []cfnTag
	ClientRequestToken                   string
	EnableTerminationProtection          bool
	NotificationARNs                     []string
	UsePreviousTemplate                  bool
	DisableValidation                    bool
	DeploymentConfig                     deploymentConfig
}

// deploymentConfig is the mode of an operation. In EXPRESS it is complete as soon as its
// calls have succeeded; what they began goes on by itself.
//
// Source: "Deploy AWS CloudFormation stacks faster with express mode", AWS, June 2026
type deploymentConfig struct {
	Mode            string
	DisableRollback bool
}

type stackIDXML struct {
	StackID string `xml:"StackId"`
}

func invalid(format string, args ...any) *apiError { return errf("ValidationError", format, args...) }

func (s *Sim) createStack(_ *call, in *stackInput) (*stackIDXML, error) {
	old := s.stackLive(in.StackName)
	if old != nil && old.status == "REVIEW_IN_PROGRESS" {
		s.cfn.stacks = slices.DeleteFunc(s.cfn.stacks, func(st *stack) bool { return st == old })
		old = nil
	}
	if old != nil {
		return nil, errf("AlreadyExistsException", "Stack [%s] already exists", in.StackName)
	}
	if in.DisableRollback && in.OnFailure != "" {
		return nil, invalid("You must specify only one of: OnFailure, DisableRollback")
	}
	if err := s.checkStackName(in.StackName); err != nil {
		return nil, err
	}
	t, params, err := s.checkStack(in)
	if err != nil {
		return nil, err
	}
	if err := s.useToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	st := &stack{
		name: in.StackName, id: s.arn("cloudformation", "stack/"+in.StackName+"/"+s.uuid("stack")), role: in.RoleARN, onFailure: in.OnFailure,
		token: in.ClientRequestToken, created: s.clock.time(), tags: in.Tags, template: t, body: in.TemplateBody, parameters: params, capabilities: in.Capabilities,
		express: in.DeploymentConfig.Mode == "EXPRESS",
		timeout: time.Duration(in.TimeoutInMinutes) * time.Minute, protected: in.EnableTerminationProtection, resources: map[string]*resource{},
	}
	if st.onFailure == "" {
		st.onFailure = "ROLLBACK"
	}
	if in.DisableRollback {
		st.onFailure = "DO_NOTHING"
	}
	s.cfn.stacks = append(s.cfn.stacks, st)
	s.setStack(st, "CREATE_IN_PROGRESS", "User Initiated")
	s.beginCreate(st)
	return &stackIDXML{st.id}, nil
}

var (
	stackNames    = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]*$`)
	requestTokens = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9]*$`)
)

func (s *Sim) checkStackName(name string) error {
	if !stackNames.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	}
	if len(name) > 128 {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must have length less than or equal to 128", name)
	}
	return nil
}

// useToken takes note of the token that names a request. One that was used before
// names that request, whatever became of it.
func (s *Sim) useToken(token string) error {
	switch {
	case token == "":
		return nil
	case !requestTokens.MatchString(token) || len(token) > 128:
		return invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*", token)
	case s.cfn.tokens[token]:
		return errf("TokenAlreadyExistsException", "A client request token already exists: %s", token)
	}
	s.cfn.tokens[token] = true
	return nil
}

// checkStack refuses what CloudFormation refuses at the call itself.
func (s *Sim) checkStack(in *stackInput) (*template, map[string]string, error) {
	if in.TemplateURL != "" {
		body, ok := s.objectAt(in.TemplateURL)
		if !ok {
			return nil, nil, invalid("S3 error: The specified key does not exist.\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html")
		}
		if len(body) > 1<<20 {
			return nil, nil, invalid("Template may not exceed 1000000 bytes in size.")
		}
		t, params, err := s.checkTemplate(in, string(body))
		in.TemplateBody = string(body)
		return t, params, err
	}
	if in.TemplateBody == "" {
		return nil, nil, invalid("Either Template URL or Template Body must be specified.")
	}
	if len(in.TemplateBody) > 51200 {
		return nil, nil, invalid("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200")
	}
	return s.checkTemplate(in, in.TemplateBody)
}

func (s *Sim) checkTemplate(in *stackInput, body string) (*template, map[string]string, error) {
	t, err := parseTemplate(isKind, body)
	if err != nil {
		return nil, nil, err
	}
	params, err := t.bind(in.Parameters)
	if err != nil {
		return nil, nil, err
	}
	if need := t.capability(); need != "" && !slices.Contains(in.Capabilities, need) && !slices.Contains(in.Capabilities, "CAPABILITY_NAMED_IAM") {
		return nil, nil, errf("InsufficientCapabilitiesException", "Requires capabilities : [%s]", need)
	}
	for _, name := range sortedKeys(t.specs) {
		if kind := t.specs[name].kind; len(in.ResourceTypes) > 0 && !slices.Contains(in.ResourceTypes, kind) {
			return nil, nil, invalid("Resource type %s is not allowed by parameter ResourceTypes [%s]", kind, strings.Join(in.ResourceTypes, ", "))
		}
	}
	if in.RoleARN != "" && !s.roleServes(in.RoleARN, "cloudformation.amazonaws.com") {
		return nil, nil, invalid("Role %s is invalid or cannot be assumed", in.RoleARN)
	}
	return t, params, nil
}

// setStack gives a stack another status and tells EventBridge.
func (s *Sim) setStack(st *stack, status, reason string) {
	now := s.clock.time()
	st.status, st.reason = status, reason
	st.history = append(st.history, statusAt{now, status, reason})
	if status == "DELETE_COMPLETE" {
		st.deleted = now
	}
	if status != "REVIEW_IN_PROGRESS" { // which the API's model does not know for an event
		s.stackEvent(st, st.name, st.id, "AWS::CloudFormation::Stack", status, reason)
	}
	s.publish("aws.cloudformation", "CloudFormation Stack Status Change", []string{st.id}, map[string]any{
		"stack-id": st.id, "status-details": map[string]any{"status": status, "status-reason": reason}, "client-request-token": st.token,
	})
}

func (s *Sim) stackEvent(st *stack, logical, physical, kind, status, reason string) {
	st.events = append(st.events, stackEvent{s.uuid("stack-event"), logical, physical, kind, status, reason, st.token, s.clock.time()})
}

func (s *Sim) setResource(st *stack, r *resource, status, reason string) {
	r.status, r.reason, r.updated = status, reason, s.clock.time()
	s.stackEvent(st, r.logical, r.physical, r.kind, status, reason)
}

// stepTakes is the time that CloudFormation spends between two steps of its own.
const stepTakes = time.Second

// later runs f after d unless the stack has begun another operation by then.
func (s *Sim) later(st *stack, d time.Duration, f func()) {
	n := st.operation
	s.clock.after(d, func() {
		if st.operation == n {
			f()
		}
	})
}

func (s *Sim) beginCreate(st *stack) {
	st.operation++
	st.failed, st.handled = nil, map[string]bool{}
	st.wanted = st.template.resources(st.parameters)
	if st.timeout > 0 {
		n := st.operation
		st.timer = s.clock.after(st.timeout, func() {
			if st.operation == n && st.status == "CREATE_IN_PROGRESS" {
				s.endCreate(st, "Stack creation time exceeded the specified timeout. Rollback requested by user.")
			}
		})
	}
	s.later(st, stepTakes, func() { s.createReady(st) })
}

// createReady creates or updates every resource whose dependencies are there, and
// ends the operation when all are.
func (s *Sim) createReady(st *stack) {
	complete, progress := true, true
	for progress {
		complete, progress = true, false
		for _, name := range sortedKeys(st.wanted) {
			spec := st.wanted[name]
			r := st.resources[name]
			there := r != nil && r.status != "DELETE_COMPLETE"
			if (!there || !st.handled[name]) && s.dependenciesDone(st, spec) {
				progress = true
				if there {
					s.updateResource(st, name, spec)
				} else {
					s.createResource(st, name, spec)
				}
				r = st.resources[name]
			}
			complete = complete && r != nil && st.handled[name] && (r.status == "CREATE_COMPLETE" || r.status == "UPDATE_COMPLETE")
		}
	}
	if complete {
		s.clock.cancel(st.timer)
		s.later(st, stepTakes, func() { s.finishCreate(st) })
	}
}

func (s *Sim) finishCreate(st *stack) {
	if strings.HasPrefix(st.status, "UPDATE") {
		s.finishUpdate(st)
		return
	}
	s.setStack(st, "CREATE_COMPLETE", "")
}

func (s *Sim) dependenciesDone(st *stack, spec resourceSpec) bool {
	for _, d := range spec.dependsOn {
		if r := st.resources[d]; r == nil || !st.handled[d] || r.status != "CREATE_COMPLETE" && r.status != "UPDATE_COMPLETE" {
			return false
		}
	}
	return true
}

func (s *Sim) createResource(st *stack, name string, spec resourceSpec) {
	r := &resource{logical: name, kind: spec.kind, attributes: map[string]string{}}
	st.resources[name], st.handled[name] = r, true
	s.setResource(st, r, "CREATE_IN_PROGRESS", "")
	props, err := st.template.evaluate(spec.properties, s.scope(st))
	if err == nil {
		r.properties, _ = props.(map[string]any)
		n := st.operation
		err = r.made().create(s, st, r, func(err error) {
			if st.operation == n {
				s.resourceDone(st, r, err)
			}
		})
	}
	if err != nil {
		s.later(st, stepTakes, func() { s.resourceDone(st, r, err) })
		return
	}
	s.setResource(st, r, "CREATE_IN_PROGRESS", "Resource creation Initiated")
	if st.express {
		s.later(st, stepTakes, func() { s.resourceDone(st, r, nil) })
	}
}

func (s *Sim) resourceDone(st *stack, r *resource, err error) {
	if r.status != "CREATE_IN_PROGRESS" {
		return
	}
	if err == nil {
		s.setResource(st, r, "CREATE_COMPLETE", "")
		s.createReady(st)
		return
	}
	s.setResource(st, r, "CREATE_FAILED", handlerMessage(err))
	st.failed = append(st.failed, r.logical)
	for _, name := range sortedKeys(st.resources) {
		if o := st.resources[name]; o.status == "CREATE_IN_PROGRESS" {
			s.setResource(st, o, "CREATE_FAILED", "Resource creation cancelled")
		}
	}
	s.endCreate(st, fmt.Sprintf("The following resource(s) failed to create: [%s]. Rollback requested by user.", strings.Join(st.failed, ", ")))
}

// handlerMessage is how a resource reports its service's error.
func handlerMessage(err error) string {
	var e *apiError
	if errors.As(err, &e) {
		return fmt.Sprintf(`Resource handler returned message: "%s (Service: Ec2, Status Code: 400, Request ID: %s)" (HandlerErrorCode: %s)`, e.Message, "00000000-0000-0000-0000-000000000000", handlerCode(e.Code))
	}
	return err.Error()
}

func handlerCode(code string) string {
	switch {
	case strings.Contains(code, "NotFound"):
		return "NotFound"
	case strings.Contains(code, "Exists"), strings.Contains(code, "Duplicate"):
		return "AlreadyExists"
	}
	return "InvalidRequest"
}

// endCreate ends a creation or update that failed.
func (s *Sim) endCreate(st *stack, reason string) {
	s.clock.cancel(st.timer)
	st.operation++
	if strings.HasPrefix(st.status, "UPDATE") {
		s.rollbackUpdate(st, strings.TrimSuffix(reason, "Rollback requested by user."))
		return
	}
	switch st.onFailure {
	case "DO_NOTHING":
		s.setStack(st, "CREATE_FAILED", strings.TrimSuffix(reason, "Rollback requested by user."))
	case "DELETE":
		s.beginDelete(st, "DELETE_IN_PROGRESS", strings.Replace(reason, "Rollback", "Delete", 1))
	default:
		s.beginDelete(st, "ROLLBACK_IN_PROGRESS", reason)
	}
}

// beginDelete removes all resources, dependants first.
func (s *Sim) beginDelete(st *stack, status, reason string) {
	st.operation++
	st.failed = nil
	s.setStack(st, status, reason)
	s.later(st, stepTakes, func() { s.deleteReady(st) })
}

func (s *Sim) deleteReady(st *stack) {
	var left, waiting bool
	for _, name := range reversed(sortedKeys(st.resources)) {
		r := st.resources[name]
		switch r.status {
		case "DELETE_COMPLETE", "DELETE_SKIPPED":
			continue
		case "DELETE_FAILED":
			left = true
			continue
		case "DELETE_IN_PROGRESS":
			waiting = true
			continue
		}
		waiting = true
		if !s.hasDependants(st, name) {
			s.deleteResource(st, r)
		}
	}
	switch {
	case waiting && (!left || !s.allBlocked(st)):
	case left || waiting:
		s.later(st, 0, func() { s.failDelete(st) })
	default:
		s.later(st, stepTakes, func() { s.finishDelete(st) })
	}
}

// allBlocked says whether everything that is left hangs on something that could
// not be deleted.
func (s *Sim) allBlocked(st *stack) bool {
	for _, r := range st.resources {
		if r.status == "DELETE_IN_PROGRESS" {
			return false
		}
		if r.status != "DELETE_COMPLETE" && r.status != "DELETE_SKIPPED" && r.status != "DELETE_FAILED" && !s.hasDependants(st, r.logical) {
			return false
		}
	}
	return true
}

func reversed(in []string) []string {
	slices.Reverse(in)
	return in
}

// hasDependants says whether something that is still there depends on name.
func (s *Sim) hasDependants(st *stack, name string) bool {
	for _, r := range st.resources {
		if r.status == "DELETE_COMPLETE" || r.status == "DELETE_SKIPPED" {
			continue
		}
		if slices.Contains(st.wanted[r.logical].dependsOn, name) {
			return true
		}
	}
	return false
}

func (s *Sim) deleteResource(st *stack, r *resource) {
	s.setResource(st, r, "DELETE_IN_PROGRESS", "")
	n := st.operation
	finish := func(err error) {
		if st.operation != n {
			return
		}
		if err != nil {
			s.setResource(st, r, "DELETE_FAILED", handlerMessage(err))
			st.failed = append(st.failed, r.logical)
		} else {
			s.setResource(st, r, "DELETE_COMPLETE", "")
		}
		s.deleteReady(st)
	}
	if r.physical == "" {
		s.later(st, 0, func() { finish(nil) })
		return
	}
	if denied := s.deniedRemoval(st, r); denied != nil {
		s.later(st, stepTakes, func() { finish(denied) })
		return
	}
	if st.express {
		r.made().remove(s, r, func(error) {})
		s.later(st, stepTakes, func() { finish(nil) })
		return
	}
	r.made().remove(s, r, finish)
}

func (s *Sim) failDelete(st *stack) {
	status := "DELETE_FAILED"
	if st.status == "ROLLBACK_IN_PROGRESS" {
		status = "ROLLBACK_FAILED"
	}
	s.setStack(st, status, fmt.Sprintf("The following resource(s) failed to delete: [%s]. ", strings.Join(st.failed, ", ")))
}

func (s *Sim) finishDelete(st *stack) {
	if st.status == "ROLLBACK_IN_PROGRESS" {
		s.setStack(st, "ROLLBACK_COMPLETE", "")
		return
	}
	s.setStack(st, "DELETE_COMPLETE", "")
}

func (s *Sim) deleteStack(_ *call, in *struct {
	StackName, RoleARN, ClientRequestToken, DeletionMode string
	RetainResources                                      []string
	DeploymentConfig                                     deploymentConfig
}) (*none, error) {
	st := s.stackLive(in.StackName)
	if st == nil {
		return &none{}, nil
	}
	if st.protected {
		return nil, invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", st.name)
	}
	if in.DeletionMode == "FORCE_DELETE_STACK" && st.status != "DELETE_FAILED" {
		return nil, invalid("Invalid operation on stack [%s]. You can activate DeletionMode FORCE_DELETE_STACK in a delete stack operation only when the stack is in the DELETE_FAILED state.", st.id)
	}
	if len(in.RetainResources) > 0 && st.status != "DELETE_FAILED" {
		return nil, invalid("Invalid operation on stack [%s]. When you delete a stack, specify which resources to retain only when the stack is in the DELETE_FAILED state.", st.id)
	}
	if strings.HasPrefix(st.status, "UPDATE") && strings.HasSuffix(st.status, "IN_PROGRESS") {
		return nil, invalid("Stack [%s] cannot be deleted while in status %s", st.id, st.status)
	}
	role := st.role
	if in.RoleARN != "" {
		role = in.RoleARN
	}
	if role != "" && !s.roleServes(role, "cloudformation.amazonaws.com") {
		return nil, invalid("Role %s is invalid or cannot be assumed", role)
	}
	if st.status == "DELETE_IN_PROGRESS" {
		return &none{}, nil
	}
	if err := s.useToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	st.token, st.express = in.ClientRequestToken, in.DeploymentConfig.Mode == "EXPRESS"
	for _, r := range st.resources {
		switch {
		case r.status == "DELETE_FAILED" && (in.DeletionMode == "FORCE_DELETE_STACK" || slices.Contains(in.RetainResources, r.logical)):
			s.setResource(st, r, "DELETE_SKIPPED", "")
		case r.status == "DELETE_FAILED":
			r.status = "CREATE_COMPLETE"
		}
	}
	if in.DeletionMode == "FORCE_DELETE_STACK" {
		for _, r := range st.resources { // what hangs on the skipped ones stays as well
			if r.status != "DELETE_COMPLETE" && r.status != "DELETE_SKIPPED" && s.dependsOnSkipped(st, r.logical) {
				s.setResource(st, r, "DELETE_SKIPPED", "")
			}
		}
	}
	s.beginDelete(st, "DELETE_IN_PROGRESS", "User Initiated")
	if s.strikes("fail-delete") && in.DeletionMode != "FORCE_DELETE_STACK" {
		s.sabotage(st)
	}
	return &none{}, nil
}

func (s *Sim) dependsOnSkipped(st *stack, name string) bool {
	for _, r := range st.resources {
		if r.status == "DELETE_SKIPPED" && slices.Contains(st.wanted[r.logical].dependsOn, name) {
			return true
		}
	}
	return false
}

// sabotage makes the deletion of one endpoint of the stack fail.
func (s *Sim) sabotage(st *stack) {
	for _, name := range sortedKeys(st.resources) {
		r := st.resources[name]
		if r.kind == "AWS::EC2::VPCEndpoint" && r.status == "CREATE_COMPLETE" {
			s.setResource(st, r, "DELETE_FAILED", "Resource handler returned message: \"Internal error\" (HandlerErrorCode: GeneralServiceException)")
			st.failed = append(st.failed, name)
			return
		}
	}
}

type stackXML struct {
	StackID      string `xml:"StackId"`
	StackName    string
	Description  string `xml:",omitempty"`
	Parameters   members[parameterXML]
	CreationTime stamp
	DeletionTime *stamp
	LastUpdated  *stamp `xml:"LastUpdatedTime"`
	StackStatus  string
	StatusReason string          `xml:"StackStatusReason,omitempty"`
	NoRollback   bool            `xml:"DisableRollback"`
	Notification members[string] `xml:"NotificationARNs"`
	Timeout      *int            `xml:"TimeoutInMinutes"`
	Capabilities members[string]
	Outputs      members[outputXML]
	RoleARN      string `xml:",omitempty"`
	Tags         members[cfnTag]
	Protected    bool `xml:"EnableTerminationProtection"`
	Drift        struct {
		Status string `xml:"StackDriftStatus"`
	} `xml:"DriftInformation"`
}

type parameterXML struct{ ParameterKey, ParameterValue string }

type outputXML struct {
	OutputKey, OutputValue string
	Description            string `xml:",omitempty"`
}

// shown returns the stack's status as a read at t shows it; ok is false before
// its creation.
func (st *stack) shown(t time.Time) (status, reason string, ok bool) {
	for _, h := range st.history {
		if !h.at.After(t) {
			status, reason, ok = h.status, h.reason, true
		}
	}
	return status, reason, ok
}

func (s *Sim) stackXML(st *stack, status, reason string) stackXML {
	x := stackXML{
		StackID: st.id, StackName: st.name, CreationTime: stamp{st.created}, LastUpdated: stampOf(st.updated), StackStatus: status, StatusReason: reason,
		NoRollback: st.onFailure == "DO_NOTHING", Capabilities: members[string]{st.capabilities}, RoleARN: st.role, Tags: members[cfnTag]{st.tags}, Protected: st.protected,
		Description: st.template.description,
	}
	if strings.HasPrefix(status, "DELETE") && !st.deleted.IsZero() {
		x.DeletionTime = stampOf(st.deleted)
	}
	if m := int(st.timeout / time.Minute); m > 0 {
		x.Timeout = &m
	}
	x.Drift.Status = "NOT_CHECKED"
	for _, k := range sortedKeys(st.parameters) {
		v := st.parameters[k]
		if st.template.noEcho(k) {
			v = "****"
		}
		x.Parameters.Member = append(x.Parameters.Member, parameterXML{k, v})
	}
	if strings.HasSuffix(status, "_COMPLETE") && !strings.HasPrefix(status, "DELETE") && !strings.HasPrefix(status, "ROLLBACK") {
		for _, k := range sortedKeys(st.template.outputs) {
			if v, err := st.template.evaluate(st.template.outputs[k], s.scope(st)); err == nil {
				x.Outputs.Member = append(x.Outputs.Member, outputXML{OutputKey: k, OutputValue: fmt.Sprint(v)})
			}
		}
	}
	return x
}

func (s *Sim) describeStacks(_ *call, in *struct{ StackName, NextToken string }) (*struct {
	Stacks members[stackXML]
}, error) {
	out := &struct {
		Stacks members[stackXML]
	}{}
	t := s.asOf()
	for _, st := range s.cfn.stacks {
		status, reason, ok := st.shown(t)
		byID := in.StackName == st.id
		if !ok || in.StackName != "" && !byID && in.StackName != st.name || !byID && status == "DELETE_COMPLETE" {
			continue
		}
		out.Stacks.Member = append(out.Stacks.Member, s.stackXML(st, status, reason))
	}
	if in.StackName != "" && len(out.Stacks.Member) == 0 {
		return nil, invalid("Stack with id %s does not exist", in.StackName)
	}
	return out, nil
}

type stackEventXML struct {
	StackID   string `xml:"StackId"`
	EventID   string `xml:"EventId"`
	StackName string
	Logical   string `xml:"LogicalResourceId"`
	Physical  string `xml:"PhysicalResourceId"`
	Type      string `xml:"ResourceType"`
	Timestamp stamp
	Status    string `xml:"ResourceStatus"`
	Reason    string `xml:"ResourceStatusReason,omitempty"`
	Token     string `xml:"ClientRequestToken,omitempty"`
}

// stackByAny returns the stack of that id, deleted or not, or of that name.
func (s *Sim) stackByAny(name string) *stack {
	if st := s.stackLive(name); st != nil {
		return st
	}
	return find(s.cfn.stacks, func(st *stack) bool { return st.id == name })
}

func (s *Sim) describeStackEvents(_ *call, in *struct{ StackName, NextToken string }) (*struct {
	Events members[stackEventXML] `xml:"StackEvents"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, invalid("Stack [%s] does not exist", in.StackName)
	}
	out := &struct {
		Events members[stackEventXML] `xml:"StackEvents"`
	}{}
	for _, e := range slices.Backward(st.events) {
		out.Events.Member = append(out.Events.Member, stackEventXML{st.id, e.id, st.name, e.logical, e.physical, e.kind, stamp{e.at}, e.status, e.reason, e.token})
	}
	return out, nil
}

type stackResourceXML struct {
	StackName string `xml:",omitempty"`
	StackID   string `xml:"StackId,omitempty"`
	Logical   string `xml:"LogicalResourceId"`
	Physical  string `xml:"PhysicalResourceId,omitempty"`
	Type      string `xml:"ResourceType"`
	Timestamp *stamp
	Updated   *stamp `xml:"LastUpdatedTimestamp"`
	Status    string `xml:"ResourceStatus"`
	Reason    string `xml:"ResourceStatusReason,omitempty"`
}

func (s *Sim) describeStackResources(_ *call, in *struct {
	StackName          string
	LogicalResourceID  string `query:"LogicalResourceId"`
	PhysicalResourceID string `query:"PhysicalResourceId"`
}) (*struct {
	Resources members[stackResourceXML] `xml:"StackResources"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, invalid("Stack with id %s does not exist", in.StackName)
	}
	out := &struct {
		Resources members[stackResourceXML] `xml:"StackResources"`
	}{}
	for _, k := range sortedKeys(st.resources) {
		r := st.resources[k]
		if in.LogicalResourceID == "" || in.LogicalResourceID == k {
			out.Resources.Member = append(out.Resources.Member, stackResourceXML{st.name, st.id, k, r.physical, r.kind, stampOf(r.updated), nil, r.status, r.reason})
		}
	}
	return out, nil
}

func (s *Sim) listStackResources(_ *call, in *struct{ StackName, NextToken string }) (*struct {
	Resources members[stackResourceXML] `xml:"StackResourceSummaries"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, invalid("Stack with id %s does not exist", in.StackName)
	}
	out := &struct {
		Resources members[stackResourceXML] `xml:"StackResourceSummaries"`
	}{}
	for _, k := range sortedKeys(st.resources) {
		r := st.resources[k]
		out.Resources.Member = append(out.Resources.Member, stackResourceXML{Logical: k, Physical: r.physical, Type: r.kind, Updated: stampOf(r.updated), Status: r.status, Reason: r.reason})
	}
	return out, nil
}

type stackSummaryXML struct {
	StackID      string `xml:"StackId"`
	StackName    string
	CreationTime stamp
	DeletionTime *stamp
	StackStatus  string
	StatusReason string `xml:"StackStatusReason,omitempty"`
}

func (s *Sim) listStacks(_ *call, in *struct {
	NextToken         string
	StackStatusFilter []string
}) (*struct {
	Summaries members[stackSummaryXML] `xml:"StackSummaries"`
}, error) {
	out := &struct {
		Summaries members[stackSummaryXML] `xml:"StackSummaries"`
	}{}
	for _, st := range s.cfn.stacks {
		if len(in.StackStatusFilter) == 0 || slices.Contains(in.StackStatusFilter, st.status) {
			out.Summaries.Member = append(out.Summaries.Member, stackSummaryXML{st.id, st.name, stamp{st.created}, stampOf(st.deleted), st.status, st.reason})
		}
	}
	sort.SliceStable(out.Summaries.Member, func(i, j int) bool {
		return out.Summaries.Member[i].CreationTime.After(out.Summaries.Member[j].CreationTime.Time)
	})
	return out, nil
}

func (s *Sim) getTemplate(_ *call, in *struct{ StackName, TemplateStage string }) (*struct {
	TemplateBody string
	Stages       members[string] `xml:"StagesAvailable"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, invalid("Stack with id %s does not exist", in.StackName)
	}
	return &struct {
		TemplateBody string
		Stages       members[string] `xml:"StagesAvailable"`
	}{st.body, members[string]{[]string{"Original", "Processed"}}}, nil
}

type templateParameterXML struct {
	ParameterKey string
	DefaultValue string `xml:",omitempty"`
	NoEcho       bool
	Description  string `xml:",omitempty"`
}

func (s *Sim) validateTemplate(_ *call, in *struct{ TemplateBody, TemplateURL string }) (*struct {
	Parameters   members[templateParameterXML]
	Description  string `xml:",omitempty"`
	Capabilities members[string]
}, error) {
	t, err := parseTemplate(isKind, in.TemplateBody)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Parameters   members[templateParameterXML]
		Description  string `xml:",omitempty"`
		Capabilities members[string]
	}{Description: t.description}
	for _, k := range sortedKeys(t.parameters) {
		p := t.parameters[k]
		out.Parameters.Member = append(out.Parameters.Member, templateParameterXML{k, p.def, p.noEcho, p.description})
	}
	if need := t.capability(); need != "" {
		out.Capabilities.Member = []string{need}
	}
	return out, nil
}
