package selftest

import (
	"strings"
	"testing"
)

func TestARefusalIsNamedWithARemedyThatHelps(t *testing.T) {
	const stack = "arn:aws:cloudformation:eu-west-1:123456789012:stack/drawbridge-set-main/0a1b2c3d-0000-4000-a000-000000000000"
	role := "User: arn:aws:sts::123456789012:assumed-role/drawbridge-launcher-eu-west-1/x is not authorized to perform: cloudformation:TagResource on resource: " + stack
	for _, tt := range []struct{ name, text, who, remedy, never string }{
		{"a role of ours", role + " because no identity-based policy allows the cloudformation:TagResource action", "role drawbridge-launcher-eu-west-1", `stack/drawbridge-set-main/*"}; drawbridge deploy corrects`, "0a1b2c3d"},
		{"a user", "User: arn:aws:iam::123456789012:user/jo is not authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:eu-west-1:123456789012:vpc-endpoint/vpce-0a1b because no identity-based policy allows it", "user/jo", `vpc-endpoint/*"}`, "drawbridge deploy"},
		{"a service control policy", role + " with an explicit deny in a service control policy", "role drawbridge-launcher-eu-west-1", "a service control policy denies it", "Allow"},
		{"the same by its ARN", role + " with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-1/service_control_policy/p-1", "role drawbridge-launcher-eu-west-1", "a service control policy denies it", "Allow"},
		{"a service control policy that does not allow", role + " because no service control policy allows the cloudformation:TagResource action", "role drawbridge-launcher-eu-west-1", "a service control policy denies it", "Allow"},
		{"a permissions boundary", role + " because no permissions boundary allows the cloudformation:TagResource action", "role drawbridge-launcher-eu-west-1", "a permissions boundary denies it", "Allow"},
	} {
		got := refusals([]string{tt.text, tt.text})
		if len(got) != 1 || got[0].Who != tt.who || !strings.Contains(got[0].Remedy, tt.remedy) || strings.Contains(got[0].Remedy, tt.never) {
			t.Errorf("%s: got %+v, want one of %s with %q and without %q", tt.name, got, tt.who, tt.remedy, tt.never)
		}
	}
}
