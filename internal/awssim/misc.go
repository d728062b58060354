package awssim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// iamState is IAM as far as roles must exist.
type iamState struct {
	roles    []*role
	sessions map[string]string // role ARN and session name, by access key
	secrets  map[string]string // of sessions, by access key
}

type role struct {
	name, id, arn, trust, boundary string
	created                        time.Time
	policies                       map[string]string
}

func (s *Sim) newIAM() *service {
	s.iam = &iamState{sessions: map[string]string{}, secrets: map[string]string{}}
	return &service{name: "iam", protocol: query, xmlns: "https://iam.amazonaws.com/doc/2010-05-08/", ops: map[string]operation{
		"CreateRole":       op(s.createRole),
		"GetRole":          op(s.getRole),
		"DeleteRole":       op(s.deleteRole),
		"ListRoles":        op(s.listRoles),
		"PutRolePolicy":    op(s.putRolePolicy),
		"GetRolePolicy":    op(s.getRolePolicy),
		"DeleteRolePolicy": op(s.deleteRolePolicy),
	}}
}

func (s *Sim) role(name string) *role {
	return find(s.iam.roles, func(r *role) bool { return r.name == name || r.arn == name })
}

func (s *Sim) addRole(name, trust string) *role {
	r := &role{name: name, id: "AROA" + strings.ToUpper(s.id("role", 16)), arn: "arn:aws:iam::" + s.options.Account + ":role/" + name, trust: trust, created: s.clock.time(), policies: map[string]string{}}
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
}

func (r *role) xml() roleXML {
	return roleXML{"/", r.name, r.id, r.arn, stamp{r.created}, strings.ReplaceAll(r.trust, `"`, "%22")}
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
	return &struct{ Role roleXML }{s.addRole(in.RoleName, in.AssumeRolePolicyDocument).xml()}, nil
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
		out.Roles.Member = append(out.Roles.Member, r.xml())
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

func (s *Sim) newSTS() *service {
	return &service{name: "sts", protocol: query, xmlns: "https://sts.amazonaws.com/doc/2011-06-15/", ops: map[string]operation{
		"GetCallerIdentity": op(s.callerIdentity),
		"AssumeRole":        op(s.assumeRole),
	}}
}

func (s *Sim) callerIdentity(c *call, _ *none) (*struct{ Arn, UserId, Account string }, error) {
	return &struct{ Arn, UserId, Account string }{s.callerARN(c), "AIDA" + strings.ToUpper(s.digest("user"+c.accessKey, 16)), s.options.Account}, nil
}

// callerARN returns the ARN of who makes a call.
func (s *Sim) callerARN(c *call) string {
	session := ""
	if c.invocation != nil && c.invocation.function != nil {
		session = c.invocation.function.role + "/" + c.invocation.function.name
	} else if e := s.environments[c.accessKey]; e != nil {
		session = e.function.role + "/" + e.function.name
	} else if assumed, ok := s.iam.sessions[c.accessKey]; ok {
		session = assumed
	}
	if _, name, ok := strings.Cut(session, ":role/"); ok {
		return "arn:aws:sts::" + s.options.Account + ":assumed-role/" + name
	}
	return "arn:aws:iam::" + s.options.Account + ":user/developer"
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
	s.iam.secrets[out.Credentials.AccessKeyID] = out.Credentials.SecretAccessKey
	s.iam.sessions[out.Credentials.AccessKeyID] = r.arn + "/" + in.RoleSessionName
	out.AssumedRoleUser.AssumedRoleID = r.id + ":" + in.RoleSessionName
	out.AssumedRoleUser.Arn = "arn:aws:sts::" + s.options.Account + ":assumed-role/" + r.name + "/" + in.RoleSessionName
	return out, nil
}

// logsState is CloudWatch Logs.
type logsState struct {
	groups []*logGroup
}

type logGroup struct {
	name    string
	created time.Time
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
	return &service{name: "logs", prefix: "Logs_20140328", protocol: json11, ops: map[string]operation{
		"CreateLogGroup":     op(s.createLogGroup),
		"DescribeLogGroups":  op(s.describeLogGroups),
		"DeleteLogGroup":     op(s.deleteLogGroup),
		"DescribeLogStreams": op(s.describeLogStreams),
		"GetLogEvents":       op(s.getLogEvents),
		"FilterLogEvents":    op(s.filterLogEvents),
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
	s.addLogGroup(in.LogGroupName)
	return &none{}, nil
}

type logGroupJSON struct {
	LogGroupName      string `json:"logGroupName"`
	CreationTime      int64  `json:"creationTime"`
	MetricFilterCount int    `json:"metricFilterCount"`
	Arn               string `json:"arn"`
	StoredBytes       int64  `json:"storedBytes"`
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
			out.LogGroups = append(out.LogGroups, logGroupJSON{g.name, g.created.UnixMilli(), 0, s.arn("logs", "log-group:"+g.name+":*"), 0})
		}
	}
	return out, nil
}

func (s *Sim) deleteLogGroup(_ *call, in *struct{ LogGroupName string }) (*none, error) {
	if s.logGroup(in.LogGroupName) == nil {
		return nil, noLogGroup
	}
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
}

func (s *Sim) newSecrets() *service {
	s.secret = &secretState{secrets: map[string]secretValue{}}
	return &service{name: "secretsmanager", prefix: "secretsmanager", protocol: json11, ops: map[string]operation{
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
	s.secret.secrets[in.Name] = secretValue{in.SecretString, s.clock.time()}
	return &secretJSON{ARN: s.secretARN(in.Name), Name: in.Name, VersionID: s.uuid("version")}, nil
}

func (s *Sim) putSecretValue(_ *call, in *struct{ SecretId, SecretString, ClientRequestToken string }) (*secretJSON, error) {
	for name, v := range s.secret.secrets {
		if name == in.SecretId || s.secretARN(name) == in.SecretId {
			s.secret.secrets[name] = secretValue{in.SecretString, v.created}
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

func (s *Sim) getSecretValue(_ *call, in *struct{ SecretId, VersionId, VersionStage string }) (*secretJSON, error) {
	for name, v := range s.secret.secrets {
		if name == in.SecretId || s.secretARN(name) == in.SecretId {
			return &secretJSON{s.secretARN(name), name, s.digest("v"+name, 32), v.text, []string{"AWSCURRENT"}, stampOf(v.created)}, nil
		}
	}
	return nil, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}
