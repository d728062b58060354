package report

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"drawbridge/scheduler"
)

var noon = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC) // a Thursday

// sample is a day with one set of two generations, the first with two jobs' runs, the second without any.
func sample() Report {
	r := Report{
		Title: "a day", From: noon.Add(-12 * time.Hour), Until: noon.Add(12 * time.Hour),
		Sets: []Set{{
			Name: "main", Basis: scheduler.Clock, Endpoints: 5, Price: 0.01, Services: []string{"ecr.api", "logs"}, Delay: 300,
			Generations: []Generation{
				{
					Created:   noon.Add(3 * time.Hour),
					Available: noon.Add(3*time.Hour + 3*time.Minute),
					Deleted:   noon.Add(3*time.Hour + 50*time.Minute),
				},
				{
					Created:   noon,
					Available: noon.Add(3 * time.Minute),
					Deleting:  noon.Add(110 * time.Minute),
					Deleted:   noon.Add(112 * time.Minute),
				},
			},
		}},
		Runs: []Run{
			{
				ID:       "b/2",
				Job:      "b",
				Set:      "main",
				Received: noon.Add(time.Hour),
				Started:  noon.Add(time.Hour),
				Finished: noon.Add(70 * time.Minute),
				Outcome:  "failed",
				Cause:    "exit",
				Reason:   "exit code 1",
			},
			{
				ID:       "a/1",
				Job:      "a",
				Set:      "main",
				Received: noon,
				Started:  noon.Add(3 * time.Minute),
				Finished: noon.Add(33 * time.Minute),
				Outcome:  "succeeded",
			},
			{ID: "a/3", Job: "a", Set: "main", Received: noon.Add(2 * time.Hour), Outcome: "dead-lettered", Reason: "no room"},
		},
	}
	r.Tidy()
	return r
}

func dollars(v float64) *float64 { return &v }

func TestFiguresAddUp(t *testing.T) {
	f := sample().Figures(time.UTC)
	if d := cmp.Diff([]Cost{{Hours: 15, USD: dollars(0.15)}, {Hours: 120, USD: dollars(1.2)}, {Hours: 10, USD: dollars(0.1)}},
		[]Cost{f.Paid, f.AlwaysOn, f.Best}, cmpopts.IgnoreUnexported(Cost{})); d != "" {
		t.Errorf("paid, always on, best possible: %s", d)
	}
	if *f.Saved != 0.875 {
		t.Errorf("saved %g", *f.Saved)
	}
	// the first generation's ten endpoint-hours as the runs lasted: 30 and 10 minutes
	want := []Share{{"a", 2, 7.5, dollars(0.075)}, {Idle, 0, 5, dollars(0.05)}, {"b", 1, 2.5, dollars(0.025)}}
	if d := cmp.Diff(want, f.ByJob); d != "" {
		t.Errorf("by job: %s", d)
	}
	if d := cmp.Diff([]Share{{"ecr.api", 0, 7.5, dollars(0.075)}, {"logs", 0, 7.5, dollars(0.075)}}, f.ByService); d != "" {
		t.Errorf("by service: %s", d)
	}
	if d := cmp.Diff([]Quantiles{{1, 180, 180, 180}, {1, 0, 0, 0}}, []Quantiles{f.Waits.Cold, f.Waits.Warm}); d != "" {
		t.Errorf("waits: %s", d)
	}
	if f.Arrivals[3] != [24]int{12: 1, 13: 1, 14: 1} {
		t.Errorf("arrivals: %v", f.Arrivals)
	}
	if d := cmp.Diff([]Failure{{"dead-lettered", 1, noon.Add(2 * time.Hour), "a/3", "no room"}, {"exit", 1, noon.Add(time.Hour), "b/2", "exit code 1"}}, f.Failures); d != "" {
		t.Errorf("failures: %s", d)
	}
	last := f.Growth[len(f.Growth)-1]
	if len(f.Growth) != 25 || last != (Point{noon.Add(12 * time.Hour), 0.15, 1.2, 0.1}) || f.Growth[13].Paid != 0.05 ||
		f.Growth[14].Paid != 0.1 {
		t.Errorf("growth: %+v", f.Growth)
	}
}

// What is not known is not taken for nothing.
func TestWithoutAPriceThereAreNoDollars(t *testing.T) {
	r := sample()
	r.Sets = append(
		r.Sets,
		Set{
			Name:        "other",
			Basis:       scheduler.Creation,
			Generations: []Generation{{Created: noon, Deleted: noon.Add(90 * time.Minute)}},
		},
	)
	r.Tidy()
	f := r.Figures(time.UTC)
	if f.Paid.USD != nil || f.Paid.Hours != 17 || *f.Saved != 1-17.0/144 {
		t.Errorf("%+v, saved %v", f.Paid, *f.Saved)
	}
	if last := f.Growth[len(f.Growth)-1]; last.Paid != 17 {
		t.Errorf("growth in endpoint-hours: %+v", last)
	}
	if !strings.Contains(strings.Join(r.Notes, " "), "two bases") {
		t.Errorf("notes: %q", r.Notes)
	}
}

func TestTimesThatContradictEachOtherAreSaid(t *testing.T) {
	r := Report{From: noon, Until: noon.Add(time.Hour), Sets: []Set{{Name: "s"}}, Runs: []Run{
		{ID: "a/1", Set: "s", Received: noon.Add(time.Minute), Started: noon, Finished: noon.Add(-time.Minute)},
		{ID: "a/2", Set: "s", Received: noon, Started: noon.Add(time.Second)},
	}}
	r.Tidy()
	if _, known := r.Runs[1].Wait(); len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "1 run contradicts itself") || known ||
		r.Runs[1].Finished.Before(r.Runs[1].Started) {
		t.Errorf("%q, %+v", r.Notes, r.Runs)
	}
}

// Where the clocks are changed a day has 23 or 25 hours; some zones are half an hour off, and change by half an hour.
func TestDaysAreThoseOfTheWallClock(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		hours     float64
		parts     []time.Duration // by the wall clock
	}{
		{"UTC", "2026-03-29", 24, []time.Duration{0}},
		{"Europe/Vienna", "2026-03-29", 23, []time.Duration{0, 3 * time.Hour}},
		{"Europe/Vienna", "2026-10-25", 25, []time.Duration{0, 2 * time.Hour}},
		{"Asia/Kolkata", "2026-03-29", 24, []time.Duration{0}},
		{"Australia/Lord_Howe", "2026-04-05", 24.5, []time.Duration{0, 90 * time.Minute}},
		{"America/Santiago", "2026-09-06", 23, []time.Duration{time.Hour}}, // there is no midnight
		{"America/Havana", "2026-03-08", 23, []time.Duration{time.Hour}},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		midday, err := time.ParseInLocation(time.DateTime, c.day+" 12:00:00", zone)
		if err != nil {
			t.Fatal(err)
		}
		all := days(midday, midday.Add(time.Hour), zone)
		from := all[0].parts[0].from
		if before := from.Add(-time.Second).In(zone); len(all) != 1 || from.In(zone).Day() != midday.Day() || before.Day() == midday.Day() {
			t.Fatalf("%s: %+v", c.zone, all)
		}
		var clocks []time.Duration
		for _, p := range all[0].parts {
			clocks = append(clocks, p.clock)
		}
		last := all[0].parts[len(all[0].parts)-1].until
		if last.Sub(from).Hours() != c.hours || !cmp.Equal(clocks, c.parts) {
			t.Errorf("%s %s: %g hours in parts that begin at %v", c.zone, c.day, last.Sub(from).Hours(), clocks)
		}
	}
	if all := days(noon, noon.AddDate(10, 0, 0), time.UTC); len(all) != maxDays {
		t.Errorf("ten years: %d rows", len(all))
	}
}

func TestNamesAreNoMarkup(t *testing.T) {
	r := sample()
	r.Title = `<script>alert(1)</script>`
	r.Sets[0].Name = `<i>"main"</i>`
	for i := range r.Runs {
		r.Runs[i].Job, r.Runs[i].Set = `</script><img src=x onerror=alert(1)>`, r.Sets[0].Name
	}
	r.Runs[0].Reason = "=HYPERLINK(1) | `x` <b>"
	r.Runs[0].ID = "=1+1"
	for _, f := range []Format{HTML, SVG, Markdown} {
		var b strings.Builder
		if err := r.Write(&b, f, time.UTC); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<script>alert", "<i>", "<img", "<b>"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s holds %s", f, bad)
			}
		}
	}
	var b strings.Builder
	if err := r.Write(&b, CSV, time.UTC); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, c := range row {
			if strings.HasPrefix(c, "=") {
				t.Errorf("a formula in CSV: %q", c)
			}
		}
	}
	if len(rows) != 1+2+3 {
		t.Errorf("%d rows", len(rows))
	}
}

// A page holds the latest runs, up to its size; what it adds up is of all.
func TestALongListIsCut(t *testing.T) {
	r := Report{From: noon, Until: noon.AddDate(1, 0, 0), Sets: []Set{{Name: "s", Basis: scheduler.Clock}}}
	for i := range 60_000 {
		at := noon.Add(time.Duration(i) * 8 * time.Minute)
		r.Runs = append(
			r.Runs,
			Run{
				ID:       "job/2d0c6c3e-6f0f-4a55-9b8e-7a5b4f1a" + at.Format("0405"),
				Job:      "job",
				Set:      "s",
				Received: at,
				Started:  at,
				Finished: at,
				Outcome:  "succeeded",
			},
		)
	}
	r.Tidy()
	var b strings.Builder
	if err := r.Write(&b, HTML, time.UTC); err != nil {
		t.Fatal(err)
	}
	d := r.data(r.Figures(time.UTC), time.UTC)
	d.list(r, 420_000)
	last := d.Runs[len(d.Runs)-1]
	if n := len(d.Runs); n < 4000 || n > 20_000 || last[3] != r.Runs[59_999].Received.Unix()-r.From.Unix() {
		t.Errorf("%d runs are listed, the last %v", n, last)
	}
	if !strings.Contains(b.String(), "of 60,000 runs; the figures are of all") {
		t.Error("the page does not say that it lists some only")
	}
}

func TestNothingIsAReportToo(t *testing.T) {
	r := Report{Title: "nothing", From: noon, Until: noon}
	r.Tidy()
	for _, f := range []Format{HTML, CSV, JSON, Markdown} {
		var b strings.Builder
		if err := r.Write(&b, f, time.UTC); err != nil || b.Len() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	if err := r.Write(&strings.Builder{}, SVG, time.UTC); err == nil {
		t.Error("a picture of nothing")
	}
}

// The JSON of a report is a report again.
func TestJSONComesBack(t *testing.T) {
	r := sample()
	var b strings.Builder
	if err := r.Write(&b, JSON, time.UTC); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	back.Tidy()
	if d := cmp.Diff(r.Figures(time.UTC), back.Figures(time.UTC), cmpopts.IgnoreUnexported(Cost{})); d != "" {
		t.Error(d)
	}
}

// Hours that began before the report are another report's, and always on counts from when the set was first used.
func TestOnlyWhatFallsIntoTheTimeCounts(t *testing.T) {
	r := Report{
		From: noon.Add(30 * time.Minute), Until: noon.Add(5 * time.Hour), OwnUSD: dollars(0.05),
		Sets: []Set{
			{Name: "old", Basis: scheduler.Clock, Price: 0.1, Generations: []Generation{{Created: noon.Add(-48 * time.Hour), Deleted: noon.Add(110 * time.Minute)}}},
			{Name: "new", Basis: scheduler.Creation, Price: 0.1, Since: noon.Add(2 * time.Hour), Generations: []Generation{{Created: noon.Add(2 * time.Hour)}, {}}},
			{Name: "unused", Basis: scheduler.Clock, Since: noon.Add(5 * time.Hour)},
		},
	}
	r.Tidy()
	f := r.Figures(time.UTC)
	// one hour of the old one, from 13:00 on, and three of the new one; always on the old one from 12:00
	if f.Paid.Hours != 4 || f.AlwaysOn.Hours != 5+3 || f.Paid.USD != nil {
		t.Errorf("paid %+v, always on %+v", f.Paid, f.AlwaysOn)
	}
	if notes := strings.Join(r.Notes, " "); !strings.Contains(notes, "1 generation has no beginning") || !strings.Contains(notes, "set new from 2026-05-14 14:00 UTC") {
		t.Errorf("notes: %s", notes)
	}
	r.Sets = r.Sets[:2]
	// what Drawbridge itself cost is paid too: 0.4 + 0.05 of 0.8 USD
	if f := r.Figures(time.UTC); math.Abs(*f.Saved-(1-0.45/0.8)) > 1e-9 {
		t.Errorf("saved %v", *f.Saved)
	}
	notes := len(r.Notes)
	if r.Tidy(); len(r.Notes) != notes {
		t.Errorf("the same notes twice: %q", r.Notes)
	}
}

// A price that is not known at first, and none at all.
func TestAPriceMayBeMissingAnywhere(t *testing.T) {
	r := Report{From: noon, Until: noon.Add(time.Hour), Sets: []Set{{Name: "a"}, {Name: "b", Price: 1, Generations: []Generation{{Created: noon}}}}}
	r.Tidy()
	if f := r.Figures(time.UTC); f.Paid.USD != nil || f.AlwaysOn.USD != nil || f.Paid.Hours != 1 {
		t.Errorf("%+v", f)
	}
}
