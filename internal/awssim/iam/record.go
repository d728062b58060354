package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"

	"drawbridge/internal/awssim/kernel"
)

// CallsVariable is the environment variable that names a file which receives every
// question of authorisation that roles raised in the simulations of a process,
// with the roles' policies, as lines of JSON.
const CallsVariable = "DRAWBRIDGE_SANDBOX_CALLS"

// callRecorder writes each question once, whatever the ids in it.
type callRecorder struct {
	mu   sync.Mutex
	out  io.Writer
	seen map[string]bool
}

var calls = sync.OnceValue(func() *callRecorder {
	path := os.Getenv(CallsVariable)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(fmt.Sprintf("record calls: %v", err)) // the proof would miss the calls of this test
	}
	return &callRecorder{out: f, seen: map[string]bool{}}
})

var anyID = regexp.MustCompile(`[0-9a-f]{6,}(-[0-9a-f]{4,})*`)

func (r *callRecorder) write(key string, v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	line, err := json.Marshal(v)
	if err == nil {
		_, _ = r.out.Write(append(line, '\n')) // the proof says how many it saw
	}
}

// Ask records the questions of a role. Calls of users, who have none of our
// roles, are not recorded.
func (s *Service) Ask(roleARN string, qs ...kernel.Question) {
	rec := calls()
	role := s.Role(roleARN)
	if rec == nil || role == nil || len(role.Policies) == 0 {
		return
	}
	var hashes []string
	for _, name := range kernel.SortedKeys(role.Policies) {
		sum := sha256.Sum256([]byte(role.Policies[name]))
		hash := hex.EncodeToString(sum[:8])
		hashes = append(hashes, hash)
		rec.write("policy "+hash, map[string]any{
			"policy": hash, "name": role.Name, "document": json.RawMessage(role.Policies[name]),
		})
	}
	for _, q := range qs {
		q.Role, q.Policies = role.ARN, hashes
		text, err := json.Marshal(q)
		if err != nil {
			continue
		}
		rec.write(anyID.ReplaceAllString(string(text), "ID"), q)
	}
}
