package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/internal/functions"
	"drawbridge/internal/hint"
)

// maxBody is the longest template that CloudFormation takes without a bucket, in
// bytes.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const maxBody = 51200

// Plan is a deployment that is worked out and not carried out.
type Plan struct {
	Name string `json:"stack"`
	// Creates says that the stack is not there yet.
	Creates bool         `json:"creates"`
	Changes []cfn.Change `json:"changes"`
	// Settings compares the configuration with the one that is deployed.
	Settings Settings `json:"configuration"`
	Survey   Survey   `json:"-"`

	changeSet string
	stackID   string
	uploads   map[string][]byte
	versions  map[string]string // of the objects that were put, by key
	// parameters are those of the base stack.
	parameters map[string]string
	code       map[string][]byte // the zips, by the function's name
	// before is the stack as it is; nil if there is none. base is what it becomes.
	before *Stack
	base   cfn.Base
}

// Plan surveys the account, asks CloudFormation for a change set and reads it. The
// change set stays until it is executed or discarded. Nothing else is created,
// except for the bucket if the template is too long to go without. An error that
// Failed knows wants Clear first.
func (i *Installer) Plan(ctx context.Context, file *config.File, text []byte,
	code map[string]functions.Code) (*Plan, error) {
	name := file.InstallationName()
	stack, err := i.Installed(ctx, name)
	var failed *failedBeforeError
	if err != nil && !errors.Is(err, ErrNotInstalled) || errors.As(err, &failed) {
		return nil, err
	}
	if errors.Is(err, ErrNotInstalled) {
		stack = nil
	}
	p, err := i.Prepare(ctx, file, text, code, stack)
	if err != nil {
		return nil, err
	}
	if p.base.RolesFrom != "" {
		if err := i.checkRoles(ctx, p); err != nil {
			return nil, err
		}
	}
	body, err := p.base.JSON()
	if err != nil {
		return nil, err
	}
	if p.before != nil {
		i.compareSettings(ctx, p, text, code)
	}
	if err := i.changeSet(ctx, p, body, p.parameters); err != nil {
		return nil, errors.Join(err, i.Discard(context.WithoutCancel(ctx), p))
	}
	if err := i.safe(ctx, p); err != nil {
		return nil, errors.Join(err, i.Discard(context.WithoutCancel(ctx), p))
	}
	return p, nil
}

// sameArchitecture returns the one architecture that all functions are built for.
func sameArchitecture(code map[string]functions.Code) (string, error) {
	want := code["launcher"].Architecture
	for name, other := range code {
		if other.Architecture != want {
			return "", fmt.Errorf("the launcher is built for %s and the %s for %s", want, name, other.Architecture)
		}
	}
	return want, nil
}

// safe refuses a plan that would take something away from under a set.
func (i *Installer) safe(ctx context.Context, p *Plan) error {
	if p.before == nil {
		return nil
	}
	return p.before.safe(ctx, i, p.Survey.Config, p.base, p.Changes)
}

// changeSet makes the change set and reads it once it is worked out.
func (i *Installer) changeSet(ctx context.Context, p *Plan, body []byte, parameters map[string]string) error {
	in := &cloudformation.CreateChangeSetInput{
		StackName: &p.Name, ChangeSetName: aws.String(fmt.Sprintf("drawbridge-%d", i.Clock.Now().UnixMilli())),
		ChangeSetType: types.ChangeSetTypeUpdate,
		Capabilities:  []types.Capability{types.CapabilityCapabilityNamedIam}, TemplateBody: aws.String(string(body)),
		Description: aws.String("drawbridge deploy"),
	}
	if p.Creates {
		in.ChangeSetType = types.ChangeSetTypeCreate
	}
	if len(body) > maxBody {
		if err := i.bucket(ctx, p.Name, p.Survey.Config.Tags); err != nil {
			return err
		}
		key := functions.Key("template", body)
		if _, err := i.upload(ctx, p.Name, key, body); err != nil {
			return err
		}
		in.TemplateBody, in.TemplateURL = nil, aws.String("https://"+i.Bucket(p.Name)+".s3."+i.Place.Region+"."+
			i.Place.DNSSuffix()+"/"+key)
	}
	for _, k := range slices.Sorted(maps.Keys(parameters)) {
		in.Parameters = append(in.Parameters, types.Parameter{
			ParameterKey: aws.String(k), ParameterValue: aws.String(parameters[k]),
		})
	}
	tags := Tags(p.Survey.Config)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	set, err := cfn.CreateChangeSet(ctx, i.Clients.CloudFormation, i.Clock.Sleep, in)
	if set != nil {
		p.changeSet, p.stackID, p.Changes = set.ID, set.StackID, set.Changes
	}
	switch {
	case err != nil:
		return awserr.Mark(err, "create a change set for stack %s", p.Name)
	case set.Unchanged:
		return i.Discard(ctx, p)
	case set.Failure != "":
		return fmt.Errorf("work out the changes of stack %s: %s", p.Name, set.Failure)
	}
	return p.keepsTable()
}

// keepsTable refuses a change that would lose the table.
func (p *Plan) keepsTable() error {
	for _, c := range p.Changes {
		if c.Type == "AWS::DynamoDB::Table" && c.Action != "add" && (c.Replaces || c.Action == "remove") {
			return hint.New(fmt.Sprintf("stack %s: the change would %s the table and lose every run and set in it",
				p.Name, map[bool]string{true: "replace", false: "remove"}[c.Replaces]),
				"go back to the configuration that was deployed, or drawbridge destroy first")
		}
	}
	return nil
}

// Discard removes what planning has made: the change set and, if there was no
// stack before, the empty stack that holds it.
func (i *Installer) Discard(ctx context.Context, p *Plan) error {
	if p.changeSet == "" {
		return nil
	}
	if _, err := i.Clients.CloudFormation.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{
		ChangeSetName: &p.changeSet, StackName: &p.stackID,
	}); err != nil {
		return awserr.Mark(err, "delete the change set of stack %s", p.Name)
	}
	p.changeSet = ""
	if !p.Creates {
		return nil
	}
	_, err := i.Clients.CloudFormation.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &p.stackID})
	if err != nil {
		return awserr.Mark(err, "delete the empty stack %s", p.Name)
	}
	// A deployment that follows at once must find it gone.
	_, err = i.follow(ctx, p.stackID, p.Name, i.Clock.Now(), func(cfn.Event) {})
	return err
}

// Execute uploads the code, executes the plan's change set and waits for the end,
// telling of each event.
//
// The code of earlier deployments is removed from the bucket, and a pause reaches
// sets that are new.
func (i *Installer) Execute(ctx context.Context, p *Plan, tell func(cfn.Event)) error {
	if err := i.safe(ctx, p); err != nil { // things may have changed since the plan was made
		return errors.Join(err, i.Discard(context.WithoutCancel(ctx), p))
	}
	if err := i.serviceLinkedRole(ctx); err != nil {
		return err
	}
	if err := i.bucket(ctx, p.Name, p.Survey.Config.Tags); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(p.uploads)) {
		version, err := i.upload(ctx, p.Name, key, p.uploads[key])
		if err != nil {
			return err
		}
		p.versions[key] = version
	}
	from := i.Clock.Now().Add(-time.Second)
	token := aws.String(fmt.Sprintf("drawbridge-deploy-%d", i.Clock.Now().UnixMilli()))
	if _, err := i.Clients.CloudFormation.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{
		ChangeSetName: &p.changeSet, ClientRequestToken: token,
	}); err != nil {
		return awserr.Mark(err, "execute the change set of stack %s", p.Name)
	}
	status, err := i.follow(ctx, p.stackID, p.Name, from, tell)
	if err != nil {
		return err
	}
	if status != types.StackStatusCreateComplete && status != types.StackStatusUpdateComplete {
		return i.failure(ctx, p.stackID, p.Name, from, status)
	}
	if p.before != nil {
		if err := p.before.carryOver(ctx, i, p.base); err != nil {
			return err
		}
	}
	if err := i.Confirm(ctx, p); err != nil {
		return err
	}
	return i.clearBucket(ctx, i.Bucket(p.Name), slices.Collect(maps.Keys(p.uploads)))
}

// Confirm sees that the functions of a deployed stack run what the plan holds, and
// protects the stack against deletion by hand.
func (i *Installer) Confirm(ctx context.Context, p *Plan) error {
	if err := i.compareCode(ctx, p); err != nil {
		return err
	}
	_, err := i.Clients.CloudFormation.UpdateTerminationProtection(ctx,
		&cloudformation.UpdateTerminationProtectionInput{
			StackName: &p.Name, EnableTerminationProtection: aws.Bool(true),
		})
	return awserr.Mark(err, "protect stack %s against deletion", p.Name)
}

// follow tells of a stack's events after an instant, until its operation ends.
func (i *Installer) follow(ctx context.Context, id, name string, after time.Time,
	tell func(cfn.Event)) (types.StackStatus, error) {
	status, interrupted, err := cfn.Follow(ctx, i.Clients.CloudFormation, id, after,
		cfn.Watch{Sleep: i.Clock.Sleep, Passing: awserr.Temporary, Tell: tell})
	if interrupted {
		return "", &interruptedError{name, err}
	}
	return status, awserr.Mark(err, "read the events of stack %s", name)
}

// interruptedError is a wait that was interrupted; what was waited for continues.
type interruptedError struct {
	stack string
	cause error
}

func (e *interruptedError) Error() string {
	return "interrupted; CloudFormation continues with stack " + e.stack
}
func (e *interruptedError) Unwrap() error { return e.cause }

// Hint says how to look again.
func (e *interruptedError) Hint() string {
	return "look again with: aws cloudformation describe-stack-events --stack-name " + e.stack +
		"; the same command once more is safe when it has ended"
}

// failure says why an operation on a stack, begun at from, failed: the first
// resource that did.
func (i *Installer) failure(ctx context.Context, id, name string, from time.Time, status types.StackStatus) error {
	reason := cmp.Or(cfn.FirstFailure(ctx, i.Clients.CloudFormation, id, from), "no reason given")
	remedy := "correct the cause and deploy again: CloudFormation has gone back to what was there before"
	switch status {
	case types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusCreateFailed:
		remedy = "correct the cause and deploy again: the next deployment removes what is left of this one first"
	case types.StackStatusDeleteFailed:
		remedy = "correct the cause, then drawbridge destroy again; it continues with the rest"
	case types.StackStatusUpdateRollbackFailed:
		remedy = "correct the cause, then: aws cloudformation continue-update-rollback --stack-name " + name
	}
	return hint.New(fmt.Sprintf("stack %s is %s: %s", name, status, cfn.Explain(reason)), remedy)
}

// ErrNotInstalled means that there is no base stack of that name.
var ErrNotInstalled = errors.New("not installed")

// Stack is the base stack as it is deployed.
type Stack struct {
	Name, ID string
	Status   types.StackStatus
	Schema   int
	// Installed is what the functions know of it.
	Installed cfn.Installed
	Outputs   map[string]string
	// Parameters are the values of its parameters, such as the keys of the functions' code.
	Parameters map[string]string
}

// Installed returns the base stack of an installation, or ErrNotInstalled. A stack
// of that name that is not ours, or that a newer drawbridge has deployed, is an
// error, and so is one that is being changed.
func (i *Installer) Installed(ctx context.Context, name string) (*Stack, error) {
	out, err := i.Clients.CloudFormation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil && cfn.IsMissing(err) || err == nil && len(out.Stacks) == 0 {
		return nil, fmt.Errorf("stack %s: %w", name, ErrNotInstalled)
	}
	if err != nil {
		return nil, awserr.Mark(err, "describe stack %s", name)
	}
	st := out.Stacks[0]
	s := &Stack{Name: name, ID: aws.ToString(st.StackId), Status: st.StackStatus, Outputs: cfn.Outputs(st),
		Parameters: map[string]string{}}
	for _, p := range st.Parameters {
		s.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	owner := ""
	for _, t := range st.Tags {
		switch aws.ToString(t.Key) {
		case cfn.OwnerTag:
			owner = aws.ToString(t.Value)
		case cfn.SchemaTag:
			s.Schema, _ = strconv.Atoi(aws.ToString(t.Value)) // 0 if it is not a number
		}
	}
	if s.Installed, err = cfn.InstalledOf(s.Outputs); err != nil {
		return nil, fmt.Errorf("stack %s: %w", name, err)
	}
	return s, s.check(owner, st.StackStatus == types.StackStatusReviewInProgress && i.planned(ctx, name))
}

func (s *Stack) check(owner string, plans bool) error {
	switch {
	case s.Status == types.StackStatusReviewInProgress && (owner == s.Name || plans):
		return fmt.Errorf("stack %s: %w", s.Name, ErrNotInstalled) // an earlier plan was interrupted
	case owner != s.Name:
		return hint.New(
			fmt.Sprintf("stack %s does not carry the tag %s=%s", s.Name, cfn.OwnerTag, s.Name),
			"it is somebody else's and is left alone; choose another name: in the configuration",
		)
	case strings.HasSuffix(string(s.Status), "_IN_PROGRESS"):
		return hint.New(
			fmt.Sprintf("stack %s is %s", s.Name, s.Status),
			"another deployment is under way; try again when it has ended",
		)
	case slices.Contains([]types.StackStatus{
		types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusCreateFailed,
		types.StackStatusDeleteFailed,
	}, s.Status):
		return &failedBeforeError{s.Name, s.Status}
	case s.Schema > cfn.Schema:
		return hint.New(fmt.Sprintf("stack %s stores schema %d, this drawbridge knows schemas up to %d", s.Name,
			s.Schema, cfn.Schema), "a newer drawbridge has deployed it; use that one or a later one")
	case s.Schema < 1:
		return hint.New(
			fmt.Sprintf("stack %s names no schema in its tag %s", s.Name, cfn.SchemaTag),
			"it was changed by hand; set the tag to 1, the first schema, if its table was made by drawbridge",
		)
	}
	return nil
}

// planned reports whether a stack in review holds a change set of ours.
func (i *Installer) planned(ctx context.Context, name string) bool {
	out, err := i.Clients.CloudFormation.ListChangeSets(ctx, &cloudformation.ListChangeSetsInput{StackName: &name})
	return err == nil && slices.ContainsFunc(out.Summaries, func(s types.ChangeSetSummary) bool {
		return strings.HasPrefix(aws.ToString(s.ChangeSetName), "drawbridge-")
	})
}

// failedBeforeError is an installation whose creation or removal failed.
type failedBeforeError struct {
	name   string
	status types.StackStatus
}

func (e *failedBeforeError) Error() string {
	return fmt.Sprintf("stack %s is %s: nothing of it works, and it can only be deleted", e.name, e.status)
}

// Unwrap says that nothing is installed.
func (e *failedBeforeError) Unwrap() error { return ErrNotInstalled }

// Hint returns the remedy.
func (e *failedBeforeError) Hint() string {
	return "drawbridge deploy removes what is left first, then tries again; drawbridge destroy removes it alone"
}

// Failed reports whether an error reports what is left of a creation or a removal
// that failed, which Clear removes.
func Failed(err error) bool {
	var failed *failedBeforeError
	return errors.As(err, &failed)
}

// Clear deletes a stack whose creation or deletion failed: CloudFormation allows
// nothing else with it.
func (i *Installer) Clear(ctx context.Context, name string) error {
	s, err := i.Installed(ctx, name)
	if !Failed(err) {
		return err
	}
	return i.removeStack(ctx, s, func(cfn.Event) {})
}
