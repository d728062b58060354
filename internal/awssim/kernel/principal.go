package kernel

import (
	"context"
	"strings"
	"time"
)

// Principal is the owner of an access key that the simulation issued: a function,
// a task, or a session of a role. Users have none.
type Principal struct {
	// Role returns the ARN of the role whose policies authorise calls; nil, or "",
	// means that everything is allowed.
	Role func() string
	// Session returns the role's ARN and the session name, as STS shows them.
	Session func() string
	// Secret is the secret of the access key, Token the session token that belongs to
	// it; an empty Token is not checked.
	Secret, Token string
	// Inside is true for programs that the simulation started itself.
	Inside bool
	// Reaches reports whether a service's endpoint is reachable; nil means always.
	Reaches func(API string) bool
	// Work returns the invocation that calls now, or nil; nil means that there is none.
	Work func() Work
}

// RoleARN returns the ARN of the role that p calls with, "" if it may do everything.
func (p *Principal) RoleARN() string {
	if p == nil || p.Role == nil {
		return ""
	}
	return p.Role()
}

// Assumed returns an access key of a service that has assumed a role.
func (s *Kernel) Assumed(role string) string {
	key := "ASIA" + strings.ToUpper(s.Digest("assumed "+role, 16))
	if s.Principals[key] == nil {
		s.Principals[key] = &Principal{
			Role: func() string { return role }, Session: func() string { return role + "/service" },
			Secret: "sandbox", Inside: true,
		}
	}
	return key
}

// Work is an invocation of a function, which makes calls and waits on the clock.
type Work interface {
	// Principal is the caller's identity; nil if it has ended.
	Principal() *Principal
	// Silent reports whether it was killed inside this process: it makes no calls.
	Silent() bool
	// Called notifies it of one of its calls, before and after it takes effect.
	// It reports whether a fault has killed it there.
	Called(before bool) (killed bool)
	// Sleeping notifies it that it starts (1) or stops (-1) waiting on the
	// clock.
	Sleeping(n int)
	// Settled sets whether the clock counts it as busy.
	Settled()
}

// Principal returns the caller of a call, or nil for users.
func (c *Call) Principal() *Principal {
	if c.Work != nil && c.Work.Principal() != nil {
		return c.Work.Principal()
	}
	return c.sim.Principals[c.AccessKey]
}

// Unplugged reports whether an access key is that of a task that cannot reach a
// service.
func (s *Kernel) Unplugged(key, service string) bool {
	p := s.Principals[key]
	return p != nil && p.Reaches != nil && !p.Reaches(service)
}

// Silent is unplugged for a caller without the lock.
func (s *Kernel) Silent(key, service string) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Unplugged(key, service)
}

// Sleep lets d pass for work, which may be nil, and returns early with the context's
// error. The lock is not held.
func (s *Kernel) Sleep(ctx context.Context, work Work, d time.Duration) error {
	woken := make(chan struct{})
	s.Mu.Lock()
	if work != nil {
		work.Sleeping(1)
	}
	ev := s.Clock.After(max(d, 0), func() {
		if work != nil {
			work.Sleeping(-1)
			work.Settled()
		}
		close(woken)
	})
	if work != nil {
		work.Settled()
	}
	s.Mu.Unlock()
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
		s.Mu.Lock()
		defer s.Mu.Unlock()
		s.Clock.Cancel(ev)
		return ctx.Err()
	}
}

// InvocationHeader names the calling invocation of a handler in this process.
const InvocationHeader = "X-Sandbox-Invocation"
