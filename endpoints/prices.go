package endpoints

// hourly are the prices of an interface endpoint in one zone for a started hour,
// in USD, by Region, as they were read from bills and price lists until October
// 2026. Every other Region is unknown.
//
// Source: https://aws.amazon.com/privatelink/pricing
var hourly = map[string]float64{
	"us-east-1": 0.010, "us-west-2": 0.010,
	"eu-west-1": 0.011, "eu-west-2": 0.011, "eu-central-1": 0.012,
	"ap-south-1": 0.013, "ap-southeast-1": 0.013, "ap-northeast-1": 0.014, "ap-southeast-5": 0.0117,
}

// HourlyPrice returns what an interface endpoint in one zone costs for a started
// hour in a Region, in USD, and false for a Region whose price is not known.
func HourlyPrice(region string) (float64, bool) {
	p, ok := hourly[region]
	return p, ok
}

// HoursPerMonth is how many hours AWS counts a month as.
const HoursPerMonth = 730
