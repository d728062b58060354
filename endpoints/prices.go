package endpoints

import (
	"maps"
	"slices"
)

// HoursPerMonth is the number of hours in a month by AWS's convention.
const HoursPerMonth = 730

// Prices are the prices in a Region, in USD. Zero means unknown.
type Prices struct {
	// Endpoint is the price of one interface endpoint in one zone per started
	// hour.
	Endpoint float64 `json:"endpointHour"`
	// Data is the price of a gigabyte through interface endpoints, within the
	// first petabyte of a month.
	Data float64 `json:"endpointGB,omitempty"`
	// NAT is the price of a NAT gateway per started hour, NATData that of a
	// gigabyte through it.
	NAT     float64 `json:"natGatewayHour,omitempty"`
	NATData float64 `json:"natGatewayGB,omitempty"`
	// IPv4 is the price of a public address in use, per hour; it is billed by
	// the second, for at least a minute.
	IPv4 float64 `json:"publicIPv4Hour,omitempty"`
	// Instance is the price of a t4g.nano with Linux per hour, which is enough to translate
	// addresses; it is billed by the second, for at least a minute.
	Instance float64 `json:"natInstanceHour,omitempty"`
}

// RegionPrices are the prices of a Region with their source.
type RegionPrices struct {
	Prices
	Source string `json:"source"`
	// Read is the day or month the source was read, as 2026-10 or 2026-10-03.
	Read string `json:"read"`
}

// PriceTable holds the prices of Regions by their names. A Region that is not in
// it is unknown; no price is guessed.
type PriceTable map[string]RegionPrices

// KnownPrices returns the built-in table: prices from published price lists, bills
// and code, each with its source and date.
func KnownPrices() PriceTable {
	const (
		list   = "price list, "
		seen   = " in published copies"
		weakly = "a constant in published code, not checked"
	)
	out := PriceTable{}
	for _, k := range []struct {
		region, source, read string
		Prices
	}{
		{
			"us-east-1", list + "USE1-VpcEndpoint-Hours, NatGateway-Hours, BoxUsage:t4g.nano" + seen, "2026-10",
			Prices{Endpoint: 0.010, NAT: 0.045, NATData: 0.045, Instance: 0.0042},
		},
		{
			"us-west-2", list + "USW2-VpcEndpoint-Hours" + seen + "; NAT gateway: a published estimate", "2026-10",
			Prices{Endpoint: 0.010, NAT: 0.045, NATData: 0.045},
		},
		{
			"eu-west-1", "two published bills, EU-VpcEndpoint-Hours; " + list + "EU-NatGateway-Hours" + seen,
			"2026-10", Prices{Endpoint: 0.011, NAT: 0.048, NATData: 0.048},
		},
		{"eu-west-2", list + "EUW2-VpcEndpoint-Hours" + seen, "2026-10", Prices{Endpoint: 0.011}},
		{"eu-central-1", list + "EUC1-VpcEndpoint-Hours" + seen, "2026-09", Prices{Endpoint: 0.012}},
		{"eu-south-1", weakly, "2026-10", Prices{Endpoint: 0.012}},
		{"ap-south-1", list + "APS3-VpcEndpoint-Hours" + seen, "2026-10", Prices{Endpoint: 0.013}},
		{"ap-southeast-1", list + "APS1-VpcEndpoint-Hours" + seen, "2026-10", Prices{Endpoint: 0.013}},
		{"ap-southeast-5", list + "APS7-VpcEndpoint-Hours" + seen, "2026-10", Prices{Endpoint: 0.0117}},
		{
			"ap-northeast-1", list + "APN1-VpcEndpoint-Hours, APN1-NatGateway-Hours" + seen, "2026-09",
			Prices{Endpoint: 0.014, NAT: 0.062, NATData: 0.062},
		},
	} {
		k.IPv4, k.Data = publicIPv4, endpointData
		out[k.region] = RegionPrices{k.Prices, k.source, k.read}
	}
	return out
}

// These cost the same in every Region of the table.
//
// Source: https://aws.amazon.com/vpc/pricing and https://aws.amazon.com/privatelink/pricing
const (
	publicIPv4   = 0.005
	endpointData = 0.01
)

// In returns the prices of a Region, and false if the Region is unknown.
func (t PriceTable) In(region string) (RegionPrices, bool) {
	p, ok := t[region]
	return p, ok
}

// Regions returns the Regions whose prices are known, in order.
func (t PriceTable) Regions() []string { return slices.Sorted(maps.Keys(t)) }
