package dynamodb

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// TestWhatExpiredGoes: a day after its time, with what the index holds of it.
func TestWhatExpiredGoes(t *testing.T) {
	sim := account()
	defer sim.Close()
	do := func(action, body string) map[string]any {
		t.Helper()
		status, out := ask(t, &http.Client{Transport: sim.RoundTripper()}, "http://aws.invalid/", action, body)
		if status != http.StatusOK {
			t.Fatalf("%s: %v", action, out)
		}
		return out
	}
	do("CreateTable", dynamoRequests[0].body)
	do("UpdateTimeToLive", `{"TableName":"Test","TimeToLiveSpecification":{"AttributeName":"expires","Enabled":true}}`)
	now := sim.Now().Unix()
	for name, at := range map[string]int64{"soon": now + 3600, "late": now + 90*24*3600} {
		do("PutItem", fmt.Sprintf(`{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":%q},"live":{"S":%q},"expires":{"N":"%d"}}}`, name, name, at))
	}
	do("PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"ever"},"live":{"S":"ever"}}}`)
	left := func(index string) float64 {
		return do("Query", `{"TableName":"Test",`+index+`"KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"a"}}}`)["Count"].(float64)
	}
	if sim.Advance(20 * time.Hour); left("") != 3 {
		t.Errorf("%v items after 20 hours, want all three", left(""))
	}
	if sim.Advance(20 * time.Hour); left("") != 2 || left(`"IndexName":"live",`) != 2 {
		t.Errorf("%v items and %v of the index after 40 hours, want two", left(""), left(`"IndexName":"live",`))
	}
	if sim.Advance(100 * 24 * time.Hour); left("") != 1 {
		t.Errorf("%v items after 100 days, want the one that never expires", left(""))
	}
}

// TestUnits: writes by the kilobyte and the index, twice as many in a transaction; reads by four
// kilobytes, half if they may be stale.
func TestUnits(t *testing.T) {
	sim := kernel.New(kernel.Options{})
	defer sim.Close()
	New(sim)
	big := strings.Repeat("x", 2500)
	for _, tt := range []struct {
		action, body string
		write, read  float64
	}{
		{"CreateTable", dynamoRequests[0].body, 0, 0},
		{"PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"1"}}}`, 1, 0},
		{"PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"2"},"x":{"S":"` + big + `"}}}`, 3, 0},
		{"PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"2"},"live":{"S":"y"}}}`, 6, 0},
		{"TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"3"}}}}]}`, 2, 0},
		{"GetItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"ConsistentRead":true}`, 0, 1},
		{"GetItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}}}`, 0, 0.5},
		{"Query", `{"TableName":"Test","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"a"}},"ConsistentRead":true}`, 0, 1},
	} {
		before := map[string]float64{WriteUnits: sim.Units[WriteUnits], ReadUnits: sim.Units[ReadUnits]}
		if status, out := ask(t, &http.Client{Transport: sim.RoundTripper()}, "http://aws.invalid/", tt.action, tt.body); status != http.StatusOK {
			t.Fatalf("%s: %v", tt.body, out)
		}
		write, read := sim.Units[WriteUnits]-before[WriteUnits], sim.Units[ReadUnits]-before[ReadUnits]
		if write != tt.write || read != tt.read {
			t.Errorf("%s %.80s: %v units written and %v read, want %v and %v", tt.action, tt.body, write, read, tt.write, tt.read)
		}
	}
}
