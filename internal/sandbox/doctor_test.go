package sandbox

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/doctor"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/install"
)

// found returns what the doctor says about a kind of thing.
func (w *world) found(check string) []finding.Finding {
	w.t.Helper()
	aws := AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())
	i := install.New(aws, app.Place{Region: w.sim.Region(), Account: w.sim.Account()}, app.NewClients(aws), Clock{Sim: w.sim})
	all, err := doctor.New(aws, w.config, i).Look(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var out []finding.Finding
	for _, f := range all {
		if f.Check == check {
			out = append(out, f)
		}
	}
	return out
}

// TestDoctorFindsATimerRoleThatLostItsPolicy: another policy in its place does not
// invoke the reaper.
func TestDoctorFindsATimerRoleThatLostItsPolicy(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		if f := w.found("timers"); len(f) != 1 || f[0].Result != finding.OK {
			t.Fatalf("of a fresh installation: %+v", f)
		}
		api := iam.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		role := aws.String(w.operator().Names.TimerRole)
		attached, err := api.ListAttachedRolePolicies(w.t.Context(), &iam.ListAttachedRolePoliciesInput{RoleName: role})
		if err != nil || len(attached.AttachedPolicies) != 1 {
			t.Fatalf("attached: %v, %v", attached, err)
		}
		if _, err := api.DetachRolePolicy(w.t.Context(), &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: attached.AttachedPolicies[0].PolicyArn}); err != nil {
			t.Fatal(err)
		}
		if _, err := api.AttachRolePolicy(w.t.Context(), &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: aws.String("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")}); err != nil {
			t.Fatal(err)
		}
		if f := w.found("timers"); len(f) != 1 || f[0].Result != finding.Failed || f[0].Remedy == "" {
			t.Errorf("without its policy: %+v", f)
		}
	})
}

// TestDoctorNamesEndpointsOfNoStack: what carries our owner tag and is not ours.
func TestDoctorNamesEndpointsOfNoStack(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		if f := w.found("owner tag"); len(f) != 1 || f[0].Result != finding.OK {
			t.Fatalf("of a fresh installation: %+v", f)
		}
		id := w.tagged("ssm", vpcOfMain, "subnet-1", "gone")
		if f := w.found("owner tag"); len(f) != 1 || f[0].Result != finding.Warning || !strings.Contains(f[0].Found, id) || !strings.Contains(f[0].Remedy, id) {
			t.Errorf("with %s: %+v", id, f)
		}
	})
}
