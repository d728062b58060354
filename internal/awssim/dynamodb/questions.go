package dynamodb

import (
	"encoding/json"

	"drawbridge/internal/awssim/kernel"
)

// tableQuestions returns the IAM questions of a call to DynamoDB: one for each item of a
// transaction.
func (s *Service) tableQuestions(c *kernel.Call) []kernel.Question {
	table := func(name string) string { return s.ARN("dynamodb", "table/"+name) }
	if c.Action != "TransactWriteItems" {
		resource := table(c.Field("TableName"))
		if index := c.Field("IndexName"); index != "" {
			resource += "/index/" + index
		}
		return append([]kernel.Question{kernel.May(c.Permission(), resource)}, s.tableKey(c.Field("TableName"))...)
	}
	var entries []map[string]struct{ TableName string }
	_ = json.Unmarshal(c.JSONBody()["TransactItems"], &entries) // checked by the operation
	var out []kernel.Question
	for _, e := range entries {
		for kind, x := range e {
			name := map[string]string{
				"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem",
				"ConditionCheck": "ConditionCheckItem",
			}[kind]
			out = append(append(out, kernel.May("dynamodb:"+name, table(x.TableName))), s.tableKey(x.TableName)...)
		}
	}
	return out
}

// tableKey is the IAM question that a table raises for its customer-managed
// key.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
func (s *Service) tableKey(name string) []kernel.Question {
	t, err := s.Table(name)
	if err != nil || t.KMSKey == "" {
		return nil
	}
	return s.ViaKey(t.KMSKey, "dynamodb", "kms:Decrypt")
}
