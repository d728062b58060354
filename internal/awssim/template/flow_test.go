package template

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestColonsInFlow tells s3:GetObject, a scalar, from {s3: GetObject}, a mapping.
func TestColonsInFlow(t *testing.T) {
	x, err := Parse(func(string) bool { return true }, `
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      Statement:
        - {Effect: Allow, Action: [s3:GetObject, s3:PutObject], Tags: [{Key: a, Value: b:c}], Resource: !Sub "x:y"}
`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Evaluate(x.Specs["Role"].Properties, &Scope{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"Statement": []any{map[string]any{
		"Effect": "Allow", "Action": []any{"s3:GetObject", "s3:PutObject"}, "Resource": "x:y",
		"Tags": []any{map[string]any{"Key": "a", "Value": "b:c"}},
	}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
