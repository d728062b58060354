package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/install"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/scheduler"
)

// Plan is a plan as people and programs read it.
type Plan struct {
	*install.Plan
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Sets    []PlanSet `json:"sets"`
	// Findings are what doctor found that is not ok.
	Findings []finding.Finding `json:"findings"`

	price float64
}

// PlanSet is what a set would hold and cost.
type PlanSet struct {
	Name   string            `json:"name"`
	VPC    string            `json:"vpc"`
	Zones  []string          `json:"zones"`
	Create []string          `json:"create"`
	Adopt  map[string]string `json:"adopt"`
	// Because says of each endpoint of others why it is adopted or passed over.
	Because []string `json:"because,omitempty"`
	// EndpointHours are billed for each hour that the set is up.
	EndpointHours int `json:"endpointHoursPerHour"`
	// USDPerHour and USDPerMonth are null where the Region's price is not known.
	USDPerHour  *float64 `json:"usdPerHour"`
	USDPerMonth *float64 `json:"usdPerMonthAlwaysOn"`
}

// NewPlan returns a plan with what doctor found, which may be nothing.
func NewPlan(p *install.Plan, place app.Place, findings []finding.Finding) (Plan, error) {
	v := Plan{Plan: p, Account: place.Account, Region: place.Region, Findings: finding.NotOK(findings)}
	if v.Findings == nil {
		v.Findings = []finding.Finding{}
	}
	if v.Changes == nil {
		v.Changes = []cfn.Change{}
	}
	table, err := prices.Table()
	if err != nil {
		return v, err
	}
	price, known := table.In(place.Region)
	v.price = price.Endpoint
	for _, name := range slices.Sorted(maps.Keys(p.Survey.Plans)) {
		set := planSet(name, p.Survey.Plans[name])
		if known {
			hour := float64(set.EndpointHours) * price.Endpoint
			month := hour * endpoints.HoursPerMonth
			set.USDPerHour, set.USDPerMonth = &hour, &month
		}
		v.Sets = append(v.Sets, set)
	}
	return v, nil
}

func planSet(name scheduler.SetName, plan install.SetPlan) PlanSet {
	set := PlanSet{
		Name: string(name), VPC: plan.VPC.ID, Zones: plan.Zones(), Create: []string{}, Adopt: map[string]string{},
		EndpointHours: plan.PerHour(),
	}
	for _, svc := range plan.Create {
		set.Create = append(set.Create, string(svc.ID))
	}
	for _, a := range plan.Adopt {
		set.Adopt[string(a.Service)] = a.Endpoint
		set.Because = append(set.Because, fmt.Sprintf("adopted      %s: %s, as %s", a.Service, a.Endpoint, a.Why))
	}
	for _, s := range plan.Skip {
		set.Because = append(set.Because, fmt.Sprintf("passed over  %s: %s, as %s", s.Service, s.Endpoint, s.Why))
	}
	return set
}

// signs begin the line of a change, as in a diff.
var signs = map[string]string{"add": "+", "modify": "~", "remove": "-"}

// Write writes the plan for people.
func (v Plan) Write(w io.Writer, style output.Style) error {
	if len(v.Findings) > 0 {
		fmt.Fprintf(w, "What doctor finds:\n\n")
		WriteFindings(w, style, v.Findings, false)
		fmt.Fprintln(w)
	}
	verb := "Stack %s in %s of account %s"
	if v.Creates {
		verb += ", new"
	}
	fmt.Fprintf(w, verb+":\n\n", v.Name, v.Region, v.Account)
	for _, c := range v.Changes {
		fmt.Fprintf(w, "%s\n", style.Paint(v.sign(c), "  "+v.change(c)))
	}
	fmt.Fprint(w, v.totals())
	if err := v.writeSettings(w, style); err != nil {
		return err
	}
	for _, set := range v.Sets {
		fmt.Fprintf(w, "\nSet %s in %s, while it is up:\n\n", set.Name, set.VPC)
		for _, line := range set.lines(v.Region, v.price) {
			if err := style.Println(w, "  %s", line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v Plan) writeSettings(w io.Writer, style output.Style) error {
	switch {
	case v.Creates:
		return nil
	case v.Settings.Unread != "":
		fmt.Fprintln(w)
		return style.Println(w, "How the configuration differs is not known: %s", v.Settings.Unread)
	case len(v.Settings.Differences) == 0:
		return nil
	}
	fmt.Fprintf(w, "\nConfiguration:\n\n")
	for _, d := range v.Settings.Differences {
		sign := signs[d.Action()]
		fmt.Fprintf(w, "%s\n", style.Paint(sign, fmt.Sprintf("  %s %s: %s", sign, d.Key, d.Values())))
	}
	return nil
}

func (v Plan) sign(c cfn.Change) string {
	if c.Replaces {
		return "!"
	}
	return signs[c.Action]
}

// change says what a change does, as the line of a diff.
func (v Plan) change(c cfn.Change) string {
	note := strings.Join(c.Properties, ", ")
	switch {
	case c.Replaces:
		note = "REPLACED: " + note
	case note == "Code" && c.Type == "AWS::Lambda::Function" && v.Settings.SameProgram:
		note = "Code: the configuration alone"
	}
	width := 0
	for _, c := range v.Changes {
		width = max(width, len(c.ID))
	}
	return strings.TrimRight(fmt.Sprintf("%s %-28s %-*s  %s", v.sign(c), strings.TrimPrefix(c.Type, "AWS::"), width,
		c.ID, note), " ")
}

// totals counts the changes.
func (v Plan) totals() string {
	if len(v.Changes) == 0 {
		return "  no changes\n"
	}
	count := map[string]int{}
	for _, c := range v.Changes {
		count[c.Action]++
	}
	return fmt.Sprintf("\n%d to add, %d to change, %d to remove. None of it costs by the hour.\n", count["add"],
		count["modify"], count["remove"])
}

// lines say what a set holds and costs.
func (set PlanSet) lines(region string, price float64) (out []string) {
	if len(set.Create) > 0 {
		what := strings.Join(set.Create, ", ")
		if len(set.Zones) > 0 {
			what += " in " + strings.Join(set.Zones, ", ")
		}
		out = append(out, "endpoints    "+what)
	}
	out = append(out, set.Because...)
	if set.USDPerHour == nil {
		return append(out, fmt.Sprintf("price        %d endpoint-hours an hour; the price in %s is not known here "+
			"(drawbridge prices refresh)", set.EndpointHours, region))
	}
	return append(out, fmt.Sprintf("price        %d x %.4g = %.3f USD each started hour; always on it would be %.2f "+
		"USD a month", set.EndpointHours, price, *set.USDPerHour, *set.USDPerMonth))
}

// Markdown writes the plan for a pull request.
func (v Plan) Markdown(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "### Drawbridge: stack %s in %s of account %s\n", v.Name, v.Region, v.Account)
	if len(v.Findings) > 0 {
		fmt.Fprintf(b, "\n| doctor | of | found | remedy |\n| --- | --- | --- | --- |\n")
		for _, f := range v.Findings {
			fmt.Fprintf(b, "| %s: %s | %s | %s | %s |\n", f.Result, f.Check, cell(f.Subject), cell(f.Found),
				cell(f.Remedy))
		}
	}
	if v.Settings.Unread != "" {
		fmt.Fprintf(b, "\nHow the configuration differs is not known: %s\n", cell(v.Settings.Unread))
	}
	if len(v.Settings.Differences) > 0 {
		fmt.Fprintf(b, "\nConfiguration:\n\n```diff\n")
		for _, d := range v.Settings.Differences {
			for _, side := range []struct {
				sign  string
				value any
			}{{"-", d.Before}, {"+", d.After}} {
				if side.value != nil {
					fmt.Fprintf(b, "%s %s: %s\n", side.sign, d.Key, fenced(config.Compact(side.value)))
				}
			}
		}
		fmt.Fprintf(b, "```\n")
	}
	fmt.Fprintf(b, "\nResources:\n\n```diff\n")
	for _, c := range v.Changes {
		fmt.Fprintf(b, "%s\n", fenced(v.change(c)))
	}
	fmt.Fprintf(b, "%s```\n", strings.TrimLeft(v.totals(), "\n"))
	for _, set := range v.Sets {
		fmt.Fprintf(b, "\nSet %s in %s, while it is up:\n\n", set.Name, set.VPC)
		for _, line := range set.lines(v.Region, v.price) {
			fmt.Fprintf(b, "- %s\n", cell(strings.Join(strings.Fields(line), " ")))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell makes a text fit to stand in a table or a list of Markdown.
func cell(text string) string {
	return strings.NewReplacer("\n", " ", "|", `\|`, "<", "&lt;", "`", "'").Replace(text)
}

// fenced makes a text fit to stand in a block of code.
func fenced(text string) string { return strings.ReplaceAll(text, "```", "'''") }
