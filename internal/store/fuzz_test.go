package store

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drawbridge/scheduler"
)

// stored is a table that holds one set and one run, whatever wrote them.
type stored struct {
	dynamoAPI
	set, run string
}

func (s stored) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: attributes{attrData: text(s.set)}}, nil
}

func (s stored) Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return &dynamodb.QueryOutput{Items: []map[string]types.AttributeValue{
		{attrItem: text(runPrefix + "j/1"), attrData: text(s.run)}, {attrItem: text(holdPrefix + "ops"), attrData: text(s.run)},
	}}, nil
}

// What another version of Drawbridge has stored is read and decided about, or refused: nothing panics.
func FuzzStored(f *testing.F) {
	at := time.Date(2026, 5, 14, 10, 30, 0, 0, time.UTC)
	for _, phase := range []scheduler.Phase{scheduler.Absent, scheduler.Creating, scheduler.Available, scheduler.Draining, scheduler.Deleting, scheduler.Failed} {
		set := scheduler.Set{Name: "main", Phase: phase, Since: at}
		set.BilledFrom, set.Usable, set.PerHour = at, at, 2
		run := scheduler.Run{ID: "j/1", Job: "j", Set: "main", Progress: scheduler.Progress{State: scheduler.Running, StartedAt: at}}
		a, _ := json.Marshal(set)
		b, _ := json.Marshal(run)
		f.Add(string(a), string(b))
	}
	f.Add(`{"Phase":"available","Extension":{"services":null},"Refused":{"j":{}},"Learned":{}}`, `{"State":"waiting"}`)
	f.Add(`{"Phase":"nonsense"}`, `{"State":"nonsense","ReceivedAt":"0001-01-01T00:00:00Z"}`)
	f.Fuzz(func(t *testing.T, set, run string) {
		s := New(stored{set: set, run: run}, "table")
		loaded, err := s.LoadSet(t.Context(), "main")
		if err != nil {
			return
		}
		runs, holds, err := s.Live(t.Context(), "main")
		if err != nil {
			return
		}
		settings := scheduler.DefaultSettings()
		settings.WaitCost, settings.HourCost = 1, 0.02
		d := scheduler.DemandOf(runs, holds, settings, loaded, at)
		for _, o := range []scheduler.Observed{
			{}, {Stack: scheduler.StackComplete, Endpoints: scheduler.EndpointCount{Available: 1}}, {Stack: scheduler.StackMissing},
		} {
			decision := scheduler.Decide(at, settings, loaded, d, o)
			if decision.Action == "" || decision.Reason == "" {
				t.Errorf("no decision, or none with a reason: %+v", decision)
			}
			if next := scheduler.Next(at, settings, loaded, decision, o); next.Phase == "" && loaded.Phase != "" {
				t.Errorf("%s leads nowhere: %+v", decision.Action, next)
			}
		}
	})
}
