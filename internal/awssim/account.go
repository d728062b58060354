package awssim

import (
	"slices"
	"strings"
)

// quotas are the quotas that the sandbox knows: service, code, name, value.
//
// Source: the quotas' codes as Service Quotas shows them.
var quotas = []struct {
	service, code, name string
	value               float64
}{
	{"vpc", "L-29B6F2EB", "Interface VPC endpoints per VPC", 50},
	{"fargate", fargateQuota, "Fargate On-Demand vCPU resource count", 0}, // see vCPUQuota
}

// fargateQuota is the code of the quota of Fargate vCPUs.
const fargateQuota = "L-3032A538"

func (s *Sim) newQuotas() *service {
	return &service{name: "servicequotas", prefix: "ServiceQuotasV20190624", protocol: json11, ops: map[string]operation{"GetServiceQuota": op(s.getServiceQuota)}}
}

type quotaJSON struct {
	ServiceCode, ServiceName, QuotaArn, QuotaCode, QuotaName string
	Value                                                    float64
	Unit                                                     string
	Adjustable, GlobalQuota                                  bool
}

func (s *Sim) getServiceQuota(_ *call, in *struct{ ServiceCode, QuotaCode, ContextId string }) (*struct{ Quota quotaJSON }, error) {
	for _, q := range quotas {
		if q.service == in.ServiceCode && q.code == in.QuotaCode {
			if q.code == fargateQuota {
				q.value = s.vCPUQuota()
			}
			return &struct{ Quota quotaJSON }{quotaJSON{q.service, strings.ToUpper(q.service), s.arn("servicequotas", q.service+"/"+q.code), q.code, q.name, q.value, "None", true, false}}, nil
		}
	}
	return nil, errf("NoSuchResourceException", "")
}

type prefixListXML struct {
	ID      string `xml:"prefixListId"`
	Name    string `xml:"prefixListName"`
	Owner   string `xml:"ownerId"`
	ARN     string `xml:"prefixListArn"`
	Family  string `xml:"addressFamily"`
	State   string `xml:"state"`
	Entries int    `xml:"maxEntries"`
}

func (s *Sim) describeManagedPrefixLists(_ *call, in *struct {
	Filter     []filter
	PrefixList []string `query:"PrefixListId"`
	MaxResults int
	NextToken  string
}) (*struct {
	Lists items[prefixListXML] `xml:"prefixListSet"`
}, error) {
	out := &struct {
		Lists items[prefixListXML] `xml:"prefixListSet"`
	}{}
	for _, service := range []string{"dynamodb", "s3"} {
		name := s.endpointService(service)
		id := s.prefixList(name)
		keep := true
		for _, f := range in.Filter {
			switch f.Name {
			case "prefix-list-name":
				keep = keep && slices.Contains(f.Value, name)
			case "prefix-list-id":
				keep = keep && slices.Contains(f.Value, id)
			default:
				return nil, errf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
			}
		}
		if keep {
			out.Lists.Item = append(out.Lists.Item, prefixListXML{id, name, "AWS", s.partition() + "ec2:" + s.options.Region + ":aws:prefix-list/" + id, "IPv4", "create-complete", 1000})
		}
	}
	return out, nil
}

// LedgerResource is something that is there now and carries tags.
type LedgerResource struct {
	Type string            `json:"type"`
	ID   string            `json:"id"`
	Tags map[string]string `json:"tags"`
}

// tagged lists everything that is there now and carries tags: what stacks hold,
// endpoints and security groups of EC2 beside them, buckets.
func (s *Sim) tagged() []LedgerResource {
	out := []LedgerResource{}
	seen := map[string]bool{}
	add := func(kind, id string, tags []tag) {
		if len(tags) == 0 || seen[id] {
			return
		}
		seen[id] = true
		m := map[string]string{}
		for _, t := range tags {
			m[t.Key] = t.Value
		}
		out = append(out, LedgerResource{kind, id, m})
	}
	for _, st := range s.cfn.stacks {
		if st.status == "DELETE_COMPLETE" {
			continue
		}
		var own []tag
		for _, t := range st.tags {
			own = append(own, tag(t))
		}
		add("AWS::CloudFormation::Stack", st.id, own)
		for _, name := range sortedKeys(st.resources) {
			if r := st.resources[name]; r.physical != "" && r.status != "DELETE_COMPLETE" && r.status != "DELETE_SKIPPED" {
				add(r.kind, r.physical, stackTags(st, r))
			}
		}
	}
	for _, e := range s.ec2.endpoints {
		if e.deletedAt(s.clock.time()).IsZero() {
			add("AWS::EC2::VPCEndpoint", e.id, s.ec2.tags[e.id])
		}
	}
	for _, g := range s.ec2.groups {
		add("AWS::EC2::SecurityGroup", g.id, s.ec2.tags[g.id])
	}
	for _, name := range s.bucketNames() {
		var own []tag
		for _, t := range s.s3.buckets[name].tags {
			own = append(own, tag(t))
		}
		add("AWS::S3::Bucket", name, own)
	}
	return out
}

// describePrefixLists is the older call, which also names the addresses.
func (s *Sim) describePrefixLists(c *call, in *struct {
	Filter     []filter
	PrefixList []string `query:"PrefixListId"`
	MaxResults int
	NextToken  string
}) (*struct {
	Lists items[addressListXML] `xml:"prefixListSet"`
}, error) {
	managed, err := s.describeManagedPrefixLists(c, in)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Lists items[addressListXML] `xml:"prefixListSet"`
	}{}
	for _, l := range managed.Lists.Item {
		out.Lists.Item = append(out.Lists.Item, addressListXML{l.ID, l.Name, items[string]{[]string{"52.216.0.0/15"}}})
	}
	return out, nil
}

type addressListXML struct {
	ID    string        `xml:"prefixListId"`
	Name  string        `xml:"prefixListName"`
	CIDRs items[string] `xml:"cidrSet"`
}
