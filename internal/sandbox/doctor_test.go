package sandbox

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
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

// TestDoctorLooksAtWhatAJobNeeds: a right that its execution role lacks, a secret, a parameter, a
// repository or a tag that is not there, no log, and an image that is none yet.
func TestDoctorLooksAtWhatAJobNeeds(t *testing.T) {
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		for _, check := range []string{"role policies", "image", "rights"} {
			for _, f := range w.found(check) {
				if f.Result != finding.OK {
					t.Errorf("at first: %+v", f)
				}
			}
		}
		own := ""
		w.revise(func(c *types.ContainerDefinition) { own = aws.ToString(c.Image) })
		registry, _, _ := strings.Cut(own, "/")
		log := (*types.LogConfiguration)(nil)
		for _, tt := range []struct {
			name, check string
			change      func(*types.ContainerDefinition)
			result      finding.Result
			says        string
		}{
			{"a secret", "secrets", withSecret, finding.Failed, "TOKEN: there is no secret arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"},
			{"a parameter", "secrets", func(c *types.ContainerDefinition) {
				c.Secrets = []types.Secret{{Name: aws.String("KEY"), ValueFrom: aws.String("/web/key")}}
			}, finding.Failed, "KEY: there is no parameter /web/key"},
			{"a repository", "image", func(c *types.ContainerDefinition) {
				c.Secrets, c.Image = nil, aws.String(registry+"/nobody:1")
			}, finding.Failed, "there is no repository nobody"},
			{"a tag", "image", func(c *types.ContainerDefinition) {
				c.Image = aws.String(strings.Split(own, ":")[0] + ":gone")
			}, finding.Failed, "has no image gone"},
			{"a placeholder", "image", func(c *types.ContainerDefinition) {
				c.Image = aws.String("<IMAGE1_NAME>")
			}, finding.Warning, "<IMAGE1_NAME> is a placeholder; it is taken for one in ECR"},
			{"no log", "log", func(c *types.ContainerDefinition) {
				c.Image, log, c.LogConfiguration = &own, c.LogConfiguration, nil
			}, finding.Warning, "has no log"},
		} {
			w.revise(tt.change)
			f := w.found(tt.check)
			if len(f) != 1 || f[0].Result != tt.result || !strings.Contains(f[0].Found, tt.says) || f[0].Remedy == "" {
				t.Errorf("%s: %+v, want %s with %q", tt.name, f, tt.result, tt.says)
			}
		}
		w.revise(func(c *types.ContainerDefinition) { c.LogConfiguration = log })
		api := iam.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		if _, err := api.PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{
			RoleName: aws.String("hello-execution"), PolicyName: aws.String("logs"), PolicyDocument: aws.String(
				`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "ecr:GetAuthorizationToken"], "Resource": "*"}]}`),
		}); err != nil {
			t.Fatal(err)
		}
		f := w.found("role policies")
		if len(f) != 2 || f[0].Result != finding.Failed || !strings.Contains(f[0].Found, "hello-execution may not pull its image: no policy allows ecr:BatchGetImage") {
			t.Errorf("without the right to pull: %+v", f)
		}
		w.fault("deny", "iam:CreateRole", 0)
		if f := w.found("rights"); len(f) != 1 || f[0].Result != finding.Failed || !strings.Contains(f[0].Found, "lacks iam:CreateRole") {
			t.Errorf("a deployer without a right: %+v", f)
		}
	})
}
