package endpoints

import (
	"maps"
	"slices"
)

// HoursPerMonth is how many hours AWS counts a month as.
const HoursPerMonth = 730

// Prices are what a Region charges, in USD. Zero is not known.
type Prices struct {
	// Endpoint is an interface endpoint in one zone for a started hour.
	Endpoint float64 `json:"endpointHour"`
	// Data is a gigabyte through interface endpoints, of the first petabyte in a
	// month.
	Data float64 `json:"endpointGB,omitempty"`
	// NAT is a NAT gateway for a started hour, NATData a gigabyte through it.
	NAT     float64 `json:"natGatewayHour,omitempty"`
	NATData float64 `json:"natGatewayGB,omitempty"`
	// IPv4 is a public address in use, for an hour; it is billed by the second,
	// a minute at least.
	IPv4 float64 `json:"publicIPv4Hour,omitempty"`
}

// RegionPrices are the prices of a Region with where they come from.
type RegionPrices struct {
	Prices
	Source string `json:"source"`
	// Read is the day or month when the source was read, as 2026-10 or
	// 2026-10-03.
	Read string `json:"read"`
}

// PriceTable holds the prices of Regions by their names. A Region that is not in
// it is unknown: nothing is guessed.
type PriceTable map[string]RegionPrices

// KnownPrices returns the table that is built in: what AWS's pages, price lists
// and bills showed in October 2026.
func KnownPrices() PriceTable {
	out := PriceTable{}
	for region, p := range map[string]Prices{
		"us-east-1":      {Endpoint: 0.010, NAT: 0.045, NATData: 0.045},
		"us-west-2":      {Endpoint: 0.010},
		"eu-west-1":      {Endpoint: 0.011},
		"eu-west-2":      {Endpoint: 0.011},
		"eu-central-1":   {Endpoint: 0.012},
		"ap-south-1":     {Endpoint: 0.013},
		"ap-southeast-1": {Endpoint: 0.013},
		"ap-southeast-5": {Endpoint: 0.0117},
		"ap-northeast-1": {Endpoint: 0.014, NAT: 0.062, NATData: 0.062},
	} {
		p.IPv4, p.Data = publicIPv4, endpointData
		out[region] = RegionPrices{p, "aws.amazon.com/privatelink/pricing and /vpc/pricing, price lists and bills", "2026-10"}
	}
	return out
}

// What costs the same in every Region.
const (
	publicIPv4   = 0.005
	endpointData = 0.01
)

// In returns the prices of a Region, and false for one whose endpoints have no
// known price; then only what costs the same everywhere is in them.
func (t PriceTable) In(region string) (RegionPrices, bool) {
	p, ok := t[region]
	if !ok {
		p.IPv4, p.Data = publicIPv4, endpointData
	}
	return p, ok
}

// Regions returns the Regions whose prices are known, in order.
func (t PriceTable) Regions() []string { return slices.Sorted(maps.Keys(t)) }
