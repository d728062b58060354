package awssim

import (
	"encoding/json"
	"net/http"
	"sort"
	"strings"
	"time"
)

// serveControl answers the simulation's own paths.
func (s *Sim) serveControl(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/_sim/")
	switch {
	case path == "advance" && r.Method == http.MethodPost:
		var in struct{ Seconds float64 }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Seconds < 0 {
			answer(w, http.StatusBadRequest, map[string]any{"error": `want {"seconds": N}, N not negative`})
			return
		}
		answer(w, http.StatusOK, map[string]any{"now": epoch(s.Advance(time.Duration(in.Seconds * float64(time.Second))))})
	case path == "fault" && r.Method == http.MethodPost:
		var in struct {
			Name  string
			Value any
			For   float64
		}
		err := json.NewDecoder(r.Body).Decode(&in)
		if err == nil {
			err = s.SetFault(in.Name, faultValue(in.Value), in.For)
		}
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		answer(w, http.StatusOK, s.Faults())
	case path == "fault":
		answer(w, http.StatusOK, s.Faults())
	case path == "ledger":
		answer(w, http.StatusOK, s.Ledger())
	default:
		answer(w, http.StatusNotFound, map[string]any{"error": "no such path; there are advance, fault, ledger and clock"})
	}
}

func faultValue(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if !v {
			return "off"
		}
		return ""
	}
	b, _ := json.Marshal(v) // it came out of JSON
	return string(b)
}

// FaultState is a fault as the list shows it.
type FaultState struct {
	Name  string  `json:"name"`
	Value string  `json:"value"`
	Help  string  `json:"help"`
	On    bool    `json:"on"`
	Until float64 `json:"until,omitempty"`
}

// Faults lists all faults, each with a line of help.
func (s *Sim) Faults() []FaultState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []FaultState
	for _, h := range FaultHelp {
		st := FaultState{Name: h.Name, Value: h.Value, Help: h.Help}
		if v, ok := s.faultOn(h.Name); ok {
			st.On, st.Value = true, v
			if u := s.faults[h.Name].until; !u.IsZero() {
				st.Until = epoch(u)
			}
		}
		out = append(out, st)
	}
	return out
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

func epochOf(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	f := epoch(t)
	return &f
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Ledger is the truth about everything that has happened. Times are epoch
// seconds of the simulation's clock, null for not yet.
type Ledger struct {
	Now         float64            `json:"now"`
	Endpoints   []LedgerEndpoint   `json:"endpoints"`
	Tasks       []LedgerTask       `json:"tasks"`
	Stacks      []LedgerStack      `json:"stacks"`
	Invocations []LedgerInvocation `json:"invocations"`
	DeadLetters []LedgerLetter     `json:"dead_letters"`
	Calls       map[string]int     `json:"calls"`
	// Resources are all that is there now and carries tags.
	Resources []LedgerResource `json:"resources"`
}

// LedgerEndpoint is one VPC endpoint that ever was.
type LedgerEndpoint struct {
	ID        string   `json:"id"`
	Service   string   `json:"service"`
	Type      string   `json:"type"`
	VPC       string   `json:"vpc"`
	Subnets   []string `json:"subnets"`
	Stack     string   `json:"stack"`
	Created   *float64 `json:"created"`
	Available *float64 `json:"available"`
	Deleting  *float64 `json:"deleting"`
	Deleted   *float64 `json:"deleted"`
}

// LedgerTask is one ECS task that ever was.
type LedgerTask struct {
	ARN            string            `json:"arn"`
	TaskDefinition string            `json:"task_definition"`
	StartedBy      string            `json:"started_by"`
	ClientToken    string            `json:"client_token"`
	Group          string            `json:"group"`
	Environment    map[string]string `json:"environment"`
	Created        *float64          `json:"created"`
	Started        *float64          `json:"started"`
	Stopped        *float64          `json:"stopped"`
	StopCode       *string           `json:"stop_code"`
	StopReason     *string           `json:"stop_reason"`
	ExitCode       *int              `json:"exit_code"`
	HadEndpoints   bool              `json:"had_endpoints"`
}

// LedgerStack is one stack that ever was.
type LedgerStack struct {
	Name    string   `json:"name"`
	ID      string   `json:"id"`
	Status  string   `json:"status"`
	Created *float64 `json:"created"`
	Deleted *float64 `json:"deleted"`
}

// LedgerInvocation is one run of a handler.
type LedgerInvocation struct {
	Function  string   `json:"function"`
	RequestID string   `json:"request_id"`
	Started   *float64 `json:"started"`
	Ended     *float64 `json:"ended"`
	Outcome   *string  `json:"outcome"`
}

// LedgerLetter is a message in the dead-letter queue.
type LedgerLetter struct {
	Body string  `json:"body"`
	At   float64 `json:"at"`
}

// Ledger returns the truth as it stands.
func (s *Sim) Ledger() Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := Ledger{
		Now: epoch(s.clock.time()), Endpoints: []LedgerEndpoint{}, Tasks: []LedgerTask{}, Stacks: []LedgerStack{},
		Invocations: []LedgerInvocation{}, DeadLetters: []LedgerLetter{}, Calls: map[string]int{},
	}
	for k, n := range s.calls {
		l.Calls[k] = n
	}
	l.Resources = s.tagged()
	for _, e := range s.ec2.endpoints {
		l.Endpoints = append(l.Endpoints, LedgerEndpoint{e.id, e.service, strings.ToLower(e.kind), e.vpc, append([]string{}, e.subnets...), e.stack,
			epochOf(e.created), epochOf(e.availableAt(s.clock.time())), epochOf(e.deleting), epochOf(e.deletedAt(s.clock.time()))})
	}
	for _, t := range s.ecs.tasks {
		l.Tasks = append(l.Tasks, LedgerTask{t.arn, t.definition.arn(s), t.startedBy, t.clientToken, t.group, t.environment(),
			epochOf(t.created), epochOf(t.started), epochOf(t.stopped), orNull(t.stopCode), orNull(t.stopReason), t.exitCode(), t.hadEndpoints})
	}
	for _, st := range s.cfn.stacks {
		if st.before {
			continue
		}
		l.Stacks = append(l.Stacks, LedgerStack{st.name, st.id, st.status, epochOf(st.created), epochOf(st.deleted)})
	}
	for _, i := range s.lambda.invocations {
		l.Invocations = append(l.Invocations, LedgerInvocation{i.function.name, i.id, epochOf(i.started), epochOf(i.ended), orNull(i.outcome)})
	}
	for _, q := range s.sqs.deadLetterQueues() {
		for _, m := range q.messages {
			l.DeadLetters = append(l.DeadLetters, LedgerLetter{m.body, epoch(m.sent)})
		}
	}
	sort.SliceStable(l.Tasks, func(i, j int) bool {
		if *l.Tasks[i].Created != *l.Tasks[j].Created {
			return *l.Tasks[i].Created < *l.Tasks[j].Created
		}
		return l.Tasks[i].ARN < l.Tasks[j].ARN
	})
	return l
}
