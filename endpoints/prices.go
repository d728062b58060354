package endpoints

import "sort"

// HoursPerMonth is how many hours AWS counts a month as.
const HoursPerMonth = 730

// Prices are what a Region charges, in USD. Zero is not known.
type Prices struct {
	// Endpoint is an interface endpoint in one zone for a started hour.
	Endpoint float64 `json:"endpointHour"`
	// NAT is a NAT gateway for a started hour, NATData a gigabyte through it.
	NAT     float64 `json:"natGatewayHour,omitempty"`
	NATData float64 `json:"natGatewayGB,omitempty"`
	// IPv4 is a public address in use, for an hour; it is billed by the second,
	// a minute at least.
	IPv4 float64 `json:"publicIPv4Hour,omitempty"`
	// Data is a gigabyte through interface endpoints, of the first petabyte in a
	// month.
	Data float64 `json:"endpointGB,omitempty"`
}

// PricesRead is when the table was last held against its sources.
const PricesRead = "2026-10"

// PricesSource is where the prices come from.
const PricesSource = "https://aws.amazon.com/privatelink/pricing and https://aws.amazon.com/vpc/pricing, as seen in price lists and bills"

// table are the Regions whose prices are known. A Region that is not in it is
// unknown: nothing is guessed.
var table = map[string]Prices{
	"us-east-1":      {Endpoint: 0.010, NAT: 0.045, NATData: 0.045},
	"us-west-2":      {Endpoint: 0.010},
	"eu-west-1":      {Endpoint: 0.011},
	"eu-west-2":      {Endpoint: 0.011},
	"eu-central-1":   {Endpoint: 0.012},
	"ap-south-1":     {Endpoint: 0.013},
	"ap-southeast-1": {Endpoint: 0.013},
	"ap-southeast-5": {Endpoint: 0.0117},
	"ap-northeast-1": {Endpoint: 0.014, NAT: 0.062, NATData: 0.062},
}

// What costs the same in every Region.
const (
	publicIPv4   = 0.005
	endpointData = 0.01
)

// PricesIn returns the prices of a Region, and false for one whose endpoints have
// no known price.
func PricesIn(region string) (Prices, bool) {
	p, ok := table[region]
	p.IPv4, p.Data = publicIPv4, endpointData
	return p, ok
}

// PricedRegions returns the Regions whose prices are known, in order.
func PricedRegions() []string {
	out := make([]string, 0, len(table))
	for r := range table {
		out = append(out, r)
	}
	sort.Strings(out)
	return out
}

// HourlyPrice returns what an interface endpoint in one zone costs for a started
// hour in a Region, in USD, and false for a Region whose price is not known.
func HourlyPrice(region string) (float64, bool) {
	p, ok := PricesIn(region)
	return p.Endpoint, ok
}
