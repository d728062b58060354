package launcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
)

// request is a direct call.
type request struct {
	Job       scheduler.JobName `json:"job"`
	ID        string            `json:"id"`
	Overrides json.RawMessage   `json:"overrides"`
	// Event is handed to the container as an event of EventBridge is.
	Event json.RawMessage `json:"event"`
}

// maxEvent is how large an event may be, in bytes. It is kept until its run has ended,
// in an item of DynamoDB, which holds 400 KB.
const maxEvent = 256 << 10

// maxOverrides is how many characters of overrides ECS takes.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const maxOverrides = 8192

// runs returns the runs that an event asks for: one for a direct call, one for
// each job whose pattern matches an event of EventBridge. fallback is the id of
// an event that has none of its own. Where only some of the jobs can take it, the
// error is why the others cannot.
func (l *Launcher) runs(payload []byte, fallback string) ([]scheduler.Run, error) {
	if len(payload) > maxEvent {
		return nil, &rejected{
			fmt.Sprintf("the event has %d bytes, at most %d are taken", len(payload), maxEvent),
			"put what it carries into S3, and send where it is",
		}
	}
	event, err := jsonObject(payload)
	if err != nil {
		return nil, err
	}
	if _, ok := event["detail-type"]; ok {
		return l.matched(payload, event, fallback)
	}
	var req request
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		return nil, reject("read job request: %v", err)
	}
	if req.Job == "" {
		return nil, reject("event names no job")
	}
	job, ok := l.app.Config.Jobs[req.Job]
	if !ok {
		return nil, &rejected{
			fmt.Sprintf("there is no job %q", req.Job), "name one of the jobs in the configuration: " + l.jobNames(),
		}
	}
	if req.ID == "" {
		req.ID = fallback
	}
	var variables map[string]string
	if len(req.Event) > 0 {
		if variables, err = fromEvent(job, req.Event); err != nil {
			return nil, &rejected{
				fmt.Sprintf("job %s: %v", req.Job, err),
				"correct the places under jobs." + string(req.Job) + ".environment",
			}
		}
	}
	run, err := newRun(req.Job, job, req.ID, l.kept(payload), req.Overrides, variables)
	if err != nil {
		return nil, err
	}
	return []scheduler.Run{run}, nil
}

func (l *Launcher) jobNames() string {
	var names []string
	for _, n := range slices.Sorted(maps.Keys(l.app.Config.Jobs)) {
		names = append(names, string(n))
	}
	return strings.Join(names, ", ")
}

func (l *Launcher) matched(payload []byte, event map[string]any, fallback string) ([]scheduler.Run, error) {
	jobs := l.app.Config.Matching(event)
	if len(jobs) == 0 {
		return nil, &rejected{fmt.Sprintf("no job's pattern matches the event %v from %v", event["detail-type"],
			event["source"]), "add a pattern under jobs.<name>.on, or remove the rule that sends it"}
	}
	id, _ := event["id"].(string)
	if id == "" {
		id = fallback
	}
	kept := l.kept(payload)
	var out []scheduler.Run
	var problems []error
	for _, name := range jobs {
		job := l.app.Config.Jobs[name]
		variables, err := fromEvent(job, payload)
		if err != nil {
			problems = append(problems, &rejected{
				fmt.Sprintf("job %s: %v", name, err), "correct the places under jobs." + string(name) + ".environment",
			})
			continue
		}
		run, err := newRun(name, job, id, kept, nil, variables)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		out = append(out, run)
	}
	return out, joined(problems)
}

// joined returns problems as one that can never become a run, or nil.
func joined(problems []error) error {
	var what, hints []string
	for _, err := range problems {
		what = append(what, err.Error())
		if remedy := hint.Of(err); remedy != "" {
			hints = append(hints, remedy)
		}
	}
	if what == nil {
		return nil
	}
	return &rejected{strings.Join(what, "; "), strings.Join(hints, "; ")}
}

// kept is what is kept of an event until its run has ended.
func (l *Launcher) kept(payload []byte) []byte {
	return app.Kept(payload, l.app.Config.KeepEvents)
}

// admit refuses a run of a job that has got more from the queue than it may in this
// minute. It counts by the job: the source of an event is what its sender writes.
func (l *Launcher) admit(job scheduler.JobName) error {
	limit := l.app.Config.EventsPerMinute
	l.mu.Lock() // in the tests one launcher serves several invocations
	defer l.mu.Unlock()
	if minute := l.app.Clock.Now().Truncate(time.Minute); !minute.Equal(l.minute) {
		l.minute, l.taken = minute, map[scheduler.JobName]int{}
	}
	if l.taken[job]++; l.taken[job] > limit {
		return &rejected{
			fmt.Sprintf("more than %d events for job %s came in a minute (eventsPerMinute)", limit, job),
			"drawbridge replay sends it again once they have become fewer; raise eventsPerMinute if they are meant",
		}
	}
	return nil
}

// admitted returns the runs of a message from the queue that are taken now. One that
// comes again was taken before, and one whose scheduled time has come is not counted.
func (l *Launcher) admitted(runs []scheduler.Run, m events.SQSMessage) ([]scheduler.Run, error) {
	if l.app.Config.EventsPerMinute == 0 {
		return runs, nil
	}
	if n, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"]); err == nil && n > 1 {
		return runs, nil
	}
	var out []scheduler.Run
	var problems []error
	settings, now := l.app.Config.Settings(), l.app.Clock.Now()
	for _, r := range runs {
		if settings[r.Set].ByClock(r.Job, r.Event, now) {
			out = append(out, r)
			continue
		}
		if err := l.admit(r.Job); err != nil {
			problems = append(problems, err)
			continue
		}
		out = append(out, r)
	}
	return out, joined(problems)
}

func newRun(name scheduler.JobName, job config.Job, event string, payload []byte, overrides json.RawMessage,
	variables map[string]string) (scheduler.Run, error) {
	id, err := scheduler.NewRunID(name, event)
	if err != nil {
		return scheduler.Run{}, &rejected{
			err.Error(), fmt.Sprintf("give the event an id of 1 to %d printable characters", scheduler.MaxEventID),
		}
	}
	o, err := ecstasks.Overrides(overrides, job, variables)
	if err != nil {
		return scheduler.Run{}, &rejected{fmt.Sprintf("job %s: %v", name, err), ""}
	}
	if len(o) > maxOverrides {
		return scheduler.Run{}, &rejected{
			fmt.Sprintf("job %s: the overrides have %d characters, and ECS takes at most %d", name, len(o),
				maxOverrides), "map what the container needs of the event under jobs." + string(name) + ".environment",
		}
	}
	return scheduler.Run{
		ID: id, Job: name, Set: job.Set,
		Request: scheduler.Request{
			Event: event, Overrides: o, Source: payload, Cluster: job.Cluster,
			MaxRuntime: job.MaxRuntime, MaxDelay: job.MaxDelay,
			StartTimeout: job.StartTimeout,
		},
	}, nil
}

// fromEvent returns the variables that hand an event to the container: those that
// the job maps, or the whole event in one.
func fromEvent(job config.Job, payload []byte) (map[string]string, error) {
	if len(job.Environment) == 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, payload); err != nil {
			return nil, err
		}
		return map[string]string{ecstasks.EventVariable: compact.String()}, nil
	}
	exact, err := exactly(payload)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, path := range job.Environment {
		v, err := at(exact, path)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// exactly decodes an event with its numbers as they are written.
func exactly(payload []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var event map[string]any
	err := dec.Decode(&event)
	return event, err
}

// at returns the value at a path such as $.detail.object.key: a text as it is,
// anything else as JSON.
func at(event map[string]any, path string) (string, error) {
	var cur any = event
	for _, step := range strings.Split(strings.TrimPrefix(path, "$."), ".") {
		m, ok := cur.(map[string]any)
		if !ok {
			return "", fmt.Errorf("the event has nothing at %s", path)
		}
		if cur, ok = m[step]; !ok {
			return "", fmt.Errorf("the event has nothing at %s", path)
		}
	}
	if s, ok := cur.(string); ok {
		return s, nil
	}
	b, err := json.Marshal(cur)
	return string(b), err
}
