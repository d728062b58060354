package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pricing"

	"drawbridge/endpoints"
	"drawbridge/internal/hint"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
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
	Regions []string      `arg:"" optional:"" name:"region" help:"Regions to show. Default: all that are known."`
	Output  output.Format `short:"o" help:"Output: ${enum}." enum:"table,json,yaml" default:"table" env:"DRAWBRIDGE_OUTPUT"`
}

// priceView is a Region's prices as they are printed.
type priceView struct {
	Region string `json:"region"`
	endpoints.RegionPrices
}

// pricesView is what prices prints.
type pricesView struct {
	Prices  []priceView `json:"prices"`
	Unknown []string    `json:"unknown,omitempty"`
}

// Run prints the prices. A Region whose price is not known is said, and fails.
func (c *pricesListCmd) Run(s streams) error {
	table, err := prices.Table()
	if err != nil {
		return err
	}
	v := pricesView{Prices: []priceView{}}
	regions := c.Regions
	if len(regions) == 0 {
		regions = table.Regions()
	}
	for _, region := range regions {
		if p, ok := table.In(region); ok {
			v.Prices = append(v.Prices, priceView{region, p})
		} else {
			v.Unknown = append(v.Unknown, region)
		}
	}
	width, _ := terminalWidth(s.out)
	if err := output.Write(s.out, c.Output, v, func(w io.Writer) error {
		return v.write(w, output.Style{Width: width})
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

func (v pricesView) write(w io.Writer, style output.Style) error {
	if len(v.Prices) == 0 {
		return nil
	}
	t := output.NewRows(style, "REGION", "ENDPOINT", "ENDPOINT DATA", "NAT GATEWAY", "NAT DATA", "NAT INSTANCE",
		"PUBLIC IPV4", "READ")
	var sources []string
	of := map[string][]string{} // Regions by source
	for _, p := range v.Prices {
		t.Add(p.Region, usd(p.Endpoint), usd(p.Data), usd(p.NAT), usd(p.NATData), usd(p.Instance), usd(p.IPv4), p.Read)
		from := p.Source + ", read " + p.Read
		if of[from] == nil {
			sources = append(sources, from)
		}
		of[from] = append(of[from], p.Region)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := style.Println(w,
		"USD for an hour, an endpoint's in each of its zones, and for a gigabyte of data. A dash is not known. "+
			"Gateway endpoints cost nothing."); err != nil {
		return err
	}
	for _, from := range sources {
		if err := style.Println(w, "%s: %s", strings.Join(of[from], ", "), from); err != nil {
			return err
		}
	}
	return nil
}

// usd writes a price with as many digits as it has, three at least; a dash for
// one that is not known.
func usd(price float64) string {
	if price == 0 {
		return "-"
	}
	text := strconv.FormatFloat(price, 'f', -1, 64)
	if dot := strings.IndexByte(text, '.'); dot < 0 || len(text)-dot-1 < 3 {
		text = strconv.FormatFloat(price, 'f', 3, 64)
	}
	return text
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

// priceChange is a price that differs from what was known before; null is not
// known.
type priceChange struct {
	Region string   `json:"region"`
	Price  string   `json:"price"`
	Before *float64 `json:"before"`
	Now    *float64 `json:"now"`
}

// refreshView is what prices refresh prints.
type refreshView struct {
	Changes []priceChange `json:"changes"`
	// Read are the Regions that the Price List holds, Unlisted those that were
	// asked for and are not in it.
	Read     []string `json:"read"`
	Unlisted []string `json:"unlisted,omitempty"`
	File     string   `json:"file,omitempty"`
	// From is what was asked in AWS's place: nothing of it is kept.
	From string `json:"from,omitempty"`
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
	v := refreshView{Changes: []priceChange{}, Read: []string{}}
	today := session.clock.Now().UTC().Format("2006-01-02")
	fresh := endpoints.PriceTable{}
	for region, p := range read {
		fresh[region] = endpoints.RegionPrices{Prices: p, Source: prices.Source, Read: today}
	}
	for _, region := range fresh.Regions() {
		v.Read = append(v.Read, region)
		v.Changes = append(v.Changes, changes(region, before[region].Prices, fresh[region].Prices)...)
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
	if err := session.print(v, v.write); err != nil {
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

// changes lists what differs between the prices of a Region.
func changes(region string, before, now endpoints.Prices) []priceChange {
	var out []priceChange
	for _, p := range []struct {
		name        string
		before, now float64
	}{
		{"endpoint", before.Endpoint, now.Endpoint},
		{"endpoint data", before.Data, now.Data},
		{"NAT gateway", before.NAT, now.NAT},
		{"NAT data", before.NATData, now.NATData},
		{"NAT instance", before.Instance, now.Instance},
		{"public IPv4", before.IPv4, now.IPv4},
	} {
		if p.before != p.now {
			out = append(out, priceChange{region, p.name, known(p.before), known(p.now)})
		}
	}
	return out
}

// known returns nil for a price that is not known.
func known(price float64) *float64 {
	if price == 0 {
		return nil
	}
	return &price
}

func (v refreshView) write(w io.Writer, style output.Style) error {
	if len(v.Changes) > 0 {
		t := output.NewRows(style, "REGION", "PRICE", "BEFORE", "NOW")
		for _, c := range v.Changes {
			t.Add(c.Region, c.Price, usd(aws.ToFloat64(c.Before)), usd(aws.ToFloat64(c.Now)))
		}
		if err := t.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	text := fmt.Sprintf("Read the prices of %s: %s.", count(len(v.Read), "Region"),
		cmp.Or(changed(len(v.Changes)), "nothing changed"))
	switch {
	case v.File != "":
		text += " Kept in " + v.File
	case v.From != "":
		text += " Nothing was kept: " + v.From + " is not AWS."
	default:
		text += " Nothing was kept (--dry-run)."
	}
	return style.Println(w, "%s", text)
}

func changed(n int) string {
	if n == 0 {
		return ""
	}
	return count(n, "price") + " changed or new"
}
