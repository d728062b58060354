package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// The parts of a selftest are an endpoint by each mode of CloudFormation, and a run
// of a job by the installation's own functions.
const (
	Modes = "modes"
	Run   = "run"
)

// Test is a selftest in one place: an account, or a simulation.
type Test struct {
	App      *app.App
	AWS      aws.Config
	Recorder *Recorder
	Job      scheduler.JobName
	Parts    []string
	// Until is the deadline of the experiments.
	Until time.Time
	// Tell receives progress messages.
	Tell func(string)

	evidence Evidence
	texts    []string // that AWS refused something with
	began    time.Time
	own      []*life             // endpoints that were created
	stacks   map[string][]string // the ids of the created stacks, by set
	counted  int                 // endpoint-hours of the set so far, before the run and after it
	started  scheduler.RunID     // the requested run
}

// life is how long an endpoint was there, as far as it was seen. gone is zero until
// it was seen gone.
type life struct {
	id, kind      string
	created, gone time.Time
}

// every is the polling interval.
const every = 2 * time.Second

// errLate ends an experiment at its deadline.
var errLate = errors.New("the selftest ran out of time")

// Do runs the experiments and cleans up, whatever their outcome. It returns the
// evidence, and why it is incomplete.
func (t *Test) Do(ctx context.Context) (evidence Evidence, refused []Refusal, left []string, err error) {
	t.began = t.App.Clock.Now()
	set := t.App.Config.Jobs[t.Job].Set
	before, err := t.App.Store.LoadSet(ctx, set)
	if err != nil {
		return evidence, nil, nil, err
	}
	var errs []error
	for _, part := range t.experiments(set) { // each on its own: a refusal of one says nothing about the others
		if ctx.Err() == nil && t.App.Clock.Now().Before(t.Until) {
			errs = append(errs, part(ctx))
		}
	}
	err = errors.Join(errs...)
	// Existing endpoints are billed: they are deleted even if the selftest was
	// interrupted.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTakes)
	defer cancel()
	left = t.cleanUp(clean, set)
	t.readLogs(clean)
	if after, err := t.App.Store.LoadSet(clean, set); err == nil {
		t.counted = after.TotalHours - before.TotalHours
	}
	t.evidence.Shapes, t.evidence.Errors = t.Recorder.evidence()
	return t.evidence, refusals(append(t.texts, t.Recorder.refusals()...)), left, err
}

// experiments are the requested parts, in order.
func (t *Test) experiments(set scheduler.SetName) []func(context.Context) error {
	var out []func(context.Context) error
	if slices.Contains(t.Parts, Modes) {
		for _, mode := range modes {
			out = append(out, func(ctx context.Context) error { return t.mode(ctx, set, mode) })
		}
	}
	if slices.Contains(t.Parts, Run) {
		out = append(out, func(ctx context.Context) error { return t.run(ctx, set) })
	}
	return out
}

// modes are CloudFormation's ways of creating and deleting a stack.
var modes = []cfntypes.DeploymentConfigMode{cfntypes.DeploymentConfigModeStandard, cfntypes.DeploymentConfigModeExpress}

// EndpointHours is how many endpoint-hours the experiments have started, on the basis
// of the configuration, until now.
func (t *Test) EndpointHours() int {
	n := t.counted
	for _, l := range t.own {
		gone := l.gone
		if gone.IsZero() {
			gone = t.App.Clock.Now()
		}
		n += scheduler.PaidHours(t.App.Config.Billing, l.created, gone)
	}
	return n
}

// Most is the maximum of endpoint-hours that the parts may take, clean-up included, for a
// set that is billed as perHour: an hour may end during any of them.
func Most(parts []string, perHour int, maxTime time.Duration) int {
	hours, n := int((maxTime+cleanUpTakes+time.Hour-1)/time.Hour)+1, 0
	if slices.Contains(parts, Modes) {
		n += hours + len(modes) - 1 // one endpoint at a time
	}
	if slices.Contains(parts, Run) {
		n += perHour * hours
	}
	return n
}

// cleanUpTakes bounds the clean-up, in real time.
const cleanUpTakes = 30 * time.Minute

// until polls until seen returns true.
func (t *Test) until(ctx context.Context, what string, seen func() (bool, error)) error {
	for last := t.App.Clock.Now(); ; last = t.App.Clock.Now() {
		done, err := seen()
		t.evidence.Looks = max(t.evidence.Looks, t.App.Clock.Now().Sub(last).Seconds())
		switch {
		case done || err != nil && !awserr.Temporary(err) && !errors.Is(err, reconcile.ErrTemporary):
			return err
		case !t.App.Clock.Now().Before(t.Until):
			return fmt.Errorf("%s: %w", what, errLate)
		}
		if err := t.App.Clock.Sleep(ctx, every); err != nil {
			return err
		}
		t.evidence.Looks = max(t.evidence.Looks, t.App.Clock.Now().Sub(last).Seconds())
	}
}

// modeSet is the set that the stacks of the experiments with modes belong to: no
// configuration may have one of that name.
func modeSet(mode cfntypes.DeploymentConfigMode) string {
	return cfn.SelftestSet(strings.ToLower(string(mode)))
}

// mode creates and deletes a stack of one endpoint, by one mode of CloudFormation.
func (t *Test) mode(ctx context.Context, set scheduler.SetName, mode cfntypes.DeploymentConfigMode) error {
	a, kind := t.App, strings.ToLower(string(mode))
	t.Tell("One endpoint by CloudFormation's mode " + kind + ".")
	template, err := t.template(ctx, set, modeSet(mode))
	if err != nil {
		return err
	}
	name := a.Stacks.Name(modeSet(mode))
	tags := []cfntypes.Tag{
		{Key: aws.String(cfn.OwnerTag), Value: aws.String(a.Config.Name)},
		{Key: aws.String(cfn.SetTag), Value: aws.String(modeSet(mode))},
		{Key: aws.String(cfn.GenerationTag), Value: aws.String("1")},
	}
	api := cloudformation.NewFromConfig(t.AWS)
	t.evidence.note(a.Clock.Now(), "%s: asked for", kind)
	created, err := api.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: aws.String(string(template)),
		RoleARN: aws.String(a.Place.ARN("iam", "role/"+a.Names.StackRole)), Tags: tags,
		DeploymentConfig: &cfntypes.DeploymentConfig{Mode: mode},
	})
	if err != nil {
		return awserr.Mark(err, "create stack %s", name)
	}
	id := aws.ToString(created.StackId)
	t.made(modeSet(mode), id)
	err = t.until(ctx, "endpoint of stack "+name, func() (bool, error) {
		status, err := t.watch(ctx, api, kind, id)
		_, available := t.evidence.at(kind + ": endpoint available")
		if strings.Contains(status, "ROLLBACK") || strings.Contains(status, "FAILED") {
			return true, fmt.Errorf("stack %s is %s", name, status)
		}
		return available && status == "CREATE_COMPLETE", err
	})
	if err != nil {
		return err
	}
	return t.lower(ctx, api, kind, id, mode)
}

// lower deletes a stack of one endpoint and waits until both are gone.
func (t *Test) lower(ctx context.Context, api *cloudformation.Client, kind, id string,
	mode cfntypes.DeploymentConfigMode) error {
	t.evidence.note(t.App.Clock.Now(), "%s: deletion asked for", kind)
	if _, err := api.DeleteStack(ctx, &cloudformation.DeleteStackInput{
		StackName: &id, DeploymentConfig: &cfntypes.DeploymentConfig{Mode: mode},
	}); err != nil {
		return awserr.Mark(err, "delete stack %s", id)
	}
	return t.until(ctx, "deletion of stack "+id, func() (bool, error) {
		status, err := t.watch(ctx, api, kind, id)
		_, gone := t.evidence.at(kind + ": endpoint gone")
		if status == "DELETE_FAILED" {
			return true, fmt.Errorf("stack %s is %s: %s", t.App.Stacks.Name(modeSet(mode)), status, t.lastText())
		}
		return gone && status == "DELETE_COMPLETE", err
	})
}

// lastText is AWS's last message about a failure.
func (t *Test) lastText() string {
	if len(t.texts) == 0 {
		return "no reason given"
	}
	return t.texts[len(t.texts)-1]
}

// template is that of a stack with one endpoint: of a service of the set, in a subnet of
// the set whose zone offers it. Its private DNS is off, so that it does not conflict
// with another owner's endpoint.
func (t *Test) template(ctx context.Context, set scheduler.SetName, name string) ([]byte, error) {
	a := t.App
	c := a.Config.Sets[set]
	service, subnet, err := t.place(ctx, set)
	if err != nil {
		return nil, err
	}
	return cfn.Template(cfn.Spec{
		Owner: a.Config.Name, Set: name, Region: a.Place.Region, VPC: c.VPC, Services: []endpoints.Service{service},
		Subnets:        []string{subnet},
		SecurityGroups: c.EndpointSecurityGroups, NoPrivateDNS: true,
	})
}

// place finds a service and a subnet of the set whose zone offers it.
func (t *Test) place(ctx context.Context, set scheduler.SetName) (endpoints.Service, string, error) {
	c, api := t.App.Config.Sets[set], ec2.NewFromConfig(t.AWS)
	services, err := endpoints.Resolve(c.Services)
	if err != nil {
		return endpoints.Service{}, "", err
	}
	subnets, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: c.Subnets})
	if err != nil {
		return endpoints.Service{}, "", awserr.Mark(err, "describe the subnets of set %s", set)
	}
	for _, s := range services {
		if s.Type != endpoints.Interface {
			continue
		}
		offered, err := api.DescribeVpcEndpointServices(ctx, &ec2.DescribeVpcEndpointServicesInput{
			ServiceNames: []string{s.Name(t.App.Place.Region)},
		})
		if err != nil || len(offered.ServiceDetails) == 0 {
			continue // the Region does not offer it; doctor reports that
		}
		for _, n := range subnets.Subnets {
			if slices.Contains(offered.ServiceDetails[0].AvailabilityZones, aws.ToString(n.AvailabilityZone)) {
				return s, aws.ToString(n.SubnetId), nil
			}
		}
	}
	return endpoints.Service{}, "", fmt.Errorf("set %s has no interface endpoint to test in the zones of its subnets",
		set)
}

// watch records the states of a stack and of its endpoint, and returns the stack's
// status.
func (t *Test) watch(ctx context.Context, api *cloudformation.Client, kind, id string) (string, error) {
	out, err := api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &id})
	if err != nil || len(out.Stacks) == 0 {
		return "", awserr.Mark(err, "describe stack %s", id)
	}
	now, status := t.App.Clock.Now(), string(out.Stacks[0].StackStatus)
	t.evidence.note(now, "%s: stack %s", kind, status)
	if d := out.Stacks[0].DetailedStatus; d != "" {
		t.evidence.note(now, "%s: stack detailed %s", kind, d)
	}
	if strings.Contains(status, "ROLLBACK") || strings.Contains(status, "FAILED") {
		t.readEvents(ctx, api, id)
	}
	held, err := api.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &id})
	if err != nil {
		return status, awserr.Mark(err, "describe the resources of stack %s", id)
	}
	for _, r := range held.StackResources {
		physical := aws.ToString(r.PhysicalResourceId)
		if aws.ToString(r.ResourceType) != cfn.EndpointType || !strings.HasPrefix(physical, "vpce-") {
			continue
		}
		if t.life(physical) == nil {
			t.own = append(t.own, &life{id: physical, kind: kind, created: now})
		}
		if err := t.watchEndpoint(ctx, kind, physical); err != nil {
			return status, err
		}
	}
	return status, nil
}

// life returns what is known of an endpoint of ours, or nil.
func (t *Test) life(id string) *life {
	for _, l := range t.own {
		if l.id == id {
			return l
		}
	}
	return nil
}

// watchEndpoint records the state of an endpoint and the tags that have reached it.
func (t *Test) watchEndpoint(ctx context.Context, kind, id string) error {
	out, err := ec2.NewFromConfig(t.AWS).DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{
		Filters: []ec2types.Filter{{Name: aws.String("vpc-endpoint-id"), Values: []string{id}}},
	})
	if err != nil {
		return awserr.Mark(err, "describe endpoint %s", id)
	}
	now := t.App.Clock.Now()
	l := t.life(id)
	if len(out.VpcEndpoints) == 0 || strings.EqualFold(string(out.VpcEndpoints[0].State), "deleted") {
		if l.gone.IsZero() {
			l.gone = now
		}
		t.evidence.note(now, "%s: endpoint gone", kind)
		return nil
	}
	e := out.VpcEndpoints[0]
	if e.CreationTimestamp != nil {
		l.created = *e.CreationTimestamp
	}
	state := strings.ToLower(string(e.State))
	t.evidence.note(now, "%s: endpoint %s", kind, state)
	for _, tag := range e.Tags {
		switch aws.ToString(tag.Key) {
		case cfn.OwnerTag:
			t.evidence.note(now, "%s: endpoint has its own tags", kind)
		case cfn.GenerationTag:
			t.evidence.note(now, "%s: endpoint has the stack's tags", kind)
		}
	}
	return nil
}

// readEvents records why resources of a stack failed.
func (t *Test) readEvents(ctx context.Context, api *cloudformation.Client, id string) {
	reasons, _ := cfn.Failures(ctx, api, id) // the error itself is recorded
	t.texts = append(t.texts, reasons...)
}

// run has the installation's own functions create the set's stack for a run, and
// delete it.
func (t *Test) run(ctx context.Context, set scheduler.SetName) error {
	a := t.App
	event := "selftest-" + t.began.UTC().Format("20060102T150405Z")
	id, err := scheduler.NewRunID(t.Job, event)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]string{"job": string(t.Job), "id": event})
	if err != nil {
		return err
	}
	t.started = id
	t.Tell(fmt.Sprintf("One run of job %s by the installation: %s.", t.Job, id))
	t.evidence.note(a.Clock.Now(), "run: asked for")
	out, err := lambda.NewFromConfig(t.AWS).Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(a.Names.Launcher), Payload: payload,
	})
	if err != nil {
		return awserr.Mark(err, "call %s", a.Names.Launcher)
	}
	if out.FunctionError != nil {
		t.texts = append(t.texts, string(out.Payload))
		return fmt.Errorf("%s: %s", a.Names.Launcher, out.Payload)
	}
	var last scheduler.Run
	err = t.until(ctx, "run "+string(id), func() (bool, error) {
		var err error
		if last, err = t.follow(ctx, set, id); err != nil {
			return false, err
		}
		return last.State == scheduler.Finished, nil
	})
	if err != nil {
		return err
	}
	t.texts = append(t.texts, last.Reason, last.Diagnosis)
	if last.Outcome != scheduler.Succeeded {
		return fmt.Errorf("run %s %s: %s", id, last.Outcome, last.Reason)
	}
	return nil
}

// follow records the states of the set, its endpoints, the run and its task.
func (t *Test) follow(ctx context.Context, set scheduler.SetName, id scheduler.RunID) (scheduler.Run, error) {
	a := t.App
	s, err := a.Store.LoadSet(ctx, set)
	if err != nil {
		return scheduler.Run{}, err
	}
	if s.Phase != scheduler.Absent {
		t.phase(s)
	}
	for _, text := range []string{s.Failure, s.ExtendFailure, s.TimerFailure, s.Refused[t.Job].Reason} {
		if text != "" {
			t.texts = append(t.texts, text)
		}
	}
	if s.Phase == scheduler.Creating && s.StackID != "" {
		if err := t.watchSet(ctx, set); err != nil {
			return scheduler.Run{}, err
		}
	}
	if s.Phase == scheduler.Available { // it is open because they are available
		t.evidence.note(s.Since, "run: every endpoint available")
	}
	run, known, err := a.Store.Run(ctx, set, id)
	if err != nil || !known {
		return run, err
	}
	if run.TaskARN != "" {
		t.evidence.note(latest(run.StartedAt, run.StartingAt), "run: task asked for")
		err = t.watchTask(ctx, run)
	}
	return run, err
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// watchSet notes when every endpoint of the set is available.
func (t *Test) watchSet(ctx context.Context, set scheduler.SetName) error {
	a := t.App
	out, err := ec2.NewFromConfig(t.AWS).DescribeVpcEndpoints(ctx,
		&ec2.DescribeVpcEndpointsInput{Filters: []ec2types.Filter{
			{Name: aws.String("tag:" + cfn.OwnerTag), Values: []string{a.Config.Name}},
			{Name: aws.String("tag:" + cfn.SetTag), Values: []string{string(set)}},
		}})
	if err != nil {
		return awserr.Mark(err, "describe the endpoints of set %s", set)
	}
	for _, e := range out.VpcEndpoints {
		if !strings.EqualFold(string(e.State), "available") {
			return nil
		}
	}
	if len(out.VpcEndpoints) > 0 {
		t.evidence.note(a.Clock.Now(), "run: every endpoint available")
	}
	return nil
}

// watchTask records the state of the run's task in ECS.
func (t *Test) watchTask(ctx context.Context, run scheduler.Run) error {
	out, err := ecs.NewFromConfig(t.AWS).DescribeTasks(ctx, &ecs.DescribeTasksInput{
		Cluster: aws.String(run.Cluster), Tasks: []string{run.TaskARN},
	})
	if err != nil {
		return awserr.Mark(err, "describe task %s", run.TaskARN)
	}
	for _, task := range out.Tasks {
		for _, m := range []struct {
			what string
			at   *time.Time
		}{
			{"pull begins", task.PullStartedAt}, {"pull ends", task.PullStoppedAt}, {"started", task.StartedAt},
			{"stopped", task.StoppedAt},
		} {
			if m.at != nil {
				t.evidence.note(*m.at, "run: task %s", m.what)
			}
		}
		if task.StoppedReason != nil {
			t.texts = append(t.texts, *task.StoppedReason)
		}
	}
	return nil
}

// cleanUp removes what the experiments have created and returns what it could
// not remove.
func (t *Test) cleanUp(ctx context.Context, set scheduler.SetName) (left []string) {
	a := t.App
	t.Until = a.Clock.Now().Add(cleanUpTakes)
	api := cloudformation.NewFromConfig(t.AWS)
	for _, mode := range modes {
		if !slices.Contains(t.Parts, Modes) {
			break
		}
		if err := t.removeStack(ctx, api, modeSet(mode)); err != nil {
			left = append(left, fmt.Sprintf("stack %s: %v", a.Stacks.Name(modeSet(mode)), err))
		}
		if err := t.removeEndpoints(ctx, modeSet(mode)); err != nil {
			left = append(left, fmt.Sprintf("endpoints of stack %s: %v", a.Stacks.Name(modeSet(mode)), err))
		}
	}
	if slices.Contains(t.Parts, Run) {
		if err := t.endRun(ctx, set); err != nil {
			left = append(left, fmt.Sprintf("run %s: %v", t.started, err))
		}
		if err := t.takeDown(ctx, set); err != nil {
			left = append(left, fmt.Sprintf("set %s: %v", set, err))
		}
	}
	return left
}

// endRun ends a run that still waits, so that it does not create the set later. A run
// whose task may have been started ends by itself.
func (t *Test) endRun(ctx context.Context, set scheduler.SetName) error {
	if t.started == "" {
		return nil
	}
	return t.until(ctx, "end of run "+string(t.started), func() (bool, error) {
		run, known, err := t.App.Store.Run(ctx, set, t.started)
		if err != nil || !known || run.State != scheduler.Waiting {
			return err == nil, err
		}
		run.State = scheduler.Finished
		run.Outcome = scheduler.FailedRun
		run.FinishedAt = t.App.Clock.Now()
		run.Reason = "the selftest ended before its task was started"
		err = t.App.Store.Advance(ctx, []scheduler.Run{run}, scheduler.Waiting)
		if errors.Is(err, reconcile.ErrConflict) {
			return false, nil // it has progressed
		}
		return err == nil, err
	})
}

// plainDeletions is how often a stack's deletion is tried before resources that fail
// are retained.
const plainDeletions = 3

// removeStack deletes a stack of ours, if it is there.
func (t *Test) removeStack(ctx context.Context, api *cloudformation.Client, set string) error {
	st, err := t.App.Stacks.Describe(ctx, set, "")
	if err != nil || st.State == cfn.Missing || st.State == cfn.Foreign {
		return err
	}
	t.made(set, st.ID)
	t.readEvents(ctx, api, st.ID)
	asked := 0
	return t.until(ctx, "deletion of stack "+st.ID, func() (bool, error) {
		st, err := t.App.Stacks.Describe(ctx, set, "")
		switch {
		case err != nil || st.State == cfn.Missing:
			return err == nil, err
		case st.State == cfn.RollingBack, st.State == cfn.Deleting, st.State == cfn.Busy && asked > 0:
			return false, nil // one that is still being created can be deleted, and is
		}
		asked++
		return false, t.App.Stacks.Delete(ctx, set, st.ID, st.State == cfn.DeleteFailed && asked > plainDeletions,
			t.App.Clock.Now())
	})
}

// made records the id of a stack that was created for a set; it identifies the set's
// endpoints.
func (t *Test) made(set, id string) {
	if t.stacks == nil {
		t.stacks = map[string][]string{}
	}
	if !slices.Contains(t.stacks[set], id) {
		t.stacks[set] = append(t.stacks[set], id)
	}
}

// removeEndpoints deletes endpoints that the stacks of a set left behind, and waits
// until they are gone. Tags are no proof: any user may have set them.
func (t *Test) removeEndpoints(ctx context.Context, set string) error {
	api := ec2.NewFromConfig(t.AWS)
	return t.until(ctx, "deletion of the endpoints of "+set, func() (bool, error) {
		var held []string
		for _, stack := range t.stacks[set] {
			ids, err := t.App.Stacks.Endpoints(ctx, stack)
			if err != nil {
				return false, awserr.Mark(err, "selftest")
			}
			held = append(held, ids...)
		}
		if len(held) == 0 {
			return true, nil
		}
		out, err := api.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{
			Filters: []ec2types.Filter{{Name: aws.String("vpc-endpoint-id"), Values: held}},
		})
		if err != nil {
			return false, awserr.Mark(err, "describe the endpoints of %s", set)
		}
		var ids []string
		there := 0
		for _, e := range out.VpcEndpoints {
			switch strings.ToLower(string(e.State)) {
			case "deleted":
				continue
			case "deleting":
			default:
				ids = append(ids, aws.ToString(e.VpcEndpointId))
			}
			there++
		}
		for _, l := range t.own { // the last poll of each
			if err := t.watchEndpoint(ctx, l.kind, l.id); err != nil && there == 0 {
				return false, err
			}
		}
		if len(ids) > 0 {
			_, err = api.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: ids})
		}
		return there == 0, awserr.Mark(err, "delete %s", strings.Join(ids, ", "))
	})
}

// takeDown has the reaper delete the set's stack at once, and waits until it is
// gone.
func (t *Test) takeDown(ctx context.Context, set scheduler.SetName) error {
	a := t.App
	return t.until(ctx, "deletion of set "+string(set), func() (bool, error) {
		s, err := a.Store.LoadSet(ctx, set)
		if err != nil {
			return false, err
		}
		if s.Phase != scheduler.Absent || s.Generation > 0 {
			t.phase(s)
		}
		if s.Phase == scheduler.Absent || s.TakeDown != "" {
			return s.Phase == scheduler.Absent, nil
		}
		if s.Failure != "" {
			t.texts = append(t.texts, s.Failure)
		}
		s.TakeDown = "drawbridge selftest"
		if _, err := a.Store.SaveSet(ctx, s); err != nil && !errors.Is(err, reconcile.ErrConflict) {
			return false, err
		}
		return false, a.Wake(ctx, reconcile.Reaper, set, "taken down by drawbridge selftest")
	})
}

// phase records a set's phase. The time of the deletion request is in the set's own
// record, as it may come and go between two polls; draining is too short to be seen each
// time.
func (t *Test) phase(s scheduler.Set) {
	for _, d := range s.Decisions {
		if d.Action == scheduler.Delete && !d.At.Before(t.began) {
			t.evidence.note(d.At, "run: set %s", scheduler.Deleting)
		}
	}
	if s.Phase != scheduler.Draining {
		t.evidence.note(t.App.Clock.Now(), "run: set %s", s.Phase)
	}
}

// readLogs records the refusals in the functions' logs since the selftest
// began.
func (t *Test) readLogs(ctx context.Context) {
	api := cloudwatchlogs.NewFromConfig(t.AWS)
	for _, function := range []string{t.App.Names.Launcher, t.App.Names.Reaper} {
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(api, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/aws/lambda/" + function), StartTime: aws.Int64(t.began.UnixMilli()),
			FilterPattern: aws.String(`"not authorized"`),
		})
		for pages.HasMorePages() { // a page may be empty although more follow
			out, err := pages.NextPage(ctx)
			if err != nil {
				break // the error itself is recorded
			}
			for _, e := range out.Events {
				t.texts = append(t.texts, aws.ToString(e.Message))
			}
		}
	}
}
