package sandbox

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awssim"
)

// tagged gives the account an endpoint with the tags that our own endpoints of a set
// carry, made by somebody who may tag.
func (w *world) tagged(service, vpc, subnet, set string) string {
	w.t.Helper()
	w.sim.AddSecurityGroup("sg-theirs-"+service, vpc, "theirs-"+service, "10.0.0.0/8")
	id, err := w.sim.AddEndpoint("com.amazonaws.us-east-1."+service, "Interface", vpc, []string{subnet}, []string{"sg-theirs-" + service}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var tags []types.Tag
	for k, v := range map[string]string{cfn.OwnerTag: w.config.Name, cfn.SetTag: set, cfn.GenerationTag: "1"} {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	api := ec2.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
	if _, err := api.CreateTags(w.t.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// standing says which of the endpoints were not deleted.
func (w *world) standing(ids ...string) {
	w.t.Helper()
	for _, e := range w.sim.Ledger().Endpoints {
		for _, id := range ids {
			if e.ID == id && e.Deleted != nil {
				w.t.Errorf("%s of %s was deleted; it bears our tags and is not ours", e.ID, e.Service)
			}
		}
	}
}

// TestPromise7ATagAloneDeletesNothing: endpoints that somebody else made and tagged as
// if they were of our set, in another VPC and in the set's own, stay, whatever goes
// wrong with the deletion, and the set goes on as if they bore no tags.
func TestPromise7ATagAloneDeletesNothing(t *testing.T) {
	longStory(t)
	for _, fault := range []string{"", "fail-delete=1", "fail-delete=3"} {
		t.Run(fault, func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				table := w.sim.AddVPC("vpc-theirs", "10.9.0.0/16")
				w.sim.AddSubnet("subnet-theirs", "vpc-theirs", 0, "10.9.0.0/24", table)
				elsewhere := w.tagged("logs", "vpc-theirs", "subnet-theirs", "main")
				another := w.tagged("ssm", vpcOfMain, "subnet-1", "main")
				unknown := w.tagged("sts", vpcOfMain, "subnet-1", "gone")
				if fault != "" {
					name, value, _ := strings.Cut(fault, "=")
					w.fault(name, value, 0)
				}
				w.send(event("a"))
				time.Sleep(5 * time.Hour)
				w.send(event("b"))
				time.Sleep(6 * time.Hour)
				w.standing(elsewhere, another, unknown)
				found, err := w.operator().Strangers(w.t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var reported []string
				for _, s := range found {
					reported = append(reported, s.ID)
				}
				if want := slices.Sorted(slices.Values([]string{elsewhere, another, unknown})); !slices.Equal(reported, want) {
					t.Errorf("reported as nobody's: %v, want %v", reported, want)
				}
				if ran := w.ran(); ran["a"] != 1 || ran["b"] != 1 {
					t.Errorf("ran %v, want a and b once", ran)
				}
				if set := w.set(); set.Phase != "absent" {
					t.Errorf("the set is %s, want absent", set.Phase)
				}
				for _, e := range w.interfaces() {
					if e.Deleted == nil {
						t.Errorf("%s of the set is left behind", e.ID)
					}
				}
			})
		})
	}
}

// TestAKilledSelftestIsCleanedUp: its stack belongs to no configured set, and goes an hour
// later.
func TestAKilledSelftestIsCleanedUp(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		a := w.operator()
		logs, err := endpoints.Lookup("logs")
		if err != nil {
			t.Fatal(err)
		}
		template, err := cfn.Template(cfn.Spec{Owner: "drawbridge", Set: "selftest-standard", Region: "us-east-1", VPC: vpcOfMain, Services: []endpoints.Service{logs}, Subnets: []string{"subnet-1"},
			SecurityGroups: a.Config.Sets["main"].EndpointSecurityGroups, NoPrivateDNS: true})
		if err != nil {
			t.Fatal(err)
		}
		id, err := a.Stacks.Create(w.t.Context(), "selftest-standard", cfn.LifeID{Generation: 1, Since: time.Now()}, template)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		if st, err := a.Stacks.Describe(w.t.Context(), "selftest-standard", id); err != nil || st.State != cfn.Complete {
			t.Fatalf("after 50 minutes: %+v, %v", st, err)
		}
		time.Sleep(30 * time.Minute)
		if st, err := a.Stacks.Describe(w.t.Context(), "selftest-standard", id); err != nil || st.State != cfn.Missing {
			t.Errorf("after 80 minutes: %+v, %v", st, err)
		}
	})
}

// TestATagAloneHoldsNothingUp: neither an endpoint of our tags that never came up, nor
// one that claims to be of another set of ours, keeps a set from coming up.
func TestATagAloneHoldsNothingUp(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.fault("stuck-create", "", time.Second)
		stuck := w.tagged("ssm", vpcOfMain, "subnet-1", "main")
		other := w.tagged("sts", vpcOfMain, "subnet-1", "other")
		w.send(event("a"))
		time.Sleep(20 * time.Minute)
		if ran := w.ran(); ran["a"] != 1 {
			t.Errorf("ran %v after 20 minutes, want a once (dead letters %v)", ran, w.sim.Ledger().DeadLetters)
		}
		time.Sleep(3 * time.Hour)
		w.keepsRun("a")
		w.standing(stuck, other)
	})
}
