package ec2

import (
	"fmt"
	"slices"

	"drawbridge/internal/awssim/kernel"
)

// ACL is a network ACL other than the default one of its VPC, which lets everything
// through: it lets HTTPS out of its subnets nowhere.
type ACL struct {
	ID, VPC string
	Subnets []string
}

// denied is the number of the rule by which an ACL denies, last that of the rule that no
// ACL is without.
const denied, last = 90, 32767

type aclXML struct {
	ID           string                          `xml:"networkAclId"`
	VpcID        string                          `xml:"vpcId"`
	Default      bool                            `xml:"default"`
	OwnerID      string                          `xml:"ownerId"`
	Entries      kernel.Items[aclEntryXML]       `xml:"entrySet"`
	Associations kernel.Items[aclAssociationXML] `xml:"associationSet"`
	Tags         kernel.Items[Tag]               `xml:"tagSet"`
}

type aclEntryXML struct {
	CIDR     string   `xml:"cidrBlock"`
	Egress   bool     `xml:"egress"`
	Protocol string   `xml:"protocol"`
	Action   string   `xml:"ruleAction"`
	Number   int      `xml:"ruleNumber"`
	Ports    *portXML `xml:"portRange,omitempty"`
}

type portXML struct {
	From int `xml:"from"`
	To   int `xml:"to"`
}

type aclAssociationXML struct {
	ID     string `xml:"networkAclAssociationId"`
	ACL    string `xml:"networkAclId"`
	Subnet string `xml:"subnetId"`
}

// CloseSubnet puts a network ACL on a subnet that lets no HTTPS out.
func (s *Network) CloseSubnet(id string) {
	s.ACLs = append(s.ACLs, &ACL{"acl-" + s.NewID("acl", 17), s.Subnet(id).VPC, []string{id}})
}

// closed reports whether the ACL of a subnet lets no HTTPS out to another one.
func (s *Network) closed(subnet string, to []string) bool {
	return !slices.Contains(to, subnet) && slices.ContainsFunc(s.ACLs, func(a *ACL) bool {
		return slices.Contains(a.Subnets, subnet)
	})
}

func (s *Network) describeACLs(_ *kernel.Call, in *struct {
	NetworkACLID []string `query:"NetworkAclId"`
	Filter       []filter
	pages
}) (*struct {
	ACLs kernel.Items[aclXML] `xml:"networkAclSet"`
}, error) {
	out := &struct {
		ACLs kernel.Items[aclXML] `xml:"networkAclSet"`
	}{}
	add := func(id, vpc string, normal bool, subnets []string, entries ...aclEntryXML) error {
		ok, err := matches(in.Filter, s.Tags[id], map[string][]string{
			"vpc-id": {vpc}, "network-acl-id": {id}, "association.subnet-id": subnets, "default": {fmt.Sprint(normal)},
		})
		if err != nil || !ok || len(in.NetworkACLID) > 0 && !slices.Contains(in.NetworkACLID, id) {
			return err
		}
		x := aclXML{ID: id, VpcID: vpc, Default: normal, OwnerID: s.Options.Account}
		for _, egress := range []bool{true, false} {
			entries = append(entries, aclEntryXML{"0.0.0.0/0", egress, "-1", "allow", 100, nil},
				aclEntryXML{"0.0.0.0/0", egress, "-1", "deny", last, nil})
		}
		x.Entries.Item = entries
		for _, n := range subnets {
			x.Associations.Item = append(x.Associations.Item, aclAssociationXML{
				"aclassoc-" + s.Digest(id+n, 17), id, n,
			})
		}
		out.ACLs.Item = append(out.ACLs.Item, x)
		return nil
	}
	for _, v := range s.vpcs {
		var rest []string
		for _, n := range s.Subnets {
			if n.VPC == v.ID && !s.closed(n.ID, nil) {
				rest = append(rest, n.ID)
			}
		}
		if err := add("acl-"+s.Digest("default "+v.ID, 17), v.ID, true, rest); err != nil {
			return nil, err
		}
	}
	for _, a := range s.ACLs {
		https := aclEntryXML{"0.0.0.0/0", true, "6", "deny", denied, &portXML{443, 443}}
		if err := add(a.ID, a.VPC, false, a.Subnets, https); err != nil {
			return nil, err
		}
	}
	return out, nil
}
