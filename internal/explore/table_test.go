package explore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// The table of the model takes and refuses what internal/store does on DynamoDB: the same calls, drawn by seed, get the same
// replies from both.
func TestTheTableIsTheStores(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	sim := awssim.New(awssim.Options{})
	t.Cleanup(sim.Close)
	api := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: &http.Client{Transport: sim.RoundTripper()},
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	})
	taken, refused := map[string]int{}, map[string]int{}
	for seed := range seeds {
		name := fmt.Sprintf("table-%d", seed)
		if _, err := api.CreateTable(t.Context(), tableOf(name)); err != nil {
			t.Fatal(err)
		}
		compare(t, rand.New(rand.NewPCG(seed, 2)), store.New(api, name), taken, refused)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, op := range []string{"SaveSet", "Record", "RecordAll", "Begin", "Advance", "Hold"} {
		if taken[op] < int(seeds)/2 || refused[op] < int(seeds)/2 {
			t.Errorf("%s was taken %d times and refused %d times: too few to compare", op, taken[op], refused[op])
		}
	}
}

// compare makes drawn calls of both.
func compare(t *testing.T, draw *rand.Rand, real *store.Store, taken, refused map[string]int) {
	t.Helper()
	w := newWorld(one("table", settings(scheduler.Clock)))
	w.Sets[0].Services = nil
	pick := func(of ...string) string { return of[draw.IntN(len(of))] }
	ids := []scheduler.RunID{"etl/1", "etl/2", "etl/3", "etl/4"}
	someRun := func() scheduler.Run {
		id := ids[draw.IntN(len(ids))]
		if i := w.runIndex(id); i >= 0 && draw.IntN(4) > 0 {
			r := w.runs[i].Run
			r.Attempt += []int{0, 0, 0, 1}[draw.IntN(4)]
			r.Refusals += []int{0, 0, 0, 1}[draw.IntN(4)]
			return r
		}
		return scheduler.Run{ID: id, Job: "etl", Set: "a", Request: scheduler.Request{
			Event: string(id), ReceivedAt: Epoch.Add(time.Duration(draw.IntN(3)) * time.Second),
			Needs: []string{pick("logs", "ecr.api", "secretsmanager")},
		}, Progress: scheduler.Progress{State: scheduler.Waiting, Attempt: draw.IntN(2)}}
	}
	states := func(r scheduler.Run) scheduler.Run {
		r.State = scheduler.RunState(pick("waiting", "starting", "running", "finished"))
		r.CancelledBy = pick("", "", "", "ops")
		if r.State == scheduler.Finished {
			r.FinishedAt, r.RecordedAt = w.now, w.now.Add(time.Duration(draw.IntN(3))*time.Second)
			r.Outcome = scheduler.Succeeded
		}
		return r
	}
	same := func(op string, model reply, got error) bool {
		if errors.Is(model.err, reconcile.ErrConflict) != errors.Is(got, reconcile.ErrConflict) || (model.err == nil) != (got == nil) {
			t.Errorf("%s: the model says %v, the store %v", op, model.err, got)
			return false
		}
		if got == nil {
			taken[op]++
		} else {
			refused[op]++
		}
		return true
	}
	for range 80 {
		// What the model holds is copied first, so that both get the same.
		switch op := pick("SaveSet", "SaveSet", "Record", "Record", "RecordAll", "Begin", "Begin", "Advance", "Advance", "Hold", "Release", "look"); op {
		case "SaveSet":
			set := w.sets[0].Set
			set.Phase = scheduler.Phase(pick("absent", "creating", "available", "available", "draining", "deleting"))
			set.Services = [][]string{nil, {"logs"}, {"ecr.api", "logs"}, {"ecr.api", "logs", "secretsmanager"}}[draw.IntN(4)]
			set.Pause, set.TakeDown = nil, pick("", "", "", "ops")
			if draw.IntN(4) == 0 {
				set.Pause = &scheduler.Pause{At: w.now, By: "ops"}
			}
			if draw.IntN(4) == 0 {
				set.Version = max(set.Version-1, 0) + int64(draw.IntN(3))
			}
			_, err := real.SaveSet(t.Context(), set)
			same(op, w.saveSet(set), err)
		case "Record":
			r := someRun()
			known, err := real.Record(t.Context(), r)
			m := w.record(r)
			if rec, ok := m.v.(*runRecord); same(op, m, err) && ok && !reflect.DeepEqual(rec.Run, known) {
				t.Errorf("Record: the model knows %+v, the store %+v", rec.Run, known)
			}
		case "RecordAll":
			a, b := someRun(), someRun()
			if a.ID == b.ID {
				continue
			}
			err := real.RecordAll(t.Context(), []scheduler.Run{a, b})
			same(op, w.recordAll([]scheduler.Run{a, b}), err)
		case "Begin":
			r, fresh := someRun(), draw.IntN(2) == 0
			r.State = scheduler.Starting
			err := real.Begin(t.Context(), "a", []scheduler.Run{r}, fresh)
			same(op, w.begin("a", []scheduler.Run{r}, fresh), err)
		case "Advance":
			runs := []scheduler.Run{states(someRun())}
			if r := states(someRun()); draw.IntN(2) == 0 && r.ID != runs[0].ID {
				runs = append(runs, r)
			}
			from := [][]scheduler.RunState{{scheduler.Starting}, {scheduler.Running}, {scheduler.Starting, scheduler.Running}, {scheduler.Waiting}}[draw.IntN(4)]
			err := real.Advance(t.Context(), runs, from...)
			same(op, w.advance(runs, from), err)
			w.broken = "" // drawn calls undo what no invocation would
		case "Hold":
			h := scheduler.Hold{Owner: pick("ops", "web"), Since: w.now, Expires: w.now.Add(time.Hour)}
			var m reply
			if err := real.Hold(t.Context(), "a", h); !w.hold("a", h) {
				m.err = reconcile.ErrConflict
				same(op, m, err)
			} else {
				same(op, m, err)
			}
		case "Release":
			owner := pick("ops", "web")
			w.release("a", owner)
			same(op, reply{}, real.Release(t.Context(), "a", owner))
		case "look":
			look(t, w, real)
		}
		if t.Failed() {
			return
		}
	}
}

// look compares all that can be read.
func look(t *testing.T, w *world, real *store.Store) {
	t.Helper()
	set, err := real.LoadSet(t.Context(), "a")
	if model := w.loadSet("a").v.(*setRecord).Set; err != nil || !reflect.DeepEqual(model, set) {
		t.Errorf("the model holds %+v, the store %+v, %v", model, set, err)
	}
	runs, holds, err := real.Live(t.Context(), "a")
	m := w.live("a").v.(held)
	if err != nil || !sameRuns(runs, m.runs) || len(holds) != len(m.holds) {
		t.Errorf("alive in the model: %+v, %+v\nin the store: %+v, %+v, %v", m.runs, m.holds, runs, holds, err)
	}
	after := Epoch.Add(time.Second)
	over, err := real.Ended(t.Context(), "a", after)
	if model, _ := w.ended("a", after).v.([]scheduler.Run); err != nil || !sameRuns(over, model) {
		t.Errorf("ended in the model: %+v\nin the store: %+v, %v", model, over, err)
	}
}

func sameRuns(a, b []scheduler.Run) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// tableOf is the table of the base stack.
func tableOf(name string) *dynamodb.CreateTableInput {
	key := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange},
		}
	}
	in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: key("set", "item")}
	for _, n := range []string{"set", "item", "live"} {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(n), AttributeType: types.ScalarAttributeTypeS})
	}
	in.LocalSecondaryIndexes = []types.LocalSecondaryIndex{{
		IndexName: aws.String("live"), KeySchema: key("set", "live"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
	}}
	return in
}
