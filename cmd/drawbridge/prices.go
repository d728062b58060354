package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/pricing"

	"drawbridge/endpoints"
	"drawbridge/internal/hint"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/internal/view"
)

type pricesCmd struct {
	List    pricesListCmd    `cmd:"" default:"withargs" help:"Show the prices that plan and estimate use, with their sources."`
	Refresh pricesRefreshCmd `cmd:"" help:"Read the prices from the AWS Price List, and show what changed."`
}

// Help is the longer text of --help; kong calls it.
func (pricesCmd) Help() string {
	return "Prices that were read are kept in the user's cache directory, as ~/.cache/drawbridge/prices.json, and " +
		"used in place of the table that is built in."
}

type pricesListCmd struct {
	Regions []string `arg:"" optional:"" name:"region" help:"Regions to show. Default: all that are known."`
	outputFlag
}

// Run prints the prices. A Region whose price is not known is said, and fails.
func (c *pricesListCmd) Run(s streams) error {
	table, err := prices.Table()
	if err != nil {
		return err
	}
	v := view.Prices{Prices: []view.Price{}}
	regions := c.Regions
	if len(regions) == 0 {
		regions = table.Regions()
	}
	for _, region := range regions {
		if p, ok := table.In(region); ok {
			v.Prices = append(v.Prices, view.Price{Region: region, RegionPrices: p})
		} else {
			v.Unknown = append(v.Unknown, region)
		}
	}
	width, _ := terminalWidth(s.out)
	if err := output.Write(s.out, c.Output, v, func(w io.Writer) error {
		return v.Write(w, output.Style{Width: width})
	}); err != nil {
		return err
	}
	if len(v.Unknown) > 0 {
		return hint.With(
			fmt.Errorf("the price of endpoints in %s is not known", strings.Join(v.Unknown, ", ")),
			"drawbridge prices refresh reads it from the AWS Price List",
		)
	}
	return nil
}

type pricesRefreshCmd struct {
	awsFlags
	dryRunFlag
	Regions []string `arg:"" optional:"" name:"region" help:"Regions to read. Default: all that the Price List holds."`
}

// Help is the longer text of --help; kong calls it.
func (pricesRefreshCmd) Help() string {
	return "Needs pricing:GetProducts, which costs nothing."
}

// Run reads the prices, shows what changed and keeps them.
func (c *pricesRefreshCmd) Run(ctx context.Context, s streams) error {
	before, err := prices.Table()
	if err != nil {
		before = endpoints.KnownPrices() // the kept file is replaced
	}
	c.Region = cmp.Or(c.Region, os.Getenv("AWS_REGION"), prices.Region)
	from, err := endpoints.BillingRegion(c.Region)
	if err != nil {
		return err
	}
	session, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	read, err := prices.Read(ctx, pricing.NewFromConfig(session.aws, func(o *pricing.Options) {
		o.Region = from
	}), c.Regions)
	if err != nil {
		return err
	}
	v := view.Refreshed{Changes: []view.PriceChange{}, Read: []string{}}
	today := session.clock.Now().UTC().Format("2006-01-02")
	fresh := endpoints.PriceTable{}
	for region, p := range read {
		fresh[region] = endpoints.RegionPrices{Prices: p, Source: prices.Source, Read: today}
	}
	for _, region := range fresh.Regions() {
		v.Read = append(v.Read, region)
		v.Changes = append(v.Changes, view.PriceChanges(region, before[region].Prices, fresh[region].Prices)...)
	}
	for _, region := range c.Regions {
		if _, ok := fresh[region]; !ok && !slices.Contains(v.Unlisted, region) {
			v.Unlisted = append(v.Unlisted, region)
		}
	}
	if c.EndpointURL != "" {
		v.From = c.EndpointURL
	}
	if !c.DryRun && v.From == "" {
		if v.File, err = prices.Save(fresh); err != nil {
			return err
		}
	}
	if err := session.print(v, v.Write); err != nil {
		return err
	}
	if len(v.Unlisted) > 0 {
		return hint.With(fmt.Errorf("the Price List has no price of an interface endpoint for %s",
			strings.Join(v.Unlisted, ", ")), "check the Region's name")
	}
	return nil
}

// open reaches AWS; a configuration is not needed.
func (c *pricesRefreshCmd) open(ctx context.Context, s streams) (*session, error) {
	out, err := c.connect(ctx, s, "")
	if err == nil {
		out.flags = c.awsFlags
	}
	return out, err
}
