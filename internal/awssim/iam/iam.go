// Package iam simulates IAM and STS: roles, their policies, and the authorisation of each
// call.
package iam

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// These are IAM's size limits, in characters without white space.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxInlinePolicies = 10240
	MaxManagedPolicy  = 6144
)

// maxAttached is the number of managed policies that a role may have.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const maxAttached = 10

// Attach attaches a managed policy to a role.
func (s *Service) Attach(r *Role, policy string) error {
	body, ok := s.Managed[policy]
	if !ok {
		body, ok = awsManaged[strings.Replace(policy, s.Partition(), "arn:aws:", 1)]
	}
	if !ok {
		return kernel.Errorf("NoSuchEntity", "Policy %s does not exist or is not attachable.", policy)
	}
	n := 0
	for name := range r.Policies {
		if strings.HasPrefix(name, "arn:") && name != policy {
			n++
		}
	}
	if n >= maxAttached {
		return kernel.Errorf("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
	}
	r.Policies[policy] = body
	return nil
}

// Service is the simulated IAM and STS.
type Service struct {
	*kernel.Kernel

	Roles   []*Role
	Managed map[string]string // managed policies by ARN
	deleted map[string]bool   // names of roles that are there no more
	// named are the roles that a managed policy names, by the policy's ARN.
	Named map[string][]string
	// parsed are the statements of policies, by the policy's text.
	parsed map[string][]statement
}

// Role is a role with its policies by name, or by ARN for managed ones.
type Role struct {
	Name, ID, ARN, Trust, Boundary string
	Created                        time.Time
	Policies                       map[string]string
	tags                           []kernel.Tag
	// judged is true if only the role's policies count, even if it has none.
	Judged bool
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{
		Kernel: k, Managed: map[string]string{}, Named: map[string][]string{}, parsed: map[string][]statement{},
		deleted: map[string]bool{},
	}
	s.Judge = s.authorise
	k.Register(&kernel.API{Name: "iam", Asks: s.roleQuestions, Protocol: kernel.Query,
		XMLNS: "https://iam.amazonaws.com/doc/2010-05-08/",
		Ops: map[string]kernel.Operation{
			"CreateRole":       kernel.Op(s.createRole),
			"GetRole":          kernel.Op(s.getRole),
			"DeleteRole":       kernel.Op(s.deleteRole),
			"ListRoles":        kernel.Op(s.listRoles),
			"PutRolePolicy":    kernel.Op(s.putRolePolicy),
			"GetRolePolicy":    kernel.Op(s.getRolePolicy),
			"DeleteRolePolicy": kernel.Op(s.deleteRolePolicy),

			"CreateServiceLinkedRole":  kernel.Op(s.createServiceLinkedRole),
			"ListAttachedRolePolicies": kernel.Op(s.listAttachedRolePolicies),
			"AttachRolePolicy":         kernel.Op(s.attachRolePolicy),
			"DetachRolePolicy":         kernel.Op(s.detachRolePolicy),
			"ListRolePolicies":         kernel.Op(s.listRolePolicies),
			"ListRoleTags":             kernel.Op(s.listRoleTags),
			"TagRole":                  kernel.Op(s.tagRole),
			"UntagRole":                kernel.Op(s.untagRole),
			"UpdateAssumeRolePolicy":   kernel.Op(s.updateTrust),

			"ListInstanceProfilesForRole": kernel.Op(s.listInstanceProfiles),
			"SimulatePrincipalPolicy":     kernel.Op(s.simulate),
		}})
	s.registerSTS()
	s.AddRole(Administrator, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+
		s.GlobalARN("iam", "root")+`"},"Action":"sts:AssumeRole"}]}`)
	return s
}

// Administrator is a role that everybody of the account may assume, and that may do everything.
const Administrator = "administrator"

// ECSRole is the service-linked role of ECS.
const ECSRole = "AWSServiceRoleForECS"

// LinkECS creates ECS's service-linked role, which can be assumed a while
// later.
func (s *Service) LinkECS() *Role {
	r := s.AddRole(ECSRole,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs.amazonaws.com"},`+
			`"Action":"sts:AssumeRole"}]}`)
	r.ARN = s.GlobalARN("iam", "role/aws-service-role/ecs.amazonaws.com/"+ECSRole)
	return r
}

func (s *Service) createServiceLinkedRole(_ *kernel.Call,
	in *struct{ AWSServiceName, Description, CustomSuffix string }) (*struct{ Role roleXML }, error) {
	if in.AWSServiceName != "ecs.amazonaws.com" {
		return nil, kernel.Errorf("InvalidInput", "Service role name for %s is not simulated.", in.AWSServiceName)
	}
	if s.Role(ECSRole) != nil {
		return nil, kernel.Errorf("InvalidInput",
			"Service role name %s has been taken in this account, please try a different suffix.", ECSRole)
	}
	return &struct{ Role roleXML }{s.LinkECS().xml()}, nil
}

type attachedPolicyXML struct{ PolicyArn, PolicyName string }

func (s *Service) listAttachedRolePolicies(_ *kernel.Call, in *struct {
	RoleName, PathPrefix, Marker string
	MaxItems                     int
}) (*struct {
	Policies    kernel.Members[attachedPolicyXML] `xml:"AttachedPolicies"`
	IsTruncated bool
}, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	out := &struct {
		Policies    kernel.Members[attachedPolicyXML] `xml:"AttachedPolicies"`
		IsTruncated bool
	}{}
	for _, name := range kernel.SortedKeys(r.Policies) {
		if strings.HasPrefix(name, "arn:") {
			out.Policies.Member = append(out.Policies.Member, attachedPolicyXML{
				name, name[strings.LastIndex(name, "/")+1:],
			})
		}
	}
	return out, nil
}

func (s *Service) listRolePolicies(_ *kernel.Call, in *struct {
	RoleName, Marker string
	MaxItems         int
}) (*struct {
	PolicyNames kernel.Members[string]
	IsTruncated bool
}, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	out := &struct {
		PolicyNames kernel.Members[string]
		IsTruncated bool
	}{}
	for _, name := range kernel.SortedKeys(r.Policies) {
		if !strings.HasPrefix(name, "arn:") {
			out.PolicyNames.Member = append(out.PolicyNames.Member, name)
		}
	}
	return out, nil
}

func (s *Service) listRoleTags(_ *kernel.Call, in *struct {
	RoleName, Marker string
	MaxItems         int
}) (*struct {
	Tags        kernel.Members[kernel.Tag]
	IsTruncated bool
}, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	return &struct {
		Tags        kernel.Members[kernel.Tag]
		IsTruncated bool
	}{kernel.Members[kernel.Tag]{Member: r.tags}, false}, nil
}

func (s *Service) tagRole(_ *kernel.Call, in *struct {
	RoleName string
	Tags     []kernel.Tag
}) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	for _, t := range in.Tags {
		r.tags = append(slices.DeleteFunc(r.tags, func(x kernel.Tag) bool { return x.Key == t.Key }), t)
	}
	return &kernel.None{}, nil
}

func (s *Service) untagRole(_ *kernel.Call, in *struct {
	RoleName string
	TagKeys  []string
}) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	r.tags = slices.DeleteFunc(r.tags, func(x kernel.Tag) bool { return slices.Contains(in.TagKeys, x.Key) })
	return &kernel.None{}, nil
}

func (s *Service) updateTrust(_ *kernel.Call, in *struct{ RoleName, PolicyDocument string }) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	if err := CheckTrust(in.PolicyDocument); err != nil {
		return nil, err
	}
	r.Trust = in.PolicyDocument
	return &kernel.None{}, nil
}

// listInstanceProfiles returns none: the sandbox has no instances.
func (s *Service) listInstanceProfiles(_ *kernel.Call, in *struct {
	RoleName, Marker string
	MaxItems         int
}) (*struct {
	Profiles    kernel.Members[string] `xml:"InstanceProfiles"`
	IsTruncated bool
}, error) {
	if s.Role(in.RoleName) == nil {
		return nil, NoRole(in.RoleName)
	}
	return &struct {
		Profiles    kernel.Members[string] `xml:"InstanceProfiles"`
		IsTruncated bool
	}{}, nil
}

// Role finds a role by name or ARN, or nil.
func (s *Service) Role(name string) *Role {
	return kernel.Find(s.Roles, func(r *Role) bool { return r.Name == name || r.ARN == name })
}

// AddRole adds a role with a trust policy.
func (s *Service) AddRole(name, trust string) *Role {
	r := &Role{
		Name: name, ID: "AROA" + strings.ToUpper(s.NewID("role", 16)), ARN: s.GlobalARN("iam", "role/"+name),
		Trust: trust, Created: s.Clock.Now(), Policies: map[string]string{},
	}
	s.Roles = append(s.Roles, r)
	delete(s.deleted, name)
	return r
}

// RoleServes reports whether the role exists and the service may assume it.
func (s *Service) RoleServes(arn, service string) bool {
	r := s.Role(arn)
	return r != nil && strings.Contains(r.Trust, service)
}

type roleXML struct {
	Path       string
	RoleName   string
	RoleID     string `xml:"RoleId"`
	Arn        string
	CreateDate kernel.Stamp
	Trust      string `xml:"AssumeRolePolicyDocument"`
	Longest    int    `xml:"MaxSessionDuration"` // in seconds
	Tags       *kernel.Members[kernel.Tag]
}

func (r *Role) xml() roleXML {
	x := roleXML{
		"/", r.Name, r.ID, r.ARN, kernel.Stamp{Time: r.Created}, strings.ReplaceAll(r.Trust, `"`, "%22"), 3600, nil,
	}
	if len(r.tags) > 0 {
		x.Tags = &kernel.Members[kernel.Tag]{Member: r.tags}
	}
	return x
}

// NoRole is the error for a role that does not exist.
func NoRole(name string) *kernel.APIError {
	return kernel.Errorf("NoSuchEntity", "The role with name %s cannot be found.", name).WithStatus(http.StatusNotFound)
}

func (s *Service) createRole(_ *kernel.Call, in *struct {
	RoleName, AssumeRolePolicyDocument, Path, Description, PermissionsBoundary string
	MaxSessionDuration                                                         int
	Tags                                                                       []kernel.Tag
}) (*struct{ Role roleXML }, error) {
	if s.Role(in.RoleName) != nil {
		return nil, kernel.Errorf("EntityAlreadyExists", "Role with name %s already exists.",
			in.RoleName).WithStatus(http.StatusConflict)
	}
	if err := CheckTrust(in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	r := s.AddRole(in.RoleName, in.AssumeRolePolicyDocument)
	r.tags = in.Tags
	return &struct{ Role roleXML }{r.xml()}, nil
}

// CheckTrust rejects a trust policy that IAM rejects.
func CheckTrust(document string) error {
	var policy struct {
		Statement []struct {
			Effect, Sid       string
			Principal, Action any
			Resource          any
		}
	}
	bad := func(why string) error { return kernel.Errorf("MalformedPolicyDocument", "%s", why) }
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

func (s *Service) getRole(_ *kernel.Call, in *struct{ RoleName string }) (*struct{ Role roleXML }, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	return &struct{ Role roleXML }{r.xml()}, nil
}

func (s *Service) deleteRole(_ *kernel.Call, in *struct{ RoleName string }) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	if names := kernel.SortedKeys(r.Policies); len(names) > 0 {
		first := "delete"
		if strings.HasPrefix(names[0], "arn:") {
			first = "detach all"
		}
		return nil, kernel.Errorf("DeleteConflict", "Cannot delete entity, must %s policies first.",
			first).WithStatus(http.StatusConflict)
	}
	s.Roles = slices.DeleteFunc(s.Roles, func(x *Role) bool { return x == r })
	s.deleted[nameOf(r.ARN)] = true
	return &kernel.None{}, nil
}

// nameOf returns the name in a role's ARN.
func nameOf(roleARN string) string { return roleARN[strings.LastIndex(roleARN, "/")+1:] }

func (s *Service) listRoles(_ *kernel.Call, _ *struct {
	PathPrefix, Marker string
	MaxItems           int
}) (*struct {
	Roles       kernel.Members[roleXML]
	IsTruncated bool
}, error) {
	out := &struct {
		Roles       kernel.Members[roleXML]
		IsTruncated bool
	}{}
	for _, r := range s.Roles {
		x := r.xml()
		x.Tags = nil // the list does not carry them
		out.Roles.Member = append(out.Roles.Member, x)
	}
	return out, nil
}

func (s *Service) putRolePolicy(_ *kernel.Call,
	in *struct{ RoleName, PolicyName, PolicyDocument string }) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	r.Policies[in.PolicyName] = in.PolicyDocument
	return &kernel.None{}, nil
}

func (s *Service) getRolePolicy(_ *kernel.Call,
	in *struct{ RoleName, PolicyName string }) (*struct{ RoleName, PolicyName, PolicyDocument string }, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	p, ok := r.Policies[in.PolicyName]
	if !ok {
		return nil, kernel.Errorf("NoSuchEntity", "The role policy with name %s cannot be found.",
			in.PolicyName).WithStatus(http.StatusNotFound)
	}
	return &struct{ RoleName, PolicyName, PolicyDocument string }{
		r.Name, in.PolicyName, strings.ReplaceAll(p, `"`, "%22"),
	}, nil
}

func (s *Service) deleteRolePolicy(_ *kernel.Call, in *struct{ RoleName, PolicyName string }) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	delete(r.Policies, in.PolicyName)
	return &kernel.None{}, nil
}

// awsManaged are the AWS managed policies that roles of jobs use.
//
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
var awsManaged = map[string]string{
	"arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy": `{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Resource": "*", "Action": ["ecr:GetAuthorizationToken",
		"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage",
		"logs:CreateLogStream", "logs:PutLogEvents"]}]}`,
	"arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers": `{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Resource": "*", "Action": ["elasticloadbalancing:Describe*",
			"elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule",
			"elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]}]}`,
	"arn:aws:iam::aws:policy/AWSCodeDeployRoleForECSLimited": `{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Resource": "*", "Action": ["ecs:DescribeServices", "ecs:CreateTaskSet",
			"ecs:UpdateServicePrimaryTaskSet", "ecs:DeleteTaskSet", "cloudwatch:DescribeAlarms",
			"elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeListeners",
			"elasticloadbalancing:ModifyListener", "elasticloadbalancing:DescribeRules",
			"elasticloadbalancing:ModifyRule"]},
			{"Effect": "Allow", "Action": "lambda:InvokeFunction",
			"Resource": "arn:aws:lambda:*:*:function:CodeDeployHook_*"},
			{"Effect": "Allow", "Action": "iam:PassRole", "Resource": ["arn:aws:iam::*:role/ecsTaskExecutionRole",
			"arn:aws:iam::*:role/ECSTaskExecution*"],
			"Condition": {"StringLike": {"iam:PassedToService": ["ecs-tasks.amazonaws.com"]}}}]}`,
	"arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role": `{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Resource": "*", "Action": ["ec2:DescribeTags", "ecs:CreateCluster",
		"ecs:DeregisterContainerInstance", "ecs:DiscoverPollEndpoint", "ecs:Poll", "ecs:RegisterContainerInstance",
		"ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState", "ecs:Submit*", "ecr:GetAuthorizationToken",
		"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "logs:CreateLogStream",
		"logs:PutLogEvents"]}]}`,
	"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole": `{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Resource": "*", "Action": ["logs:CreateLogGroup",
		"logs:CreateLogStream", "logs:PutLogEvents"]}]}`,
}

func (s *Service) attachRolePolicy(_ *kernel.Call, in *struct{ RoleName, PolicyArn string }) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	if body, ok := awsManaged[strings.Replace(in.PolicyArn, s.Partition(), "arn:aws:", 1)]; ok {
		s.Managed[in.PolicyArn] = body
	}
	return &kernel.None{}, s.Attach(r, in.PolicyArn)
}

func (s *Service) detachRolePolicy(_ *kernel.Call, in *struct{ RoleName, PolicyArn string }) (*kernel.None, error) {
	r := s.Role(in.RoleName)
	if r == nil {
		return nil, NoRole(in.RoleName)
	}
	if _, ok := r.Policies[in.PolicyArn]; !ok {
		return nil, kernel.Errorf("NoSuchEntity", "Policy %s was not found.",
			in.PolicyArn).WithStatus(http.StatusNotFound)
	}
	delete(r.Policies, in.PolicyArn)
	return &kernel.None{}, nil
}

// registerSTS adds the API of STS.
func (s *Service) registerSTS() {
	s.Register(&kernel.API{Name: "sts", Endpoint: "sts", Protocol: kernel.Query,
		XMLNS: "https://sts.amazonaws.com/doc/2011-06-15/", Ops: map[string]kernel.Operation{
			"GetCallerIdentity": kernel.Op(s.callerIdentity),
			"AssumeRole":        kernel.Op(s.assumeRole),
		}})
}

func (s *Service) callerIdentity(c *kernel.Call, _ *kernel.None) (*struct{ Arn, UserId, Account string }, error) {
	return &struct{ Arn, UserId, Account string }{
		s.callerARN(c), "AIDA" + strings.ToUpper(s.Digest("user"+c.AccessKey, 16)), s.Options.Account,
	}, nil
}

// callerARN returns the ARN of the caller.
func (s *Service) callerARN(c *kernel.Call) string {
	if p := c.Principal(); p != nil && p.Session != nil {
		if _, name, ok := strings.Cut(p.Session(), ":role/"); ok {
			return s.GlobalARN("sts", "assumed-role/"+name)
		}
	}
	return s.GlobalARN("iam", "user/developer")
}

type credentialsXML struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      kernel.Stamp
}

type assumedXML struct {
	Credentials     credentialsXML
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
}

// trusts reports whether a role's trust policy lets somebody of the account assume it.
func (s *Service) trusts(r *Role, c *kernel.Call) bool {
	var trust struct {
		Statement []struct {
			Effect    string
			Principal json.RawMessage
		}
	}
	if json.Unmarshal([]byte(r.Trust), &trust) != nil {
		return false
	}
	for _, st := range trust.Statement {
		var trusted struct{ AWS oneOrMany }
		if json.Unmarshal(st.Principal, &trusted) != nil { // "*"
			_ = json.Unmarshal(st.Principal, &trusted.AWS) // a text at least
		}
		for _, who := range trusted.AWS {
			root := s.GlobalARN("iam", "root")
			known := []string{"*", root, s.Options.Account, s.callerARN(c), c.Principal().RoleARN()}
			if st.Effect == "Allow" && slices.Contains(known, who) {
				return true
			}
		}
	}
	return false
}

func (s *Service) assumeRole(c *kernel.Call, in *struct {
	RoleArn, RoleSessionName, ExternalId, Policy string
	DurationSeconds                              int
}) (*assumedXML, error) {
	r := s.Role(in.RoleArn)
	if r == nil || !s.trusts(r, c) {
		return nil, kernel.Errorf("AccessDenied",
			"User: %s is not authorized to perform: sts:AssumeRole on resource: %s", s.callerARN(c),
			in.RoleArn).WithStatus(http.StatusForbidden)
	}
	out := &assumedXML{Credentials: credentialsXML{
		"ASIA" + strings.ToUpper(s.NewID("key", 16)), "sandbox-secret-" + s.NewID("secret", 26), "sandbox-token",
		kernel.Stamp{Time: s.Clock.Now().Add(time.Hour)},
	}}
	session := r.ARN + "/" + in.RoleSessionName
	s.Principals[out.Credentials.AccessKeyID] = &kernel.Principal{
		Role: func() string { return r.ARN }, Session: func() string { return session },
		Secret: out.Credentials.SecretAccessKey,
	}
	out.AssumedRoleUser.AssumedRoleID = r.ID + ":" + in.RoleSessionName
	out.AssumedRoleUser.Arn = s.GlobalARN("sts", "assumed-role/"+r.Name+"/"+in.RoleSessionName)
	return out, nil
}

// DeniedKey reports whether the caller's role may not use a customer-managed key for
// a service's encrypted data.
//
// Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (s *Service) DeniedKey(c *kernel.Call, key, action, service, context, value string) bool {
	role := c.Principal().RoleARN()
	if key == "" || role == "" {
		return false
	}
	return s.Allows(role,
		kernel.May(action, s.ARN("kms", "key/"+key[strings.LastIndex(key, "/")+1:]), "kms:ViaService",
			service+"."+s.Options.Region+".amazonaws.com", context, value)) != nil
}
