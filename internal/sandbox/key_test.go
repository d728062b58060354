package sandbox

import (
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim"
)

// TestTheInstallationsOwnKey: the table and the queues lie under a customer-managed key,
// which both functions may use by way of them alone.
func TestTheInstallationsOwnKey(t *testing.T) {
	longStory(t)
	text := "kmsKey: arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-a000-000000000001\n" + oneJob
	inWorld(t, text, awssim.Options{}, func(w *world) {
		w.send("not JSON") // a letter by the launcher
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.keepsRun("a")
		w.fault("fail-create", "logs", 0)
		w.send(event("b"))
		time.Sleep(12 * time.Hour)
		letters := w.sim.Ledger().DeadLetters
		if len(letters) != 2 || !strings.Contains(letters[1].Body, "did not come up") {
			t.Errorf("dead letters %v, want one by each function", letters)
		}
	})
}
