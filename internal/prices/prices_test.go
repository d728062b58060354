package prices

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pricing"

	"drawbridge/endpoints"
	"drawbridge/internal/hint"
)

// list is a Price List in pages of two products.
type list map[string][]string

func (l list) GetProducts(_ context.Context, in *pricing.GetProductsInput, _ ...func(*pricing.Options)) (*pricing.GetProductsOutput, error) {
	var found []string
	for _, p := range l[*in.ServiceCode] {
		ok := true
		for _, f := range in.Filters {
			ok = ok && strings.Contains(p, fmt.Sprintf("%q:%q", *f.Field, *f.Value))
		}
		if ok {
			found = append(found, p)
		}
	}
	begin := 0
	_, _ = fmt.Sscan(aws.ToString(in.NextToken), &begin)
	out := &pricing.GetProductsOutput{PriceList: found[begin:min(begin+2, len(found))]}
	if begin+2 < len(found) {
		out.NextToken = aws.String(fmt.Sprint(begin + 2))
	}
	return out, nil
}

func endpoint(region, usage, price string) string {
	return fmt.Sprintf(`{"product":{"sku":"S","productFamily":"VpcEndpoint","attributes":{"endpointType":"PrivateLink","regionCode":%q,"locationType":"AWS Region","usagetype":%q}},"terms":{"OnDemand":{"S.T":{"priceDimensions":{"S.T.R":{"beginRange":"0","pricePerUnit":{%s}}}}}}}`, region, usage, price)
}

func nat(region, usage, location string) string {
	return fmt.Sprintf(`{"product":{"sku":"N","productFamily":"NAT Gateway","attributes":{"regionCode":%q,"locationType":%q,"usagetype":%q}},"terms":{"OnDemand":{"N.T":{"priceDimensions":{"N.T.R":{"beginRange":"0","pricePerUnit":{"USD":"0.0500000000"}}}}}}}`, region, location, usage)
}

// TestRead reads lists as AWS writes them, with what stands beside a price.
func TestRead(t *testing.T) {
	tiers := `{"product":{"sku":"B","productFamily":"VpcEndpoint","attributes":{"endpointType":"PrivateLink","regionCode":"eu-north-1","usagetype":"EUN1-VpcEndpoint-Bytes"}},"terms":{"OnDemand":{"B.T":{"priceDimensions":{"1":{"beginRange":"1048576","pricePerUnit":{"USD":"0.006"}},"2":{"beginRange":"0","pricePerUnit":{"USD":"0.01"}},"3":{"beginRange":"5242880","pricePerUnit":{"USD":"0.004"}}}}}}}`
	for _, c := range []struct {
		name    string
		list    list
		regions []string
		want    map[string]endpoints.Prices
		fails   string
	}{
		{"all Regions, over pages", list{"AmazonVPC": {
			endpoint("eu-north-1", "EUN1-VpcEndpoint-Hours", `"USD":"0.0110000000"`), endpoint("us-east-1", "VpcEndpoint-Hours", `"USD":"0.01"`), tiers,
		}, "AmazonEC2": {nat("us-east-1", "USE1-NatGateway-Hours", "AWS Region")}}, nil,
			map[string]endpoints.Prices{"eu-north-1": {Endpoint: 0.011, Data: 0.01}, "us-east-1": {Endpoint: 0.01, NAT: 0.05}}, ""},
		{"one Region", list{"AmazonVPC": {
			endpoint("eu-north-1", "EUN1-VpcEndpoint-Hours", `"USD":"0.0110000000"`), endpoint("us-east-1", "VpcEndpoint-Hours", `"USD":"0.01"`),
		}}, []string{"us-east-1"}, map[string]endpoints.Prices{"us-east-1": {Endpoint: 0.01}}, ""},
		{"other kinds of endpoints and of NAT gateways", list{"AmazonVPC": {
			endpoint("us-east-1", "USE1-VpcEndpoint-GWLBE-Hours", `"USD":"0.02"`), endpoint("us-east-1", "USE1-VpcResourceConsumer-Hours", `"USD":"0.02"`),
			endpoint("us-east-1", "USE1-VpcEndpoint-Hours", `"USD":"0.01"`), endpoint("us-east-1", "USE1-XVpcEndpoint-Hours", `"USD":"0.03"`),
		}, "AmazonEC2": {nat("us-east-1", "USE1-RegionalNatGateway-Hours", "AWS Region"), nat("us-east-1", "LAX1-NatGateway-Hours", "AWS Local Zone")}}, nil,
			map[string]endpoints.Prices{"us-east-1": {Endpoint: 0.01}}, ""},
		{"another currency", list{"AmazonVPC": {endpoint("cn-north-1", "CNN1-VpcEndpoint-Hours", `"CNY":"0.1"`), endpoint("us-east-1", "VpcEndpoint-Hours", `"USD":"0.01"`)}}, nil,
			map[string]endpoints.Prices{"us-east-1": {Endpoint: 0.01}}, ""},
		{"two prices", list{"AmazonVPC": {endpoint("us-east-1", "VpcEndpoint-Hours", `"USD":"0.01"`), endpoint("us-east-1", "USE1-VpcEndpoint-Hours", `"USD":"0.02"`)}}, nil,
			nil, "us-east-1 has two prices for VpcEndpoint-Hours, 0.01 and 0.02 USD"},
		{"no number", list{"AmazonVPC": {endpoint("us-east-1", "VpcEndpoint-Hours", `"USD":"free"`)}}, nil, nil, `invalid price "free"`},
		{"no JSON", list{"AmazonVPC": {`"productFamily":"VpcEndpoint" "endpointType":"PrivateLink"`}}, nil, nil, "read the Price List of AmazonVPC"},
		{"nothing", list{}, []string{"mars-1"}, nil, "no price of an interface endpoint for mars-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read(t.Context(), c.list, c.regions)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("Read = %v, %v, want an error with %q", got, err, c.fails)
				}
				return
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("Read = %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// TestKept saves Regions one after the other, and reads them over the table.
func TestKept(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	for _, region := range []string{"eu-north-1", "us-east-1"} {
		if _, err := Save(endpoints.PriceTable{region: {Prices: endpoints.Prices{Endpoint: 0.5}, Source: Source, Read: "2026-11-21"}}); err != nil {
			t.Fatal(err)
		}
	}
	table, err := Table()
	if err != nil || table["eu-north-1"].Endpoint != 0.5 || table["us-east-1"].Endpoint != 0.5 || table["us-west-2"].Endpoint != 0.01 {
		t.Errorf("Table = %v, %v", table, err)
	}
	path, err := file()
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the file lies %v, %v", left, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Table(); !strings.Contains(hint.Of(err), "delete the file") || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file is read with %v, want its path", err)
	}
}
