package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"drawbridge/internal/config"
	"drawbridge/internal/draft"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
)

type initCmd struct {
	connectFlags
	dryRunFlag
	VPC             string   `help:"VPC that the jobs run in. Its subnets without a way out are taken." placeholder:"VPC"`
	Subnets         []string `help:"Subnets that the jobs run in, in place of those of --vpc." placeholder:"SUBNET"`
	TaskDefinitions []string `name:"task-definition" help:"Task definition of a job. May be given several times." required:"" placeholder:"FAMILY"`
	Cluster         string   `help:"ECS cluster of the jobs. Without it deploy makes one." placeholder:"NAME"`
	Force           bool     `help:"Write over a file that is there."`
}

// Help is the longer text of --help; kong calls it.
func (initCmd) Help() string {
	return "Only reads AWS, and writes the file that --config names; --dry-run prints it instead."
}

// Run reads the network and the task definitions and writes the configuration.
func (c *initCmd) Run(ctx context.Context, s streams) error {
	if c.VPC == "" && len(c.Subnets) == 0 {
		return &usageError{hint.With(
			errors.New("neither a VPC nor subnets"), "name --vpc or --subnets; aws ec2 describe-vpcs lists the VPCs",
		)}
	}
	ss, err := c.connect(ctx, s, "")
	if err != nil {
		return err
	}
	d := draft.New(ss.place.Region, c.Cluster, draft.Source{EC2: ss.clients.EC2, ECS: ss.clients.ECS, Say: ss.say})
	if err := d.Network(ctx, c.VPC, c.Subnets); err != nil {
		return err
	}
	for _, given := range c.TaskDefinitions {
		if err := d.Job(ctx, given); err != nil {
			return err
		}
	}
	text := d.Text()
	if _, err := config.Parse(c.Config, []byte(text)); err != nil {
		return fmt.Errorf("what was written is not valid: %w", err)
	}
	if c.DryRun {
		_, err := fmt.Fprint(s.out, text)
		return err
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(c.Config, mode, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return hint.With(
			fmt.Errorf("%s is there already", c.Config), "name another file by --config, or write over it with --force",
		)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	ss.say("Wrote %s: %s of %s, %s. Next: drawbridge doctor, then drawbridge deploy.", c.Config,
		scheduler.Count(d.Subnets(), "subnet"), d.VPC(), scheduler.Count(d.Jobs(), "job"))
	return nil
}
