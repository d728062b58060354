package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// onEach runs test on the simulated DynamoDB, and on AWS's DynamoDB Local if the
// environment says where that is.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	sim := awssim.New(awssim.Options{})
	t.Cleanup(sim.Close)
	open := func(t *testing.T, endpoint string, transport http.RoundTripper) *Store {
		api := dynamodb.New(dynamodb.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: &http.Client{Transport: transport},
			Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
		})
		name := "test-" + strings.NewReplacer("/", "-", "#", "-").Replace(t.Name())
		if _, err := api.CreateTable(context.Background(), tableInput(name)); err != nil {
			t.Fatal(err)
		}
		return New(api, name)
	}
	t.Run("sandbox", func(t *testing.T) { test(t, open(t, "http://aws.invalid", sim.RoundTripper())) })
	if endpoint := os.Getenv("DRAWBRIDGE_DYNAMODB_LOCAL"); endpoint != "" {
		t.Run("on DynamoDB Local", func(t *testing.T) { test(t, open(t, endpoint, http.DefaultTransport)) })
	}
}

var noon = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

func run(id string, state scheduler.RunState, attempt int) scheduler.Run {
	return scheduler.Run{ID: scheduler.RunID("j/" + id), Job: "j", Set: "main", Request: scheduler.Request{Event: id, ReceivedAt: noon}, Progress: scheduler.Progress{State: state, Attempt: attempt}}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestDynamoDBSetIsWrittenByCompareAndSwap(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		set := must[scheduler.Set](t)(s.LoadSet(ctx, "main"))
		if set.Phase != scheduler.Absent || set.Version != 0 {
			t.Errorf("a set that was never stored is %+v", set)
		}
		set.Phase, set.Usable, set.Failure = scheduler.Available, noon, "ünïcode"
		first := must[scheduler.Set](t)(s.SaveSet(ctx, set))
		if _, err := s.SaveSet(ctx, set); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("writing from an old version gave %v, want a conflict", err)
		}
		if diff := cmp.Diff(first, must[scheduler.Set](t)(s.LoadSet(ctx, "main"))); diff != "" {
			t.Errorf("loaded differs from saved:\n%s", diff)
		}
		second := must[scheduler.Set](t)(s.SaveSet(ctx, first))
		if second.Version != 2 {
			t.Errorf("version %d, want 2", second.Version)
		}
		if _, err := s.SaveSet(ctx, first); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("writing from version 1 over version 2 gave %v, want a conflict", err)
		}
	})
}

func TestDynamoDBRunIsRecordedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		first := run("a", scheduler.Waiting, 0)
		must[scheduler.Run](t)(s.Record(ctx, first))
		again := first
		again.Event = "another"
		known, err := s.Record(ctx, again)
		if !errors.Is(err, reconcile.ErrConflict) || known.Event != "a" {
			t.Errorf("recording again gave %+v, %v, want the first and a conflict", known, err)
		}
		if err := s.RecordAll(ctx, []scheduler.Run{run("b", scheduler.Waiting, 0), run("a", scheduler.Waiting, 0)}); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("recording one that is known among others gave %v", err)
		}
		if _, ok, _ := s.Run(ctx, "main", "j/b"); ok {
			t.Error("a refused RecordAll recorded a run")
		}
		if err := s.RecordAll(ctx, []scheduler.Run{run("b", scheduler.Waiting, 0), run("c", scheduler.Waiting, 0)}); err != nil {
			t.Error(err)
		}
		got, ok, err := s.Run(ctx, "main", "j/a")
		if err != nil || !ok || cmp.Diff(first, got) != "" {
			t.Errorf("run %+v, %v, %v", got, ok, err)
		}
		if _, ok, err := s.Run(ctx, "main", "j/none"); ok || err != nil {
			t.Errorf("a run that is not there: %v, %v", ok, err)
		}
	})
}

// TestDynamoDBKeepsLargeEventsApart: what is read with every look does not hold them,
// and they go with their run.
func TestDynamoDBKeepsLargeEventsApart(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		large := func(id string) scheduler.Run {
			r := run(id, scheduler.Starting, 1)
			r.Source, r.SourceApart = bytes.Repeat([]byte("x\x00\xff"), 80<<10), true
			return r
		}
		a := large("a")
		must[scheduler.Run](t)(s.Record(ctx, a))
		if known, err := s.Record(ctx, a); !errors.Is(err, reconcile.ErrConflict) || known.ID != a.ID || known.Source != nil {
			t.Errorf("recording it again gave %s with %d bytes, %v; want the record without the event, and a conflict", known.ID, len(known.Source), err)
		}
		if err := s.RecordAll(ctx, []scheduler.Run{large("b"), large("c")}); err != nil {
			t.Fatal(err)
		}
		live, _, err := s.Live(ctx, "main")
		if err != nil || len(live) != 3 || live[0].Source != nil {
			t.Errorf("%d live, %v; want 3 without their events", len(live), err)
		}
		if got := must[[]byte](t)(s.Source(ctx, live[0])); !bytes.Equal(got, a.Source) {
			t.Errorf("the event comes back with %d bytes, want %d", len(got), len(a.Source))
		}
		done := live[0]
		done.State, done.FinishedAt, done.RecordedAt = scheduler.Finished, noon, noon
		if err := s.Advance(ctx, []scheduler.Run{done}, scheduler.Starting); err != nil {
			t.Fatal(err)
		}
		if got := must[[]byte](t)(s.Source(ctx, done)); got != nil {
			t.Errorf("the event of a finished run is still there, with %d bytes", len(got))
		}
	})
}

// TestDynamoDBKeepsLittleOfAFinishedRun: ninety days of runs stay far below the 10 GB
// of an item collection.
func TestDynamoDBKeepsLittleOfAFinishedRun(t *testing.T) {
	r := run("a", scheduler.Finished, 1)
	r.Source, r.Overrides, r.Reason, r.RecordedAt = make([]byte, 2<<10), make([]byte, 8<<10), "exit code 0", noon
	item, err := runItem(r)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for k, v := range item {
		if text, ok := v.(*types.AttributeValueMemberS); ok {
			size += len(k) + len(text.Value)
		}
	}
	if size > 1<<10 {
		t.Errorf("a finished run is kept in %d bytes, want a kilobyte at most", size)
	}
}

func TestDynamoDBLiveShowsWhatHoldsASet(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must[scheduler.Set](t)(s.SaveSet(ctx, scheduler.Set{Name: "main", Phase: scheduler.Available}))
		early, late, done := run("z", scheduler.Waiting, 0), run("a", scheduler.Waiting, 0), run("m", scheduler.Waiting, 0)
		late.ReceivedAt = noon.Add(time.Second)
		for _, r := range []scheduler.Run{late, early, done} {
			must[scheduler.Run](t)(s.Record(ctx, r))
		}
		done.State, done.FinishedAt = scheduler.Finished, noon
		if err := s.Advance(ctx, []scheduler.Run{done}, scheduler.Waiting); err != nil {
			t.Fatal(err)
		}
		hold := scheduler.Hold{Owner: "me", Reason: "why", Expires: noon}
		if err := s.Hold(ctx, "main", hold); err != nil {
			t.Fatal(err)
		}
		runs, holds, err := s.Live(ctx, "main")
		if err != nil || len(runs) != 2 || runs[0].ID != "j/z" || runs[1].ID != "j/a" || len(holds) != 1 || holds[0] != hold {
			t.Errorf("live %+v, %+v, %v, want z, a and the hold", runs, holds, err)
		}
		if err := s.Release(ctx, "main", "me"); err != nil {
			t.Fatal(err)
		}
		if _, holds, _ := s.Live(ctx, "main"); len(holds) != 0 {
			t.Errorf("holds %v after the release", holds)
		}
		if runs, _, _ := s.Live(ctx, "other"); len(runs) != 0 {
			t.Errorf("another set shows %v", runs)
		}
	})
}

func TestDynamoDBHoldIsRefusedWhileASetGoes(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		set := must[scheduler.Set](t)(s.SaveSet(ctx, scheduler.Set{Name: "main", Phase: scheduler.Draining}))
		if err := s.Hold(ctx, "main", scheduler.Hold{Owner: "me", Expires: noon}); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("holding a draining set gave %v, want a conflict", err)
		}
		set.Phase = scheduler.Available
		must[scheduler.Set](t)(s.SaveSet(ctx, set))
		if err := s.Hold(ctx, "main", scheduler.Hold{Owner: "me", Expires: noon}); err != nil {
			t.Errorf("holding an available set: %v", err)
		}
	})
}

func TestDynamoDBBeginAndAdvanceAreConditional(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		set := must[scheduler.Set](t)(s.SaveSet(ctx, scheduler.Set{Name: "main", Phase: scheduler.Available}))
		must[scheduler.Run](t)(s.Record(ctx, run("a", scheduler.Waiting, 0)))
		begin := func(attempt int) error {
			return s.Begin(ctx, "main", []scheduler.Run{run("a", scheduler.Starting, attempt)}, true)
		}
		if err := begin(2); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("beginning attempt 2 of a run without attempts gave %v", err)
		}
		if err := begin(1); err != nil {
			t.Fatal(err)
		}
		if err := begin(1); err != nil {
			t.Errorf("resuming attempt 1: %v", err)
		}
		if err := s.Advance(ctx, []scheduler.Run{run("a", scheduler.Running, 2)}, scheduler.Starting); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("advancing another attempt gave %v", err)
		}
		if err := s.Advance(ctx, []scheduler.Run{run("a", scheduler.Running, 1)}, scheduler.Waiting); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("advancing a run from a state that it is not in gave %v", err)
		}
		again := run("a", scheduler.Waiting, 1) // ECS refused it, and its attempt is made again
		again.Untried, again.Refusals = true, 1
		if err := s.Advance(ctx, []scheduler.Run{again}, scheduler.Starting); err != nil {
			t.Fatal(err)
		}
		if err := begin(1); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("resuming a start that was refused meanwhile gave %v", err)
		}
		if err := s.Advance(ctx, []scheduler.Run{run("a", scheduler.Running, 1)}, scheduler.Starting); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("a late answer to the refused start gave %v", err)
		}
		again.State, again.Untried = scheduler.Starting, false
		if err := s.Begin(ctx, "main", []scheduler.Run{again}, true); err != nil {
			t.Fatal(err)
		}
		finished := run("a", scheduler.Finished, 1)
		finished.FinishedAt = noon
		if err := s.Advance(ctx, []scheduler.Run{finished}, scheduler.Starting, scheduler.Running); err != nil {
			t.Fatal(err)
		}
		if err := s.Advance(ctx, []scheduler.Run{run("a", scheduler.Running, 1)}, scheduler.Starting); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("advancing a finished run gave %v", err)
		}
		set.Phase = scheduler.Draining
		must[scheduler.Set](t)(s.SaveSet(ctx, set))
		must[scheduler.Run](t)(s.Record(ctx, run("b", scheduler.Waiting, 0)))
		if err := s.Begin(ctx, "main", []scheduler.Run{run("b", scheduler.Starting, 1)}, true); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("beginning on a draining set gave %v", err)
		}
	})
}

// TestDynamoDBKeepsACancelThatMeetsATasksEnd has somebody cancel a run between the moment when its
// task's end is looked at and the moment when that is stored.
func TestDynamoDBKeepsACancelThatMeetsATasksEnd(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must[scheduler.Set](t)(s.SaveSet(ctx, scheduler.Set{Name: "main", Phase: scheduler.Available}))
		must[scheduler.Run](t)(s.Record(ctx, run("a", scheduler.Waiting, 0)))
		if err := s.Begin(ctx, "main", []scheduler.Run{run("a", scheduler.Starting, 1)}, true); err != nil {
			t.Fatal(err)
		}
		cancelled := run("a", scheduler.Starting, 1)
		cancelled.CancelledBy = "ann"
		if err := s.Advance(ctx, []scheduler.Run{cancelled}, scheduler.Starting); err != nil {
			t.Fatal(err)
		}
		stale := run("a", scheduler.Waiting, 1) // to be started again, as far as its reader knows
		if err := s.Advance(ctx, []scheduler.Run{stale}, scheduler.Starting); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("a retry that knows of no cancel gave %v", err)
		}
		cancelled.State, cancelled.FinishedAt = scheduler.Finished, noon
		if err := s.Advance(ctx, []scheduler.Run{cancelled}, scheduler.Starting); err != nil {
			t.Errorf("the end of the cancelled run gave %v", err)
		}
	})
}

// TestDynamoDBReadsTheFirstSchema goes on with what the first version stored: a
// set that is up, a run in each state, and a hold.
func TestDynamoDBReadsTheFirstSchema(t *testing.T) {
	text, err := os.ReadFile("testdata/schema1.json")
	if err != nil {
		t.Fatal(err)
	}
	var items []map[string]map[string]string
	if err := json.Unmarshal(text, &items); err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, item := range items {
			in := attributes{}
			for k, v := range item {
				if n, ok := v["N"]; ok {
					in[k] = &types.AttributeValueMemberN{Value: n}
				} else {
					in[k] = &types.AttributeValueMemberS{Value: v["S"]}
				}
			}
			if _, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: in}); err != nil {
				t.Fatal(err)
			}
		}
		set := must[scheduler.Set](t)(s.LoadSet(ctx, "main"))
		if set.Phase != scheduler.Available || set.Generation != 3 || set.Pause != nil || set.TakeDown != "" || len(set.Decisions) != 1 {
			t.Errorf("the set is read as %+v", set)
		}
		runs, holds, err := s.Live(ctx, "main")
		if err != nil || len(runs) != 3 || len(holds) != 1 || !holds[0].Since.IsZero() {
			t.Errorf("%d runs, %d holds, %v; want 3 and 1", len(runs), len(holds), err)
		}
		if all, err := s.Runs(ctx, "main"); err != nil || len(all) != 4 {
			t.Errorf("%d runs in all, %v; want 4", len(all), err)
		}
		if err := s.Begin(ctx, "main", []scheduler.Run{waiting(runs)}, true); err != nil {
			t.Errorf("the set takes no runs: %v", err)
		}
		set.Pause = &scheduler.Pause{At: noon, By: "user/a"}
		set = must[scheduler.Set](t)(s.SaveSet(ctx, set))
		must[scheduler.Run](t)(s.Record(ctx, run("kept", scheduler.Waiting, 0)))
		if err := s.Begin(ctx, "main", []scheduler.Run{run("kept", scheduler.Starting, 1)}, true); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("a paused set answers %v, want that it is closed", err)
		}
		set.Pause = nil
		must[scheduler.Set](t)(s.SaveSet(ctx, set))
		if err := s.Begin(ctx, "main", []scheduler.Run{run("kept", scheduler.Starting, 1)}, true); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

// waiting returns the run that waits, as its next start is intended.
func waiting(runs []scheduler.Run) scheduler.Run {
	for _, r := range runs {
		if r.State == scheduler.Waiting {
			r.State, r.Attempt = scheduler.Starting, r.Attempt+1
			return r
		}
	}
	return scheduler.Run{}
}

func TestDynamoDBForgetsDeadLettersAlone(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		dead, done := run("dead", scheduler.Finished, 1), run("done", scheduler.Finished, 1)
		dead.Outcome, done.Outcome = scheduler.DeadLettered, scheduler.Succeeded
		for _, r := range []scheduler.Run{dead, done} {
			must[scheduler.Run](t)(s.Record(ctx, r))
		}
		if err := s.Forget(ctx, dead); err != nil {
			t.Error(err)
		}
		if err := s.Forget(ctx, dead); err != nil {
			t.Errorf("forgetting what is gone: %v", err)
		}
		if err := s.Forget(ctx, done); !errors.Is(err, reconcile.ErrConflict) {
			t.Errorf("forgetting a run that has succeeded gave %v, want a conflict", err)
		}
		if _, ok, err := s.Run(ctx, "main", "j/dead"); ok || err != nil {
			t.Errorf("the dead run is still known (%v)", err)
		}
	})
}

// TestDynamoDBShowsWhatHasEnded: finished runs by when their end was recorded, and
// none of them among what holds the set. What is learned of them survives.
func TestDynamoDBShowsWhatHasEnded(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for i, id := range []string{"c", "a", "b"} {
			r := run(id, scheduler.Finished, 1)
			r.RecordedAt = noon.Add(time.Duration(i) * time.Minute)
			must[scheduler.Run](t)(s.Record(ctx, r))
		}
		must[scheduler.Run](t)(s.Record(ctx, run("live", scheduler.Running, 1)))
		for _, tt := range []struct {
			after time.Time
			want  string
		}{{time.Time{}, "c a b"}, {noon.Add(-time.Nanosecond), "c a b"}, {noon, "a b"}, {noon.Add(90 * time.Second), "b"}, {noon.Add(2 * time.Minute), ""}} {
			runs, err := s.Ended(ctx, "main", tt.after)
			var got []string
			for _, r := range runs {
				got = append(got, r.Event)
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("ended after %s: %v, %v; want %q", tt.after, got, err, tt.want)
			}
		}
		live, _, err := s.Live(ctx, "main")
		if err != nil || len(live) != 1 || live[0].Event != "live" {
			t.Errorf("live are %v, %v", live, err)
		}
		set := scheduler.Set{Name: "main", Phase: scheduler.Absent}.Arrived(scheduler.Settings{}, noon, true)
		set.Learned = set.Learned.Ran("j", 90*time.Second)
		must[scheduler.Set](t)(s.SaveSet(ctx, set))
		if got := must[scheduler.Set](t)(s.LoadSet(ctx, "main")); got.Learned.History != set.Learned.History || got.Learned.RunTime("j") != set.Learned.RunTime("j") {
			t.Errorf("learned %+v comes back as %+v", set.Learned, got.Learned)
		}
	})
}

// tableInput describes the table that a Store needs.
func tableInput(name string) *dynamodb.CreateTableInput {
	text := func(n string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(n), AttributeType: types.ScalarAttributeTypeS}
	}
	key := func(n string, t types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: aws.String(n), KeyType: t}
	}
	return &dynamodb.CreateTableInput{
		TableName:            aws.String(name),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{text(attrSet), text(attrItem), text(attrLive)},
		KeySchema: []types.KeySchemaElement{
			key(attrSet, types.KeyTypeHash), key(attrItem, types.KeyTypeRange),
		},
		LocalSecondaryIndexes: []types.LocalSecondaryIndex{{
			IndexName:  aws.String(attrLive),
			KeySchema:  []types.KeySchemaElement{key(attrSet, types.KeyTypeHash), key(attrLive, types.KeyTypeRange)},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}},
	}
}
