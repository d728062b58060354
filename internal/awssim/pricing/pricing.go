// Package pricing simulates the Price List.
package pricing

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"drawbridge/internal/awssim/kernel"
)

// listedPrice is a product of the Price List: tiers by their first unit, in
// USD.
type listedPrice struct {
	service, region, family, usage, unit string
	attributes                           map[string]string
	tiers                                []tier
}

type tier struct{ from, usd string }

// Service is the simulated Price List.
type Service struct {
	*kernel.Kernel

	prices []listedPrice
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	s.prices = priceList()
	k.Register(&kernel.API{
		Name: "pricing", Prefix: "AWSPriceListService", Protocol: kernel.JSON11,
		Ops: map[string]kernel.Operation{"GetProducts": kernel.Op(s.getProducts)},
	})
	return s
}

// SetPrice changes the price of a usage type in a Region, of the first unit, in
// USD. The bill of the ledger is in endpoint-hours and does not change.
func (s *Service) SetPrice(region, usage, usd string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for i, p := range s.prices {
		if p.region == region && p.attributes["usagetype"] == usage {
			s.prices[i].tiers = append([]tier{{"0", usd}}, p.tiers[1:]...)
		}
	}
}

// priceList holds the Regions whose prices are known, and neighbouring entries of
// AWS's list: endpoints of other kinds, a Local Zone, tiers.
func priceList() []listedPrice {
	var out []listedPrice
	add := func(service, region, family, usage, unit string, attributes map[string]string, tiers ...tier) {
		a := map[string]string{
			"servicecode": service, "usagetype": usage, "regionCode": region, "locationType": "AWS Region",
		}
		for k, v := range attributes {
			a[k] = v
		}
		out = append(out, listedPrice{service, region, family, usage, unit, a, tiers})
	}
	endpoint := func(kind string) map[string]string {
		return map[string]string{
			"endpointType": kind, "group": "VPCE:VpcEndpoint", "groupDescription": "VPC Endpoints",
			"operation": "VpcEndpoint",
		}
	}
	for _, r := range []struct{ region, prefix, endpoint, nat string }{
		{"us-east-1", "USE1-", "0.0100000000", "0.0450000000"},
		{"us-west-2", "USW2-", "0.0100000000", "0.0450000000"},
		{"eu-west-1", "EU-", "0.0110000000", ""},
		{"eu-west-2", "EUW2-", "0.0110000000", ""},
		{"eu-central-1", "EUC1-", "0.0120000000", ""},
		{"ap-south-1", "APS3-", "0.0130000000", ""},
		{"ap-southeast-1", "APS1-", "0.0130000000", "0.0590000000"},
		{"ap-southeast-5", "APS7-", "0.0117000000", ""},
		{"ap-northeast-1", "APN1-", "0.0140000000", "0.0620000000"},
	} {
		add("AmazonVPC", r.region, "VpcEndpoint", r.prefix+"VpcEndpoint-Hours", "Hrs", endpoint("PrivateLink"), tier{
			"0", r.endpoint,
		})
		add("AmazonVPC", r.region, "VpcEndpoint", r.prefix+"VpcEndpoint-Bytes", "GB", endpoint("PrivateLink"),
			tier{"0", "0.0100000000"}, tier{"1048576", "0.0060000000"}, tier{"5242880", "0.0040000000"})
		add("AmazonVPC", r.region, "VpcEndpoint", r.prefix+"VpcEndpoint-GWLBE-Hours", "Hrs",
			endpoint("Gateway Load Balancer Endpoint"), tier{"0", r.endpoint})
		add("AmazonVPC", r.region, "", r.prefix+"PublicIPv4:InUseAddress", "Hrs",
			map[string]string{"group": "VPCPublicIPv4Address"}, tier{"0", "0.0050000000"})
		add("AmazonVPC", r.region, "", r.prefix+"PublicIPv4:IdleAddress", "Hrs",
			map[string]string{"group": "VPCPublicIPv4Address"}, tier{"0", "0.0050000000"})
		if r.nat == "" {
			continue
		}
		nat := map[string]string{"group": "NGW:NatGateway", "operation": "NatGateway"}
		add("AmazonEC2", r.region, "NAT Gateway", r.prefix+"NatGateway-Hours", "Hrs", nat, tier{"0", r.nat})
		add("AmazonEC2", r.region, "NAT Gateway", r.prefix+"NatGateway-Bytes", "GB", nat, tier{"0", r.nat})
		add("AmazonEC2", r.region, "NAT Gateway", r.prefix+"RegionalNatGateway-Hours", "Hrs", nat, tier{"0", r.nat})
	}
	instances(add)
	add("AmazonEC2", "us-west-2-lax-1", "NAT Gateway", "USW2-LAX1-NatGateway-Hours", "Hrs",
		map[string]string{"locationType": "AWS Local Zone", "group": "NGW:NatGateway"}, tier{"0", "0.0540000000"})
	return out
}

// adds is how a product is added to the list.
type adds func(service, region, family, usage, unit string, attributes map[string]string, tiers ...tier)

// instances adds the smallest instance, with its neighbours in the list.
func instances(add adds) {
	for _, r := range []struct{ region, prefix, usd string }{
		{"us-east-1", "", "0.0042000000"}, {"us-west-2", "USW2-", "0.0042000000"},
	} {
		for _, capacity := range []struct{ status, usage, usd string }{
			{"Used", "BoxUsage:t4g.nano", r.usd}, {"UnusedCapacityReservation", "UnusedBox:t4g.nano", r.usd},
			{"AllocatedCapacityReservation", "Reservation:t4g.nano", "0.0000000000"},
		} {
			add("AmazonEC2", r.region, "Compute Instance", r.prefix+capacity.usage, "Hrs", map[string]string{
				"instanceType": "t4g.nano", "operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared",
				"capacitystatus": capacity.status, "operation": "RunInstances",
			}, tier{"0", capacity.usd})
		}
	}
}

// matches applies the filters, all of which must hold.
func (p listedPrice) matches(c *kernel.Call, filters []priceFilter) (bool, error) {
	for _, f := range filters {
		if f.Type != "TERM_MATCH" && f.Type != "EQUALS" {
			return false, c.Unsupported("Filters.Type=" + f.Type)
		}
		have := p.attributes[f.Field]
		if f.Field == "productFamily" {
			have = p.family
		}
		if have != f.Value {
			return false, nil
		}
	}
	return true, nil
}

type priceFilter struct{ Type, Field, Value string }

type productsPage struct {
	FormatVersion string
	NextToken     string `json:",omitempty"`
	PriceList     []string
}

func (s *Service) getProducts(c *kernel.Call, in *struct {
	ServiceCode, FormatVersion, NextToken string
	Filters                               []priceFilter
	MaxResults                            int
}) (*productsPage, error) {
	if in.ServiceCode == "" {
		return nil, kernel.Errorf("InvalidParameterException",
			"1 validation error detected: Value at 'serviceCode' failed to satisfy constraint: Member must not be null")
	}
	if in.FormatVersion != "" && in.FormatVersion != "aws_v1" {
		return nil, kernel.Errorf("InvalidParameterException", "The specified format version is not supported")
	}
	if !slices.ContainsFunc(s.prices, func(p listedPrice) bool { return p.service == in.ServiceCode }) {
		return nil, kernel.Errorf("NotFoundException", "Service Code: %s not found", in.ServiceCode)
	}
	begin := 0
	if in.NextToken != "" {
		var err error
		if begin, err = strconv.Atoi(in.NextToken); err != nil || begin < 0 {
			return nil, kernel.Errorf("InvalidNextTokenException", "Invalid NextToken")
		}
	}
	if in.MaxResults == 0 {
		in.MaxResults = 100
	}
	if in.MaxResults < 1 || in.MaxResults > 100 {
		return nil, kernel.Errorf("InvalidParameterException", "MaxResults must be between 1 and 100")
	}
	var found []string
	for _, p := range s.prices {
		ok, err := p.matches(c, in.Filters)
		if err != nil {
			return nil, err
		}
		if ok && p.service == in.ServiceCode {
			text, err := s.priceDocument(p)
			if err != nil {
				return nil, err
			}
			found = append(found, text)
		}
	}
	out := &productsPage{FormatVersion: "aws_v1", PriceList: []string{}}
	for i := begin; i < len(found) && i < begin+in.MaxResults; i++ {
		out.PriceList = append(out.PriceList, found[i])
	}
	if begin+in.MaxResults < len(found) {
		out.NextToken = strconv.Itoa(begin + in.MaxResults)
	}
	return out, nil
}

// The codes of the on-demand offer and of its rates are the same in each list.
const onDemandTerm = "JRTCKXETXF"

// priceDocument writes a product as the list holds it: JSON within a string.
func (s *Service) priceDocument(p listedPrice) (string, error) {
	sku := s.Digest("sku"+p.service+p.usage+p.region, 16)
	dimensions := map[string]any{}
	for i, t := range p.tiers {
		end := "Inf"
		if i+1 < len(p.tiers) {
			end = p.tiers[i+1].from
		}
		rate := fmt.Sprintf("%s.%s.%s", sku, onDemandTerm, s.Digest("rate"+t.from, 10))
		dimensions[rate] = map[string]any{
			"rateCode": rate, "unit": p.unit, "beginRange": t.from, "endRange": end,
			"description": t.usd + " per " + p.unit, "appliesTo": []string{},
			"pricePerUnit": map[string]string{"USD": t.usd},
		}
	}
	product := map[string]any{"sku": sku, "attributes": p.attributes}
	if p.family != "" {
		product["productFamily"] = p.family
	}
	term := sku + "." + onDemandTerm
	text, err := json.Marshal(map[string]any{
		"product": product, "serviceCode": p.service, "version": "20261001000000",
		"publicationDate": "2026-10-01T00:00:00Z",
		"terms": map[string]any{"OnDemand": map[string]any{term: map[string]any{
			"sku": sku, "offerTermCode": onDemandTerm, "effectiveDate": "2026-10-01T00:00:00Z",
			"termAttributes": map[string]string{}, "priceDimensions": dimensions,
		}}},
	})
	return string(text), err
}
