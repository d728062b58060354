package sandbox

import (
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
)

const vpcOfMain = "vpc-0000000000000d0a0"

// subnetsUsed returns the subnets that the set's endpoints of each generation lay in.
func (w *world) subnetsUsed() []string {
	var out []string
	for _, e := range w.interfaces() {
		out = append(out, e.Subnets...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestPromise4AHostedZoneOfTheNameIsAdopted(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.sim.AddHostedZone("Z0CENTRAL", "logs.us-east-1.amazonaws.com", vpcOfMain, "999999999999")
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.keeps("a")
		if got := w.services(); slices.Contains(got, "logs") || len(got) != 4 {
			t.Errorf("the set made %v, want all but logs", got)
		}
	})
}

// TestPromise4AnEndpointThatAWSMadeIsAdopted: by tasks with a security group of
// their own, and by those with the one that the base stack makes.
func TestPromise4AnEndpointThatAWSMadeIsAdopted(t *testing.T) {
	for _, text := range []string{oneJob, strings.Replace(oneJob, "    securityGroups: [sg-1]\n", "", 1)} {
		inWorld(t, text, awssim.Options{}, func(w *world) {
			w.sim.AddSecurityGroup("sg-theirs", vpcOfMain, "theirs", "10.0.0.0/16")
			id, err := w.sim.AddEndpoint("com.amazonaws.us-east-1.logs", "Interface", vpcOfMain, []string{"subnet-1"}, []string{"sg-theirs"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.sim.ManageEndpoint(id)
			time.Sleep(5 * time.Minute)
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.keepsRun("a")
			if got := w.services(); slices.Contains(got, "logs") {
				t.Errorf("the set made %v beside the endpoint that AWS made", got)
			}
		})
	}
}

func TestSharedSubnetsAreRefusedWithTheirOwner(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.sim.ChangeSubnet("subnet-1", 200, "999999999999")
		w.sim.ChangeSubnet("subnet-2", 200, "999999999999")
		w.send(event("a"))
		time.Sleep(time.Hour)
		letters := w.sim.Ledger().DeadLetters
		if len(letters) != 1 || !strings.Contains(letters[0].Body, "shared by account 999999999999, and only the owner can create endpoints there; install Drawbridge in account 999999999999") {
			t.Errorf("dead letters %v, want one that names the owner", letters)
		}
	})
}

// TestAnotherZoneIfTheFirstHasNoRoom: the generation that fails is followed by one
// in the other zone, and so are those of the day.
func TestAnotherZoneIfTheFirstHasNoRoom(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.fault("full-zone", "us-east-1a", 0)
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.send(event("b"))
		time.Sleep(3 * time.Hour)
		l := w.sim.Ledger()
		if ran := w.ran(); ran["a"] != 1 || ran["b"] != 1 {
			t.Errorf("ran %v (dead letters %v)", ran, l.DeadLetters)
		}
		if n := l.Calls["cloudformation:CreateStack"]; n != 3 {
			t.Errorf("%d stacks, want one that failed and two in the other zone", n)
		}
		set := w.set()
		if len(set.AvoidZones) != 1 || set.AvoidZones[0] != "us-east-1a" {
			t.Errorf("zones avoided: %v", set.AvoidZones)
		}
		w.fault("full-zone", "off", 0)
		time.Sleep(26 * time.Hour)
		w.send(event("c"))
		time.Sleep(3 * time.Hour)
		if last := w.interfaces()[len(w.interfaces())-1]; !slices.Equal(last.Subnets, []string{"subnet-1"}) || w.ran()["c"] != 1 {
			t.Errorf("a day later endpoints are in %v, want the first zone again", last.Subnets)
		}
	})
}

func TestASubnetWithoutAddressesIsPassedOver(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.sim.ChangeSubnet("subnet-1", 2, "")
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.keeps("a")
		if got := w.subnetsUsed(); !slices.Equal(got, []string{"subnet-2"}) {
			t.Errorf("endpoints were made in %v, want subnet-2", got)
		}
	})
}

func TestAServiceGoesWhereItIsOffered(t *testing.T) {
	inWorld(t, strings.Replace(oneJob, "    subnets:", "    zones: 2\n    subnets:", 1), awssim.Options{}, func(w *world) {
		w.sim.WithholdService("com.amazonaws.us-east-1.codedeploy", "us-east-1a")
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.keeps("a")
		for _, e := range w.interfaces() {
			if want := map[bool]int{true: 1, false: 2}[strings.HasSuffix(e.Service, ".codedeploy")]; len(e.Subnets) != want {
				t.Errorf("%s was in %v, want %d zones", e.Service, e.Subnets, want)
			}
		}
		if paid, counted := billed(w), w.set().TotalHours; paid != counted || paid%9 != 0 {
			t.Errorf("%d endpoint-hours are billed, %d were counted; want nine an hour", paid, counted)
		}
	})
}

// TestAutoExtensionIntoAnotherZone: what is added goes into the zone with room, and
// what is there stays where it is.
func TestAutoExtensionIntoAnotherZone(t *testing.T) {
	longStory(t)
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=2h"))
		time.Sleep(10 * time.Minute)
		w.fault("full-zone", "us-east-1a", 0)
		w.revise(withSecret)
		w.send(event("more"))
		time.Sleep(6 * time.Hour)
		w.keeps("long", "more")
		var where []string
		for _, e := range w.interfaces() {
			if e.Available != nil {
				where = append(where, strings.TrimPrefix(e.Service, "com.amazonaws.us-east-1.")+" "+strings.Join(e.Subnets, "+"))
			}
		}
		slices.Sort(where)
		if want := []string{"ecr.api subnet-1", "ecr.dkr subnet-1", "logs subnet-1", "secretsmanager subnet-2"}; !slices.Equal(where, want) {
			t.Errorf("endpoints were %v, want %v", where, want)
		}
		if set := w.set(); set.Phase != scheduler.Absent || set.Extensions != 0 && set.Generation != 1 {
			t.Errorf("set %+v", set)
		}
	})
}

// TestInAnotherPartition: names of services and ARNs differ in China and GovCloud.
func TestInAnotherPartition(t *testing.T) {
	longStory(t)
	for _, region := range []string{"cn-north-1", "us-gov-west-1"} {
		inWorld(t, strings.Replace(oneJob, "sets:", "endpointPrice: 0.01\nsets:", 1), awssim.Options{Region: region}, func(w *world) {
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.keeps("a")
			if got := len(w.services()); got != 5 {
				t.Errorf("in %s the set made %v", region, w.services())
			}
		})
	}
}
