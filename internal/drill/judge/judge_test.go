package judge_test

import (
	"regexp"
	"slices"
	"testing"

	"drawbridge/internal/awssim"
	"drawbridge/internal/drill/judge"
)

func at(f float64) *float64   { return &f }
func text(s string) *string   { return &s }
func exit(n int) *int         { return &n }
func clock(h, m int) *float64 { return at(float64(h*3600 + m*60)) }
func life(e *awssim.LedgerEndpoint, from, until *float64) {
	e.Created, e.Available, e.Deleting, e.Deleted = from, from, until, until
}

// good is a story that keeps every promise: two events, one of which nothing can be made of,
// one run of a schedule, and an hour of endpoints.
func good() (judge.Story, awssim.Ledger) {
	task := func(arn, group, event string) awssim.LedgerTask {
		t := awssim.LedgerTask{
			ARN: arn, Group: group, Environment: map[string]string{}, Created: clock(1, 5), Started: clock(1, 6),
			Stopped: clock(1, 10), ExitCode: exit(0), HadEndpoints: true,
		}
		if event != "" {
			t.Environment[judge.EventVariable] = event
		}
		return t
	}
	theirs := task("t-theirs", "batch", "")
	theirs.Stopped, theirs.ExitCode = nil, nil
	s := judge.Story{
		Events: []judge.Event{
			{ID: "a", Job: "build", At: *clock(1, 1)}, {ID: "bad", Refused: regexp.MustCompile("^there is no job")},
		},
		Scheduled: []string{"report/schedule-1"}, Hooks: []string{"smoke"},
		VPCs: map[string]string{"build": "v", "report": "v", "smoke": "v"}, Foreign: []string{"stack-theirs", "t-theirs"},
	}
	l := awssim.Ledger{
		Now: 3 * 3600,
		Tasks: []awssim.LedgerTask{
			task("t1", "drawbridge:1:build/a", "a"), task("t2", "drawbridge:1:report/schedule-1", ""), theirs,
		},
		DeadLetters: []awssim.LedgerLetter{{Body: `{"reason":"there is no job nope","event":{"id":"bad"}}`}},
		Endpoints: []awssim.LedgerEndpoint{
			{ID: "e1", Service: "com.amazonaws.x.logs", Type: "interface", VPC: "v", Stack: "drawbridge-set-main"},
			{ID: "e2", Service: "com.amazonaws.x.ecr.api", Type: "interface", VPC: "v", Stack: "drawbridge-set-main"},
			{ID: "theirs", Service: "com.amazonaws.x.ssm", Type: "interface", VPC: "v", Created: at(0)},
		},
		Stacks: []awssim.LedgerStack{
			{Name: "drawbridge-set-main", ID: "s1", Status: "DELETE_COMPLETE", Created: clock(1, 1), Deleted: clock(1, 57)},
			{Name: "theirs", ID: "stack-theirs", Status: "CREATE_COMPLETE", Created: at(0)},
		},
		Invocations: []awssim.LedgerInvocation{{
			Function: "drawbridge-launcher", Started: clock(1, 1), Ended: clock(1, 5), Outcome: text("ok"), Calls: 9,
			PeakMiB: 30,
		}},
	}
	life(&l.Endpoints[0], clock(1, 1), clock(1, 57))
	life(&l.Endpoints[1], clock(1, 1), clock(1, 57))
	return s, l
}

func TestAGoodStoryBreaksNothing(t *testing.T) {
	s, l := good()
	r := judge.Judge(s, l, "clock")
	if len(r.Breaks) > 0 || r.Accepted != 3 || r.Finished != 2 || r.Dead != 1 || r.Hours != 1 || r.PeakMiB != 30 {
		t.Errorf("%+v, want three accepted, two of them finished, in an hour", r)
	}
}

// TestEachBreakIsSeen breaks each promise in the ledger, and expects it to be named.
func TestEachBreakIsSeen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*judge.Story, *awssim.Ledger)
		want   judge.Kind
	}{
		{"an event of which nothing came", func(s *judge.Story, _ *awssim.Ledger) {
			s.Events = append(s.Events, judge.Event{ID: "b", Job: "build"})
		}, judge.Lost},
		{"a task that never ran its program", func(_ *judge.Story, l *awssim.Ledger) { l.Tasks[0].ExitCode = nil }, judge.Lost},
		{"a scheduled run that never was", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks = slices.Delete(l.Tasks, 1, 2)
		}, judge.Lost},
		{"an event that ran twice", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks = append(l.Tasks, l.Tasks[0])
		}, judge.Doubled},
		{"a scheduled run that ran twice", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks = append(l.Tasks, l.Tasks[1])
		}, judge.Doubled},
		{"a hook's run that ran twice", func(_ *judge.Story, l *awssim.Ledger) {
			hook := l.Tasks[1]
			hook.Group = "drawbridge:1:smoke/x"
			l.Tasks = append(l.Tasks, hook, hook)
		}, judge.Doubled},
		{"a run that nobody asked for", func(_ *judge.Story, l *awssim.Ledger) {
			other := l.Tasks[1]
			other.Group = "drawbridge:1:report/other"
			l.Tasks = append(l.Tasks, other)
		}, judge.Doubled},
		{"an event that ran and is a dead letter", func(_ *judge.Story, l *awssim.Ledger) {
			l.DeadLetters = append(l.DeadLetters, awssim.LedgerLetter{Body: `{"reason":"there is no job","event":{"id":"a"}}`})
		}, judge.Doubled},
		{"an event that is two dead letters", func(_ *judge.Story, l *awssim.Ledger) {
			l.DeadLetters = append(l.DeadLetters, l.DeadLetters[0])
		}, judge.Doubled},
		{"a scheduled run that ran and is a dead letter", func(s *judge.Story, l *awssim.Ledger) {
			s.Reasons = []*regexp.Regexp{regexp.MustCompile("full")}
			l.DeadLetters = append(l.DeadLetters, awssim.LedgerLetter{Body: `{"reason":"full","run":"report/schedule-1","event":{}}`})
		}, judge.Doubled},
		{"an invalid event that ran", func(_ *judge.Story, l *awssim.Ledger) {
			l.DeadLetters = nil
			ran := l.Tasks[0]
			ran.Environment = map[string]string{judge.EventVariable: "bad"}
			l.Tasks = append(l.Tasks, ran)
		}, judge.Doubled},
		{"a task that was stopped", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks[0].StopCode = text("UserInitiated")
		}, judge.CutOff},
		{"an endpoint that went under a hold", func(s *judge.Story, _ *awssim.Ledger) {
			s.Holds = []judge.Hold{{VPC: "v", From: *clock(1, 30), Until: *clock(2, 30)}}
		}, judge.CutOff},
		{"a valid event that died of an invalid one's reason", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks = slices.Delete(l.Tasks, 0, 1)
			l.DeadLetters = append(l.DeadLetters, awssim.LedgerLetter{Body: `{"reason":"there is no job","event":{"id":"a"}}`})
		}, judge.Untrue},
		{"a dead letter that nobody sent", func(_ *judge.Story, l *awssim.Ledger) {
			l.DeadLetters = append(l.DeadLetters, awssim.LedgerLetter{Body: `{"reason":"there is no job","event":{"id":"x"}}`})
		}, judge.Untrue},
		{"an invocation that Lambda gave up", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks = slices.Delete(l.Tasks, 0, 1)
			l.DeadLetters = append(l.DeadLetters, awssim.LedgerLetter{Body: `{"requestPayload":{"id":"a","job":"build"},"responsePayload":{}}`})
		}, judge.Untrue},
		{"endpoints that stood all day", func(_ *judge.Story, l *awssim.Ledger) {
			life(&l.Endpoints[0], clock(1, 1), clock(2, 57))
			life(&l.Endpoints[1], clock(1, 1), clock(2, 57))
		}, judge.Idle},
		{"an endpoint that was needed until six minutes before the hour's end", func(_ *judge.Story, l *awssim.Ledger) {
			l.Tasks[0].Stopped = clock(1, 54)
			life(&l.Endpoints[0], clock(1, 1), clock(2, 57))
		}, judge.Idle},
		{"an endpoint that went a minute too late", func(_ *judge.Story, l *awssim.Ledger) {
			life(&l.Endpoints[0], clock(1, 1), clock(2, 1))
		}, judge.Idle},
		{"a handler that was killed by nobody", func(_ *judge.Story, l *awssim.Ledger) {
			l.Invocations[0].Outcome = text("killed")
		}, judge.Failed},
		{"a handler that failed for nothing", func(_ *judge.Story, l *awssim.Ledger) {
			l.Invocations[0].Outcome = text("error")
		}, judge.Failed},
		{"a task that lost an endpoint", func(_ *judge.Story, l *awssim.Ledger) { l.Tasks[0].HadEndpoints = false }, judge.CutOff},
		{"a task that came too early", func(_ *judge.Story, l *awssim.Ledger) {
			early := l.Tasks[0]
			early.ExitCode, early.StopReason = nil, text("ResourceInitializationError: unable to pull secrets")
			l.Tasks = append(l.Tasks, early)
		}, judge.Early},
		{"a dead letter for another reason", func(_ *judge.Story, l *awssim.Ledger) {
			l.DeadLetters[0].Body = `{"reason":"the stars","event":{"id":"bad"}}`
		}, judge.Untrue},
		{"a dead letter for none", func(_ *judge.Story, l *awssim.Ledger) {
			l.DeadLetters[0].Body = `{"event":{"id":"bad"}}`
		}, judge.Untrue},
		{"an endpoint that stands", func(_ *judge.Story, l *awssim.Ledger) { l.Endpoints[0].Deleted = nil }, judge.Left},
		{"a stack that stands", func(_ *judge.Story, l *awssim.Ledger) { l.Stacks[0].Deleted = nil }, judge.Left},
		{"a task that runs", func(_ *judge.Story, l *awssim.Ledger) { l.Tasks[0].Stopped = nil }, judge.Left},
		{"a handler that runs", func(_ *judge.Story, l *awssim.Ledger) { l.Invocations[0].Ended = nil }, judge.Left},
		{"an hour that is paid twice", func(_ *judge.Story, l *awssim.Ledger) {
			life(&l.Endpoints[0], clock(1, 1), clock(1, 20))
			again := l.Endpoints[0]
			life(&again, clock(1, 30), clock(1, 57))
			l.Endpoints = append(l.Endpoints, again)
		}, judge.Dearer},
		{"more hours than always-on", func(s *judge.Story, l *awssim.Ledger) {
			s.Failures = true
			for m := 2; m < 60; m += 10 {
				again := l.Endpoints[0]
				life(&again, clock(2, m), clock(2, m+5))
				l.Endpoints = append(l.Endpoints, again)
			}
		}, judge.Dearer},
		{"two endpoints of a service", func(s *judge.Story, l *awssim.Ledger) {
			s.Failures = true
			again := l.Endpoints[0]
			life(&again, clock(1, 30), clock(1, 50))
			l.Endpoints = append(l.Endpoints, again)
		}, judge.Clash},
		{"another's endpoint", func(_ *judge.Story, l *awssim.Ledger) { l.Endpoints[2].Deleting = clock(2, 0) }, judge.Touched},
		{"another's stack", func(_ *judge.Story, l *awssim.Ledger) { l.Stacks[1].Status = "DELETE_IN_PROGRESS" }, judge.Touched},
		{"another's task", func(_ *judge.Story, l *awssim.Ledger) { l.Tasks[2].StopCode = text("UserInitiated") }, judge.Touched},
		{"a call of a thief", func(s *judge.Story, _ *awssim.Ledger) { s.Stolen = []string{"x"} }, judge.Touched},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, l := good()
			tt.change(&s, &l)
			r := judge.Judge(s, l, "clock")
			if !slices.ContainsFunc(r.Breaks, func(b judge.Break) bool { return b.Kind == tt.want }) {
				t.Errorf("breaks %v, want one of kind %q", r.Breaks, tt.want)
			}
		})
	}
}

// TestWithinTheMargin: what was needed until four minutes before the hour's end may stay for the next.
func TestWithinTheMargin(t *testing.T) {
	s, l := good()
	l.Tasks[0].Stopped = clock(1, 56)
	life(&l.Endpoints[0], clock(1, 1), clock(2, 57))
	if r := judge.Judge(s, l, "clock"); len(r.Breaks) > 0 || r.Hours != 2 {
		t.Errorf("%+v, want no break in two hours", r)
	}
}

// TestWhatAFaultExcuses: what AWS really did is no break.
func TestWhatAFaultExcuses(t *testing.T) {
	s, l := good()
	s.Faults = judge.Faults{
		Any: true, Kills: 1, Unready: 600, Failures: true, From: *clock(1, 0), Until: *clock(2, 0), Spare: 1800,
		Reasons: []*regexp.Regexp{regexp.MustCompile("^no capacity")},
	}
	l.Invocations[0].Outcome = text("killed")
	l.DeadLetters = append(l.DeadLetters, awssim.LedgerLetter{Body: `{"reason":"no capacity","run":"report/schedule-1","event":{}}`})
	early := l.Tasks[0]
	early.ExitCode, early.StopReason = nil, text("CannotPullContainerError: dial tcp")
	l.Tasks = append(slices.Delete(l.Tasks, 1, 2), early)
	again := l.Endpoints[0]
	life(&again, clock(1, 58), clock(2, 30))
	l.Endpoints = append(l.Endpoints, again)
	if r := judge.Judge(s, l, "clock"); len(r.Breaks) > 0 || r.Hours != 3 || r.Dead != 2 {
		t.Errorf("%+v, want no break in three hours", r)
	}
}

// TestHoursByBothBases counts an hour and a minute that begin at half past.
func TestHoursByBothBases(t *testing.T) {
	for basis, want := range map[string]int{"clock": 3, "creation": 2} {
		s, l := good()
		life(&l.Endpoints[0], clock(0, 58), clock(2, 1))
		life(&l.Endpoints[1], clock(0, 58), clock(2, 1))
		s.Holds = []judge.Hold{{VPC: "v", From: *clock(1, 0), Until: *clock(2, 0)}}
		if r := judge.Judge(s, l, basis); r.Hours != want {
			t.Errorf("%d hours by %s, want %d", r.Hours, basis, want)
		}
	}
}
