package view

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"drawbridge/endpoints"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Price is a Region's prices as they are printed.
type Price struct {
	Region string `json:"region"`
	endpoints.RegionPrices
}

// Prices is what prices prints.
type Prices struct {
	Prices  []Price  `json:"prices"`
	Unknown []string `json:"unknown,omitempty"`
}

// PriceChange is a price that differs from what was known before; null is not
// known.
type PriceChange struct {
	Region string   `json:"region"`
	Price  string   `json:"price"`
	Before *float64 `json:"before"`
	Now    *float64 `json:"now"`
}

// Refreshed is what prices refresh prints.
type Refreshed struct {
	Changes []PriceChange `json:"PriceChanges"`
	// Read are the Regions that the Price List holds, Unlisted those that were
	// asked for and are not in it.
	Read     []string `json:"read"`
	Unlisted []string `json:"unlisted,omitempty"`
	File     string   `json:"file,omitempty"`
	// From is what was asked in AWS's place: nothing of it is kept.
	From string `json:"from,omitempty"`
}

// PriceChanges lists what differs between the prices of a Region.
func PriceChanges(region string, before, now endpoints.Prices) []PriceChange {
	var out []PriceChange
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
			out = append(out, PriceChange{region, p.name, known(p.before), known(p.now)})
		}
	}
	return out
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

// Write writes them for people.
func (v Prices) Write(w io.Writer, style output.Style) error {
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

// Write writes it for people.
func (v Refreshed) Write(w io.Writer, style output.Style) error {
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
	text := fmt.Sprintf("Read the prices of %s: %s.", scheduler.Count(len(v.Read), "Region", "Regions"),
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

// known returns nil for a price that is not known.
func known(price float64) *float64 {
	if price == 0 {
		return nil
	}
	return &price
}

func changed(n int) string {
	if n == 0 {
		return ""
	}
	return scheduler.Count(n, "price", "prices") + " changed or new"
}
