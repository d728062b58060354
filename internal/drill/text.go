package drill

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"drawbridge/internal/drill/judge"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// row is a row of the table: all drills of a group.
type row struct {
	name                                   string
	drills, accepted, finished, dead, idle int
	over                                   []int
	heal                                   float64
	breaks                                 int
}

func (r *row) add(o Outcome) {
	r.drills++
	r.accepted += o.Accepted
	r.finished += o.Finished
	r.dead += o.Dead
	r.breaks += len(o.Breaks)
	r.over, r.heal = append(r.over, o.Over), max(r.heal, o.Heal)
	if !o.Struck {
		r.idle++
	}
}

// Write writes the report as text: a row for each group of drills, the dead letters, the totals,
// and what was broken.
func (r Report) Write(w io.Writer, s output.Style) error {
	t := output.NewRows(s, "FAULT", "DRILLS", "ACCEPTED", "FINISHED", "DEAD-LETTERED", "EXTRA HOURS", "TIME TO HEAL",
		"BREAKS")
	for _, x := range r.rows() {
		t.Add(x.cells()...)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	for _, part := range []func(io.Writer, output.Style) error{r.writeReasons, r.writeTotals, r.writeBreaks} {
		if err := part(w, s); err != nil {
			return err
		}
	}
	return nil
}

func (r Report) rows() []*row {
	var rows []*row
	of := map[string]*row{}
	for _, o := range slices.Concat([]Outcome{r.Day}, r.Outcomes) {
		group := cmp.Or(o.Group, "none (baseline)")
		if of[group] == nil {
			of[group] = &row{name: group}
			rows = append(rows, of[group])
		}
		of[group].add(o)
	}
	return rows
}

func (r *row) cells() []string {
	slices.Sort(r.over)
	over := ""
	if worst := r.over[len(r.over)-1]; worst != 0 || r.over[0] != 0 {
		over = fmt.Sprintf("%+d", worst)
		if r.drills > 1 {
			over = fmt.Sprintf("median %+d, max %+d", r.over[len(r.over)/2], worst)
		}
	}
	heal := ""
	if r.heal > 0 {
		heal = (time.Duration(r.heal) * time.Second).String()
	}
	name := r.name
	if r.idle > 0 {
		name += fmt.Sprintf(" (%d had no effect)", r.idle)
	}
	cells := []string{name}
	for _, n := range []int{r.drills, r.accepted, r.finished, r.dead} {
		cells = append(cells, strconv.Itoa(n))
	}
	return append(cells, over, heal, strconv.Itoa(r.breaks))
}

// writeReasons lists the dead letters of each fault by their reason.
func (r Report) writeReasons(w io.Writer, s output.Style) error {
	type key struct{ group, reason string }
	count := map[key]int{}
	for _, o := range r.Outcomes {
		for reason, n := range o.Reasons {
			if k := (key{o.Group, shape(reason)}); r.Day.Reasons[reason] == 0 {
				count[k] += n
			}
		}
	}
	for reason, n := range r.Day.Reasons { // the same in every drill
		count[key{"each", shape(reason)}] += n
	}
	t := output.NewRows(s, "FAULT", "DEAD LETTERS", "REASON")
	for _, k := range slices.SortedFunc(maps.Keys(count), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.group, b.group), count[b]-count[a], cmp.Compare(a.reason, b.reason))
	}) {
		t.Add(k.group, strconv.Itoa(count[k]), k.reason)
	}
	if err := s.Println(w, ""); err != nil {
		return err
	}
	return t.Write(w)
}

// writeTotals writes what was counted over all drills.
func (r Report) writeTotals(w io.Writer, s output.Style) error {
	total := row{}
	broken := map[judge.Kind]int{}
	peak := 0
	for _, o := range r.Outcomes {
		total.add(o)
		peak = max(peak, o.PeakMiB)
		for _, b := range o.Breaks {
			broken[b.Kind]++
		}
	}
	if total.drills == 0 {
		return nil
	}
	text := fmt.Sprintf("\n%s, %s:", scheduler.Count(total.drills, "drill"), scheduler.Count(total.accepted, "event"))
	others := total.breaks
	for _, kind := range []judge.Kind{judge.Lost, judge.Doubled, judge.CutOff, judge.Left} {
		text += fmt.Sprintf(" %d %s,", broken[kind], kind)
		others -= broken[kind]
	}
	text += fmt.Sprintf(" %s.", scheduler.Count(others, "other break"))
	if err := s.Println(w, "%s", text); err != nil {
		return err
	}
	var shares []float64
	for _, o := range r.Outcomes {
		if o.Hours > 0 { // else it was not played
			shares = append(shares, float64(o.Hours)/float64(max(o.Hours-o.Over, 1)))
		}
	}
	if len(shares) == 0 {
		return nil
	}
	slices.Sort(shares)
	return s.Println(w, "Paid hours over those of a day without faults: %.2f (median), %.2f (worst). "+
		"Peak memory of a function: %d MiB.", shares[len(shares)/2], shares[len(shares)-1], peak)
}

// writeBreaks lists what was broken, with the command that shows it again.
func (r Report) writeBreaks(w io.Writer, s output.Style) error {
	for _, o := range append([]Outcome{r.Day, r.Morning}, r.Outcomes...) {
		if len(o.Breaks) == 0 {
			continue
		}
		again := ""
		if len(o.faults) > 0 {
			again = fmt.Sprintf(" (drawbridge drill --seed %d --only %s)", r.Seed, o.Name)
		}
		if err := s.Println(w, "\n%s%s", o.Name, again); err != nil {
			return err
		}
		for _, b := range o.Breaks {
			if err := s.Println(w, "  %s: %s", b.Kind, b.What); err != nil {
				return err
			}
		}
	}
	return nil
}

// names are what differs between reasons that say the same: quoted names, ids, times, runs.
var names = regexp.MustCompile(`"[^"]*"|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b|` +
	`\b(?:run task )?of [a-z]+/[-_.0-9A-Za-z]+`)

// shape returns a reason without what it names.
func shape(reason string) string { return names.ReplaceAllString(reason, "...") }
