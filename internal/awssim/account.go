package awssim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func (s *Sim) newECR() *service {
	s.images = map[string][]string{}
	return &service{name: "ecr", prefix: "AmazonEC2ContainerRegistry_V20150921", protocol: json11, ops: map[string]operation{"DescribeImages": op(s.describeImages)}}
}

type imageJSON struct {
	RegistryID     string   `json:"registryId"`
	RepositoryName string   `json:"repositoryName"`
	ImageDigest    string   `json:"imageDigest"`
	ImageTags      []string `json:"imageTags"`
}

func (s *Sim) describeImages(_ *call, in *struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
	ImageIDs       []struct {
		ImageTag    string `json:"imageTag"`
		ImageDigest string `json:"imageDigest"`
	} `json:"imageIds"`
	NextToken  string `json:"nextToken"`
	MaxResults int    `json:"maxResults"`
}) (*struct {
	ImageDetails []imageJSON `json:"imageDetails"`
}, error) {
	tags, ok := s.images[in.RepositoryName]
	if !ok {
		return nil, errf("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", in.RepositoryName, s.options.Account)
	}
	out := &struct {
		ImageDetails []imageJSON `json:"imageDetails"`
	}{[]imageJSON{}}
	for _, tag := range tags {
		out.ImageDetails = append(out.ImageDetails, imageJSON{s.options.Account, in.RepositoryName, "sha256:" + s.digest(in.RepositoryName+tag, 64), []string{tag}})
	}
	for _, id := range in.ImageIDs {
		if !slices.Contains(tags, id.ImageTag) {
			return nil, errf("ImageNotFoundException", "The image with imageId {imageDigest:'null', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'", id.ImageTag, in.RepositoryName, s.options.Account)
		}
	}
	return out, nil
}

// quotas are the quotas that the sandbox knows: service, code, name, value.
//
// Source: the quotas' codes as Service Quotas shows them.
var quotas = []struct {
	service, code, name string
	value               float64
}{
	{"vpc", "L-29B6F2EB", "Interface VPC endpoints per VPC", 50},
	{"fargate", "L-3032A538", "Fargate On-Demand vCPU resource count", 6},
}

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
		name := "com.amazonaws." + s.options.Region + "." + service
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
			out.Lists.Item = append(out.Lists.Item, prefixListXML{id, name, "AWS", "arn:aws:ec2:" + s.options.Region + ":aws:prefix-list/" + id, "IPv4", "create-complete", 1000})
		}
	}
	return out, nil
}

// deniedBy returns the error of a call that the fault deny refuses: the action
// that the fault names is missing in the caller's policies.
func (s *Sim) deniedBy(c *call) *apiError {
	denied, on := s.faultOn("deny")
	service := c.service.name
	if service == "monitoring" {
		service = "cloudwatch"
	}
	action := service + ":" + c.action
	if !on || !strings.EqualFold(denied, action) {
		return nil
	}
	text := fmt.Sprintf("User: %s is not authorized to perform: %s because no identity-based policy allows the %s action", s.callerARN(c), action, action)
	switch c.service.name {
	case "ec2":
		return errf("UnauthorizedOperation", "You are not authorized to perform this operation. %s", text).status(http.StatusForbidden)
	case "cloudformation", "iam", "sts", "s3", "route53":
		return errf("AccessDenied", "%s", text).status(http.StatusForbidden)
	case "sqs":
		e := errf("AccessDeniedException", "%s", text).status(http.StatusForbidden)
		e.QueryCode = "AccessDenied"
		return e
	case "lambda", "scheduler":
		return errf("AccessDeniedException", "%s", text).status(http.StatusForbidden)
	}
	return errf("AccessDeniedException", "%s", text)
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
		add("AWS::S3::Bucket", name, s.s3.buckets[name].tags)
	}
	return out
}
