package operate

import "testing"

func TestDeadLettersOfEachKindKeepTheirIdentity(t *testing.T) {
	for _, tt := range []struct{ name, body, message, event, wake string }{
		{"our own, with an id in the event", `{"reason":"r","run":"hello/a","at":"t","event":{"job":"hello","id":"a"}}`, "m1", `{"job":"hello","id":"a"}`, ""},
		{"our own, whose event had none", `{"reason":"r","run":"hello/m0","at":"t","event":{"job":"hello"}}`, "m1", `{"id":"m0","job":"hello"}`, ""},
		{"a message that SQS moved", `{"job":"hello"}`, "m1", `{"id":"m1","job":"hello"}`, ""},
		{"a message that is no event", `hello`, "m1", `hello`, ""},
		{"an invocation that failed", `{"requestPayload":{"job":"hello"},"responsePayload":{"errorMessage":"e"},"requestContext":{"requestId":"r1"}}`, "m1", `{"id":"r1","job":"hello"}`, ""},
		{"a wake-up that failed", `{"requestPayload":{"set":"main","reason":"x"},"requestContext":{"requestId":"r1"}}`, "m1", "", "main"},
	} {
		l := readLetter(tt.body)
		if l.id == "" {
			l.id = tt.message
		}
		if string(l.Wake) != tt.wake || tt.wake == "" && withID(l) != tt.event || l.Reason == "" {
			t.Errorf("%s: wake %q, event %s, want %q, %s", tt.name, l.Wake, withID(l), tt.wake, tt.event)
		}
	}
}
