// Package codebuild simulates CodeBuild: projects, and builds that take their time and tell
// EventBridge of it.
package codebuild

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated CodeBuild.
type Service struct {
	*kernel.Kernel
	projects []*project
	builds   []*build
}

// project is a project, as the API has it.
type project struct {
	Name         string         `json:"name"`
	ARN          string         `json:"arn"`
	Description  string         `json:"description,omitempty"`
	ServiceRole  string         `json:"serviceRole"`
	Source       map[string]any `json:"source"`
	Artifacts    map[string]any `json:"artifacts"`
	Environment  environment    `json:"environment"`
	VPCConfig    *vpcConfig     `json:"vpcConfig,omitempty"`
	LogsConfig   map[string]any `json:"logsConfig,omitempty"`
	Timeout      int            `json:"timeoutInMinutes,omitempty"`
	EncryptedBy  string         `json:"encryptionKey,omitempty"`
	Created      *kernel.Stamp  `json:"created,omitempty"`
	LastModified *kernel.Stamp  `json:"lastModified,omitempty"`
}

type vpcConfig struct {
	VPCID            string   `json:"vpcId"`
	Subnets          []string `json:"subnets"`
	SecurityGroupIDs []string `json:"securityGroupIds"`
}

type environment struct {
	Type                 string     `json:"type"`
	Image                string     `json:"image"`
	ComputeType          string     `json:"computeType"`
	EnvironmentVariables []variable `json:"environmentVariables"`
	PrivilegedMode       bool       `json:"privilegedMode"`
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type,omitempty"`
}

// build is one build.
type build struct {
	id, status, phase string
	project           *project
	variables         []variable
	started, ended    time.Time
	next              *kernel.Due
	done              func(succeeded bool)
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Register(&kernel.API{
		Name: "codebuild", Prefix: "CodeBuild_20161006", Protocol: kernel.JSON11, Endpoint: "codebuild",
		Asks: s.questions, Ops: map[string]kernel.Operation{
			"CreateProject":    kernel.Op(s.createProject),
			"BatchGetProjects": kernel.Op(s.getProjects),
			"StartBuild":       kernel.Op(s.startBuild),
			"StopBuild":        kernel.Op(s.stopBuild),
			"BatchGetBuilds":   kernel.Op(s.getBuilds),
		},
	})
	return s
}

// questions asks for builds by their project, as CodeBuild's actions have it.
func (s *Service) questions(c *kernel.Call) []kernel.Question {
	name := c.Field("projectName") + c.Field("name")
	if b := kernel.Find(s.builds, func(b *build) bool { return strings.Contains(string(c.Body), b.id) }); b != nil {
		name = b.project.Name
	}
	if name == "" {
		name = "*"
	}
	return []kernel.Question{kernel.May(c.Permission(), s.ARN("codebuild", "project/"+name))}
}

func (s *Service) project(name string) *project {
	return kernel.Find(s.projects, func(p *project) bool { return p.Name == name || p.ARN == name })
}

type projectReply struct {
	Project *project `json:"project"`
}

func (s *Service) createProject(_ *kernel.Call, in *project) (*projectReply, error) {
	if s.project(in.Name) != nil {
		return nil, kernel.Errorf("ResourceAlreadyExistsException", "Project already exists: %s",
			s.ARN("codebuild", "project/"+in.Name))
	}
	p := *in
	p.ARN, p.Created = s.ARN("codebuild", "project/"+in.Name), kernel.StampOf(s.Clock.Now())
	if p.Environment.EnvironmentVariables == nil {
		p.Environment.EnvironmentVariables = []variable{}
	}
	s.projects = append(s.projects, &p)
	return &projectReply{&p}, nil
}

func (s *Service) getProjects(_ *kernel.Call, in *struct{ Names []string }) (*struct {
	Projects         []*project `json:"projects"`
	ProjectsNotFound []string   `json:"projectsNotFound"`
}, error) {
	out := &struct {
		Projects         []*project `json:"projects"`
		ProjectsNotFound []string   `json:"projectsNotFound"`
	}{[]*project{}, []string{}}
	for _, name := range in.Names {
		if p := s.project(name); p != nil {
			out.Projects = append(out.Projects, p)
		} else {
			out.ProjectsNotFound = append(out.ProjectsNotFound, name)
		}
	}
	return out, nil
}

type buildJSON struct {
	ID           string        `json:"id"`
	ARN          string        `json:"arn"`
	ProjectName  string        `json:"projectName"`
	BuildStatus  string        `json:"buildStatus"`
	CurrentPhase string        `json:"currentPhase"`
	Complete     bool          `json:"buildComplete"`
	StartTime    *kernel.Stamp `json:"startTime"`
	EndTime      *kernel.Stamp `json:"endTime,omitempty"`
	VPCConfig    *vpcConfig    `json:"vpcConfig,omitempty"`
}

type buildReply struct {
	Build buildJSON `json:"build"`
}

func (s *Service) json(b *build) buildJSON {
	return buildJSON{
		b.id, s.ARN("codebuild", "build/"+b.id), b.project.Name, b.status, b.phase, !b.ended.IsZero(),
		kernel.StampOf(b.started), kernel.StampOf(b.ended), b.project.VPCConfig,
	}
}

// The times of a build: SANDBOX_RUN_FOR in its variables says how long it takes otherwise.
const (
	provisionTakes = 30 * time.Second
	buildTakes     = 5 * time.Minute
)

// Start starts a build and calls done at its end; nil if there is no such project.
func (s *Service) Start(name string, more map[string]string, done func(succeeded bool)) (id string) {
	p := s.project(name)
	if p == nil {
		return ""
	}
	b := &build{
		id: p.Name + ":" + s.UUID("build"), project: p, status: "IN_PROGRESS", phase: "PROVISIONING",
		started: s.Clock.Now(), variables: slices.Clone(p.Environment.EnvironmentVariables), done: done,
	}
	for _, k := range kernel.SortedKeys(more) {
		b.variables = append(b.variables, variable{Name: k, Value: more[k]})
	}
	s.builds = append(s.builds, b)
	s.tell(b)
	takes := buildTakes
	if d, err := time.ParseDuration(b.variable("SANDBOX_RUN_FOR")); err == nil {
		takes = d
	}
	b.next = s.Clock.After(provisionTakes, func() {
		b.phase = "BUILD"
		b.next = s.Clock.After(takes, func() {
			code, _ := strconv.Atoi(b.variable("SANDBOX_EXIT_CODE")) // unset is success
			s.end(b, map[bool]string{true: "SUCCEEDED", false: "FAILED"}[code == 0])
		})
	})
	return b.id
}

// variable returns the last value of a variable.
func (b *build) variable(name string) string {
	out := ""
	for _, v := range b.variables {
		if v.Name == name {
			out = v.Value
		}
	}
	return out
}

func (s *Service) end(b *build, status string) {
	s.Clock.Cancel(b.next)
	b.status, b.phase = status, "COMPLETED"
	b.ended = s.Clock.Now()
	s.tell(b)
	b.done(status == "SUCCEEDED")
}

// tell sends CodeBuild's event about a build.
func (s *Service) tell(b *build) {
	arn := s.ARN("codebuild", "build/"+b.id)
	s.Emit("aws.codebuild", "CodeBuild Build State Change", []string{arn}, map[string]any{
		"build-status": b.status, "project-name": b.project.Name, "build-id": arn, "current-phase": b.phase,
		"version": "1", "additional-information": map[string]any{"phases": []any{}},
	})
}

func (s *Service) startBuild(_ *kernel.Call, in *struct {
	ProjectName                  string
	EnvironmentVariablesOverride []variable
	SourceVersion                string
}) (*buildReply, error) {
	more := map[string]string{}
	for _, v := range in.EnvironmentVariablesOverride {
		more[v.Name] = v.Value
	}
	id := s.Start(in.ProjectName, more, func(bool) {})
	if id == "" {
		return nil, kernel.Errorf("ResourceNotFoundException", "Project cannot be found: %s",
			s.ARN("codebuild", "project/"+in.ProjectName))
	}
	return &buildReply{s.json(s.build(id))}, nil
}

func (s *Service) build(given string) *build {
	id := given[strings.LastIndex(given, "/")+1:]
	return kernel.Find(s.builds, func(b *build) bool { return b.id == id })
}

func (s *Service) stopBuild(_ *kernel.Call, in *struct{ ID string }) (*buildReply, error) {
	b := s.build(in.ID)
	if b == nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Build cannot be found: %s", in.ID)
	}
	if b.ended.IsZero() {
		s.end(b, "STOPPED")
	}
	return &buildReply{s.json(b)}, nil
}

func (s *Service) getBuilds(_ *kernel.Call, in *struct{ IDs []string }) (*struct {
	Builds         []buildJSON `json:"builds"`
	BuildsNotFound []string    `json:"buildsNotFound"`
}, error) {
	out := &struct {
		Builds         []buildJSON `json:"builds"`
		BuildsNotFound []string    `json:"buildsNotFound"`
	}{[]buildJSON{}, []string{}}
	for _, id := range in.IDs {
		if b := s.build(id); b != nil {
			out.Builds = append(out.Builds, s.json(b))
		} else {
			out.BuildsNotFound = append(out.BuildsNotFound, id)
		}
	}
	return out, nil
}

// Remove removes a project.
func (s *Service) Remove(name string) {
	s.projects = slices.DeleteFunc(s.projects, func(p *project) bool { return p.Name == name })
}
