package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// anything knows every type of resource.
func anything(string) bool { return true }

// functions is a template with everything that its functions may refer to.
const functions = `
Parameters:
  Name: {Type: String, Default: hello}
  Zones: {Type: CommaDelimitedList, Default: "a, b"}
  Secret: {Type: String, Default: x, NoEcho: true}
Mappings:
  Size: {small: {cpu: 256}}
Conditions:
  Named: !Equals [!Ref Name, hello]
  Unnamed: !Not [!Equals [!Ref Name, hello]]
Resources:
  Queue: {Type: "AWS::SQS::Queue"}
  Skipped: {Type: "AWS::SQS::Queue", Condition: Unnamed}
`

// TestYAMLAndJSONAreTheSameTemplate compares what changes between the two: nothing, or a stack that is deployed by one and
// updated by the other would change.
func TestYAMLAndJSONAreTheSameTemplate(t *testing.T) {
	asYAML, err := Parse(anything, "Resources: {Queue: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 5, Below: -1, Share: 0.5, On: true, Text: x}}}")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := Parse(anything, `{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 5, "Below": -1, "Share": 0.5, "On": true, "Text": "x"}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(asJSON.Specs["Queue"].Properties, asYAML.Specs["Queue"].Properties); diff != "" {
		t.Error(diff)
	}
}

// TestFunctions evaluates each function as CloudFormation does.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
func TestFunctions(t *testing.T) {
	parsed, err := Parse(anything, functions)
	if err != nil {
		t.Fatal(err)
	}
	parameters, err := parsed.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	scope := &Scope{
		Parameters: parameters,
		Pseudo:     func(name string) (string, bool) { return "us-east-1", name == "AWS::Region" },
		Resource: func(name string) (string, map[string]string, bool) {
			return "http://sqs/queue", map[string]string{"Arn": "arn:aws:sqs:::queue"}, name == "Queue"
		},
	}
	list := func(v ...any) []any { return v }
	fn := func(name string, arg any) any { return map[string]any{name: arg} }
	for _, tt := range []struct {
		name string
		in   any
		want any
	}{
		{"a text is itself", "x", "x"},
		{"Ref of a parameter", fn("Ref", "Name"), "hello"},
		{"Ref of a list parameter", fn("Ref", "Zones"), list("a", "b")},
		{"Ref of a pseudo parameter", fn("Ref", "AWS::Region"), "us-east-1"},
		{"Ref of a resource is its physical id", fn("Ref", "Queue"), "http://sqs/queue"},
		{"GetAtt as a text", fn("Fn::GetAtt", "Queue.Arn"), "arn:aws:sqs:::queue"},
		{"GetAtt as a list", fn("Fn::GetAtt", list("Queue", "Arn")), "arn:aws:sqs:::queue"},
		{"Sub", fn("Fn::Sub", "${Name}-${AWS::Region}-${Queue.Arn}"), "hello-us-east-1-arn:aws:sqs:::queue"},
		{"Sub with variables", fn("Fn::Sub", list("${A}-${Name}", map[string]any{"A": "b"})), "b-hello"},
		{"Sub leaves ${!Literal} as ${Literal}", fn("Fn::Sub", "${!Name}"), "${Name}"},
		{"Join", fn("Fn::Join", list("-", list("a", fn("Ref", "Name")))), "a-hello"},
		{"Split", fn("Fn::Split", list(",", "a,b")), list("a", "b")},
		{"Select", fn("Fn::Select", list("1", list("a", "b"))), "b"},
		{"If that holds", fn("Fn::If", list("Named", "yes", "no")), "yes"},
		{"If that does not hold", fn("Fn::If", list("Unnamed", "yes", "no")), "no"},
		{"FindInMap", fn("Fn::FindInMap", list("Size", "small", "cpu")), float64(256)},
		{"And", fn("Fn::And", list(fn("Condition", "Named"), fn("Condition", "Unnamed"))), false},
		{"Or", fn("Fn::Or", list(fn("Condition", "Named"), fn("Condition", "Unnamed"))), true},
		{"NoValue leaves a property out", map[string]any{"a": "b", "c": fn("Ref", "AWS::NoValue")}, map[string]any{"a": "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parsed.Evaluate(tt.in, scope)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, in := range map[string]any{
		"a resource that is not there":   fn("Ref", "Nope"),
		"an attribute that is not there": fn("Fn::GetAtt", "Queue.Nope"),
		"an entry that is not there":     fn("Fn::Select", list("2", list("a", "b"))),
		"a key that is not there":        fn("Fn::FindInMap", list("Size", "large", "cpu")),
	} {
		if got, err := parsed.Evaluate(in, scope); err == nil {
			t.Errorf("%s is %v, want an error", name, got)
		}
	}
}

// TestConditionsLeaveResourcesOut: only resources whose condition holds are made.
func TestConditionsLeaveResourcesOut(t *testing.T) {
	parsed, err := Parse(anything, functions)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"hello": "Queue", "other": "Queue Skipped"} {
		parameters, err := parsed.Bind([]Parameter{{ParameterKey: "Name", ParameterValue: name}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, logical := range []string{"Queue", "Skipped"} {
			if _, ok := parsed.Resources(parameters)[logical]; ok {
				got = append(got, logical)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("with Name %s there are %v, want %s", name, got, want)
		}
	}
	if !parsed.NoEcho("Secret") || parsed.NoEcho("Name") {
		t.Error("NoEcho is that of the parameter")
	}
}

// TestParseRefuses what CloudFormation refuses at the call, in its words.
func TestParseRefuses(t *testing.T) {
	known := func(kind string) bool { return kind == "AWS::SQS::Queue" }
	for _, tt := range []struct{ name, body, want string }{
		{"no resources", "Resources: {}", "At least one Resources member must be defined"},
		{"an unknown section", "Resources: {Q: {Type: 'AWS::SQS::Queue'}}\nNope: {}", "Invalid template property or properties [Nope]"},
		{"an unknown type", "Resources: {Q: {Type: 'AWS::Nope::It'}}", "Unrecognized resource types: [AWS::Nope::It]"},
		{"a name with a hyphen", "Resources: {a-b: {Type: 'AWS::SQS::Queue'}}", "Resource name a-b is non alphanumeric"},
		{"a null", "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {A: null}}}", "'null' values are not allowed"},
		{"a reference to nothing", "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {A: !Ref Nope}}}", "Unresolved resource dependencies [Nope]"},
		{"a circle", "Resources: {A: {Type: 'AWS::SQS::Queue', DependsOn: B}, B: {Type: 'AWS::SQS::Queue', DependsOn: A}}", "Circular dependency"},
		{"JSON cut off", `{"Resources": `, "JSON not well-formed"},
	} {
		if _, err := Parse(known, tt.body); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
