// Package route53 simulates Route 53: the private hosted zones of a VPC.
package route53

import (
	"encoding/xml"
	"net/http"
	"strings"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// zoneQuestions returns the IAM questions of a call to Route 53.
func zoneQuestions(c *kernel.Call) []kernel.Question {
	return []kernel.Question{kernel.May(c.Permission(), "*"), kernel.May("ec2:DescribeVpcs", "*")}
}

// Service is the simulated Route 53.
type Service struct {
	*kernel.Kernel
	ec2 *ec2.Service
}

// New puts the service into an account.
func New(k *kernel.Kernel, ec2 *ec2.Service) *Service {
	s := &Service{Kernel: k, ec2: ec2}
	k.Register(&kernel.API{
		Name: "route53", Route: route53Action, Asks: zoneQuestions, Protocol: kernel.RESTXML,
		XMLNS: "https://route53.amazonaws.com/doc/2013-04-01/",
		Ops:   map[string]kernel.Operation{"ListHostedZonesByVPC": s.listHostedZonesByVPC},
	})
	return s
}

// route53Action finds the operation by method and path.
func route53Action(r *http.Request, parts []string) string {
	if r.Method == http.MethodGet && len(parts) == 2 && parts[1] == "hostedzonesbyvpc" {
		return "ListHostedZonesByVPC"
	}
	return ""
}

type hostedZonesXML struct {
	XMLName  xml.Name            `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ListHostedZonesByVPCResponse"`
	Zones    []hostedZoneSummary `xml:"HostedZoneSummaries>HostedZoneSummary"`
	MaxItems int                 `xml:"MaxItems"`
}

type hostedZoneSummary struct {
	ID    string `xml:"HostedZoneId"`
	Name  string `xml:"Name"`
	Owner struct {
		Account string `xml:"OwningAccount,omitempty"`
		Service string `xml:"OwningService,omitempty"`
	} `xml:"Owner"`
}

func (s *Service) listHostedZonesByVPC(c *kernel.Call) (any, error) {
	q := c.Request.URL.Query()
	for k := range q {
		if k != "vpcid" && k != "vpcregion" && k != "maxitems" {
			return nil, c.Unsupported(k)
		}
	}
	if q.Get("vpcregion") == "" || s.ec2.VPC(q.Get("vpcid")) == nil {
		return nil, kernel.Errorf("InvalidInput", "The VPC %s in that Region is not there, or not yours",
			q.Get("vpcid"))
	}
	out := hostedZonesXML{MaxItems: 100}
	for _, z := range s.ec2.HostedZones {
		if z.VPC == q.Get("vpcid") {
			x := hostedZoneSummary{ID: z.ID, Name: z.Name + "."}
			x.Owner.Account = z.Account
			out.Zones = append(out.Zones, x)
		}
	}
	for _, e := range s.ec2.Endpoints { // the zones that EC2 keeps for endpoints
		if e.PrivateDNS && e.VPC == q.Get("vpcid") && e.State(s.Clock.Now()) != "" {
			x := hostedZoneSummary{
				ID:   "Z" + strings.ToUpper(s.Digest("zone"+e.Service, 13)),
				Name: strings.TrimPrefix(s.ec2.PrivateDNSName(e.Service), "*.") + ".",
			}
			x.Owner.Service = "vpce.amazonaws.com"
			out.Zones = append(out.Zones, x)
		}
	}
	body, err := xml.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/xml"},
		Body: append([]byte(xml.Header), body...),
	}, nil
}
