package main

import (
	"context"
	"errors"
	"slices"

	"drawbridge/internal/app"
	"drawbridge/internal/doctor"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/functions"
	"drawbridge/internal/hint"
	"drawbridge/internal/install"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

// functionsFlag are the flags of verbs that deploy functions.
type functionsFlag struct {
	RolesFrom string `help:"Stack that holds the roles, as drawbridge template --roles makes it. Default: the one used before." placeholder:"STACK"`
	Functions string `help:"Folder with NAME/bootstrap of each function to deploy." env:"DRAWBRIDGE_FUNCTIONS" type:"path" placeholder:"DIR"`
}

type planCmd struct {
	awsFlags
	functionsFlag
	Markdown bool `help:"Print it as Markdown, for a pull request."`
}

// Help is the longer text of --help; kong calls it.
func (planCmd) Help() string {
	return "It shows what doctor finds, the changes of the stack and of the configuration.\n\n" +
		"Exit code 0: there are changes. 1: a check has failed, and deploy would refuse. 3: there are no changes."
}

// Run plans, prints and discards the plan.
func (c *planCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	ss.install.RolesFrom = c.RolesFrom
	findings, err := ss.examine(ctx)
	if err != nil {
		return err
	}
	p, err := ss.plan(ctx, c.functionsFlag)
	if err != nil {
		ss.tellFindings(findings)
		return err
	}
	if err := ss.install.Discard(ctx, p); err != nil {
		return err
	}
	if err := ss.printPlan(p, findings, c.Markdown); err != nil {
		return err
	}
	switch {
	case finding.Blocks(findings):
		return exitCode(exitFailed)
	case len(p.Changes) == 0:
		return exitCode(exitNothing)
	}
	return nil
}

// examine makes doctor's checks, but for how the installation itself stands. A stack that deploy
// must not touch is an error.
func (s *session) examine(ctx context.Context) ([]finding.Finding, error) {
	if _, err := s.install.Installed(ctx, s.config.Name); err != nil && !errors.Is(err, install.ErrNotInstalled) {
		return nil, err
	}
	found, err := doctor.New(s.aws, s.config, s.install).Look(ctx)
	return slices.DeleteFunc(found, func(f finding.Finding) bool { return f.Check == doctor.Installation }), err
}

// tellFindings writes what doctor found to be wrong to standard error.
func (s *session) tellFindings(findings []finding.Finding) {
	found := slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool {
		return f.Result != finding.Failed || f.MendedByDeploy
	})
	if len(found) > 0 {
		view.WriteFindings(s.err, output.Style{}, found, false)
	}
}

// refuse stops a deployment of what cannot work.
func (s *session) refuse(findings []finding.Finding, force bool) error {
	if force || !finding.Blocks(findings) {
		return nil
	}
	s.tellFindings(findings)
	return hint.New("checks have failed, and nothing was deployed", "mend what failed; --force deploys all the same")
}

type deployCmd struct {
	awsFlags
	changeFlags
	functionsFlag
	Force bool `help:"Deploy although checks of doctor have failed."`
}

// Help is the longer text of --help; kong calls it.
func (deployCmd) Help() string {
	return "It makes doctor's checks first, and changes nothing if one has failed without which a set or a job cannot " +
		"work: its network, services, cluster, task definition, container or roles, or the rights of who calls."
}

// Run plans, asks, and carries the plan out.
func (c *deployCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	ss.install.RolesFrom = c.RolesFrom
	findings, err := ss.examine(ctx)
	if err != nil {
		return err
	}
	if !c.DryRun {
		if err := ss.refuse(findings, c.Force); err != nil {
			return err
		}
	}
	p, err := ss.plan(ctx, c.functionsFlag)
	if install.Failed(err) && !c.DryRun {
		ss.say("%v", err)
		if err := ss.confirm(ctx, c.changeFlags, "Remove what is left of it first?"); err != nil {
			return err
		}
		if err := ss.install.Clear(ctx, ss.config.Name); err != nil {
			return err
		}
		p, err = ss.plan(ctx, c.functionsFlag)
	}
	if err != nil {
		ss.tellFindings(findings)
		return err
	}
	if err := ss.printPlan(p, findings, false); err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		ss.say("Nothing to do: %s is as the configuration says.", p.Name)
		if c.DryRun {
			return ss.refuse(findings, c.Force)
		}
		return ss.install.Confirm(ctx, p) // which an interrupted deployment may have left out
	}
	if c.DryRun {
		return errors.Join(ss.install.Discard(ctx, p), ss.refuse(findings, c.Force))
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

// tellNext says what comes next, and what is left to do for the products that joined the
// installation.
func (s *session) tellNext(ctx context.Context, digests map[scheduler.JobName]string) {
	a := s.app()
	s.say("Events go to %s", app.QueueURL(s.place, a.Names.Events))
	for _, job := range keys(s.config.Jobs) {
		if !s.config.Jobs[scheduler.JobName(job)].Made {
			s.say("Next: drawbridge run %s --wait, or drawbridge selftest first, which tries the account for a few "+
				"cents.", job)
			break
		}
	}
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
func (s *session) plan(ctx context.Context, f functionsFlag) (*install.Plan, error) {
	code, err := s.code(ctx, f)
	if err != nil {
		return nil, err
	}
	return s.install.Plan(ctx, s.file, s.text, code)
}

// code loads the functions, and warns of those that are not the program's own.
func (s *session) code(ctx context.Context, f functionsFlag) (map[string]functions.Code, error) {
	code, elsewhere, err := functions.Load(ctx, f.Functions)
	if err != nil {
		return nil, err
	}
	if elsewhere != "" {
		s.say("WARNING: the functions come from %s, not from this program (--functions, DRAWBRIDGE_FUNCTIONS, or a "+
			"program that was built without them). They will act with the installation's roles.", elsewhere)
	}
	return code, nil
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

func (s *session) printPlan(p *install.Plan, findings []finding.Finding, markdown bool) error {
	v, err := view.NewPlan(p, s.place, findings)
	if err != nil {
		return err
	}
	if markdown {
		return v.Markdown(s.out)
	}
	return s.print(v, v.Write)
}
