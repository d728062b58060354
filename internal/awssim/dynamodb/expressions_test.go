package dynamodb

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// record is what the expressions of these tests are about.
func record() item {
	return item{
		"n": {"N": "5"}, "s": {"S": "hello"}, "letters": {"SS": []any{"a", "b"}},
		"deep": {"M": map[string]any{"k": map[string]any{"L": []any{map[string]any{"N": "1"}}}}},
	}
}

var values = map[string]attribute{
	":five": {"N": "5.0"}, ":six": {"N": "6"}, ":he": {"S": "he"}, ":b": {"S": "b"}, ":bs": {"SS": []any{"b"}},
}

func reading(text string) *expression {
	return &expression{names: map[string]string{"#n": "n"}, values: values, used: map[string]bool{}, kind: "ConditionExpression"}
}

// TestConditions evaluates each form of a condition.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
func TestConditions(t *testing.T) {
	for text, want := range map[string]bool{
		"n = :five":                               true, // numbers are compared by value
		"#n <> :five":                             false,
		"n < :six AND NOT n > :six":               true,
		"n BETWEEN :five AND :six":                true,
		"n IN (:six, :five)":                      true,
		"attribute_exists(s)":                     true,
		"attribute_not_exists(nope)":              true,
		"attribute_type(n, :b)":                   false,
		"begins_with(s, :he)":                     true,
		"contains(letters, :b)":                   true,
		"contains(s, :he) OR n = :six":            true,
		"size(letters) < :five":                   true,
		"deep.k[0] < :five":                       true,
		"attribute_exists(deep.k[1])":             false,
		"n = :six OR n = :five AND s = :he":       false, // AND binds more tightly than OR
		"(n = :six OR n = :five) AND NOT s = :he": true,
	} {
		x := reading(text)
		var holds test
		if err := x.parse(text, func() { holds = x.condition() }); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := holds(record()); got != want {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
}

// TestBadConditionsAreRefused: DynamoDB names the place.
func TestBadConditionsAreRefused(t *testing.T) {
	for _, text := range []string{"", "n =", "set = :five", "n = :five AND", "nope(n)", "n = :nope", "#nope = :five", "n BETWEEN :five", "(n = :five"} {
		x := reading(text)
		if err := x.parse(text, func() { x.condition() }); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestUpdates applies each clause of an update.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
func TestUpdates(t *testing.T) {
	for _, tt := range []struct {
		text, name string
		want       attribute
	}{
		{"SET n = n + :six", "n", attribute{"N": "11"}},
		{"SET n = n - :six", "n", attribute{"N": "-1"}},
		{"SET q = if_not_exists(q, :he)", "q", attribute{"S": "he"}},
		{"SET s = if_not_exists(s, :he)", "s", attribute{"S": "hello"}},
		{"REMOVE n", "n", nil},
		{"ADD n :six", "n", attribute{"N": "11"}},
		{"ADD q :six", "q", attribute{"N": "6"}},
		{"DELETE letters :bs", "letters", attribute{"SS": []any{"a"}}},
	} {
		t.Run(tt.text, func(t *testing.T) {
			x := reading(tt.text)
			var changes []change
			if err := x.parse(tt.text, func() { changes = x.update() }); err != nil {
				t.Fatal(err)
			}
			after := record()
			for _, c := range changes {
				if err := c.apply(record(), after); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(Plain(tt.want), Plain(after[tt.name])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
