package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"drawbridge/internal/audit"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// auditHead is the head of the table of endpoints.
var auditHead = []string{"VPC", "SERVICE", "ZONES", "USD A MONTH", "GB", "BUSY HOURS", "ADVICE"}

func auditRow(e audit.Endpoint) []string {
	return []string{
		e.VPC, e.Service, fmt.Sprint(len(e.Zones)), money(e.USDPerMonth), fmt.Sprintf("%.2f", e.GB),
		fmt.Sprintf("%d of %d", e.BusyHours, e.Hours), e.Advice,
	}
}

// money is a sum in USD; a dash for one that is not known.
func money(usd *float64) string {
	if usd == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *usd)
}

// WriteAudit writes the report for people.
func WriteAudit(w io.Writer, style output.Style, r audit.Report) error {
	t := output.NewRows(style, auditHead...)
	for _, e := range r.Endpoints {
		t.Add(auditRow(e)...)
	}
	if t.Len() > 0 {
		if err := t.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
		t = output.NewRows(style, "VPC", "ENDPOINTS", "USD A MONTH", "WITHOUT IDLE ONES", "WITH DRAWBRIDGE", "ADVICE")
		for _, v := range r.VPCs {
			t.Add(v.ID, fmt.Sprint(v.Endpoints), money(v.USDPerMonth), money(v.WithoutIdle), money(v.WithDrawbridge),
				v.Advice)
		}
		if err := t.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, line := range auditLines(r) {
		if err := style.Println(w, "%s", line); err != nil {
			return err
		}
	}
	return nil
}

// auditLines are the sentences below the tables.
func auditLines(r audit.Report) (lines []string) {
	lines = append(lines, fmt.Sprintf("%s in %s of account %s, from %s to %s UTC.",
		scheduler.Count(len(r.Endpoints), "interface endpoint", "interface endpoints"), r.Region, r.Account,
		r.From.Format("2006-01-02 15:04"), r.Until.Format("2006-01-02 15:04")))
	switch {
	case len(r.Endpoints) == 0:
	case r.USDPerMonth == nil:
		lines = append(lines,
			"What an endpoint costs in "+r.Region+" is not known here; drawbridge prices refresh reads it.")
	default:
		lines = append(lines, fmt.Sprintf("They cost %.2f USD a month without their data; up to %.2f USD of it could "+
			"be saved. A busy hour is one in which bytes went through: endpoints in a VPC that other things than jobs "+
			"use, or jobs that may not wait for two minutes, are not Drawbridge's to take down.",
			*r.USDPerMonth, *r.Saving))
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Others)) {
		lines = append(lines, fmt.Sprintf("Not looked at: %d of type %s.", r.Others[kind], kind))
	}
	return lines
}

// AuditMarkdown writes the report as Markdown.
func AuditMarkdown(w io.Writer, r audit.Report) error {
	b := &strings.Builder{}
	row := func(cells []string) {
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	table := func(head []string, rows [][]string) {
		row(slices.Clone(head))
		fmt.Fprintf(b, "|%s\n", strings.Repeat(" --- |", len(head)))
		for _, cells := range rows {
			row(cells)
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "### Interface endpoints in %s of account %s\n\n", r.Region, r.Account)
	var rows [][]string
	for _, e := range r.Endpoints {
		rows = append(rows, auditRow(e))
	}
	if len(rows) > 0 {
		table(auditHead, rows)
		rows = nil
		for _, v := range r.VPCs {
			rows = append(rows, []string{
				v.ID, fmt.Sprint(v.Endpoints), money(v.USDPerMonth), money(v.WithoutIdle), money(v.WithDrawbridge),
				v.Advice,
			})
		}
		table([]string{"VPC", "ENDPOINTS", "USD A MONTH", "WITHOUT IDLE ONES", "WITH DRAWBRIDGE", "ADVICE"}, rows)
	}
	for _, line := range auditLines(r) {
		fmt.Fprintln(b, cell(line))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
