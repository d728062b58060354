package ec2

import (
	"slices"

	"drawbridge/internal/awssim/kernel"
)

type prefixListXML struct {
	ID      string `xml:"prefixListId"`
	Name    string `xml:"prefixListName"`
	Owner   string `xml:"ownerId"`
	ARN     string `xml:"prefixListArn"`
	Family  string `xml:"addressFamily"`
	State   string `xml:"state"`
	Entries int    `xml:"maxEntries"`
}

func (s *Service) describeManagedPrefixLists(_ *kernel.Call, in *struct {
	Filter     []filter
	PrefixList []string `query:"PrefixListId"`
	MaxResults int
	NextToken  string
}) (*struct {
	Lists kernel.Items[prefixListXML] `xml:"prefixListSet"`
}, error) {
	out := &struct {
		Lists kernel.Items[prefixListXML] `xml:"prefixListSet"`
	}{}
	for _, service := range []string{"dynamodb", "s3"} {
		name := s.EndpointService(service)
		id := s.PrefixList(name)
		keep := true
		for _, f := range in.Filter {
			switch f.Name {
			case "prefix-list-name":
				keep = keep && slices.Contains(f.Value, name)
			case "prefix-list-id":
				keep = keep && slices.Contains(f.Value, id)
			default:
				return nil, kernel.Errorf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
			}
		}
		if keep {
			out.Lists.Item = append(out.Lists.Item, prefixListXML{
				id, name, "AWS", s.Partition() + "ec2:" + s.Options.Region + ":aws:prefix-list/" + id, "IPv4",
				"create-complete", 1000,
			})
		}
	}
	return out, nil
}

// describePrefixLists is the older call, which also returns the addresses.
func (s *Service) describePrefixLists(c *kernel.Call, in *struct {
	Filter     []filter
	PrefixList []string `query:"PrefixListId"`
	MaxResults int
	NextToken  string
}) (*struct {
	Lists kernel.Items[addressListXML] `xml:"prefixListSet"`
}, error) {
	managed, err := s.describeManagedPrefixLists(c, in)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Lists kernel.Items[addressListXML] `xml:"prefixListSet"`
	}{}
	for _, l := range managed.Lists.Item {
		out.Lists.Item = append(out.Lists.Item, addressListXML{
			l.ID, l.Name, kernel.Items[string]{Item: []string{"52.216.0.0/15"}},
		})
	}
	return out, nil
}

type addressListXML struct {
	ID    string               `xml:"prefixListId"`
	Name  string               `xml:"prefixListName"`
	CIDRs kernel.Items[string] `xml:"cidrSet"`
}
