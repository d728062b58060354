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
	r.attributes["Arn"] = "arn:aws:s3:::" + name
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
	if _, ok := s.images[name]; !ok {
		s.images[name] = nil
	}
	r.physical = name
	r.attributes["Arn"], r.attributes["RepositoryUri"] = s.arn("ecr", "repository/"+name), s.options.Account+".dkr.ecr."+s.options.Region+".amazonaws.com/"+name
	s.soon(finish)
	return nil
}

func removeImagesResource(s *Sim, r *resource, finish func(error)) {
	delete(s.images, r.physical)
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

// createManagedPolicy makes a managed policy and attaches it to its roles.
func createManagedPolicy(s *Sim, st *stack, r *resource, finish func(error)) error {
	body, err := json.Marshal(r.properties["PolicyDocument"])
	if err != nil {
		return err
	}
	if len(body) > maxManagedPolicy {
		return errf("LimitExceeded", "Cannot exceed quota for PolicySize: %d", maxManagedPolicy)
	}
	r.physical = "arn:aws:iam::" + s.options.Account + ":policy/" + st.name + "-" + r.logical + "-" + s.digest(st.id+r.logical, 12)
	for _, name := range list(r.properties, "Roles") {
		role := s.role(name)
		if role == nil {
			return noRole(name)
		}
		role.policies[r.physical] = string(body)
	}
	s.soon(finish)
	return nil
}
