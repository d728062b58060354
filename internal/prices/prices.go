// Package prices reads the prices of endpoints and their alternatives from the
// AWS Price List, and caches them over the built-in table.
package prices

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/pricing/types"

	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
)

// Source is the source named in a table that was read.
const Source = "AWS Price List, GetProducts"

// Region is the Region of the Price List endpoint: it exists in few Regions, and
// each serves all prices.
const Region = "us-east-1"

// item is a wanted price: products of a service that match the filters and whose
// usage type, without the prefix of its Region, is usage. The prefixes follow no
// rule (EU- is eu-west-1), so Regions are told by regionCode.
type item struct {
	service string
	filters map[string]string
	usage   string
	into    func(*endpoints.Prices) *float64
}

var items = []item{
	{"AmazonVPC", map[string]string{"productFamily": "VpcEndpoint", "endpointType": "PrivateLink"}, "VpcEndpoint-Hours",
		func(p *endpoints.Prices) *float64 {
			return &p.Endpoint
		}},
	{"AmazonVPC", map[string]string{"productFamily": "VpcEndpoint", "endpointType": "PrivateLink"}, "VpcEndpoint-Bytes",
		func(p *endpoints.Prices) *float64 {
			return &p.Data
		}},
	{"AmazonEC2", map[string]string{"productFamily": "NAT Gateway"}, "NatGateway-Hours",
		func(p *endpoints.Prices) *float64 {
			return &p.NAT
		}},
	{"AmazonEC2", map[string]string{"productFamily": "NAT Gateway"}, "NatGateway-Bytes",
		func(p *endpoints.Prices) *float64 {
			return &p.NATData
		}},
	{"AmazonEC2", map[string]string{
		"instanceType": "t4g.nano", "operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared",
		"capacitystatus": "Used",
	}, "BoxUsage:t4g.nano",
		func(p *endpoints.Prices) *float64 {
			return &p.Instance
		}},
	{"AmazonVPC", map[string]string{"group": "VPCPublicIPv4Address"}, "PublicIPv4:InUseAddress",
		func(p *endpoints.Prices) *float64 {
			return &p.IPv4
		}},
}

// product is an entry of the Price List, as far as it is read.
type product struct {
	Product struct {
		SKU        string `json:"sku"`
		Attributes struct {
			RegionCode   string `json:"regionCode"`
			LocationType string `json:"locationType"`
			UsageType    string `json:"usagetype"`
		} `json:"attributes"`
	} `json:"product"`
	Terms struct {
		OnDemand map[string]struct {
			PriceDimensions map[string]struct {
				BeginRange   string            `json:"beginRange"`
				PricePerUnit map[string]string `json:"pricePerUnit"`
			} `json:"priceDimensions"`
		}
	} `json:"terms"`
}

// Read asks the Price List for the prices of the given Regions, of all Regions if
// none is given. A Region that has no price of endpoints in USD is left out; of
// the others a price that is not listed is zero. It returns an error if a call
// fails, or if the list is contradictory or empty.
func Read(ctx context.Context, api pricing.GetProductsAPIClient,
	regions []string) (map[string]endpoints.Prices, error) {
	out := map[string]*endpoints.Prices{}
	asked := map[string][]product{}
	for _, it := range items {
		query := it.service + fmt.Sprint(it.filters)
		products, ok := asked[query]
		if !ok {
			var err error
			if products, err = it.products(ctx, api, regions); err != nil {
				return nil, err
			}
			asked[query] = products
		}
		for _, p := range products {
			a := p.Product.Attributes
			if !it.matches(p) || len(regions) > 0 && !slices.Contains(regions, a.RegionCode) {
				continue
			}
			usd, ok, err := p.firstUSD()
			if err != nil {
				return nil, fmt.Errorf("read the Price List: product %s of %s: %w", p.Product.SKU, it.service, err)
			}
			if !ok {
				continue
			}
			if out[a.RegionCode] == nil {
				out[a.RegionCode] = &endpoints.Prices{}
			}
			price := it.into(out[a.RegionCode])
			if *price != 0 && *price != usd {
				return nil, fmt.Errorf("read the Price List: %s has two prices for %s, %v and %v USD", a.RegionCode,
					it.usage, *price, usd)
			}
			*price = usd
		}
	}
	known := map[string]endpoints.Prices{}
	for region, p := range out {
		if p.Endpoint != 0 {
			known[region] = *p
		}
	}
	if len(known) == 0 {
		return nil, errors.New("read the Price List: it has no price of an interface endpoint for " +
			cmp.Or(strings.Join(regions, ", "), "any Region"))
	}
	return known, nil
}

// products queries the products that match the item's filters.
func (it item) products(ctx context.Context, api pricing.GetProductsAPIClient, regions []string) ([]product, error) {
	in := &pricing.GetProductsInput{
		ServiceCode: aws.String(it.service), FormatVersion: aws.String("aws_v1"), MaxResults: aws.Int32(100),
	}
	if len(regions) == 1 {
		in.Filters = append(in.Filters, match("regionCode", regions[0]))
	}
	for _, field := range slices.Sorted(maps.Keys(it.filters)) {
		in.Filters = append(in.Filters, match(field, it.filters[field]))
	}
	var out []product
	for pages := pricing.NewGetProductsPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, awserr.Mark(err, "read the Price List of %s", it.service)
		}
		for _, text := range page.PriceList {
			var p product
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				return nil, fmt.Errorf("read the Price List of %s: %w", it.service, err)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func match(field, value string) types.Filter {
	return types.Filter{Type: types.FilterTypeTermMatch, Field: aws.String(field), Value: aws.String(value)}
}

// matches distinguishes the item from its neighbours: RegionalNatGateway-Hours,
// VpcEndpoint-GWLBE-Hours and Local Zones are other products.
func (it item) matches(p product) bool {
	a := p.Product.Attributes
	at := strings.TrimSuffix(a.UsageType, it.usage)
	return a.RegionCode != "" && (a.LocationType == "" || a.LocationType == "AWS Region") && at != a.UsageType &&
		(at == "" || strings.HasSuffix(at, "-"))
}

// firstUSD returns the on-demand price of the first unit in a month.
func (p product) firstUSD() (float64, bool, error) {
	for _, term := range p.Terms.OnDemand {
		for _, d := range term.PriceDimensions {
			text, ok := d.PricePerUnit["USD"]
			if !ok || d.BeginRange != "" && d.BeginRange != "0" {
				continue
			}
			usd, err := strconv.ParseFloat(text, 64)
			if err != nil || usd < 0 {
				return 0, false, fmt.Errorf("invalid price %q", text)
			}
			return usd, usd > 0, nil
		}
	}
	return 0, false, nil
}

// Table returns the built-in table, overridden by the saved prices. It returns
// an error if the saved file cannot be read.
func Table() (endpoints.PriceTable, error) {
	out := endpoints.KnownPrices()
	path, err := file()
	if err != nil {
		return out, nil //nolint:nilerr // no cache folder: nothing is saved
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	var kept endpoints.PriceTable
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return nil, hint.With(fmt.Errorf("read saved prices: %s: %w", path, err),
			"delete the file, or rewrite it with drawbridge prices refresh")
	}
	maps.Copy(out, kept)
	return out, nil
}

// Save saves the prices of Regions, and returns the path of the file. Saved
// prices of other Regions stay.
func Save(prices endpoints.PriceTable) (string, error) {
	path, err := file()
	if err != nil {
		return "", fmt.Errorf("save the prices: %w", err)
	}
	kept := endpoints.PriceTable{}
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &kept) // a broken one is replaced
	}
	maps.Copy(kept, prices)
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("save the prices: %w", err)
	}
	whole, err := os.CreateTemp(filepath.Dir(path), "prices-*")
	if err != nil {
		return "", fmt.Errorf("save the prices: %w", err)
	}
	defer func() { _ = os.Remove(whole.Name()) }() // gone after the rename
	_, err = whole.Write(append(text, '\n'))
	if err = cmp.Or(err, whole.Close()); err == nil {
		err = os.Rename(whole.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("save the prices: %w", err)
	}
	return path, nil
}

// file is the path of the saved prices.
func file() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "drawbridge", "prices.json"), err
}
