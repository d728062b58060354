package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/functions"
	"drawbridge/internal/install"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/scheduler"
)

type planCmd struct {
	awsFlags
	Functions string `help:"Folder with NAME/bootstrap of each function to deploy." env:"DRAWBRIDGE_FUNCTIONS" type:"path" placeholder:"DIR"`
	Template  bool   `help:"Print the base stack's template instead."`
}

// Help is the longer text of --help; kong calls it.
func (planCmd) Help() string {
	return "Exit code 0: there are changes. 3: there are none."
}

// Run plans, prints and discards the plan.
func (c *planCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	p, err := ss.plan(ctx, c.Functions)
	if err != nil {
		return err
	}
	if err := ss.install.Discard(ctx, p); err != nil {
		return err
	}
	if c.Template {
		_, err := s.out.Write(p.Template)
		return err
	}
	if err := ss.printPlan(p); err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		return exitCode(exitNothing)
	}
	return nil
}

type deployCmd struct {
	awsFlags
	changeFlags
	Functions string `help:"Folder with NAME/bootstrap of each function to deploy." env:"DRAWBRIDGE_FUNCTIONS" type:"path" placeholder:"DIR"`
}

// Run plans, asks, and carries the plan out.
func (c *deployCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	p, err := ss.plan(ctx, c.Functions)
	if install.Failed(err) && !c.DryRun {
		ss.say("%v", err)
		if err := ss.confirm(ctx, c.changeFlags, "Remove what is left of it first?"); err != nil {
			return err
		}
		if err := ss.install.Clear(ctx, ss.config.Name); err != nil {
			return err
		}
		p, err = ss.plan(ctx, c.Functions)
	}
	if err != nil {
		return err
	}
	if err := ss.printPlan(p); err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		ss.say("Nothing to do: %s is as the configuration says.", p.Name)
		if c.DryRun {
			return nil
		}
		return ss.install.Confirm(ctx, p) // which an interrupted deployment may have left out
	}
	if c.DryRun {
		return ss.install.Discard(ctx, p)
	}
	if err := ss.confirm(ctx, c.changeFlags, "Deploy these changes?"); err != nil {
		if derr := ss.install.Discard(context.WithoutCancel(ctx), p); derr != nil {
			ss.say("the change set stays: %v", derr)
		}
		return err
	}
	progress := ss.progress(len(p.Changes))
	err = ss.install.Execute(ctx, p, progress.event)
	progress.clear()
	if err != nil {
		return err
	}
	ss.say("%s is deployed.", p.Name)
	ss.tellLive(ctx)
	ss.tellNext(ctx, p.Survey.Digests)
	return nil
}

// tellNext says what is left to do for the products that joined the installation.
func (s *session) tellNext(ctx context.Context, digests map[scheduler.JobName]string) {
	products := install.Products(s.config)
	if len(products) == 0 {
		return
	}
	stack, err := s.install.Installed(ctx, s.config.Name)
	if err != nil {
		return // the deployment itself has succeeded
	}
	for _, p := range products {
		for _, text := range p.Next(stack.Outputs, digests[p.Job()]) {
			s.say("%s", text)
		}
	}
}

// plan loads the functions and plans.
func (s *session) plan(ctx context.Context, folder string) (*install.Plan, error) {
	code, elsewhere, err := functions.Load(ctx, folder)
	if err != nil {
		return nil, err
	}
	if elsewhere != "" {
		s.say("WARNING: the functions come from %s, not from this program (--functions, DRAWBRIDGE_FUNCTIONS, or a "+
			"program that was built without them). They will act with the installation's roles.", elsewhere)
	}
	return s.install.Plan(ctx, s.file, s.text, code)
}

// tellLive says which sets are up, so that changes reach them later.
func (s *session) tellLive(ctx context.Context) {
	a, err := s.installed(ctx)
	if err != nil {
		return // the deployment itself has succeeded
	}
	states, err := operate.States(ctx, a)
	if err != nil {
		return
	}
	for _, st := range states {
		if !st.Idle() {
			s.say("Set %s is %s: changes of its services, subnets and zones take effect with its next generation.",
				st.Set.Name, st.Set.Phase)
		}
	}
}

// planView is a plan as programs read it.
type planView struct {
	*install.Plan
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Sets    []setView `json:"sets"`
}

// setView is what a set would hold and cost.
type setView struct {
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

func (s *session) printPlan(p *install.Plan) error {
	v := planView{Plan: p, Account: s.place.Account, Region: s.place.Region}
	if v.Changes == nil {
		v.Changes = []cfn.Change{}
	}
	table, err := prices.Table()
	if err != nil {
		return err
	}
	price, known := table.In(s.place.Region)
	for _, name := range slices.Sorted(maps.Keys(p.Survey.Plans)) {
		plan := p.Survey.Plans[name]
		set := setView{
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
		if known {
			hour := float64(plan.PerHour()) * price.Endpoint
			month := hour * endpoints.HoursPerMonth
			set.USDPerHour, set.USDPerMonth = &hour, &month
		}
		v.Sets = append(v.Sets, set)
	}
	return s.print(v, func(w io.Writer, style output.Style) error { return v.write(w, style, price.Endpoint) })
}

// signs begin the line of a change, as in a diff.
var signs = map[string]string{"add": "+", "modify": "~", "remove": "-"}

func (v planView) write(w io.Writer, style output.Style, price float64) error {
	verb := "Stack %s in %s of account %s"
	if v.Creates {
		verb += ", new"
	}
	fmt.Fprintf(w, verb+":\n\n", v.Name, v.Region, v.Account)
	count := map[string]int{}
	for _, c := range v.Changes {
		count[c.Action]++
		sign, note := signs[c.Action], strings.Join(c.Properties, ", ")
		if c.Replaces {
			sign, note = "!", "REPLACED: "+note
		}
		if note != "" {
			note = "  " + note
		}
		fmt.Fprintf(w, "%s\n",
			style.Paint(sign, fmt.Sprintf("  %s %-28s %s%s", sign, strings.TrimPrefix(c.Type, "AWS::"), c.ID, note)))
	}
	if len(v.Changes) > 0 {
		fmt.Fprintf(w, "\n%d to add, %d to change, %d to remove. None of it costs by the hour.\n", count["add"],
			count["modify"], count["remove"])
	} else {
		fmt.Fprintln(w, "  no changes")
	}
	for _, set := range v.Sets {
		fmt.Fprintf(w, "\nSet %s in %s, while it is up:\n\n", set.Name, set.VPC)
		if len(set.Create) > 0 {
			what := strings.Join(set.Create, ", ")
			if len(set.Zones) > 0 {
				what += " in " + strings.Join(set.Zones, ", ")
			}
			fmt.Fprintln(w, "  endpoints    "+what)
		}
		for _, line := range set.Because {
			if err := style.Println(w, "  %s", line); err != nil {
				return err
			}
		}
		if set.USDPerHour == nil {
			fmt.Fprintf(w,
				"  price        %d endpoint-hours an hour; the price in %s is not known here (drawbridge prices "+
					"refresh)\n", set.EndpointHours, v.Region)
			continue
		}
		fmt.Fprintf(w, "  price        %d x $%.4g = $%.3f each started hour; always on it would be $%.2f a month\n",
			set.EndpointHours, price, *set.USDPerHour, *set.USDPerMonth)
	}
	return nil
}
