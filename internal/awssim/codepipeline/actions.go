package codepipeline

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/codebuild"
	"drawbridge/internal/awssim/kernel"
)

// runs begin the action of a provider; done ends it.
var runs map[string]func(*Service, *run)

func init() { // the actions check pipelines, which look up providers
	runs = map[string]func(*Service, *run){
		"CloudFormation":           (*Service).deployStack,
		"CodeBuild":                (*Service).build,
		"CodeDeployToECS":          (*Service).deployByCodeDeploy,
		"CodeStarSourceConnection": (*Service).fetch,
		"ECS":                      (*Service).deployService,
		"Lambda":                   func(s *Service, r *run) { s.invoke(r, "") },
		"Manual":                   (*Service).awaitApproval,
		"S3":                       (*Service).fetchObject,
	}
}

// The times of an action.
const (
	fetchTakes = 10 * time.Second
	lookEvery  = 10 * time.Second
)

// awaitApproval waits for PutApprovalResult: seven days, unless the action says otherwise.
func (s *Service) awaitApproval(r *run) {
	r.token = s.UUID("approval")
	within := 7 * 24 * time.Hour
	if n := r.action.TimeoutMinutes; n > 0 {
		within = time.Duration(n) * time.Minute
	}
	s.Clock.After(within, func() { s.done(r, failure("JobTimedOut", "The approval was not given in time.")) })
}

// roleOf is the role that an action calls with.
func (s *Service) roleOf(r *run) string {
	if r.action.RoleArn != "" {
		return r.action.RoleArn
	}
	return r.execution.pipeline.RoleArn
}

// poll calls look every few seconds until it says that the action has ended.
func (s *Service) poll(r *run, look func() (outcome, bool)) {
	s.Clock.After(lookEvery, func() {
		if r.execution.open[r.action.Name] != r {
			return
		}
		if o, over := look(); over {
			s.done(r, o)
			return
		}
		s.poll(r, look)
	})
}

// refused is the outcome of an action whose call was refused.
func refused(err error) outcome {
	var e *kernel.APIError
	if errors.As(err, &e) && strings.HasPrefix(e.Code, "AccessDenied") {
		return failure("PermissionError", "%s", e.Message)
	}
	return failure("ConfigurationError", "%v", err)
}

// put stores an output artifact.
func (s *Service) put(r *run, role, name string, content []byte) error {
	store := r.execution.pipeline.ArtifactStore.Location
	b := s.s3.Buckets[store]
	if b == nil {
		return kernel.Errorf("NoSuchBucket", "The artifact bucket %s does not exist", store)
	}
	// The names are shortened, as AWS does.
	key := fmt.Sprintf("%.20s/%.10s/%s", r.execution.pipeline.Name, name, s.NewID("artifact", 7))
	arn := s.Partition() + "s3:::" + store + "/" + key
	asks := []kernel.Question{kernel.May("s3:PutObject", arn)}
	if r.action.ActionTypeID.Provider == "CodeStarSourceConnection" {
		asks = append(asks, kernel.May("s3:PutObjectAcl", arn)) // aws/aws-cdk#13557
	}
	if q := s.iam.Allows(role, append(asks, s.sealed(r, "kms:GenerateDataKey", "kms:Decrypt")...)...); q != nil {
		return kernel.Errorf("AccessDenied", "%s may not %s on %s", role, q.Action, q.Resource)
	}
	b.Objects[key] = s.s3.NewObject(content)
	r.execution.artifacts[name] = key
	return nil
}

// get reads an input artifact.
func (s *Service) get(r *run, role, name string) ([]byte, error) {
	store, key := r.execution.pipeline.ArtifactStore.Location, r.execution.artifacts[name]
	arn := s.Partition() + "s3:::" + store + "/" + key
	if q := s.iam.Allows(role, append([]kernel.Question{kernel.May("s3:GetObject", arn)},
		s.sealed(r, "kms:Decrypt")...)...); q != nil {
		return nil, kernel.Errorf("AccessDenied", "%s may not %s on %s", role, q.Action, q.Resource)
	}
	if b := s.s3.Buckets[store]; b != nil {
		if o, ok := b.Objects[key]; ok {
			return o.Bytes(), nil
		}
	}
	return nil, kernel.Errorf("NoSuchKey", "The artifact %s is not in %s", name, store)
}

// sealed asks for the key of the artifact store, if it has one.
func (s *Service) sealed(r *run, actions ...string) []kernel.Question {
	k := r.execution.pipeline.ArtifactStore.EncryptionKey
	if k == nil {
		return nil
	}
	return s.ViaKey(s.KeyARN((*k)["id"]), "s3", actions...)
}

// fetch brings a repository behind a connection: the local folder that stands for it.
func (s *Service) fetch(r *run) {
	c := r.action.Configuration
	arn, repository := c["ConnectionArn"], c["FullRepositoryId"]
	if q := s.iam.Allows(s.roleOf(r), kernel.May("codeconnections:UseConnection", arn,
		"codeconnections:FullRepositoryId", repository)); q != nil {
		s.later(r, failure("PermissionError",
			"The provided role does not have permissions to use the connection %s", arn))
		return
	}
	folder := s.Options.Repositories[repository]
	switch {
	case !s.connections.Available(arn):
		s.later(r, failure("ConfigurationError", "Connection %s is not available", arn))
		return
	case folder == "":
		s.later(r, failure("ConfigurationError", "[%s] No Branch [%s] found for FullRepositoryName [%s]",
			"CodeStarSourceConnection", c["BranchName"], repository))
		return
	}
	s.Clock.After(fetchTakes, func() {
		content, err := codebuild.Zip(folder)
		if err != nil {
			s.done(r, failure("RevisionUnavailable", "%v", err))
			return
		}
		commit := s.Digest(string(content), 40)
		s.store(r, content, outcome{external: commit, variables: map[string]string{
			"CommitId": commit, "FullRepositoryName": repository, "BranchName": c["BranchName"],
			"ConnectionArn": arn,
		}})
	})
}

// fetchObject brings an object of S3. Without a bucket it brings nothing.
func (s *Service) fetchObject(r *run) {
	c := r.action.Configuration
	s.Clock.After(fetchTakes, func() {
		var content []byte
		if b := s.s3.Buckets[c["S3Bucket"]]; b != nil {
			o, ok := b.Objects[c["S3ObjectKey"]]
			if !ok {
				s.done(r, failure("ConfigurationError", "The object with key '%s' does not exist.", c["S3ObjectKey"]))
				return
			}
			content = o.Bytes()
		}
		s.store(r, content, outcome{})
	})
}

// store stores the one output of an action, if it has one, and ends it.
func (s *Service) store(r *run, content []byte, o outcome) {
	for _, a := range r.action.OutputArtifacts {
		if err := s.put(r, s.roleOf(r), a.Name, content); err != nil {
			o = failure("PermissionError", "%v", err)
		}
	}
	s.done(r, o)
}

// build runs a project, whose own role reads and writes the artifacts.
func (s *Service) build(r *run) {
	c := r.action.Configuration
	project := c["ProjectName"]
	role := s.builds.Role(project)
	if q := s.iam.Allows(s.roleOf(r), kernel.May("codebuild:StartBuild", s.ARN("codebuild", "project/"+project)),
		kernel.May("codebuild:BatchGetBuilds", s.ARN("codebuild", "project/"+project))); q != nil {
		s.later(r, failure("PermissionError", "%s is not allowed on %s", q.Action, q.Resource))
		return
	}
	o := codebuild.Order{Variables: map[string]string{}, Sources: map[string][]byte{}, Primary: c["PrimarySource"]}
	for _, v := range variablesOf(c["EnvironmentVariables"]) {
		o.Variables[v["name"]] = v["value"]
	}
	for _, a := range r.action.InputArtifacts {
		content, err := s.get(r, role, a.Name)
		if err != nil {
			s.later(r, failure("JobFailed", "%v", err))
			return
		}
		o.Sources[a.Name] = content
		if o.Primary == "" {
			o.Primary = a.Name
		}
	}
	for _, a := range r.action.OutputArtifacts {
		o.Outputs = append(o.Outputs, a.Name)
	}
	r.external = s.builds.Start(project, o, func(b codebuild.Result) { s.built(r, role, b) })
	if r.external == "" {
		s.later(r, failure("ConfigurationError", "Project %s cannot be found", project))
	}
}

// built stores what a build has made.
func (s *Service) built(r *run, role string, b codebuild.Result) {
	if !b.Succeeded() {
		s.done(r, failure("JobFailed", "Build terminated with state: %s. %s", b.Status, b.Why))
		return
	}
	for _, name := range kernel.SortedKeys(b.Artifacts) {
		if err := s.put(r, role, name, b.Artifacts[name]); err != nil {
			s.done(r, failure("JobFailed", "%v", err))
			return
		}
	}
	s.done(r, outcome{external: b.ID, variables: b.Exported})
}

// variablesOf are the variables of a build action.
func variablesOf(text string) []map[string]string {
	var out []map[string]string
	_ = json.Unmarshal([]byte(text), &out) // none is fine
	return out
}

// file returns a file in an input artifact, given as ARTIFACT::PATH.
func (s *Service) file(r *run, given string) ([]byte, error) {
	name, path, _ := strings.Cut(given, "::")
	if !slices.Contains(r.action.InputArtifacts, artifactName{name}) {
		return nil, kernel.Errorf("ConfigurationError", "%s is not an input artifact of action %s", name, r.action.Name)
	}
	content, err := s.get(r, s.roleOf(r), name)
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	f, err := z.Open(path)
	if err != nil {
		return nil, kernel.Errorf("ConfigurationError", "File [%s] does not exist in artifact [%s]", path, name)
	}
	defer f.Close()
	return io.ReadAll(f)
}

// call makes a call with an action's role.
func (s *Service) call(r *run, service, action string, in map[string]any) (map[string]any, error) {
	return s.PerformAs(s.roleOf(r), service, action, in)
}

// deployByCodeDeploy registers a task definition with the new image, and deploys it.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECSbluegreen.html
func (s *Service) deployByCodeDeploy(r *run) {
	if err := s.createDeployment(r); err != nil {
		s.later(r, refused(err))
		return
	}
	s.poll(r, func() (outcome, bool) {
		out, err := s.call(r, "codedeploy", "GetDeployment", map[string]any{"deploymentId": r.external})
		if err != nil {
			return refused(err), true
		}
		switch kernel.At(out, "deploymentInfo.status") {
		case "Succeeded":
			return outcome{}, true
		case "Failed", "Stopped":
			return failure("JobFailed", "Deployment %s failed: %s", r.external,
				kernel.At(out, "deploymentInfo.errorInformation.message")), true
		}
		return outcome{}, false
	})
}

func (s *Service) createDeployment(r *run) error {
	c := r.action.Configuration
	path := func(artifact, file, usual string) string {
		if c[file] != "" {
			usual = c[file]
		}
		return c[artifact] + "::" + usual
	}
	spec, err := s.file(r, path("AppSpecTemplateArtifact", "AppSpecTemplatePath", "appspec.yaml"))
	if err != nil {
		return err
	}
	definition, err := s.file(r, path("TaskDefinitionTemplateArtifact", "TaskDefinitionTemplatePath", "taskdef.json"))
	if err != nil {
		return err
	}
	for n := range []string{"1", "2", "3", "4"} {
		i := string(rune('1' + n))
		if c["Image"+i+"ArtifactName"] == "" {
			continue
		}
		detail, err := s.file(r, c["Image"+i+"ArtifactName"]+"::imageDetail.json")
		if err != nil {
			return err
		}
		var image struct{ ImageURI string }
		if err := json.Unmarshal(detail, &image); err != nil || image.ImageURI == "" {
			return kernel.Errorf("ConfigurationError", "imageDetail.json has no ImageURI")
		}
		definition = bytes.ReplaceAll(definition, []byte("<"+c["Image"+i+"ContainerName"]+">"), []byte(image.ImageURI))
	}
	var in map[string]any
	if err := json.Unmarshal(definition, &in); err != nil {
		return kernel.Errorf("ConfigurationError", "The task definition is not valid JSON: %v", err)
	}
	out, err := s.call(r, "ecs", "RegisterTaskDefinition", in)
	if err != nil {
		return err
	}
	arn := kernel.At(out, "taskDefinition.taskDefinitionArn")
	out, err = s.call(r, "codedeploy", "CreateDeployment", map[string]any{
		"applicationName": c["ApplicationName"], "deploymentGroupName": c["DeploymentGroupName"],
		"revision": map[string]any{"revisionType": "AppSpecContent", "appSpecContent": map[string]any{
			"content": strings.ReplaceAll(string(spec), "<TASK_DEFINITION>", arn),
		}},
	})
	if err != nil {
		return err
	}
	r.external = kernel.At(out, "deploymentId")
	return nil
}

// deployService has a service run the images of imagedefinitions.json, and waits for the
// deployment.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECS.html
func (s *Service) deployService(r *run) {
	c := r.action.Configuration
	if err := s.updateService(r); err != nil {
		s.later(r, refused(err))
		return
	}
	s.poll(r, func() (outcome, bool) {
		out, err := s.call(r, "ecs", "DescribeServices", map[string]any{
			"cluster": c["ClusterName"], "services": []any{c["ServiceName"]},
		})
		if err != nil {
			return refused(err), true
		}
		arn := kernel.At(out, "services.currentServiceDeployment")
		out, err = s.Perform("ecs", "DescribeServiceDeployments", map[string]any{"serviceDeploymentArns": []any{arn}})
		if err != nil {
			return refused(err), true
		}
		switch status := kernel.At(out, "serviceDeployments.status"); status {
		case "SUCCESSFUL":
			return outcome{external: arn}, true
		case "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED":
			return failure("JobFailed", "The deployment %s ended %s", arn, status), true
		}
		return outcome{}, false
	})
}

func (s *Service) updateService(r *run) error {
	c := r.action.Configuration
	name := c["FileName"]
	if name == "" {
		name = "imagedefinitions.json"
	}
	text, err := s.file(r, r.action.InputArtifacts[0].Name+"::"+name)
	if err != nil {
		return err
	}
	var images []struct{ Name, ImageURI string }
	if err := json.Unmarshal(text, &images); err != nil {
		return kernel.Errorf("ConfigurationError", "%s is not valid JSON: %v", name, err)
	}
	out, err := s.call(r, "ecs", "DescribeServices", map[string]any{
		"cluster": c["ClusterName"], "services": []any{c["ServiceName"]},
	})
	if err != nil {
		return err
	}
	out, err = s.call(r, "ecs", "DescribeTaskDefinition", map[string]any{
		"taskDefinition": kernel.At(out, "services.taskDefinition"),
	})
	if err != nil {
		return err
	}
	in, _ := out["taskDefinition"].(map[string]any)
	in = maps.Clone(in)
	for _, k := range []string{
		"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt",
		"registeredBy",
	} {
		delete(in, k)
	}
	for _, container := range kernel.Objects(in, "containerDefinitions") {
		for _, i := range images {
			if container["name"] == i.Name {
				container["image"] = i.ImageURI
			}
		}
	}
	if out, err = s.call(r, "ecs", "RegisterTaskDefinition", in); err != nil {
		return err
	}
	_, err = s.call(r, "ecs", "UpdateService", map[string]any{
		"cluster": c["ClusterName"], "service": c["ServiceName"],
		"taskDefinition": kernel.At(out, "taskDefinition.taskDefinitionArn"),
	})
	return err
}
