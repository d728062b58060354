package dynamodb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/awssim/kernel"
)

// dynamoRequests are requests in order, on one table. The same answers and errors
// are expected of the simulation and of AWS's DynamoDB Local.
var dynamoRequests = []struct{ name, action, body string }{
	{"create", "CreateTable", `{"TableName":"Test","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"s","AttributeType":"S"},{"AttributeName":"live","AttributeType":"S"}],"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"s","KeyType":"RANGE"}],"LocalSecondaryIndexes":[{"IndexName":"live","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"live","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"}}]}`},
	{"create again", "CreateTable", `{"TableName":"Test","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"}],"KeySchema":[{"AttributeName":"p","KeyType":"HASH"}]}`},
	{"put", "PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"1"},"n":{"N":"5"},"live":{"S":"x"},"m":{"M":{"k":{"L":[{"N":"1"}]}}}}}`},
	{"put, returns the old", "PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"1"},"n":{"N":"6"},"live":{"S":"x"}},"ReturnValues":"ALL_OLD"}`},
	{"put, condition fails", "PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"1"}},"ConditionExpression":"attribute_not_exists(p)"}`},
	{"put, condition fails, returns the old", "PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"1"}},"ConditionExpression":"attribute_not_exists(p)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`},
	{"put without the sort key", "PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"}}}`},
	{"put with a key of another type", "PutItem", `{"TableName":"Test","Item":{"p":{"N":"1"},"s":{"S":"1"}}}`},
	{"put into no table", "PutItem", `{"TableName":"nope","Item":{"p":{"S":"a"}}}`},
	{"get", "GetItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"ConsistentRead":true}`},
	{"get what is not there", "GetItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"9"}}}`},
	{"get by half a key", "GetItem", `{"TableName":"Test","Key":{"p":{"S":"a"}}}`},
	{"update adds up", "UpdateItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"UpdateExpression":"SET n = n + :one, q = if_not_exists(q, :one) REMOVE live ADD tally :one","ConditionExpression":"n BETWEEN :one AND :ten","ExpressionAttributeValues":{":one":{"N":"1"},":ten":{"N":"10"}},"ReturnValues":"ALL_NEW"}`},
	{"update, condition fails", "UpdateItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"UpdateExpression":"SET n = :one","ConditionExpression":"n = :one AND attribute_exists(p)","ExpressionAttributeValues":{":one":{"N":"1"}}}`},
	{"update of a key", "UpdateItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"UpdateExpression":"SET p = :one","ExpressionAttributeValues":{":one":{"S":"1"}}}`},
	{"update with a value that is not used", "UpdateItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"UpdateExpression":"SET n = :one","ExpressionAttributeValues":{":one":{"N":"1"},":two":{"N":"2"}}}`},
	{"update with a value that is not given", "UpdateItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"UpdateExpression":"SET n = :one"}`},
	{"update with a name that is not given", "UpdateItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"UpdateExpression":"REMOVE #n"}`},
	{"transaction", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"2"},"live":{"S":"b"}}}},{"ConditionCheck":{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"ConditionExpression":"n >= :one","ExpressionAttributeValues":{":one":{"N":"1"}}}}]}`},
	{"transaction, cancelled", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"3"}}}},{"Put":{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"2"}},"ConditionExpression":"attribute_not_exists(s)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}},{"ConditionCheck":{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"1"}},"ConditionExpression":"attribute_not_exists(p)"}}]}`},
	{"transaction twice on one item", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"3"}}}},{"Delete":{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"3"}}}}]}`},
	{"put a third", "PutItem", `{"TableName":"Test","Item":{"p":{"S":"a"},"s":{"S":"3"},"live":{"S":"a"},"tags":{"SS":["y","x"]}}}`},
	{"query the table", "Query", `{"TableName":"Test","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"a"}}}`},
	{"query the index, sparse and in order", "Query", `{"TableName":"Test","IndexName":"live","ConsistentRead":true,"KeyConditionExpression":"#p = :p","ExpressionAttributeNames":{"#p":"p"},"ExpressionAttributeValues":{":p":{"S":"a"}}}`},
	{"query a page", "Query", `{"TableName":"Test","KeyConditionExpression":"p = :p AND begins_with(s, :none)","ExpressionAttributeValues":{":p":{"S":"a"},":none":{"S":"2"}},"Limit":1}`},
	{"query backwards, filtered", "Query", `{"TableName":"Test","KeyConditionExpression":"p = :p","FilterExpression":"contains(tags, :x) OR n IN (:one, :seven)","ScanIndexForward":false,"ExpressionAttributeValues":{":p":{"S":"a"},":x":{"S":"x"},":one":{"N":"1"},":seven":{"N":"7"}}}`},
	{"query of no index", "Query", `{"TableName":"Test","IndexName":"nope","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"a"}}}`},
	{"delete, condition fails", "DeleteItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"3"}},"ConditionExpression":"attribute_not_exists(tags)"}`},
	{"delete, returns the old", "DeleteItem", `{"TableName":"Test","Key":{"p":{"S":"a"},"s":{"S":"2"}},"ReturnValues":"ALL_OLD"}`},
	{"scan", "Scan", `{"TableName":"Test","Select":"COUNT"}`},
	{"unknown action", "Nope", `{}`},
}

// ask sends one request and returns the status and what of the answer has to be
// the same everywhere.
func ask(t *testing.T, client *http.Client, endpoint, action, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+action)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIATEST/20260514/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if len(bytes.TrimSpace(b)) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	}
	if message, ok := out["Message"]; ok { // some errors write it so
		delete(out, "Message")
		out["message"] = message
	}
	if action == "CreateTable" {
		delete(out, "TableDescription")
	}
	return res.StatusCode, out
}

// account is an account with nothing in it but DynamoDB.
func account() *kernel.Kernel {
	k := kernel.New(kernel.Options{})
	New(k)
	return k
}

func TestDynamoDBAnswersAsDynamoDBLocalDoes(t *testing.T) {
	sim := account()
	defer sim.Close()
	simulated := &http.Client{Transport: sim.RoundTripper()}
	local := os.Getenv("DRAWBRIDGE_DYNAMODB_LOCAL")
	t.Run("sandbox", func(t *testing.T) {
		failures := 0
		for _, r := range dynamoRequests {
			if status, _ := ask(t, simulated, "http://aws.invalid/", r.action, r.body); status != http.StatusOK {
				failures++
			}
		}
		if failures != 17 {
			t.Errorf("%d of the requests failed, want the 17 that are wrong", failures)
		}
	})
	if local == "" {
		return // the conformance check runs this test beside DynamoDB Local
	}
	fresh := account()
	defer fresh.Close()
	simulated = &http.Client{Transport: fresh.RoundTripper()}
	for _, r := range dynamoRequests {
		t.Run("on DynamoDB Local: "+r.name, func(t *testing.T) {
			wantStatus, want := ask(t, http.DefaultClient, local, r.action, r.body)
			status, got := ask(t, simulated, "http://aws.invalid/", r.action, r.body)
			if status != wantStatus {
				t.Errorf("status %d, want %d", status, wantStatus)
			}
			inServiceWords(want)
			if diff := cmp.Diff(want, got, cmp.FilterPath(isSet, cmp.Comparer(sameSet))); diff != "" {
				t.Errorf("the answer differs (-DynamoDB Local +sandbox):\n%s", diff)
			}
		})
	}
}

// serviceWords gives the service's words where DynamoDB Local has its own for the
// same error.
var serviceWords = map[string]string{
	"Cannot create preexisting table":                                  "Table already exists: Test",
	"One of the required keys was not given a value":                   "One or more parameter values were invalid: Missing the key s in the item",
	"One or more parameter values were invalid: Type mismatch for key": "One or more parameter values were invalid: Type mismatch for key p expected: S actual: N",
	"Cannot do operations on a non-existent table":                     "Requested resource not found",
	"The number of conditions on the keys is invalid":                  "The provided key element does not match the schema",
}

func inServiceWords(answer map[string]any) {
	if words, ok := serviceWords[fmt.Sprint(answer["message"])]; ok {
		answer["message"] = words
	}
	reasons, _ := answer["CancellationReasons"].([]any)
	for _, r := range reasons {
		if m, ok := r.(map[string]any); ok && m["Message"] != nil { // with a full stop for condition checks alone
			m["Message"] = strings.TrimSuffix(fmt.Sprint(m["Message"]), ".")
		}
	}
}

func isSet(p cmp.Path) bool {
	i, ok := p.Index(-1).(cmp.MapIndex)
	return ok && i.Key().String() == "SS"
}

func sameSet(a, b any) bool {
	x, y := kernel.TextsOf(a.([]any)), kernel.TextsOf(b.([]any))
	return cmp.Equal(x, y, cmp.Transformer("sorted", func(in []string) map[string]bool {
		m := map[string]bool{}
		for _, s := range in {
			m[s] = true
		}
		return m
	}))
}
