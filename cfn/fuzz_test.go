package cfn

import "testing"

// Whatever CloudFormation says of a failure, it is sorted, and people are told it with a remedy or as it is.
func FuzzReason(f *testing.F) {
	for _, s := range []string{
		"Resource handler returned message: \"VpcEndpoint limit exceeded\"", "Resource creation cancelled",
		"The availability zone us-east-1e does not support this endpoint", "API: ec2:CreateVpcEndpoint You are not authorized", "\xff",
	} {
		f.Add(s, "CREATE_FAILED")
	}
	f.Add("", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
	f.Fuzz(func(t *testing.T, reason, status string) {
		if Explain(reason) == "" && reason != "" {
			t.Errorf("%q is explained by nothing", reason)
		}
		if StateOf(status) == "" {
			t.Errorf("a stack in %q has no state", status)
		}
		if IsCapacity(reason) && Lasts(reason) {
			t.Errorf("%q is a lack of room, and lasts", reason)
		}
	})
}
