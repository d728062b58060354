package kernel

// These are the tags of resources created without a stack: queues, tables, log
// groups, clusters, image repositories, schedule groups. Each service has its own
// calls and shapes for them. EC2's, IAM's and S3's are with those services.

// TagResource adds tags to the resource arn.
func (s *Kernel) TagResource(arn string, tags map[string]string) {
	if s.Tags[arn] == nil {
		s.Tags[arn] = map[string]string{}
	}
	for k, v := range tags {
		s.Tags[arn][k] = v
	}
}

// UntagResource removes tags from the resource arn.
func (s *Kernel) UntagResource(arn string, keys []string) {
	for _, k := range keys {
		delete(s.Tags[arn], k)
	}
}

// TagList is the form in which most services accept tags.
type TagList []Tag

// ByKey returns the tags as a map.
func (l TagList) ByKey() map[string]string {
	m := map[string]string{}
	for _, t := range l {
		m[t.Key] = t.Value
	}
	return m
}

// TagList returns the tags of the resource arn, in order of their keys.
func (s *Kernel) TagList(arn string) TagList {
	l := TagList{}
	for _, k := range SortedKeys(s.Tags[arn]) {
		l = append(l, Tag{k, s.Tags[arn][k]})
	}
	return l
}
