package view

import (
	"fmt"
	"io"
	"math"
	"strings"

	"drawbridge/endpoints"
	"drawbridge/internal/estimate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// WriteEstimate writes what ways of reaching AWS cost, for people.
func WriteEstimate(w io.Writer, style output.Style, in estimate.Input, r estimate.Report) error {
	fmt.Fprintf(w, "%.0f jobs a month in %s, %s in %s, %s basis:\n\n", r.JobsPerMonth, r.Region,
		scheduler.Count(len(in.Services), "interface endpoint", "interface endpoints"),
		scheduler.Count(in.Zones, "zone", "zones"), in.Basis)
	t := output.NewRows(style, "OPTION", "USD A MONTH", " ", "REACHES, AND WHAT IS AGAINST IT")
	most := 0.0
	for _, o := range r.Options {
		if o.USD != nil {
			most = max(most, *o.USD)
		}
	}
	for _, o := range r.Options {
		usd, bar := " not known", ""
		if strings.HasPrefix(o.Forbids, "not here") {
			usd = "         -"
		}
		if o.USD != nil {
			usd = fmt.Sprintf("%10.2f", *o.USD)
			if most > 0 {
				bar = strings.Repeat("#", int(math.Ceil(*o.USD/most*12)))
			}
		}
		t.Add(o.Name, usd, bar+" ", o.Allows+"; "+o.Forbids)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, line := range estimateLines(r) {
		if err := style.Println(w, "%s", line); err != nil {
			return err
		}
	}
	for _, u := range r.Unreachable {
		fmt.Fprintln(w)
		if err := style.Println(w, "unreachable: %s; %s", u.What, u.Remedy); err != nil {
			return err
		}
	}
	if in.Prices.Source == "" {
		return nil
	}
	fmt.Fprintln(w)
	return style.Println(w, "Prices of %s: %s.", in.Prices.Read, in.Prices.Source)
}

// estimateLines are the sentences below the table.
func estimateLines(r estimate.Report) []string {
	lines := []string{
		fmt.Sprintf("With Drawbridge a job waits %.0f s for its start on the mean, and %.0f of %d hours of the "+
			"month are paid.", r.MeanWait, r.Paid, endpoints.HoursPerMonth),
	}
	if r.BreakEven != nil {
		lines = append(lines,
			fmt.Sprintf("Break-even: from %.0f paid hours on, leaving the endpoints up is cheaper.", *r.BreakEven))
	}
	o := r.Own
	usedUp := ""
	if o.CloudWatchAlone > 0 {
		usedUp = fmt.Sprintf("; where others have used up CloudWatch's free metrics, alarms and dashboards, those "+
			"cost %.2f USD", o.CloudWatchAlone)
	}
	lines = append(lines,
		fmt.Sprintf("Of its own Drawbridge uses Lambda for %.2f, DynamoDB for %.2f, EventBridge Scheduler for %.2f, "+
			"SQS for %.2f and CloudWatch for %.2f USD, which its sum holds%s.",
			o.Lambda, o.DynamoDB, o.Scheduler, o.SQS, o.CloudWatch, usedUp))
	var unpriced []string
	for _, o := range r.Options {
		if o.USD == nil && !strings.HasPrefix(o.Forbids, "not here") {
			unpriced = append(unpriced, o.Name)
		}
	}
	if len(unpriced) > 0 {
		lines = append(lines, fmt.Sprintf("The prices in %s of these are not known here: %s; drawbridge prices "+
			"refresh reads them.", r.Region, strings.Join(unpriced, "; ")))
	}
	return append(lines, "", r.Recommendation)
}
