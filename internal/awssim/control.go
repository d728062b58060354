package awssim

import (
	"encoding/json"
	"maps"
	"net/http"
	"sort"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// ServeControl answers the simulation's own paths.
func (s *Sim) ServeControl(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/_sim/")
	switch {
	case path == "advance" && r.Method == http.MethodPost:
		var in struct{ Seconds float64 }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Seconds < 0 {
			kernel.Answer(w, http.StatusBadRequest, map[string]any{"error": `want {"seconds": N}, N not negative`})
			return
		}
		kernel.Answer(w, http.StatusOK, map[string]any{
			"now": kernel.Epoch(s.Advance(time.Duration(in.Seconds * float64(time.Second)))),
		})
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
			kernel.Answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		kernel.Answer(w, http.StatusOK, s.Faults())
	case path == "handshake" && r.Method == http.MethodPost:
		var in struct{ Connection string }
		err := json.NewDecoder(r.Body).Decode(&in)
		s.Mu.Lock()
		made := err == nil && s.connections.Handshake(in.Connection)
		s.Mu.Unlock()
		if !made {
			kernel.Answer(w, http.StatusBadRequest, map[string]any{
				"error": `want {"connection": ARN}, of a connection`,
			})
			return
		}
		kernel.Answer(w, http.StatusOK, map[string]any{"connection": in.Connection, "status": "AVAILABLE"})
	case path == "fault":
		kernel.Answer(w, http.StatusOK, s.Faults())
	case path == "ledger":
		kernel.Answer(w, http.StatusOK, s.Ledger())
	default:
		kernel.Answer(w, http.StatusNotFound, map[string]any{
			"error": "unknown path (want advance, fault, handshake, ledger or clock)",
		})
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
	b, _ := json.Marshal(v) // it was decoded from JSON
	return string(b)
}

func epochOf(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	f := kernel.Epoch(t)
	return &f
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Ledger is the true record of everything that has happened. Times are epoch
// seconds of the simulation's clock, null for not yet.
type Ledger struct {
	Now         float64            `json:"now"`
	Endpoints   []LedgerEndpoint   `json:"endpoints"`
	Tasks       []LedgerTask       `json:"tasks"`
	Stacks      []LedgerStack      `json:"stacks"`
	Invocations []LedgerInvocation `json:"invocations"`
	DeadLetters []LedgerLetter     `json:"dead_letters"`
	Calls       map[string]int     `json:"calls"`
	// Units is what the account was billed by that calls do not show, such as dynamodb:WriteRequestUnits.
	Units map[string]float64 `json:"units"`
	// Struck is how often each fault has struck.
	Struck map[string]int `json:"struck"`
	// Resources are all existing resources with tags.
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
	// Calls to AWS; PeakMiB is the largest size that its process had by then, 0 if unknown.
	Calls   int `json:"calls"`
	PeakMiB int `json:"peak_mib"`
}

// LedgerLetter is a message in the dead-letter queue.
type LedgerLetter struct {
	Body string  `json:"body"`
	At   float64 `json:"at"`
}

// Ledger returns the current ledger.
func (s *Sim) Ledger() Ledger {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	l := Ledger{
		Now: kernel.Epoch(s.Clock.Now()), Endpoints: []LedgerEndpoint{}, Tasks: []LedgerTask{}, Stacks: []LedgerStack{},
		Invocations: []LedgerInvocation{}, DeadLetters: []LedgerLetter{}, Calls: map[string]int{},
	}
	for k, n := range s.Calls {
		l.Calls[k] = n
	}
	l.Struck, l.Units = maps.Clone(s.Struck), maps.Clone(s.Units)
	l.Resources = s.tagged()
	for _, e := range s.ec2.Endpoints {
		l.Endpoints = append(l.Endpoints,
			LedgerEndpoint{e.ID, e.Service, strings.ToLower(e.Kind), e.VPC, append([]string{}, e.Subnets...), e.Stack,
				epochOf(e.Created), epochOf(e.AvailableAt(s.Clock.Now())), epochOf(e.Deleting),
				epochOf(e.DeletedAt(s.Clock.Now()))})
	}
	for _, t := range s.ecs.Tasks {
		l.Tasks = append(l.Tasks,
			LedgerTask{t.ARN, t.Definition.ARN(s.ecs), t.StartedBy, t.ClientToken, t.Group, t.Environment(),
				epochOf(t.Created), epochOf(t.Started), epochOf(t.Stopped), orNull(t.StopCode), orNull(t.StopReason),
				t.ExitCode(), t.HadEndpoints})
	}
	for _, st := range s.cloudformation.Stacks {
		if st.Before {
			continue
		}
		l.Stacks = append(l.Stacks, LedgerStack{st.Name, st.ID, st.Status, epochOf(st.Created), epochOf(st.Deleted)})
	}
	for _, i := range s.lambda.Invocations {
		l.Invocations = append(l.Invocations, LedgerInvocation{
			i.Function.Name, i.ID, epochOf(i.Started), epochOf(i.Ended), orNull(i.Outcome), i.Calls, i.Peak,
		})
	}
	for _, q := range s.sqs.DeadLetterQueues() {
		for _, m := range q.Messages {
			l.DeadLetters = append(l.DeadLetters, LedgerLetter{m.Body, kernel.Epoch(m.Sent)})
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
