package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"drawbridge/internal/audit"
	"drawbridge/internal/hint"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/internal/view"
)

type auditCmd struct {
	awsFlags
	Days     int  `help:"How many days to look back, 1 to ${audit_days}." default:"14" placeholder:"N"`
	Markdown bool `help:"Print it as Markdown."`
}

// Help is the longer text of --help; kong calls it.
func (auditCmd) Help() string {
	return "Only reads, and needs neither a configuration nor an installation: any account and Region. It needs " +
		"ec2:DescribeVpcEndpoints, ec2:DescribeSubnets and cloudwatch:GetMetricStatistics, whose requests cost a " +
		"cent a thousand."
}

// Run reads the endpoints with their traffic and says what could be saved.
func (c *auditCmd) Run(ctx context.Context, s streams) error {
	if c.Days < 1 || c.Days > audit.MaxDays {
		return &usageError{hint.With(errors.New("--days is out of range"), fmt.Sprintf("give 1 to %d", audit.MaxDays))}
	}
	ss, err := c.connect(ctx, s, "")
	if err != nil {
		return err
	}
	ss.flags = c.awsFlags
	until := ss.clock.Now()
	reader := audit.Reader{EC2: ss.clients.EC2, CloudWatch: cloudwatch.NewFromConfig(ss.aws)}
	r, err := reader.Read(ctx, ss.place.Account, ss.place.Region, until.Add(-time.Duration(c.Days)*24*time.Hour), until)
	if err != nil {
		return err
	}
	table, err := prices.Table()
	if err != nil {
		return err
	}
	price, _ := table.In(ss.place.Region)
	r.Make(price.Prices)
	if c.Markdown {
		return view.AuditMarkdown(s.out, r)
	}
	return ss.print(r, func(w io.Writer, style output.Style) error { return view.WriteAudit(w, style, r) })
}
