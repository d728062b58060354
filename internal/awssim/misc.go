package awssim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// iamState is IAM as far as roles must exist.
type iamState struct {
	roles   []*role
	managed map[string]string // managed policies by ARN
	// named are the roles that a managed policy names, by the policy's ARN.
	named map[string][]string
	// parsed are the statements of policies, by the policy's text.
	parsed map[string][]statement
}

type role struct {
	name, id, arn, trust, boundary string
	created                        time.Time
	policies                       map[string]string
	tags                           []cfnTag
	// judged says that the role may do what its policies allow, none included.
	judged bool
}

func (s *Sim) newIAM() *service {
	s.iam = &iamState{managed: map[string]string{}, named: map[string][]string{}, parsed: map[string][]statement{}}
	s.judge = s.authorise
	return &service{name: "iam", protocol: query, xmlns: "https://iam.amazonaws.com/doc/2010-05-08/", ops: map[string]operation{
		"CreateRole":       op(s.createRole),
		"GetRole":          op(s.getRole),
		"DeleteRole":       op(s.deleteRole),
		"ListRoles":        op(s.listRoles),
		"PutRolePolicy":    op(s.putRolePolicy),
		"GetRolePolicy":    op(s.getRolePolicy),
		"DeleteRolePolicy": op(s.deleteRolePolicy),

		"CreateServiceLinkedRole":  op(s.createServiceLinkedRole),
		"ListAttachedRolePolicies": op(s.listAttachedRolePolicies),
		"AttachRolePolicy":         op(s.attachRolePolicy),
		"DetachRolePolicy":         op(s.detachRolePolicy),
		"ListRolePolicies":         op(s.listRolePolicies),
		"ListRoleTags":             op(s.listRoleTags),
		"TagRole":                  op(s.tagRole),
		"UntagRole":                op(s.untagRole),
		"UpdateAssumeRolePolicy":   op(s.updateTrust),

		"ListInstanceProfilesForRole": op(s.listInstanceProfiles),
	}}
}

// ecsRole is the service-linked role of ECS.
const ecsRole = "AWSServiceRoleForECS"

// linkECS makes ECS's service-linked role, which can be assumed a while later.
func (s *Sim) linkECS() *role {
	r := s.addRole(ecsRole, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	r.arn = s.globalARN("iam", "role/aws-service-role/ecs.amazonaws.com/"+ecsRole)
	return r
}

// linkTakes is how long a service-linked role that was just made cannot be assumed.
const linkTakes = 8 * time.Second

// ecsLinked refuses what ECS cannot do without its service-linked role. In an account
// that never used ECS the first request makes the role, and comes too soon for it.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#818
func (s *Sim) ecsLinked() error {
	r := s.role(ecsRole)
	if r == nil {
		r = s.linkECS()
	}
	if !r.created.IsZero() && s.clock.time().Sub(r.created) < linkTakes {
		return bad("Unable to assume the service linked role. Please verify that the ECS service linked role exists.")
	}
	return nil
}

func (s *Sim) createServiceLinkedRole(_ *call, in *struct{ AWSServiceName, Description, CustomSuffix string }) (*struct{ Role roleXML }, error) {
	if in.AWSServiceName != "ecs.amazonaws.com" {
		return nil, errf("InvalidInput", "Service role name for %s is not simulated.", in.AWSServiceName)
	}
	if s.role(ecsRole) != nil {
		return nil, errf("InvalidInput", "Service role name %s has been taken in this account, please try a different suffix.", ecsRole)
	}
	return &struct{ Role roleXML }{s.linkECS().xml()}, nil
}

type attachedPolicyXML struct{ PolicyArn, PolicyName string }

func (s *Sim) listAttachedRolePolicies(_ *call, in *struct {
	RoleName, PathPrefix, Marker string
	MaxItems                     int
}) (*struct {
	Policies    members[attachedPolicyXML] `xml:"AttachedPolicies"`
	IsTruncated bool
}, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	out := &struct {
		Policies    members[attachedPolicyXML] `xml:"AttachedPolicies"`
		IsTruncated bool
	}{}
	for _, name := range sortedKeys(r.policies) {
		if strings.HasPrefix(name, "arn:") {
			out.Policies.Member = append(out.Policies.Member, attachedPolicyXML{name, name[strings.LastIndex(name, "/")+1:]})
		}
	}
	return out, nil
}

func (s *Sim) listRolePolicies(_ *call, in *struct {
	RoleName, Marker string
	MaxItems         int
}) (*struct {
	PolicyNames members[string]
	IsTruncated bool
}, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	out := &struct {
		PolicyNames members[string]
		IsTruncated bool
	}{}
	for _, name := range sortedKeys(r.policies) {
		if !strings.HasPrefix(name, "arn:") {
			out.PolicyNames.Member = append(out.PolicyNames.Member, name)
		}
	}
	return out, nil
}

func (s *Sim) listRoleTags(_ *call, in *struct {
	RoleName, Marker string
	MaxItems         int
}) (*struct {
	Tags        members[cfnTag]
	IsTruncated bool
}, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	return &struct {
		Tags        members[cfnTag]
		IsTruncated bool
	}{members[cfnTag]{r.tags}, false}, nil
}

func (s *Sim) tagRole(_ *call, in *struct {
	RoleName string
	Tags     []cfnTag
}) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	for _, t := range in.Tags {
		r.tags = append(slices.DeleteFunc(r.tags, func(x cfnTag) bool { return x.Key == t.Key }), t)
	}
	return &none{}, nil
}

func (s *Sim) untagRole(_ *call, in *struct {
	RoleName string
	TagKeys  []string
}) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	r.tags = slices.DeleteFunc(r.tags, func(x cfnTag) bool { return slices.Contains(in.TagKeys, x.Key) })
	return &none{}, nil
}

func (s *Sim) updateTrust(_ *call, in *struct{ RoleName, PolicyDocument string }) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	if err := checkTrust(in.PolicyDocument); err != nil {
		return nil, err
	}
	r.trust = in.PolicyDocument
	return &none{}, nil
}

// listInstanceProfiles answers with none: the sandbox has no instances.
func (s *Sim) listInstanceProfiles(_ *call, in *struct {
	RoleName, Marker string
	MaxItems         int
}) (*struct {
	Profiles    members[string] `xml:"InstanceProfiles"`
	IsTruncated bool
}, error) {
	if s.role(in.RoleName) == nil {
		return nil, noRole(in.RoleName)
	}
	return &struct {
		Profiles    members[string] `xml:"InstanceProfiles"`
		IsTruncated bool
	}{}, nil
}

func (s *Sim) role(name string) *role {
	return find(s.iam.roles, func(r *role) bool { return r.name == name || r.arn == name })
}

func (s *Sim) addRole(name, trust string) *role {
	r := &role{name: name, id: "AROA" + strings.ToUpper(s.id("role", 16)), arn: s.globalARN("iam", "role/"+name), trust: trust, created: s.clock.time(), policies: map[string]string{}}
	s.iam.roles = append(s.iam.roles, r)
	return r
}

// AddRole puts a role that service may assume into the account and returns its
// ARN.
func (s *Sim) AddRole(name, service string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addRole(name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"`+service+`"},"Action":"sts:AssumeRole"}]}`).arn
}

// roleServes says whether there is such a role and the service may assume it.
func (s *Sim) roleServes(arn, service string) bool {
	r := s.role(arn)
	return r != nil && strings.Contains(r.trust, service)
}

type roleXML struct {
	Path       string
	RoleName   string
	RoleID     string `xml:"RoleId"`
	Arn        string
	CreateDate stamp
	Trust      string `xml:"AssumeRolePolicyDocument"`
	Longest    int    `xml:"MaxSessionDuration"` // in seconds
	Tags       *members[cfnTag]
}

func (r *role) xml() roleXML {
	x := roleXML{"/", r.name, r.id, r.arn, stamp{r.created}, strings.ReplaceAll(r.trust, `"`, "%22"), 3600, nil}
	if len(r.tags) > 0 {
		x.Tags = &members[cfnTag]{r.tags}
	}
	return x
}

func noRole(name string) *apiError {
	return errf("NoSuchEntity", "The role with name %s cannot be found.", name).status(http.StatusNotFound)
}

func (s *Sim) createRole(_ *call, in *struct {
	RoleName, AssumeRolePolicyDocument, Path, Description, PermissionsBoundary string
	MaxSessionDuration                                                         int
	Tags                                                                       []cfnTag
}) (*struct{ Role roleXML }, error) {
	if s.role(in.RoleName) != nil {
		return nil, errf("EntityAlreadyExists", "Role with name %s already exists.", in.RoleName).status(http.StatusConflict)
	}
	if err := checkTrust(in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	r := s.addRole(in.RoleName, in.AssumeRolePolicyDocument)
	r.tags = in.Tags
	return &struct{ Role roleXML }{r.xml()}, nil
}

// checkTrust refuses a trust policy that IAM refuses.
func checkTrust(document string) error {
	var policy struct {
		Statement []struct {
			Effect, Sid       string
			Principal, Action any
			Resource          any
		}
	}
	bad := func(why string) error { return errf("MalformedPolicyDocument", "%s", why) }
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return bad("Syntax errors in policy.")
	}
	if len(policy.Statement) == 0 {
		return bad("Could not parse the policy: Statement is empty!")
	}
	for _, st := range policy.Statement {
		switch {
		case st.Effect != "Allow" && st.Effect != "Deny":
			return bad("Invalid effect: " + st.Effect)
		case st.Principal == nil:
			return bad("Missing required field Principal")
		case st.Action == nil:
			return bad("Missing required field Action")
		case st.Resource != nil:
			return bad("Has prohibited field Resource")
		case !strings.Contains(fmt.Sprint(st.Action), "sts:"):
			return bad("AssumeRole policy may only specify STS AssumeRole actions.")
		}
	}
	return nil
}

func (s *Sim) getRole(_ *call, in *struct{ RoleName string }) (*struct{ Role roleXML }, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	return &struct{ Role roleXML }{r.xml()}, nil
}

func (s *Sim) deleteRole(_ *call, in *struct{ RoleName string }) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	if names := sortedKeys(r.policies); len(names) > 0 {
		first := "delete"
		if strings.HasPrefix(names[0], "arn:") {
			first = "detach all"
		}
		return nil, errf("DeleteConflict", "Cannot delete entity, must %s policies first.", first).status(http.StatusConflict)
	}
	s.iam.roles = slices.DeleteFunc(s.iam.roles, func(x *role) bool { return x == r })
	return &none{}, nil
}

func (s *Sim) listRoles(_ *call, _ *struct {
	PathPrefix, Marker string
	MaxItems           int
}) (*struct {
	Roles       members[roleXML]
	IsTruncated bool
}, error) {
	out := &struct {
		Roles       members[roleXML]
		IsTruncated bool
	}{}
	for _, r := range s.iam.roles {
		x := r.xml()
		x.Tags = nil // the list does not carry them
		out.Roles.Member = append(out.Roles.Member, x)
	}
	return out, nil
}

func (s *Sim) putRolePolicy(_ *call, in *struct{ RoleName, PolicyName, PolicyDocument string }) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	r.policies[in.PolicyName] = in.PolicyDocument
	return &none{}, nil
}

func (s *Sim) getRolePolicy(_ *call, in *struct{ RoleName, PolicyName string }) (*struct{ RoleName, PolicyName, PolicyDocument string }, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	p, ok := r.policies[in.PolicyName]
	if !ok {
		return nil, errf("NoSuchEntity", "The role policy with name %s cannot be found.", in.PolicyName).status(http.StatusNotFound)
	}
	return &struct{ RoleName, PolicyName, PolicyDocument string }{r.name, in.PolicyName, strings.ReplaceAll(p, `"`, "%22")}, nil
}

func (s *Sim) deleteRolePolicy(_ *call, in *struct{ RoleName, PolicyName string }) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	delete(r.policies, in.PolicyName)
	return &none{}, nil
}

// awsManaged are policies that AWS keeps, as far as roles of jobs have them.
//
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
var awsManaged = map[string]string{
	"arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action":
		["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "logs:CreateLogStream", "logs:PutLogEvents"]}]}`,
	"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action":
		["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]}]}`,
}

func (s *Sim) attachRolePolicy(_ *call, in *struct{ RoleName, PolicyArn string }) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	if body, ok := awsManaged[strings.Replace(in.PolicyArn, s.partition(), "arn:aws:", 1)]; ok {
		s.iam.managed[in.PolicyArn] = body
	}
	return &none{}, s.attach(r, in.PolicyArn)
}

func (s *Sim) detachRolePolicy(_ *call, in *struct{ RoleName, PolicyArn string }) (*none, error) {
	r := s.role(in.RoleName)
	if r == nil {
		return nil, noRole(in.RoleName)
	}
	if _, ok := r.policies[in.PolicyArn]; !ok {
		return nil, errf("NoSuchEntity", "Policy %s was not found.", in.PolicyArn).status(http.StatusNotFound)
	}
	delete(r.policies, in.PolicyArn)
	return &none{}, nil
}

func (s *Sim) newSTS() *service {
	return &service{name: "sts", endpoint: "sts", protocol: query, xmlns: "https://sts.amazonaws.com/doc/2011-06-15/", ops: map[string]operation{
		"GetCallerIdentity": op(s.callerIdentity),
		"AssumeRole":        op(s.assumeRole),
	}}
}

func (s *Sim) callerIdentity(c *call, _ *none) (*struct{ Arn, UserId, Account string }, error) {
	return &struct{ Arn, UserId, Account string }{s.callerARN(c), "AIDA" + strings.ToUpper(s.digest("user"+c.accessKey, 16)), s.options.Account}, nil
}

// callerARN returns the ARN of who makes a call.
func (s *Sim) callerARN(c *call) string {
	if p := c.principal(); p != nil && p.Session != nil {
		if _, name, ok := strings.Cut(p.Session(), ":role/"); ok {
			return s.globalARN("sts", "assumed-role/"+name)
		}
	}
	return s.globalARN("iam", "user/developer")
}

type credentialsXML struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      stamp
}

type assumedXML struct {
	Credentials     credentialsXML
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
}

func (s *Sim) assumeRole(c *call, in *struct {
	RoleArn, RoleSessionName, ExternalId, Policy string
	DurationSeconds                              int
}) (*assumedXML, error) {
	r := s.role(in.RoleArn)
	if r == nil {
		return nil, errf("AccessDenied", "User: arn:aws:iam::%s:user/developer is not authorized to perform: sts:AssumeRole on resource: %s", s.options.Account, in.RoleArn).status(http.StatusForbidden)
	}
	out := &assumedXML{Credentials: credentialsXML{"ASIA" + strings.ToUpper(s.id("key", 16)), "sandbox-secret-" + s.id("secret", 26), "sandbox-token", stamp{s.clock.time().Add(time.Hour)}}}
	session := r.arn + "/" + in.RoleSessionName
	s.principals[out.Credentials.AccessKeyID] = &Principal{Session: func() string { return session }, Secret: out.Credentials.SecretAccessKey}
	out.AssumedRoleUser.AssumedRoleID = r.id + ":" + in.RoleSessionName
	out.AssumedRoleUser.Arn = s.globalARN("sts", "assumed-role/"+r.name+"/"+in.RoleSessionName)
	return out, nil
}

// logsState is CloudWatch Logs.
type logsState struct {
	groups []*logGroup
}

type logGroup struct {
	name    string
	created time.Time
	days    int // for which events are kept; 0 for ever
	streams map[string][]logEvent
}

type logEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
}

// maxLogEvents bounds what a stream keeps.
const maxLogEvents = 20000

func (g *logGroup) write(stream, line string, at time.Time) {
	g.streams[stream] = append(g.streams[stream], logEvent{at.UnixMilli(), line, at.UnixMilli()})
	if n := len(g.streams[stream]); n > maxLogEvents {
		g.streams[stream] = g.streams[stream][n-maxLogEvents/2:]
	}
}

func (s *Sim) newLogs() *service {
	s.logs = &logsState{}
	return &service{name: "logs", endpoint: "logs", prefix: "Logs_20140328", protocol: json11, ops: map[string]operation{
		"CreateLogGroup":     op(s.createLogGroup),
		"DescribeLogGroups":  op(s.describeLogGroups),
		"DeleteLogGroup":     op(s.deleteLogGroup),
		"DescribeLogStreams": op(s.describeLogStreams),
		"GetLogEvents":       op(s.getLogEvents),
		"FilterLogEvents":    op(s.filterLogEvents),

		"PutRetentionPolicy":    op(s.putRetention),
		"DeleteRetentionPolicy": op(s.deleteRetention),
		"ListTagsForResource":   op(s.listLogTags),
		"TagResource":           op(s.tagLogs),
		"UntagResource":         op(s.untagLogs),
	}}
}

func (s *Sim) logGroup(name string) *logGroup {
	return find(s.logs.groups, func(g *logGroup) bool { return g.name == name })
}

func (s *Sim) addLogGroup(name string) *logGroup {
	if g := s.logGroup(name); g != nil {
		return g
	}
	g := &logGroup{name: name, created: s.clock.time(), streams: map[string][]logEvent{}}
	s.logs.groups = append(s.logs.groups, g)
	return g
}

var noLogGroup = errf("ResourceNotFoundException", "The specified log group does not exist.")

func (s *Sim) createLogGroup(_ *call, in *struct {
	LogGroupName, KmsKeyId, LogGroupClass string
	Tags                                  map[string]string
}) (*none, error) {
	if s.logGroup(in.LogGroupName) != nil {
		return nil, errf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	s.tagResource(s.logGroupARN(s.addLogGroup(in.LogGroupName)), in.Tags)
	return &none{}, nil
}

// retentions are the days for which CloudWatch Logs keeps events.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func (s *Sim) putRetention(_ *call, in *struct {
	LogGroupName    string
	RetentionInDays int
}) (*none, error) {
	g := s.logGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, errf("InvalidParameterException", "1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set", in.RetentionInDays)
	}
	g.days = in.RetentionInDays
	return &none{}, nil
}

func (s *Sim) deleteRetention(_ *call, in *struct{ LogGroupName string }) (*none, error) {
	g := s.logGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	g.days = 0
	return &none{}, nil
}

type logGroupJSON struct {
	LogGroupName      string `json:"logGroupName"`
	CreationTime      int64  `json:"creationTime"`
	MetricFilterCount int    `json:"metricFilterCount"`
	Arn               string `json:"arn"`
	StoredBytes       int64  `json:"storedBytes"`
	Days              int    `json:"retentionInDays,omitempty"`
	LogGroupArn       string `json:"logGroupArn"`
	Class             string `json:"logGroupClass"`
}

func (s *Sim) describeLogGroups(_ *call, in *struct {
	LogGroupNamePrefix, NextToken string
	Limit                         int
}) (*struct {
	LogGroups []logGroupJSON `json:"logGroups"`
}, error) {
	out := &struct {
		LogGroups []logGroupJSON `json:"logGroups"`
	}{[]logGroupJSON{}}
	for _, g := range s.logs.groups {
		if strings.HasPrefix(g.name, in.LogGroupNamePrefix) {
			out.LogGroups = append(out.LogGroups, logGroupJSON{g.name, g.created.UnixMilli(), 0, s.logGroupARN(g) + ":*", 0, g.days, s.logGroupARN(g), "STANDARD"})
		}
	}
	return out, nil
}

func (s *Sim) deleteLogGroup(_ *call, in *struct{ LogGroupName string }) (*none, error) {
	if s.logGroup(in.LogGroupName) == nil {
		return nil, noLogGroup
	}
	delete(s.tags, s.arn("logs", "log-group:"+in.LogGroupName))
	s.logs.groups = slices.DeleteFunc(s.logs.groups, func(g *logGroup) bool { return g.name == in.LogGroupName })
	return &none{}, nil
}

type logStreamJSON struct {
	LogStreamName string `json:"logStreamName"`
	CreationTime  int64  `json:"creationTime"`
	Arn           string `json:"arn"`
	StoredBytes   int64  `json:"storedBytes"`
}

func (s *Sim) describeLogStreams(_ *call, in *struct {
	LogGroupName, LogStreamNamePrefix, OrderBy, NextToken string
	Descending                                            bool
	Limit                                                 int
}) (*struct {
	LogStreams []logStreamJSON `json:"logStreams"`
}, error) {
	g := s.logGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	out := &struct {
		LogStreams []logStreamJSON `json:"logStreams"`
	}{[]logStreamJSON{}}
	for _, name := range sortedKeys(g.streams) {
		if strings.HasPrefix(name, in.LogStreamNamePrefix) {
			out.LogStreams = append(out.LogStreams, logStreamJSON{name, g.streams[name][0].Timestamp, s.arn("logs", "log-group:"+g.name+":log-stream:"+name), 0})
		}
	}
	return out, nil
}

func (s *Sim) getLogEvents(_ *call, in *struct {
	LogGroupName, LogStreamName, NextToken string
	StartTime, EndTime                     int64
	Limit                                  int
	StartFromHead                          bool
}) (*struct {
	Events            []logEvent `json:"events"`
	NextForwardToken  string     `json:"nextForwardToken"`
	NextBackwardToken string     `json:"nextBackwardToken"`
}, error) {
	g := s.logGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	events, ok := g.streams[in.LogStreamName]
	if !ok {
		return nil, errf("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	start := 0
	_, _ = fmt.Sscanf(in.NextToken, "f/%d", &start) // empty on the first page
	start = min(start, len(events))
	return &struct {
		Events            []logEvent `json:"events"`
		NextForwardToken  string     `json:"nextForwardToken"`
		NextBackwardToken string     `json:"nextBackwardToken"`
	}{append([]logEvent{}, events[start:]...), fmt.Sprintf("f/%d", len(events)), fmt.Sprintf("b/%d", start)}, nil
}

type filteredEvent struct {
	LogStreamName string `json:"logStreamName"`
	logEvent
	EventID string `json:"eventId"`
}

func (s *Sim) filterLogEvents(_ *call, in *struct {
	LogGroupName, FilterPattern, LogStreamNamePrefix, NextToken string
	LogStreamNames                                              []string
	StartTime, EndTime                                          int64
	Limit                                                       int
	Interleaved                                                 bool
}) (*struct {
	Events []filteredEvent `json:"events"`
}, error) {
	g := s.logGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	out := &struct {
		Events []filteredEvent `json:"events"`
	}{[]filteredEvent{}}
	for _, name := range sortedKeys(g.streams) {
		if !strings.HasPrefix(name, in.LogStreamNamePrefix) || len(in.LogStreamNames) > 0 && !slices.Contains(in.LogStreamNames, name) {
			continue
		}
		for i, e := range g.streams[name] {
			if e.Timestamp >= in.StartTime && (in.EndTime == 0 || e.Timestamp <= in.EndTime) && strings.Contains(e.Message, strings.Trim(in.FilterPattern, `"`)) {
				out.Events = append(out.Events, filteredEvent{name, e, fmt.Sprintf("%s%08d", s.digest(name, 48), i)})
			}
		}
	}
	slices.SortStableFunc(out.Events, func(a, b filteredEvent) int { return int(a.Timestamp - b.Timestamp) })
	return out, nil
}

// secretState is Secrets Manager.
type secretState struct {
	secrets map[string]secretValue
}

type secretValue struct {
	text    string
	created time.Time
	key     string // of KMS, customer-managed; empty for Secrets Manager's own
}

func (s *Sim) newSecrets() *service {
	s.secret = &secretState{secrets: map[string]secretValue{}}
	return &service{name: "secretsmanager", asks: secretQuestions, endpoint: "secretsmanager", prefix: "secretsmanager", protocol: json11, ops: map[string]operation{
		"CreateSecret":   op(s.createSecret),
		"GetSecretValue": op(s.getSecretValue),
		"DescribeSecret": op(s.describeSecret),
		"PutSecretValue": op(s.putSecretValue),
	}}
}

func (s *Sim) secretARN(name string) string {
	return s.arn("secretsmanager", "secret:"+name+"-"+s.digest("secret"+name, 6))
}

type secretJSON struct {
	ARN          string
	Name         string
	VersionID    string   `json:"VersionId"`
	SecretString string   `json:",omitempty"`
	Stages       []string `json:"VersionStages,omitempty"`
	CreatedDate  *stamp   `json:",omitempty"`
}

func (s *Sim) createSecret(_ *call, in *struct {
	Name, SecretString, Description, ClientRequestToken, KmsKeyId string
	Tags                                                          []cfnTag
}) (*secretJSON, error) {
	if _, ok := s.secret.secrets[in.Name]; ok {
		return nil, errf("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
	}
	s.secret.secrets[in.Name] = secretValue{in.SecretString, s.clock.time(), in.KmsKeyId}
	return &secretJSON{ARN: s.secretARN(in.Name), Name: in.Name, VersionID: s.uuid("version")}, nil
}

func (s *Sim) putSecretValue(_ *call, in *struct{ SecretId, SecretString, ClientRequestToken string }) (*secretJSON, error) {
	for name, v := range s.secret.secrets {
		if name == in.SecretId || s.secretARN(name) == in.SecretId {
			s.secret.secrets[name] = secretValue{in.SecretString, v.created, v.key}
			return &secretJSON{ARN: s.secretARN(name), Name: name, VersionID: s.uuid("version"), Stages: []string{"AWSCURRENT"}}, nil
		}
	}
	return nil, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (s *Sim) describeSecret(_ *call, in *struct{ SecretId string }) (*struct {
	ARN, Name   string
	CreatedDate stamp
}, error) {
	for name, v := range s.secret.secrets {
		if name == in.SecretId || s.secretARN(name) == in.SecretId {
			return &struct {
				ARN, Name   string
				CreatedDate stamp
			}{s.secretARN(name), name, stamp{v.created}}, nil
		}
	}
	return nil, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// deniedKey reports whether the caller's role may not use a customer-managed key for
// what a service keeps under it.
//
// Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (s *Sim) deniedKey(c *call, key, action, service, context, value string) bool {
	role := c.principal().RoleARN()
	if key == "" || role == "" {
		return false
	}
	return s.allows(role, question(action, s.arn("kms", "key/"+key[strings.LastIndex(key, "/")+1:]), "kms:ViaService", service+"."+s.options.Region+".amazonaws.com", context, value)) != nil
}

func (s *Sim) getSecretValue(c *call, in *struct{ SecretId, VersionId, VersionStage string }) (*secretJSON, error) {
	for name, v := range s.secret.secrets {
		if name == in.SecretId || s.secretARN(name) == in.SecretId {
			if denied := s.deniedKey(c, v.key, "kms:Decrypt", "secretsmanager", "kms:EncryptionContext:SecretARN", s.secretARN(name)); denied {
				return nil, errf("AccessDeniedException", "Access to KMS is not allowed")
			}
			return &secretJSON{s.secretARN(name), name, s.digest("v"+name, 32), v.text, []string{"AWSCURRENT"}, stampOf(v.created)}, nil
		}
	}
	return nil, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}
