package drill

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/drill/judge"
)

// act is something that is done at an instant of the day, counted from its start.
type act struct {
	at time.Duration
	do func() error
}

// noon is when a drill of the morning ends, evening when nothing new happens on any day.
const noon, evening = 3 * time.Hour, 8 * time.Hour

// curtain is how long after that, and after the last fault, a drill is over at the latest.
const curtain = 40 * time.Hour

// day is what happens in every drill.
func (s *stage) day() []act {
	ask := func(at time.Duration, job, id string, takes time.Duration) act {
		return act{at, func() error { return s.ask(job, id, takes) }}
	}
	const h, m = time.Hour, time.Minute
	return []act{
		ask(2*m, "build", "first", 3*m),
		ask(6*m, "build", "warm", 10*m),
		{10 * m, s.batch},
		ask(20*m, "patient", "patient-1", 5*m),
		ask(52*m, "build", "over-the-boundary", 25*m),
		ask(h+57*m, "build", "into-the-deletion", 5*m),
		ask(2*h+20*m, "load", "load-1", 14*m),
		{noon, s.burst},
		{4 * h, s.deploy},
		{4*h + 40*m, func() error { return s.hold("main", 35*time.Minute) }},
		ask(5*h+30*m, "patient", "patient-2", 5*m),
		ask(5*h+50*m, "patient", "patient-3", 5*m),
		ask(6*h+10*m, "build", "long", 70*m),
		ask(6*h+58*m, "load", "load-2", 20*m),
	}
}

// scheduled are the runs of the day that schedules start, the first of them in the morning.
var scheduled = []string{"report/schedule-20260514T113000Z", "mirror/schedule-20260514T140000Z"}

// played is a drill that was played: what became of it, and when its last fault had ended.
type played struct {
	judge.Result
	faultEnded float64
	failed     bool // it could not be played to its end
}

// play plays one drill.
func play(ctx context.Context, programs map[string]string, d Drill, seed int64) (p played, err error) {
	s, err := open(ctx, programs, seed)
	if err != nil {
		return p, err
	}
	defer s.Close()
	acts, ends := s.acts(d)
	for n, f := range d.faults {
		at := d.begins(n, seed)
		s.allow(f, at)
		acts = append(acts, s.wrong(f, at)...)
		ends = max(ends, at+f.lasts)
	}
	p.faultEnded = s.story.Until
	slices.SortStableFunc(acts, func(a, b act) int { return int(a.at - b.at) })
	for _, a := range acts {
		if err := s.until(start.Add(a.at)); err != nil {
			return p, err
		}
		if err := a.do(); err != nil {
			return p, fmt.Errorf("drill %s, at %s: %w", d.Name, start.Add(a.at).Format(time.TimeOnly), err)
		}
	}
	for at := ends; at < ends+curtain; at += 30 * time.Minute {
		if err := s.until(start.Add(at)); err != nil {
			return p, err
		}
		if quiet, err := s.quiet(); err != nil || quiet {
			if err != nil {
				return p, err
			}
			break
		}
	}
	p.Result = judge.Judge(s.story, s.Sim.Ledger(), string(s.Installed.Billing))
	if !d.morning {
		state, err := s.deployed()
		if err != nil {
			return p, err
		}
		back := s.story.Any && state == ecstypes.ServiceDeploymentStatusRollbackSuccessful
		if state != ecstypes.ServiceDeploymentStatusSuccessful && !back {
			p.Breaks = append(p.Breaks, judge.Break{
				Kind: judge.Stuck, What: "the deployment of web is " + string(state),
			})
		}
	}
	return p, nil
}

// acts returns what happens on the day of a drill, whatever goes wrong, and when it ends.
func (s *stage) acts(d Drill) (acts []act, ends time.Duration) {
	s.story.Hooks, s.story.VPCs = []string{"smoke"}, vpcs
	s.story.Scheduled = scheduled
	acts, ends = s.day(), evening
	if d.morning {
		acts = slices.DeleteFunc(acts, func(a act) bool { return a.at >= noon })
		s.story.Scheduled, ends = scheduled[:1], noon
	}
	return acts, ends
}

// wrong returns the beginning of a fault, and its end if that is not the simulation's.
func (s *stage) wrong(f fault, at time.Duration) []act {
	if f.sim != "" {
		return []act{{at, func() error { return s.Sim.SetFault(f.sim, f.value, f.lasts.Seconds()) }}}
	}
	var undo func() error
	return []act{
		{at, func() (err error) {
			undo, err = f.do(s)
			return err
		}},
		{at + f.lasts, func() error {
			if undo == nil {
				return nil
			}
			return undo()
		}},
	}
}

// allow has the judge know of a fault, and what it may lead to.
func (s *stage) allow(f fault, at time.Duration) {
	st := &s.story.Faults
	from, until := epoch(start.Add(at)), epoch(start.Add(at+f.lasts))
	if !st.Any || from < st.From {
		st.From = from
	}
	st.Any, st.Until = true, max(st.Until, until)
	st.Failures = st.Failures || f.failures
	st.Unready, st.Spare = max(st.Unready, f.unready.Seconds()), st.Spare+f.spare.Seconds()
	if strings.HasPrefix(f.sim, "kill") {
		st.Kills++
		st.Until = epoch(start.Add(evening))
	}
	for _, r := range f.reasons {
		st.Reasons = append(st.Reasons, regexp.MustCompile(r))
	}
}

// quiet reports whether nothing of ours stands, runs or waits any more.
func (s *stage) quiet() (bool, error) {
	waiting, err := s.waiting()
	if err != nil || waiting {
		return false, err
	}
	l := s.Sim.Ledger()
	for _, t := range l.Tasks {
		if t.Stopped == nil && strings.HasPrefix(t.Group, "drawbridge:") && !slices.Contains(s.story.Foreign, t.ARN) {
			return false, nil
		}
	}
	for _, st := range l.Stacks {
		if st.Deleted == nil && !slices.Contains(s.story.Foreign, st.ID) {
			return false, nil
		}
	}
	for _, i := range l.Invocations {
		if i.Ended == nil {
			return false, nil
		}
	}
	return true, nil
}
