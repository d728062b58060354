package awssim

import (
	"drawbridge/internal/awssim/cloudformation"
	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// LedgerResource is an existing resource with tags.
type LedgerResource struct {
	Type string            `json:"type"`
	ID   string            `json:"id"`
	Tags map[string]string `json:"tags"`
}

// tagged lists all existing resources with tags: those of stacks, other
// endpoints and security groups, and buckets.
func (s *Sim) tagged() []LedgerResource {
	out := []LedgerResource{}
	seen := map[string]bool{}
	add := func(kind, id string, tags []ec2.Tag) {
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
	for _, st := range s.cloudformation.Stacks {
		if st.Status == "DELETE_COMPLETE" {
			continue
		}
		var own []ec2.Tag
		for _, t := range st.Tags {
			own = append(own, ec2.Tag(t))
		}
		add("AWS::CloudFormation::Stack", st.ID, own)
		for _, name := range kernel.SortedKeys(st.Resources) {
			if r := st.Resources[name]; r.Physical != "" && r.Status != "DELETE_COMPLETE" &&
				r.Status != "DELETE_SKIPPED" {
				add(r.Kind, r.Physical, cloudformation.StackTags(st, r))
			}
		}
	}
	for _, e := range s.ec2.Endpoints {
		if e.DeletedAt(s.Clock.Now()).IsZero() {
			add("AWS::EC2::VPCEndpoint", e.ID, s.ec2.Tags[e.ID])
		}
	}
	for _, g := range s.ec2.Groups {
		add("AWS::EC2::SecurityGroup", g.ID, s.ec2.Tags[g.ID])
	}
	for _, name := range s.s3.BucketNames() {
		var own []ec2.Tag
		for _, t := range s.s3.Buckets[name].Tags {
			own = append(own, ec2.Tag(t))
		}
		add("AWS::S3::Bucket", name, own)
	}
	return out
}

// Steal returns the access key of a function's environment, as somebody has it who got into its
// process; "" if none is there. Its secret is that of every key here.
func (s *Sim) Steal(function string) string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.lambda.Steal(function)
}
