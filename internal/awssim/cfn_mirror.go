package awssim

import (
	"encoding/json"
	"slices"
	"strings"
)

func createBucketResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "BucketName")
	if name == "" {
		name = strings.ToLower(st.name + "-" + r.logical + "-" + s.digest(st.id+r.logical, 12))
	}
	if s.s3.buckets[name] != nil {
		return reasonf("%s already exists", name)
	}
	b := &s3Bucket{objects: map[string]s3Object{}, settings: map[string][]byte{}, created: s.clock.time()}
	if n, ok := r.properties["NotificationConfiguration"].(map[string]any); ok {
		_, b.notifies = n["EventBridgeConfiguration"]
	}
	s.s3.buckets[name] = b
	r.physical = name
	r.attributes["Arn"] = s.partition() + "s3:::" + name
	s.soon(finish)
	return nil
}

func removeBucketResource(s *Sim, r *resource, finish func(error)) {
	b := s.s3.buckets[r.physical]
	if b != nil && len(b.objects) > 0 {
		s.clock.after(0, func() {
			finish(reasonf("The bucket you tried to delete is not empty (Service: S3, Status Code: 409, Request ID: %s)", s.uuid("request")))
		})
		return
	}
	delete(s.s3.buckets, r.physical)
	s.soon(finish)
}

func createImagesResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "RepositoryName")
	s.addRepository(name)
	r.physical = name
	if err := updateImagesResource(s, nil, r); err != nil {
		return err
	}
	r.attributes["Arn"], r.attributes["RepositoryUri"] = s.repositoryARN(name), s.repositoryURI(name)
	s.soon(finish)
	return nil
}

func updateImagesResource(s *Sim, _ *stack, r *resource) error {
	repository, err := s.imageRepository(r.physical)
	if err != nil {
		return err
	}
	repository.immutable = text(r.properties, "ImageTagMutability") == "IMMUTABLE"
	return nil
}

func removeImagesResource(s *Sim, r *resource, finish func(error)) {
	s.removeRepository(r.physical)
	s.soon(finish)
}

// createDefinitionResource registers a task definition: CloudFormation's properties
// are the API's members with a capital letter, but for the maps of names.
func createDefinitionResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	raw, _ := smallLetters(r.properties).(map[string]any)
	delete(raw, "tags")
	body, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return err
	}
	d, err := s.addDefinition(members)
	if err != nil {
		return err
	}
	r.physical = d.arn(s)
	r.attributes["TaskDefinitionArn"] = r.physical
	s.soon(finish)
	return nil
}

// smallLetters gives members of objects small first letters, except below Options.
func smallLetters(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k == "Options" {
				out["options"] = x
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

func removeDefinitionResource(s *Sim, r *resource, finish func(error)) {
	for _, d := range s.ecs.definitions {
		if d.arn(s) == r.physical {
			d.status = "INACTIVE"
		}
	}
	s.soon(finish)
}

func createURLResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	f := s.function(text(r.properties, "TargetFunctionArn"))
	if f == nil {
		return notFound("Function not found: %s", text(r.properties, "TargetFunctionArn"))
	}
	if !slices.Contains([]string{"NONE"}, text(r.properties, "AuthType")) {
		return reasonf("the sandbox does not simulate AuthType %s", text(r.properties, "AuthType"))
	}
	r.physical = s.functionARN(f.name)
	r.attributes["FunctionArn"], r.attributes["FunctionUrl"] = r.physical, "http://"+s.address+urlRoot+f.name+"/"
	f.url = true
	s.soon(finish)
	return nil
}

// The lengths that IAM takes, in characters without blanks.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const maxInlinePolicies, maxManagedPolicy = 10240, 6144

// createManagedPolicy makes a managed policy and attaches it to the roles that it
// names.
func createManagedPolicy(s *Sim, st *stack, r *resource, finish func(error)) error {
	r.physical = s.globalARN("iam", "policy/"+st.name+"-"+r.logical+"-"+s.digest(st.id+r.logical, 12))
	if err := updateManagedPolicy(s, st, r); err != nil {
		return err
	}
	s.soon(finish)
	return nil
}

func updateManagedPolicy(s *Sim, _ *stack, r *resource) error {
	body, err := json.Marshal(r.properties["PolicyDocument"])
	if err != nil {
		return err
	}
	if len(body) > maxManagedPolicy {
		return errf("LimitExceeded", "Cannot exceed quota for PolicySize: %d", maxManagedPolicy)
	}
	s.iam.managed[r.physical] = string(body)
	for _, role := range s.iam.roles {
		if _, attached := role.policies[r.physical]; attached {
			role.policies[r.physical] = string(body)
		}
	}
	s.iam.named[r.physical] = list(r.properties, "Roles")
	for _, name := range s.iam.named[r.physical] {
		role := s.role(name)
		if role == nil {
			return noRole(name)
		}
		if err := s.attach(role, r.physical); err != nil {
			return err
		}
	}
	return nil
}

// maxAttached is how many managed policies a role may have.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const maxAttached = 10

func (s *Sim) attach(r *role, policy string) error {
	body, ok := s.iam.managed[policy]
	if !ok {
		return errf("NoSuchEntity", "Policy %s does not exist or is not attachable.", policy)
	}
	n := 0
	for name := range r.policies {
		if strings.HasPrefix(name, "arn:") && name != policy {
			n++
		}
	}
	if n >= maxAttached {
		return errf("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
	}
	r.policies[policy] = body
	return nil
}

func removeManagedPolicy(s *Sim, r *resource, finish func(error)) {
	delete(s.iam.managed, r.physical)
	for _, role := range s.iam.roles {
		delete(role.policies, r.physical)
	}
	s.soon(finish)
}
