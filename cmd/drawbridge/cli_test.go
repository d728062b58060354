package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"drawbridge/docs"

	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

// compare holds a file against what it should be.
func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not as it should be (%v); go test ./cmd/drawbridge -update writes it anew", path, err)
	}
}

// TestReference holds docs/cli.md, and a page for each group of verbs, against the verbs and their flags.
func TestReference(t *testing.T) {
	const path, begin = "../../docs/cli.md", "<!-- generated: verbs -->\n"
	before, _, ok := strings.Cut(read(t, path), begin)
	if !ok {
		t.Fatalf("%s holds no place for the verbs", path)
	}
	parser, err := newParser(&cli{}, t.Context(), streams{strings.NewReader(""), io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	shared := sharedFlags()
	var index strings.Builder
	index.WriteString(before + begin)
	for _, g := range groups {
		file := "cli-" + g.Key + ".md"
		fmt.Fprintf(&index, "\n## %s\n\n| verb | what it does |\n| --- | --- |\n", g.Title)
		var page strings.Builder
		fmt.Fprintf(&page, "<!-- written by make golden -->\n\n# The command line: %s\n\n[cli.md](cli.md) has the exit codes, and the flags of every verb that reaches AWS.\n", g.Title)
		for _, verb := range parser.Model.Children {
			if verb.Group == nil || verb.Group.Key != g.Key {
				continue
			}
			for _, v := range append([]*kong.Node{verb}, verb.Children...) {
				fmt.Fprintf(&index, "| [`%s`](%s#%s) | %s |\n", strings.TrimPrefix(v.FullPath(), "drawbridge "), file, docs.Anchor("drawbridge "+title(v)), v.Help)
				writeVerb(&page, v, shared)
			}
		}
		compare(t, "../../docs/"+file, []byte(page.String()))
	}
	index.WriteString("\n## Flags of every verb that reaches AWS\n\n" + flagTable(shared))
	compare(t, path, []byte(index.String()))
}

// title is a verb's heading.
func title(verb *kong.Node) string {
	return strings.ReplaceAll(strings.ReplaceAll(verb.Summary(), " [flags]", ""), "FAMILY,...", "FAMILY")
}

// sharedFlags returns the flags that awsFlags holds.
func sharedFlags() []*kong.Flag {
	var only struct {
		Verb struct{ awsFlags } `cmd:""`
	}
	parser, err := kong.New(&only)
	if err != nil {
		panic(err)
	}
	return parser.Model.Children[0].Flags
}

func writeVerb(b *strings.Builder, verb *kong.Node, shared []*kong.Flag) {
	fmt.Fprintf(b, "\n## `drawbridge %s`\n\n%s\n", title(verb), verb.Help)
	if verb.Detail != "" {
		fmt.Fprintf(b, "\n%s\n", verb.Detail)
	}
	reaches := false
	var own []*kong.Flag
	for _, f := range verb.Flags {
		known := false
		for _, s := range shared {
			known = known || s.Name == f.Name && s.Help == f.Help
		}
		reaches = reaches || f.Name == "assume-role-arn"
		if !known && f.Name != "help" && !f.Hidden {
			own = append(own, f)
		}
	}
	if len(own) > 0 {
		b.WriteString("\n" + flagTable(own))
	}
	if reaches {
		b.WriteString("\nReaches AWS.\n")
	}
}

func flagTable(flags []*kong.Flag) string {
	var b strings.Builder
	b.WriteString("| flag | environment | meaning |\n| --- | --- | --- |\n")
	for _, f := range flags {
		name := "--" + f.Name
		if !f.IsBool() {
			name += " " + placeholder(f)
		}
		if f.Tag.Negatable != "" {
			name = "--[no-]" + f.Name
		}
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		env := ""
		if len(f.Envs) > 0 {
			env = "`" + strings.Join(f.Envs, "`, `") + "`"
		}
		help := f.Help
		if f.Enum != "" {
			help = strings.ReplaceAll(help, f.Enum, strings.ReplaceAll(f.Enum, ",", ", "))
		}
		if f.HasDefault && f.Default != "" && !f.IsBool() {
			help += " Default: " + f.Default + "."
		}
		if f.Required {
			help += " Required."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), env, help)
	}
	return b.String()
}

// placeholder names a flag's value, where the flag has no name for it by its kind.
func placeholder(f *kong.Flag) string {
	switch {
	case f.PlaceHolder != "":
		return f.PlaceHolder
	case f.Enum != "":
		return strings.ReplaceAll(f.Enum, ",", "|")
	case f.Target.Type() == reflect.TypeFor[time.Duration]():
		return "DURATION"
	}
	return "N"
}

// TestTablesFit80Columns holds the tables for people at 80 columns.
func TestTablesFit80Columns(t *testing.T) {
	now := time.Date(2026, 5, 14, 12, 30, 0, 0, time.UTC)
	set := scheduler.Set{Name: "production", Phase: scheduler.Available, Since: now.Add(-27 * time.Minute), Timer: now.Add(24 * time.Minute), Decisions: []scheduler.Entry{
		{At: now.Add(-29 * time.Minute), Generation: 11, Phase: scheduler.Absent, Action: scheduler.Create, Reason: "2 runs wait and no endpoints are up"},
		{At: now.Add(-27 * time.Minute), Generation: 12, Phase: scheduler.Creating, Action: scheduler.Open, Reason: "all 5 endpoints are available"},
		{At: now, Generation: 12, Phase: scheduler.Available, Action: scheduler.Wait, Reason: "in use (2 running, 0 starting, 0 waiting, 1 held until 14:30:00) in paid hour 1, which ends at 13:00:00"},
	}, Life: scheduler.Life{Generation: 12, BilledFrom: now.Add(-29 * time.Minute), PerHour: 5}, Paid: scheduler.Paid{Day: "2026-05-14", DayHours: 25, TotalHours: 1250}}
	run := scheduler.Run{ID: "nightly-export/2026-05-14T12:00:00Z", Job: "nightly-export", Set: "production", Progress: scheduler.Progress{State: scheduler.Finished, Attempt: 1, StartedAt: now.Add(-26 * time.Minute), Reason: "exit code 137: the container was stopped because it used more memory than its task definition gives it"}, End: scheduler.End{Outcome: scheduler.FailedRun, FinishedAt: now.Add(-2 * time.Minute)}, Request: scheduler.Request{ReceivedAt: now.Add(-29 * time.Minute)}}
	state := operate.SetState{Set: set, Holds: []scheduler.Hold{{Owner: "assumed-role/developer/jo", Reason: "looking at a failed export", Since: now, Expires: now.Add(2 * time.Hour)}}}
	main := view.OfSet(state, scheduler.DefaultSettings(), now)
	status := view.Status{Name: "drawbridge", Account: "123456789012", Region: "us-east-1", Mode: "active", Now: now, Sets: []view.Set{main}}
	why := view.Why{Set: main, Runs: []view.Run{}, Decisions: set.Decisions}
	style := output.Style{Width: 80}
	var b bytes.Buffer
	for _, part := range []struct {
		name  string
		write func() error
	}{
		{"status", func() error { return status.Write(&b, style) }},
		{"why", func() error { return why.Write(&b, style) }},
		{"runs", func() error { return view.WriteRuns(&b, style, []view.Run{view.OfRun(run)}) }},
	} {
		fmt.Fprintf(&b, "-- %s --\n", part.name)
		if err := part.write(); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	compare(t, "testdata/tables-80.txt", b.Bytes())
}

// TestNothingGivenSpeaksToTheTerminal: what a verb was given comes back in an error, without its control characters.
func TestNothingGivenSpeaksToTheTerminal(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"status", "\x1b]0;evil\x07\x1b[2J\r"}, &out, &errs); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if text := out.String() + errs.String(); !strings.Contains(text, "evil") || strings.ContainsAny(text, "\x1b\x07\r") {
		t.Errorf("it says %q", text)
	}
}
