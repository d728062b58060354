package cloudformation

import (
	"encoding/json"
	"slices"
	"strings"

	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/s3"
)

func createBucketResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "BucketName")
	if name == "" {
		name = strings.ToLower(st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12))
	}
	if s.S3.Buckets[name] != nil {
		return reasonf("%s already exists", name)
	}
	b := &s3.Bucket{Objects: map[string]s3.Object{}, Settings: map[string][]byte{}, Created: s.Clock.Now()}
	if n, ok := r.Properties["NotificationConfiguration"].(map[string]any); ok {
		_, b.Notifies = n["EventBridgeConfiguration"]
	}
	s.S3.Buckets[name] = b
	r.Physical = name
	r.Attributes["Arn"] = s.Partition() + "s3:::" + name
	s.soon(finish)
	return nil
}

func removeBucketResource(s *Service, r *Resource, finish func(error)) {
	b := s.S3.Buckets[r.Physical]
	if b != nil && len(b.Objects) > 0 {
		s.Clock.After(0, func() {
			finish(reasonf(
				"The bucket you tried to delete is not empty (Service: S3, Status Code: 409, Request ID: %s)",
				s.UUID("request")))
		})
		return
	}
	delete(s.S3.Buckets, r.Physical)
	s.soon(finish)
}

func createImagesResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "RepositoryName")
	s.ECR.AddRepository(name)
	r.Physical = name
	if err := updateImagesResource(s, nil, r); err != nil {
		return err
	}
	r.Attributes["Arn"], r.Attributes["RepositoryUri"] = s.ECR.RepositoryARN(name), s.ECR.RepositoryURI(name)
	s.soon(finish)
	return nil
}

func updateImagesResource(s *Service, _ *Stack, r *Resource) error {
	repository, err := s.ECR.ImageRepository(r.Physical)
	if err != nil {
		return err
	}
	repository.Immutable = kernel.Text(r.Properties, "ImageTagMutability") == "IMMUTABLE"
	return nil
}

func removeImagesResource(s *Service, r *Resource, finish func(error)) {
	s.ECR.RemoveRepository(r.Physical)
	s.soon(finish)
}

// createDefinitionResource registers a task definition: CloudFormation's properties
// are the API's members with a capital letter, except in maps of names.
func createDefinitionResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	raw, _ := smallLetters(r.Properties).(map[string]any)
	delete(raw, "tags")
	body, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return err
	}
	d, err := s.ECS.AddDefinition(members)
	if err != nil {
		return err
	}
	r.Physical = d.ARN(s.ECS)
	r.Attributes["TaskDefinitionArn"] = r.Physical
	s.soon(finish)
	return nil
}

// smallLetters lowercases the first letter of object members, except below
// Options and Configuration, whose members are names.
func smallLetters(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k == "Options" || k == "Configuration" {
				out[strings.ToLower(k)] = x
				continue
			}
			out[strings.ToLower(k[:1])+k[1:]] = smallLetters(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = smallLetters(v[i])
		}
		return out
	}
	return v
}

func removeDefinitionResource(s *Service, r *Resource, finish func(error)) {
	for _, d := range s.ECS.Definitions {
		if d.ARN(s.ECS) == r.Physical {
			d.Status = "INACTIVE"
		}
	}
	s.soon(finish)
}

func createURLResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	f := s.Lambda.Function(kernel.Text(r.Properties, "TargetFunctionArn"))
	if f == nil {
		return kernel.NotFound("Function not found: %s", kernel.Text(r.Properties, "TargetFunctionArn"))
	}
	if !slices.Contains([]string{"NONE"}, kernel.Text(r.Properties, "AuthType")) {
		return reasonf("the sandbox does not simulate AuthType %s", kernel.Text(r.Properties, "AuthType"))
	}
	r.Physical = s.Lambda.FunctionARN(f.Name)
	r.Attributes["FunctionArn"], r.Attributes["FunctionUrl"] = r.Physical, "http://"+s.Address+lambda.URLRoot+f.Name+"/"
	f.URL = true
	s.soon(finish)
	return nil
}

// createManagedPolicy creates a managed policy and attaches it to the roles that
// it names.
func createManagedPolicy(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "ManagedPolicyName")
	if name == "" {
		name = st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
	}
	r.Physical = s.GlobalARN("iam", "policy/"+name)
	if err := updateManagedPolicy(s, st, r); err != nil {
		return err
	}
	s.soon(finish)
	return nil
}

func updateManagedPolicy(s *Service, _ *Stack, r *Resource) error {
	body, err := json.Marshal(r.Properties["PolicyDocument"])
	if err != nil {
		return err
	}
	if len(body) > iam.MaxManagedPolicy {
		return kernel.Errorf("LimitExceeded", "Cannot exceed quota for PolicySize: %d", iam.MaxManagedPolicy)
	}
	s.IAM.Managed[r.Physical] = string(body)
	for _, role := range s.IAM.Roles {
		if _, attached := role.Policies[r.Physical]; attached {
			role.Policies[r.Physical] = string(body)
		}
	}
	s.IAM.Named[r.Physical] = kernel.Texts(r.Properties, "Roles")
	for _, name := range s.IAM.Named[r.Physical] {
		role := s.IAM.Role(name)
		if role == nil {
			return iam.NoRole(name)
		}
		if err := s.IAM.Attach(role, r.Physical); err != nil {
			return err
		}
	}
	return nil
}

func removeManagedPolicy(s *Service, r *Resource, finish func(error)) {
	delete(s.IAM.Managed, r.Physical)
	for _, role := range s.IAM.Roles {
		delete(role.Policies, r.Physical)
	}
	s.soon(finish)
}
