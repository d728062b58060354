package kernel

import (
	"encoding/json"
	"net/http"
	"time"
)

// FaultState is a fault as the list shows it.
type FaultState struct {
	Name  string  `json:"name"`
	Value string  `json:"value"`
	Help  string  `json:"help"`
	On    bool    `json:"on"`
	Until float64 `json:"until,omitempty"`
}

// Faults lists all faults, each with a line of help.
func (s *Kernel) Faults() []FaultState {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	var out []FaultState
	for _, h := range FaultHelp {
		st := FaultState{Name: h.Name, Value: h.Value, Help: h.Help}
		if v, ok := s.Active(h.Name); ok {
			st.On, st.Value = true, v
			if u := s.faults[h.Name].until; !u.IsZero() {
				st.Until = Epoch(u)
			}
		}
		out = append(out, st)
	}
	return out
}

// Answer writes v as JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// Epoch returns t in seconds since 1970.
func Epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
