package awssim

import (
	"encoding/xml"
	"net/http"
	"strings"
)

// hostedZone is a private hosted zone of Route 53 with the VPC that it is tied to.
type hostedZone struct{ id, name, vpc, account string }

func (s *Sim) newRoute53() *service {
	return &service{name: "route53", route: route53Action, asks: zoneQuestions, protocol: restXML, ops: map[string]operation{"ListHostedZonesByVPC": s.listHostedZonesByVPC}}
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

func (s *Sim) listHostedZonesByVPC(c *call) (any, error) {
	q := c.request.URL.Query()
	for k := range q {
		if k != "vpcid" && k != "vpcregion" && k != "maxitems" {
			return nil, c.unsupported(k)
		}
	}
	if q.Get("vpcregion") == "" || s.vpc(q.Get("vpcid")) == nil {
		return nil, errf("InvalidInput", "The VPC %s in that Region is not there, or not yours", q.Get("vpcid"))
	}
	out := hostedZonesXML{MaxItems: 100}
	for _, z := range s.ec2.hostedZones {
		if z.vpc == q.Get("vpcid") {
			x := hostedZoneSummary{ID: z.id, Name: z.name + "."}
			x.Owner.Account = z.account
			out.Zones = append(out.Zones, x)
		}
	}
	for _, e := range s.ec2.endpoints { // the zones that EC2 keeps for endpoints
		if e.privateDNS && e.vpc == q.Get("vpcid") && e.state(s.clock.time()) != "" {
			x := hostedZoneSummary{ID: "Z" + strings.ToUpper(s.digest("zone"+e.service, 13)), Name: strings.TrimPrefix(s.privateDNSName(e.service), "*.") + "."}
			x.Owner.Service = "vpce.amazonaws.com"
			out.Zones = append(out.Zones, x)
		}
	}
	body, err := xml.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "text/xml"}, body: append([]byte(xml.Header), body...)}, nil
}

// AddHostedZone ties a private hosted zone of an account to a VPC. What asks for
// its name is answered by something that works.
func (s *Sim) AddHostedZone(id, name, vpc, account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ec2.hostedZones = append(s.ec2.hostedZones, &hostedZone{id, name, vpc, account})
}

// zoneOf returns the hosted zone of a VPC that answers for an endpoint service.
func (s *Sim) zoneOf(service, vpc string) *hostedZone {
	name := strings.TrimPrefix(s.privateDNSName(service), "*.")
	return find(s.ec2.hostedZones, func(z *hostedZone) bool { return z.vpc == vpc && z.name == name })
}
