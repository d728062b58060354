package drill

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

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

// ordinary is the reason of the dead letter that each day has: of the event in the burst that
// names no job.
var ordinary = regexp.MustCompile(`^there is no job "nope"`)

// played is a drill that was played: what became of it, and when its last fault had ended.
type played struct {
	judge.Result
	faultEnded float64
}

// play plays one drill.
func play(ctx context.Context, bootstraps map[string]string, d Drill, seed int64) (p played, err error) {
	s, err := open(ctx, bootstraps, seed)
	if err != nil {
		return p, err
	}
	defer s.close()
	acts, ends := s.acts(d)
	for n, f := range d.faults {
		s.allow(f)
		wrong := s.wrong(f, d.begins(n, seed))
		acts = append(acts, wrong...)
		p.faultEnded = max(p.faultEnded, epoch(start.Add(wrong[1].at)))
		ends = max(ends, wrong[1].at)
	}
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
		if s.quiet() {
			break
		}
	}
	p.Result = judge.Judge(s.story, s.sim.Ledger(), string(s.installed.Billing))
	if !d.morning {
		ended, state, err := s.deployed()
		if err != nil {
			return p, err
		}
		if !ended {
			p.Breaks = append(p.Breaks, judge.Break{Kind: judge.Stuck, What: "the deployment of web is " + state})
		}
	}
	return p, nil
}

// acts returns what happens on the day of a drill, whatever goes wrong, and when it ends.
func (s *stage) acts(d Drill) (acts []act, ends time.Duration) {
	s.story.Hooks, s.story.Reasons = []string{"smoke"}, []*regexp.Regexp{ordinary}
	acts, s.story.Scheduled, ends = s.day(), scheduled, evening
	if d.morning {
		acts = slices.DeleteFunc(acts, func(a act) bool { return a.at >= noon })
		s.story.Scheduled, ends = scheduled[:1], noon
	}
	return acts, ends
}

// wrong returns the beginning and the end of a fault.
func (s *stage) wrong(f fault, at time.Duration) []act {
	if f.sim != "" {
		return []act{
			{at, func() error { return s.sim.SetFault(f.sim, f.value, f.lasts.Seconds()) }},
			{at + f.lasts, func() error { return nil }},
		}
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

// allow has the judge know what a fault may lead to.
func (s *stage) allow(f fault) {
	st := &s.story
	st.SchedulesLost = st.SchedulesLost || f.schedulesLost
	st.Unready = st.Unready || f.unready
	st.Failures = st.Failures || f.failures
	for _, r := range f.reasons {
		st.Reasons = append(st.Reasons, regexp.MustCompile(r))
	}
}

// quiet reports whether nothing of ours stands or runs any more.
func (s *stage) quiet() bool {
	l := s.sim.Ledger()
	for _, t := range l.Tasks {
		if t.Stopped == nil && strings.HasPrefix(t.Group, "drawbridge:") && !slices.Contains(s.story.Foreign, t.ARN) {
			return false
		}
	}
	for _, st := range l.Stacks {
		if st.Deleted == nil && !slices.Contains(s.story.Foreign, st.ID) {
			return false
		}
	}
	for _, i := range l.Invocations {
		if i.Ended == nil {
			return false
		}
	}
	return true
}
