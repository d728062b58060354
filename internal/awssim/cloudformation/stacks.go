// Package cloudformation simulates CloudFormation: stacks, change sets, and the types of
// resource that they create in the other services.
package cloudformation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"drawbridge/internal/awssim/autoscaling"
	"drawbridge/internal/awssim/cloudwatch"
	"drawbridge/internal/awssim/codebuild"
	"drawbridge/internal/awssim/codedeploy"
	"drawbridge/internal/awssim/codepipeline"
	"drawbridge/internal/awssim/dynamodb"
	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/ecr"
	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/elbv2"
	"drawbridge/internal/awssim/eventbridge"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/kms"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/logs"
	"drawbridge/internal/awssim/s3"
	"drawbridge/internal/awssim/scheduler"
	"drawbridge/internal/awssim/secretsmanager"
	"drawbridge/internal/awssim/sqs"
	"drawbridge/internal/awssim/template"
)

// Services are those in which stacks create their resources.
type Services struct {
	AutoScaling    *autoscaling.Service
	CloudWatch     *cloudwatch.Service
	CodeBuild      *codebuild.Service
	CodeDeploy     *codedeploy.Service
	CodePipeline   *codepipeline.Service
	DynamoDB       *dynamodb.Service
	EC2            *ec2.Service
	ECR            *ecr.Service
	ECS            *ecs.Service
	ECSServices    *ecs.Services
	ELB            *elbv2.Service
	EventBridge    *eventbridge.Service
	IAM            *iam.Service
	KMS            *kms.Service
	Lambda         *lambda.Service
	Logs           *logs.Service
	S3             *s3.Service
	Scheduler      *scheduler.Service
	SecretsManager *secretsmanager.Service
	SQS            *sqs.Service
}

// Service is the simulated CloudFormation.
type Service struct {
	*kernel.Kernel
	Services

	Stacks []*Stack
	// tokens are the used client request tokens, with their operation.
	tokens map[string]bool
}

// Stack is one life of a stack; a deleted stack can still be described by id.
type Stack struct {
	Name   string
	ID     string
	Status string
	reason string
	role   string
	Operation
	Times
	Tags         []kernel.Tag
	Template     *template.Template
	imports      []string          // names of exports of others that it uses
	exported     map[string]string // before an update
	Body         string
	Parameters   map[string]string
	Capabilities []string
	protected    bool
	Resources    map[string]*Resource
	events       []stackEvent
	History      []kernel.StatusAt
	changeSets   []*changeSet
	Before       bool // there before the simulation began
}

// Times are those of a stack's life; zero has not happened.
type Times struct {
	Created, updated, Deleted time.Time
}

// Operation is the stack's current or last operation.
type Operation struct {
	OnFailure      string
	token          string
	timeout        time.Duration
	timer          *kernel.Due
	failed         []string // logical ids that failed in the current operation
	operation      int      // counts operations, so that late callbacks of older ones do nothing
	Wanted         map[string]template.ResourceSpec
	previous       *template.Template
	previousParams map[string]string
	previousBody   string
	Handled        map[string]bool      // resources that this operation has visited
	replaced       map[string]*Resource // resources that an update has replaced
	express        bool                 // the current operation does not wait for resources to stabilise
}

// Resource is one resource of a stack.
type Resource struct {
	Logical, Kind, Physical, Status, reason string
	Properties                              map[string]any
	Attributes                              map[string]string
	Updated                                 time.Time
}

type stackEvent struct {
	id, logical, physical, kind, status, reason, token string
	at                                                 time.Time
}

// New puts the service into an account.
func New(k *kernel.Kernel, on Services) *Service {
	s := &Service{Kernel: k, Services: on, tokens: map[string]bool{}}
	k.Register(&kernel.API{Name: "cloudformation", Asks: s.stackQuestions, Protocol: kernel.Query,
		XMLNS: "http://cloudformation.amazonaws.com/doc/2010-05-15/", Ops: map[string]kernel.Operation{
			"CreateStack":            kernel.Op(s.createStack),
			"UpdateStack":            kernel.Op(s.updateStack),
			"DeleteStack":            kernel.Op(s.deleteStack),
			"DescribeStacks":         kernel.Op(s.describeStacks),
			"DescribeStackEvents":    kernel.Op(s.describeStackEvents),
			"DescribeStackResources": kernel.Op(s.describeStackResources),
			"ListStackResources":     kernel.Op(s.listStackResources),
			"ListStacks":             kernel.Op(s.listStacks),
			"GetTemplate":            kernel.Op(s.getTemplate),
			"CreateChangeSet":        kernel.Op(s.createChangeSet),
			"DescribeChangeSet":      kernel.Op(s.describeChangeSet),
			"ExecuteChangeSet":       kernel.Op(s.executeChangeSet),
			"DeleteChangeSet":        kernel.Op(s.deleteChangeSet),
			"ListChangeSets":         kernel.Op(s.listChangeSets),

			"UpdateTerminationProtection": kernel.Op(s.updateTerminationProtection),
			"ValidateTemplate":            kernel.Op(validateTemplate),
		}})
	return s
}

// StackLive returns the stack of that name or id that is not deleted, or nil.
func (s *Service) StackLive(name string) *Stack {
	return kernel.Find(s.Stacks, func(st *Stack) bool {
		return (st.Name == name || st.ID == name) && st.Status != "DELETE_COMPLETE"
	})
}

type stackInput struct {
	StackName, TemplateBody, TemplateURL string
	Parameters                           []template.Parameter
	Capabilities, ResourceTypes          []string
	RoleARN, OnFailure                   string
	DisableRollback                      bool
	TimeoutInMinutes                     int
	Tags                                 []kernel.Tag
	ClientRequestToken                   string
	EnableTerminationProtection          bool
	NotificationARNs                     []string
	UsePreviousTemplate                  bool
	DisableValidation                    bool
	DeploymentConfig                     deploymentConfig
}

// deploymentConfig is the mode of an operation. In EXPRESS it completes as soon as its
// calls have succeeded; the resources stabilise afterwards.
//
// Source: "Deploy AWS CloudFormation stacks faster with express mode", AWS, June 2026
type deploymentConfig struct {
	Mode            string
	DisableRollback bool
}

type stackIDXML struct {
	StackID string `xml:"StackId"`
}

func (s *Service) createStack(_ *kernel.Call, in *stackInput) (*stackIDXML, error) {
	old := s.StackLive(in.StackName)
	if old != nil && old.Status == "REVIEW_IN_PROGRESS" {
		s.Stacks = slices.DeleteFunc(s.Stacks, func(st *Stack) bool { return st == old })
		old = nil
	}
	if old != nil {
		return nil, kernel.Errorf("AlreadyExistsException", "Stack [%s] already exists", in.StackName)
	}
	if in.DisableRollback && in.OnFailure != "" {
		return nil, template.Invalid("You must specify only one of: OnFailure, DisableRollback")
	}
	if err := checkStackName(in.StackName); err != nil {
		return nil, err
	}
	t, params, err := s.checkStack(in)
	if err != nil {
		return nil, err
	}
	if err := s.useToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	st := &Stack{
		Name: in.StackName, ID: s.ARN("cloudformation", "stack/"+in.StackName+"/"+s.UUID("stack")), role: in.RoleARN,
		Times: Times{Created: s.Clock.Now()}, Tags: in.Tags, Template: t, Body: in.TemplateBody, Parameters: params,
		Capabilities: in.Capabilities, protected: in.EnableTerminationProtection, Resources: map[string]*Resource{},
		Operation: Operation{
			OnFailure: in.OnFailure, token: in.ClientRequestToken, express: in.DeploymentConfig.Mode == "EXPRESS",
			timeout: time.Duration(in.TimeoutInMinutes) * time.Minute,
		},
	}
	if st.OnFailure == "" {
		st.OnFailure = "ROLLBACK"
	}
	if in.DisableRollback {
		st.OnFailure = "DO_NOTHING"
	}
	s.Stacks = append(s.Stacks, st)
	s.setStack(st, "CREATE_IN_PROGRESS", "User Initiated")
	s.beginCreate(st)
	return &stackIDXML{st.ID}, nil
}

var (
	stackNames    = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]*$`)
	requestTokens = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9]*$`)
)

func checkStackName(name string) error {
	if !stackNames.MatchString(name) {
		return template.Invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy "+
			"constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	}
	if len(name) > 128 {
		return template.Invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy "+
			"constraint: Member must have length less than or equal to 128", name)
	}
	return nil
}

// useToken records the token of a request. A token that was used before refers to
// that request, whatever its outcome.
func (s *Service) useToken(token string) error {
	switch {
	case token == "":
		return nil
	case !requestTokens.MatchString(token) || len(token) > 128:
		return template.Invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy "+
			"constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*", token)
	case s.tokens[token]:
		return kernel.Errorf("TokenAlreadyExistsException", "A client request token already exists: %s", token)
	}
	s.tokens[token] = true
	return nil
}

// checkStack rejects what CloudFormation rejects at the call itself.
func (s *Service) checkStack(in *stackInput) (*template.Template, map[string]string, error) {
	if in.TemplateURL != "" {
		body, ok := s.S3.ObjectAt(in.TemplateURL)
		if !ok {
			return nil, nil, template.Invalid("S3 error: The specified key does not exist.\nFor more information " +
				"check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html")
		}
		if len(body) > 1<<20 {
			return nil, nil, template.Invalid("Template may not exceed 1000000 bytes in size.")
		}
		t, params, err := s.checkTemplate(in, string(body))
		in.TemplateBody = string(body)
		return t, params, err
	}
	if in.TemplateBody == "" {
		return nil, nil, template.Invalid("Either Template URL or Template Body must be specified.")
	}
	if len(in.TemplateBody) > 51200 {
		return nil, nil, template.Invalid("1 validation error detected: Value at 'templateBody' failed to satisfy " +
			"constraint: Member must have length less than or equal to 51200")
	}
	return s.checkTemplate(in, in.TemplateBody)
}

func (s *Service) checkTemplate(in *stackInput, body string) (*template.Template, map[string]string, error) {
	t, err := template.Parse(IsKind, body)
	if err != nil {
		return nil, nil, err
	}
	params, err := t.Bind(in.Parameters)
	if err == nil {
		err = s.fromParameterStore(t, params)
	}
	if err != nil {
		return nil, nil, err
	}
	if need := t.Capability(); need != "" && !slices.Contains(in.Capabilities, need) &&
		!slices.Contains(in.Capabilities, "CAPABILITY_NAMED_IAM") {
		return nil, nil, kernel.Errorf("InsufficientCapabilitiesException", "Requires capabilities : [%s]", need)
	}
	for _, name := range kernel.SortedKeys(t.Specs) {
		if kind := t.Specs[name].Kind; len(in.ResourceTypes) > 0 && !slices.Contains(in.ResourceTypes, kind) {
			return nil, nil, template.Invalid("Resource type %s is not allowed by parameter ResourceTypes [%s]", kind,
				strings.Join(in.ResourceTypes, ", "))
		}
	}
	if in.RoleARN != "" && !s.IAM.RoleServes(in.RoleARN, "cloudformation.amazonaws.com") {
		return nil, nil, template.Invalid("Role %s is invalid or cannot be assumed", in.RoleARN)
	}
	return t, params, nil
}

// fromParameterStore replaces the names of parameters in Parameter Store by their values. Those
// that AWS publishes name a machine image.
func (s *Service) fromParameterStore(t *template.Template, params map[string]string) error {
	for name, value := range params {
		if !strings.HasPrefix(t.Kind(name), "AWS::SSM::Parameter::Value<") || strings.HasPrefix(value, "ami-") {
			continue
		}
		if strings.HasPrefix(value, "/aws/service/") {
			params[name] = "ami-" + s.Digest(value, 17)
			continue
		}
		out, err := s.Perform("ssm", "GetParameter", map[string]any{"Name": value})
		if err != nil {
			return template.Invalid("Unable to fetch parameters [%s] from parameter store for this account.", value)
		}
		params[name] = kernel.At(out, "Parameter.Value")
	}
	return nil
}

// setStack changes a stack's status and notifies EventBridge.
func (s *Service) setStack(st *Stack, status, reason string) {
	now := s.Clock.Now()
	st.Status, st.reason = status, reason
	st.History = append(st.History, kernel.StatusAt{At: now, Status: status, Reason: reason})
	if status == "DELETE_COMPLETE" {
		st.Deleted = now
	}
	if status != "REVIEW_IN_PROGRESS" { // which the API's model does not know for an event
		s.stackEvent(st, st.Name, st.ID, "AWS::CloudFormation::Stack", status, reason)
	}
	s.Emit("aws.cloudformation", "CloudFormation Stack Status Change", []string{st.ID}, map[string]any{
		"stack-id": st.ID, "status-details": map[string]any{"status": status, "status-reason": reason},
		"client-request-token": st.token,
	})
}

func (s *Service) stackEvent(st *Stack, logical, physical, kind, status, reason string) {
	st.events = append(st.events, stackEvent{
		s.UUID("stack-event"), logical, physical, kind, status, reason, st.token, s.Clock.Now(),
	})
}

func (s *Service) setResource(st *Stack, r *Resource, status, reason string) {
	r.Status = status
	r.reason = reason
	r.Updated = s.Clock.Now()
	s.stackEvent(st, r.Logical, r.Physical, r.Kind, status, reason)
}

// stepTakes is the time that CloudFormation spends between two of its steps.
const stepTakes = time.Second

// later runs f after d unless the stack has begun another operation by then.
func (s *Service) later(st *Stack, d time.Duration, f func()) {
	n := st.operation
	s.Clock.After(d, func() {
		if st.operation == n {
			f()
		}
	})
}

func (s *Service) beginCreate(st *Stack) {
	st.operation++
	st.failed, st.Handled = nil, map[string]bool{}
	st.Wanted = st.Template.Resources(st.Parameters)
	if st.timeout > 0 {
		n := st.operation
		st.timer = s.Clock.After(st.timeout, func() {
			if st.operation == n && st.Status == "CREATE_IN_PROGRESS" {
				s.endCreate(st, "Stack creation time exceeded the specified timeout. Rollback requested by user.")
			}
		})
	}
	s.later(st, stepTakes, func() { s.createReady(st) })
}

// createReady creates or updates every resource whose dependencies are complete,
// and ends the operation when all are.
func (s *Service) createReady(st *Stack) {
	complete, progress := true, true
	for progress {
		complete, progress = true, false
		for _, name := range kernel.SortedKeys(st.Wanted) {
			spec := st.Wanted[name]
			r := st.Resources[name]
			there := r != nil && r.Status != "DELETE_COMPLETE"
			if (!there || !st.Handled[name]) && st.DependenciesDone(spec) {
				progress = true
				if there {
					s.updateResource(st, name, spec)
				} else {
					s.createResource(st, name, spec)
				}
				r = st.Resources[name]
			}
			complete = complete && r != nil && st.Handled[name] &&
				(r.Status == "CREATE_COMPLETE" || r.Status == "UPDATE_COMPLETE")
		}
	}
	if complete {
		s.Clock.Cancel(st.timer)
		s.later(st, stepTakes, func() { s.finishCreate(st) })
	}
}

func (s *Service) finishCreate(st *Stack) {
	if strings.HasPrefix(st.Status, "UPDATE") {
		s.finishUpdate(st)
		return
	}
	s.setStack(st, "CREATE_COMPLETE", "")
}

// DependenciesDone reports whether all dependencies of a resource are complete.
func (st *Stack) DependenciesDone(spec template.ResourceSpec) bool {
	for _, d := range spec.DependsOn {
		if r := st.Resources[d]; r == nil || !st.Handled[d] ||
			r.Status != "CREATE_COMPLETE" && r.Status != "UPDATE_COMPLETE" {
			return false
		}
	}
	return true
}

func (s *Service) createResource(st *Stack, name string, spec template.ResourceSpec) {
	r := &Resource{Logical: name, Kind: spec.Kind, Attributes: map[string]string{}}
	st.Resources[name], st.Handled[name] = r, true
	s.setResource(st, r, "CREATE_IN_PROGRESS", "")
	props, err := st.Template.Evaluate(spec.Properties, s.Scope(st))
	if err == nil {
		r.Properties, _ = props.(map[string]any)
		n := st.operation
		err = r.Made().Create(s, st, r, func(err error) {
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

func (s *Service) resourceDone(st *Stack, r *Resource, err error) {
	if r.Status != "CREATE_IN_PROGRESS" {
		return
	}
	if err == nil {
		s.setResource(st, r, "CREATE_COMPLETE", "")
		s.createReady(st)
		return
	}
	s.setResource(st, r, "CREATE_FAILED", handlerMessage(err))
	st.failed = append(st.failed, r.Logical)
	for _, name := range kernel.SortedKeys(st.Resources) {
		if o := st.Resources[name]; o.Status == "CREATE_IN_PROGRESS" {
			s.setResource(st, o, "CREATE_FAILED", "Resource creation cancelled")
		}
	}
	s.endCreate(st,
		fmt.Sprintf("The following resource(s) failed to create: [%s]. Rollback requested by user.",
			strings.Join(st.failed, ", ")))
}

// handlerMessage is how a resource reports its service's error.
func handlerMessage(err error) string {
	var e *kernel.APIError
	if errors.As(err, &e) {
		return fmt.Sprintf(`Resource handler returned message: "%s (Service: Ec2, Status Code: 400, Request ID: `+
			`%s)" (HandlerErrorCode: %s)`, e.Message, "00000000-0000-0000-0000-000000000000", handlerCode(e.Code))
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
func (s *Service) endCreate(st *Stack, reason string) {
	s.Clock.Cancel(st.timer)
	st.operation++
	if strings.HasPrefix(st.Status, "UPDATE") {
		s.rollbackUpdate(st, strings.TrimSuffix(reason, "Rollback requested by user."))
		return
	}
	switch st.OnFailure {
	case "DO_NOTHING":
		s.setStack(st, "CREATE_FAILED", strings.TrimSuffix(reason, "Rollback requested by user."))
	case "DELETE":
		s.beginDelete(st, "DELETE_IN_PROGRESS", strings.Replace(reason, "Rollback", "Delete", 1))
	default:
		s.beginDelete(st, "ROLLBACK_IN_PROGRESS", reason)
	}
}

// beginDelete removes all resources, dependants first.
func (s *Service) beginDelete(st *Stack, status, reason string) {
	st.operation++
	st.failed = nil
	s.setStack(st, status, reason)
	s.later(st, stepTakes, func() { s.deleteReady(st) })
}

func (s *Service) deleteReady(st *Stack) {
	var left, waiting bool
	for _, name := range reversed(kernel.SortedKeys(st.Resources)) {
		r := st.Resources[name]
		switch r.Status {
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
		if !st.hasDependants(name) {
			s.deleteResource(st, r)
		}
	}
	switch {
	case waiting && (!left || !st.allBlocked()):
	case left || waiting:
		s.later(st, 0, func() { s.failDelete(st) })
	default:
		s.later(st, stepTakes, func() { s.finishDelete(st) })
	}
}

// allBlocked reports whether every remaining resource depends on one that could
// not be deleted.
func (st *Stack) allBlocked() bool {
	for _, r := range st.Resources {
		if r.Status == "DELETE_IN_PROGRESS" {
			return false
		}
		if r.Status != "DELETE_COMPLETE" && r.Status != "DELETE_SKIPPED" && r.Status != "DELETE_FAILED" &&
			!st.hasDependants(r.Logical) {
			return false
		}
	}
	return true
}

func reversed(in []string) []string {
	slices.Reverse(in)
	return in
}

// hasDependants reports whether a remaining resource depends on name.
func (st *Stack) hasDependants(name string) bool {
	for _, r := range st.Resources {
		if r.Status == "DELETE_COMPLETE" || r.Status == "DELETE_SKIPPED" {
			continue
		}
		if slices.Contains(st.Wanted[r.Logical].DependsOn, name) {
			return true
		}
	}
	return false
}

func (s *Service) deleteResource(st *Stack, r *Resource) {
	s.setResource(st, r, "DELETE_IN_PROGRESS", "")
	n := st.operation
	finish := func(err error) {
		if st.operation != n {
			return
		}
		if err != nil {
			s.setResource(st, r, "DELETE_FAILED", handlerMessage(err))
			st.failed = append(st.failed, r.Logical)
		} else {
			s.setResource(st, r, "DELETE_COMPLETE", "")
		}
		s.deleteReady(st)
	}
	if r.Physical == "" {
		s.later(st, 0, func() { finish(nil) })
		return
	}
	if st.Template.Specs[r.Logical].Retained {
		s.later(st, 0, func() {
			s.setResource(st, r, "DELETE_SKIPPED", "")
			s.deleteReady(st)
		})
		return
	}
	if denied := s.deniedRemoval(st, r); denied != nil {
		s.later(st, stepTakes, func() { finish(denied) })
		return
	}
	if st.express {
		r.Made().remove(s, r, func(error) {})
		s.later(st, stepTakes, func() { finish(nil) })
		return
	}
	r.Made().remove(s, r, finish)
}

func (s *Service) failDelete(st *Stack) {
	status := "DELETE_FAILED"
	if st.Status == "ROLLBACK_IN_PROGRESS" {
		status = "ROLLBACK_FAILED"
	}
	s.setStack(st, status,
		fmt.Sprintf("The following resource(s) failed to delete: [%s]. ", strings.Join(st.failed, ", ")))
}

func (s *Service) finishDelete(st *Stack) {
	if st.Status == "ROLLBACK_IN_PROGRESS" {
		s.setStack(st, "ROLLBACK_COMPLETE", "")
		return
	}
	s.setStack(st, "DELETE_COMPLETE", "")
}

func (s *Service) deleteStack(_ *kernel.Call, in *struct {
	StackName, RoleARN, ClientRequestToken, DeletionMode string
	RetainResources                                      []string
	DeploymentConfig                                     deploymentConfig
}) (*kernel.None, error) {
	st := s.StackLive(in.StackName)
	if st == nil {
		return &kernel.None{}, nil
	}
	if st.protected {
		return nil, template.Invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", st.Name)
	}
	if in.DeletionMode == "FORCE_DELETE_STACK" && st.Status != "DELETE_FAILED" {
		return nil, template.Invalid("Invalid operation on stack [%s]. You can activate DeletionMode "+
			"FORCE_DELETE_STACK in a delete stack operation only when the stack is in the DELETE_FAILED state.", st.ID)
	}
	if len(in.RetainResources) > 0 && st.Status != "DELETE_FAILED" {
		return nil, template.Invalid("Invalid operation on stack [%s]. When you delete a stack, specify which "+
			"resources to retain only when the stack is in the DELETE_FAILED state.", st.ID)
	}
	if strings.HasPrefix(st.Status, "UPDATE") && strings.HasSuffix(st.Status, "IN_PROGRESS") {
		return nil, template.Invalid("Stack [%s] cannot be deleted while in status %s", st.ID, st.Status)
	}
	role := st.role
	if in.RoleARN != "" {
		role = in.RoleARN
	}
	if role != "" && !s.IAM.RoleServes(role, "cloudformation.amazonaws.com") {
		return nil, template.Invalid("Role %s is invalid or cannot be assumed", role)
	}
	if st.Status == "DELETE_IN_PROGRESS" {
		return &kernel.None{}, nil
	}
	if err := s.useToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	if export, by := s.inUse(st); export != "" { // said in an event, not in the answer
		s.setStack(st, st.Status,
			fmt.Sprintf("Delete canceled. Cannot delete export %s as it is in use by %s.", export, by))
		return &kernel.None{}, nil
	}
	st.token, st.express = in.ClientRequestToken, in.DeploymentConfig.Mode == "EXPRESS"
	s.skip(st, in.DeletionMode == "FORCE_DELETE_STACK", in.RetainResources)
	s.beginDelete(st, "DELETE_IN_PROGRESS", "User Initiated")
	if s.Strikes("fail-delete") && in.DeletionMode != "FORCE_DELETE_STACK" {
		s.sabotage(st)
	}
	return &kernel.None{}, nil
}

// skip leaves out of a deletion what failed to be deleted before: all of it if it is forced,
// else what is to be retained.
func (s *Service) skip(st *Stack, force bool, retain []string) {
	for _, r := range st.Resources {
		switch {
		case r.Status == "DELETE_FAILED" && (force || slices.Contains(retain, r.Logical)):
			s.setResource(st, r, "DELETE_SKIPPED", "")
		case r.Status == "DELETE_FAILED":
			r.Status = "CREATE_COMPLETE"
		}
	}
	if !force {
		return
	}
	for _, r := range st.Resources { // dependencies of the skipped ones stay as well
		if r.Status != "DELETE_COMPLETE" && r.Status != "DELETE_SKIPPED" && st.dependsOnSkipped(r.Logical) {
			s.setResource(st, r, "DELETE_SKIPPED", "")
		}
	}
}

func (st *Stack) dependsOnSkipped(name string) bool {
	for _, r := range st.Resources {
		if r.Status == "DELETE_SKIPPED" && slices.Contains(st.Wanted[r.Logical].DependsOn, name) {
			return true
		}
	}
	return false
}

// sabotage makes the deletion of one endpoint of the stack fail.
func (s *Service) sabotage(st *Stack) {
	for _, name := range kernel.SortedKeys(st.Resources) {
		r := st.Resources[name]
		if r.Kind == "AWS::EC2::VPCEndpoint" && r.Status == "CREATE_COMPLETE" {
			s.setResource(st, r, "DELETE_FAILED",
				"Resource handler returned message: \"Internal error\" (HandlerErrorCode: GeneralServiceException)")
			st.failed = append(st.failed, name)
			return
		}
	}
}

type stackXML struct {
	StackID      string `xml:"StackId"`
	StackName    string
	Description  string `xml:",omitempty"`
	Parameters   kernel.Members[parameterXML]
	CreationTime kernel.Stamp
	DeletionTime *kernel.Stamp
	LastUpdated  *kernel.Stamp `xml:"LastUpdatedTime"`
	StackStatus  string
	StatusReason string                 `xml:"StackStatusReason,omitempty"`
	NoRollback   bool                   `xml:"DisableRollback"`
	Notification kernel.Members[string] `xml:"NotificationARNs"`
	Timeout      *int                   `xml:"TimeoutInMinutes"`
	Capabilities kernel.Members[string]
	Outputs      kernel.Members[outputXML]
	RoleARN      string `xml:",omitempty"`
	Tags         kernel.Members[kernel.Tag]
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

// shown returns the stack's status as a read shows it at t; ok is false before
// its creation.
func (st *Stack) shown(t time.Time) (status, reason string, ok bool) {
	for _, h := range st.History {
		if !h.At.After(t) {
			status = h.Status
			reason = h.Reason
			ok = true
		}
	}
	return status, reason, ok
}

func (s *Service) stackXML(st *Stack, status, reason string) stackXML {
	x := stackXML{
		StackID: st.ID, StackName: st.Name, CreationTime: kernel.Stamp{Time: st.Created},
		LastUpdated: kernel.StampOf(st.updated), StackStatus: status, StatusReason: reason,
		NoRollback: st.OnFailure == "DO_NOTHING", Capabilities: kernel.Members[string]{Member: st.Capabilities},
		RoleARN: st.role, Tags: kernel.Members[kernel.Tag]{Member: st.Tags}, Protected: st.protected,
		Description: st.Template.Description,
	}
	if strings.HasPrefix(status, "DELETE") && !st.Deleted.IsZero() {
		x.DeletionTime = kernel.StampOf(st.Deleted)
	}
	if m := int(st.timeout / time.Minute); m > 0 {
		x.Timeout = &m
	}
	x.Drift.Status = "NOT_CHECKED"
	for _, k := range kernel.SortedKeys(st.Parameters) {
		v := st.Parameters[k]
		if st.Template.NoEcho(k) {
			v = "****"
		}
		x.Parameters.Member = append(x.Parameters.Member, parameterXML{k, v})
	}
	if strings.HasSuffix(status, "_COMPLETE") && !strings.HasPrefix(status, "DELETE") &&
		!strings.HasPrefix(status, "ROLLBACK") {
		for _, k := range kernel.SortedKeys(st.Template.Outputs) {
			if v, err := st.Template.Evaluate(st.Template.Outputs[k], s.Scope(st)); err == nil {
				x.Outputs.Member = append(x.Outputs.Member, outputXML{OutputKey: k, OutputValue: fmt.Sprint(v)})
			}
		}
	}
	return x
}

func (s *Service) describeStacks(_ *kernel.Call, in *struct{ StackName, NextToken string }) (*struct {
	Stacks kernel.Members[stackXML]
}, error) {
	out := &struct {
		Stacks kernel.Members[stackXML]
	}{}
	t := s.AsOf()
	for _, st := range s.Stacks {
		status, reason, ok := st.shown(t)
		byID := in.StackName == st.ID
		if !ok || in.StackName != "" && !byID && in.StackName != st.Name || !byID && status == "DELETE_COMPLETE" {
			continue
		}
		out.Stacks.Member = append(out.Stacks.Member, s.stackXML(st, status, reason))
	}
	if in.StackName != "" && len(out.Stacks.Member) == 0 {
		return nil, template.Invalid("Stack with id %s does not exist", in.StackName)
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
	Timestamp kernel.Stamp
	Status    string `xml:"ResourceStatus"`
	Reason    string `xml:"ResourceStatusReason,omitempty"`
	Token     string `xml:"ClientRequestToken,omitempty"`
}

// stackByAny returns the stack of that id, deleted or not, or of that name.
func (s *Service) stackByAny(name string) *Stack {
	if st := s.StackLive(name); st != nil {
		return st
	}
	return kernel.Find(s.Stacks, func(st *Stack) bool { return st.ID == name })
}

func (s *Service) describeStackEvents(_ *kernel.Call, in *struct{ StackName, NextToken string }) (*struct {
	Events kernel.Members[stackEventXML] `xml:"StackEvents"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, template.Invalid("Stack [%s] does not exist", in.StackName)
	}
	out := &struct {
		Events kernel.Members[stackEventXML] `xml:"StackEvents"`
	}{}
	for _, e := range slices.Backward(st.events) {
		out.Events.Member = append(out.Events.Member, stackEventXML{
			st.ID, e.id, st.Name, e.logical, e.physical, e.kind, kernel.Stamp{Time: e.at}, e.status, e.reason, e.token,
		})
	}
	return out, nil
}

type stackResourceXML struct {
	StackName string `xml:",omitempty"`
	StackID   string `xml:"StackId,omitempty"`
	Logical   string `xml:"LogicalResourceId"`
	Physical  string `xml:"PhysicalResourceId,omitempty"`
	Type      string `xml:"ResourceType"`
	Timestamp *kernel.Stamp
	Updated   *kernel.Stamp `xml:"LastUpdatedTimestamp"`
	Status    string        `xml:"ResourceStatus"`
	Reason    string        `xml:"ResourceStatusReason,omitempty"`
}

// resourcesAPage is how many resources DescribeStackResources returns at the most, and
// ListStackResources in a page.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
const resourcesAPage = 100

func (s *Service) describeStackResources(_ *kernel.Call, in *struct {
	StackName          string
	LogicalResourceID  string `query:"LogicalResourceId"`
	PhysicalResourceID string `query:"PhysicalResourceId"`
}) (*struct {
	Resources kernel.Members[stackResourceXML] `xml:"StackResources"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, template.Invalid("Stack with id %s does not exist", in.StackName)
	}
	out := &struct {
		Resources kernel.Members[stackResourceXML] `xml:"StackResources"`
	}{}
	for _, k := range kernel.SortedKeys(st.Resources) {
		r := st.Resources[k]
		if in.LogicalResourceID == "" || in.LogicalResourceID == k {
			out.Resources.Member = append(out.Resources.Member, stackResourceXML{
				st.Name, st.ID, k, r.Physical, r.Kind, kernel.StampOf(r.Updated), nil, r.Status, r.reason,
			})
		}
	}
	out.Resources.Member = out.Resources.Member[:min(len(out.Resources.Member), resourcesAPage)]
	return out, nil
}

type stackResourcesXML struct {
	Resources kernel.Members[stackResourceXML] `xml:"StackResourceSummaries"`
	NextToken string                           `xml:",omitempty"`
}

func (s *Service) listStackResources(_ *kernel.Call,
	in *struct{ StackName, NextToken string }) (*stackResourcesXML, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, template.Invalid("Stack with id %s does not exist", in.StackName)
	}
	out := &stackResourcesXML{}
	for _, k := range kernel.SortedKeys(st.Resources) {
		if k <= in.NextToken {
			continue // the token is the last of the page before
		}
		if n := len(out.Resources.Member); n == resourcesAPage {
			out.NextToken = out.Resources.Member[n-1].Logical
			break
		}
		r := st.Resources[k]
		out.Resources.Member = append(out.Resources.Member, stackResourceXML{
			Logical: k, Physical: r.Physical, Type: r.Kind, Updated: kernel.StampOf(r.Updated), Status: r.Status,
			Reason: r.reason,
		})
	}
	return out, nil
}

type stackSummaryXML struct {
	StackID      string `xml:"StackId"`
	StackName    string
	CreationTime kernel.Stamp
	DeletionTime *kernel.Stamp
	StackStatus  string
	StatusReason string `xml:"StackStatusReason,omitempty"`
}

func (s *Service) listStacks(_ *kernel.Call, in *struct {
	NextToken         string
	StackStatusFilter []string
}) (*struct {
	Summaries kernel.Members[stackSummaryXML] `xml:"StackSummaries"`
}, error) {
	out := &struct {
		Summaries kernel.Members[stackSummaryXML] `xml:"StackSummaries"`
	}{}
	for _, st := range s.Stacks {
		if len(in.StackStatusFilter) == 0 || slices.Contains(in.StackStatusFilter, st.Status) {
			out.Summaries.Member = append(out.Summaries.Member, stackSummaryXML{
				st.ID, st.Name, kernel.Stamp{Time: st.Created}, kernel.StampOf(st.Deleted), st.Status, st.reason,
			})
		}
	}
	sort.SliceStable(out.Summaries.Member, func(i, j int) bool {
		return out.Summaries.Member[i].CreationTime.After(out.Summaries.Member[j].CreationTime.Time)
	})
	return out, nil
}

func (s *Service) getTemplate(_ *kernel.Call, in *struct{ StackName, TemplateStage string }) (*struct {
	TemplateBody string
	Stages       kernel.Members[string] `xml:"StagesAvailable"`
}, error) {
	st := s.stackByAny(in.StackName)
	if st == nil {
		return nil, template.Invalid("Stack with id %s does not exist", in.StackName)
	}
	return &struct {
		TemplateBody string
		Stages       kernel.Members[string] `xml:"StagesAvailable"`
	}{st.Body, kernel.Members[string]{Member: []string{"Original", "Processed"}}}, nil
}

type templateParameterXML struct {
	ParameterKey string
	DefaultValue string `xml:",omitempty"`
	NoEcho       bool
	Description  string `xml:",omitempty"`
}

func validateTemplate(_ *kernel.Call, in *struct{ TemplateBody, TemplateURL string }) (*struct {
	Parameters   kernel.Members[templateParameterXML]
	Description  string `xml:",omitempty"`
	Capabilities kernel.Members[string]
}, error) {
	t, err := template.Parse(IsKind, in.TemplateBody)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Parameters   kernel.Members[templateParameterXML]
		Description  string `xml:",omitempty"`
		Capabilities kernel.Members[string]
	}{Description: t.Description}
	for _, k := range kernel.SortedKeys(t.Parameters) {
		p := t.Parameters[k]
		out.Parameters.Member = append(out.Parameters.Member, templateParameterXML{k, p.Def, p.NoEcho, p.Description})
	}
	if need := t.Capability(); need != "" {
		out.Capabilities.Member = []string{need}
	}
	return out, nil
}
