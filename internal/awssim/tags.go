package awssim

import (
	"net/http"
	"strings"
)

// Tags of what is made without a stack: queues, tables, log groups, clusters, image
// repositories, schedule groups. Each service has its own calls and shapes for them.
// EC2's, IAM's and S3's are with those services.

// tagResource adds tags to the resource arn.
func (s *Sim) tagResource(arn string, tags map[string]string) {
	if s.tags[arn] == nil {
		s.tags[arn] = map[string]string{}
	}
	for k, v := range tags {
		s.tags[arn][k] = v
	}
}

func (s *Sim) untagResource(arn string, keys []string) {
	for _, k := range keys {
		delete(s.tags[arn], k)
	}
}

// tagList is the form in which most services take tags.
type tagList []cfnTag

func (l tagList) byKey() map[string]string {
	m := map[string]string{}
	for _, t := range l {
		m[t.Key] = t.Value
	}
	return m
}

func (s *Sim) tagList(arn string) tagList {
	l := tagList{}
	for _, k := range sortedKeys(s.tags[arn]) {
		l = append(l, cfnTag{k, s.tags[arn][k]})
	}
	return l
}

// ecsTags is the same list with the small letters of ECS.
func (s *Sim) ecsTags(arn string) []ecsTag {
	l := []ecsTag{}
	for _, t := range s.tagList(arn) {
		l = append(l, ecsTag(t))
	}
	return l
}

type tagMap struct {
	Tags map[string]string `json:"tags"`
}

func (s *Sim) listQueueTags(_ *call, in *struct{ QueueUrl string }) (*struct {
	Tags map[string]string `json:",omitempty"`
}, error) {
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return &struct {
		Tags map[string]string `json:",omitempty"`
	}{s.tags[q.arn(s)]}, nil
}

func (s *Sim) tagQueue(_ *call, in *struct {
	QueueUrl string
	Tags     map[string]string
}) (*none, error) {
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	s.tagResource(q.arn(s), in.Tags)
	return &none{}, nil
}

func (s *Sim) untagQueue(_ *call, in *struct {
	QueueUrl string
	TagKeys  []string
}) (*none, error) {
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	s.untagResource(q.arn(s), in.TagKeys)
	return &none{}, nil
}

func (s *Sim) listTableTags(_ *call, in *struct{ ResourceArn, NextToken string }) (*struct{ Tags tagList }, error) {
	t, err := s.dynamoTable(in.ResourceArn)
	if err != nil {
		return nil, errf("ResourceNotFoundException", "Requested resource not found: ResourcArn: %s not found", in.ResourceArn)
	}
	return &struct{ Tags tagList }{s.tagList(s.tableARN(t.name))}, nil
}

func (s *Sim) tagTable(_ *call, in *struct {
	ResourceArn string
	Tags        tagList
}) (*none, error) {
	t, err := s.dynamoTable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.tagResource(s.tableARN(t.name), in.Tags.byKey())
	return &none{}, nil
}

func (s *Sim) untagTable(_ *call, in *struct {
	ResourceArn string
	TagKeys     []string
}) (*none, error) {
	t, err := s.dynamoTable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.untagResource(s.tableARN(t.name), in.TagKeys)
	return &none{}, nil
}

// logGroupByARN finds a log group by its ARN, with or without the star at its end.
func (s *Sim) logGroupByARN(arn string) (*logGroup, error) {
	_, name, _ := strings.Cut(arn, ":log-group:")
	if g := s.logGroup(strings.TrimSuffix(name, ":*")); g != nil {
		return g, nil
	}
	return nil, noLogGroup
}

func (s *Sim) logGroupARN(g *logGroup) string { return s.arn("logs", "log-group:"+g.name) }

func (s *Sim) listLogTags(_ *call, in *struct{ ResourceArn string }) (*tagMap, error) {
	g, err := s.logGroupByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags := s.tags[s.logGroupARN(g)]
	if tags == nil {
		tags = map[string]string{}
	}
	return &tagMap{tags}, nil
}

func (s *Sim) tagLogs(_ *call, in *struct {
	ResourceArn string
	Tags        map[string]string
}) (*none, error) {
	g, err := s.logGroupByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.tagResource(s.logGroupARN(g), in.Tags)
	return &none{}, nil
}

func (s *Sim) untagLogs(_ *call, in *struct {
	ResourceArn string
	TagKeys     []string
}) (*none, error) {
	g, err := s.logGroupByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.untagResource(s.logGroupARN(g), in.TagKeys)
	return &none{}, nil
}

type ecsTagsInput struct {
	ResourceArn string
	Tags        []ecsTag
	TagKeys     []string
}

// ecsTagged refuses an ARN of ECS at which there is nothing to tag.
func (s *Sim) ecsTagged(arn string) error {
	_, resource, _ := strings.Cut(arn, s.options.Account+":")
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case "cluster":
		_, err := s.clusterName(name)
		return err
	case "task-definition":
		if find(s.ecs.definitions, func(d *taskDefinition) bool { return d.arn(s) == arn }) != nil {
			return nil
		}
	case "task":
		if find(s.ecs.tasks, func(t *task) bool { return t.arn == arn }) != nil {
			return nil
		}
	}
	return errf("InvalidParameterException", "The specified resource is not found: %s", arn)
}

func (s *Sim) listECSTags(_ *call, in *ecsTagsInput) (*struct {
	Tags []ecsTag `json:"tags"`
}, error) {
	if err := s.ecsTagged(in.ResourceArn); err != nil {
		return nil, err
	}
	return &struct {
		Tags []ecsTag `json:"tags"`
	}{s.ecsTags(in.ResourceArn)}, nil
}

func (s *Sim) tagECS(_ *call, in *ecsTagsInput) (*none, error) {
	if err := s.ecsTagged(in.ResourceArn); err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		s.tagResource(in.ResourceArn, map[string]string{t.Key: t.Value})
	}
	return &none{}, nil
}

func (s *Sim) untagECS(_ *call, in *ecsTagsInput) (*none, error) {
	if err := s.ecsTagged(in.ResourceArn); err != nil {
		return nil, err
	}
	s.untagResource(in.ResourceArn, in.TagKeys)
	return &none{}, nil
}

// listScheduleTags answers for schedule groups: schedules themselves carry no tags.
func (s *Sim) listScheduleTags(c *call, _ *none) (*struct{ Tags tagList }, error) {
	return &struct{ Tags tagList }{s.tagList(c.pathName())}, nil
}

// alarmByARN returns an error that names what is not there.
func (s *Sim) alarmByARN(arn string) error {
	name := arn[strings.LastIndex(arn, ":")+1:]
	if a := s.alarm(name); a == nil || arn != s.alarmARN(name) {
		return errf("ResourceNotFoundException", "Unknown resource: %s", arn).status(http.StatusNotFound)
	}
	return nil
}

func (s *Sim) listAlarmTags(_ *call, in *struct{ ResourceARN string }) (*struct{ Tags tagList }, error) {
	if err := s.alarmByARN(in.ResourceARN); err != nil {
		return nil, err
	}
	return &struct{ Tags tagList }{s.tagList(in.ResourceARN)}, nil
}

func (s *Sim) tagAlarm(_ *call, in *struct {
	ResourceARN string
	Tags        tagList
}) (*none, error) {
	if err := s.alarmByARN(in.ResourceARN); err != nil {
		return nil, err
	}
	s.tagResource(in.ResourceARN, in.Tags.byKey())
	return &none{}, nil
}

func (s *Sim) untagAlarm(_ *call, in *struct {
	ResourceARN string
	TagKeys     []string
}) (*none, error) {
	if err := s.alarmByARN(in.ResourceARN); err != nil {
		return nil, err
	}
	s.untagResource(in.ResourceARN, in.TagKeys)
	return &none{}, nil
}
