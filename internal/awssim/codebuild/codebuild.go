// Package codebuild simulates CodeBuild: projects, and builds that take their time and tell
// EventBridge of it. With kernel.Options.RunCode the commands of their buildspecs run on this
// machine.
package codebuild

import (
	"os/exec"
	"slices"
	"strings"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/logs"
)

// Service is the simulated CodeBuild.
type Service struct {
	*kernel.Kernel
	logs *logs.Service
	// Reach reports whether a service can be reached from a subnet by security groups.
	Reach func(subnet string, groups []string, service string) bool

	projects []*project
	builds   []*build
	running  map[*exec.Cmd]bool
}

// project is a project, as the API has it.
type project struct {
	Name         string         `json:"name"`
	ARN          string         `json:"arn"`
	Description  string         `json:"description,omitempty"`
	ServiceRole  string         `json:"serviceRole"`
	Source       source         `json:"source"`
	Artifacts    map[string]any `json:"artifacts"`
	Environment  environment    `json:"environment"`
	VPCConfig    *vpcConfig     `json:"vpcConfig,omitempty"`
	LogsConfig   map[string]any `json:"logsConfig,omitempty"`
	Timeout      int            `json:"timeoutInMinutes,omitempty"`
	EncryptedBy  string         `json:"encryptionKey,omitempty"`
	Queued       int            `json:"queuedTimeoutInMinutes,omitempty"`
	Concurrent   int            `json:"concurrentBuildLimit,omitempty"`
	Created      *kernel.Stamp  `json:"created,omitempty"`
	LastModified *kernel.Stamp  `json:"lastModified,omitempty"`
}

type source struct {
	Type      string `json:"type"`
	Location  string `json:"location,omitempty"`
	Buildspec string `json:"buildspec,omitempty"`
	// Auth names the connection to the repository.
	Auth *map[string]string `json:"auth,omitempty"`
	// CloneDepth and Report change nothing here.
	CloneDepth int  `json:"gitCloneDepth,omitempty"`
	Report     bool `json:"reportBuildStatus,omitempty"`
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
	// PullCredentials says with whose credentials the image is pulled.
	PullCredentials string `json:"imagePullCredentialsType,omitempty"`
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type,omitempty"`
}

// New puts the service into an account.
func New(k *kernel.Kernel, groups *logs.Service) *Service {
	s := &Service{Kernel: k, logs: groups, running: map[*exec.Cmd]bool{}}
	k.AtEnd = append(k.AtEnd, func() {
		for cmd := range s.running {
			_ = cmd.Process.Kill() // it may have ended
		}
	})
	k.Register(&kernel.API{
		Name: "codebuild", Prefix: "CodeBuild_20161006", Protocol: kernel.JSON11, Endpoint: "codebuild",
		Asks: s.questions, Ops: map[string]kernel.Operation{
			"CreateProject":    kernel.Op(s.createProject),
			"BatchGetProjects": kernel.Op(s.getProjects),
			"StartBuild":       kernel.Op(s.startBuild),
			"StopBuild":        kernel.Op(s.stopBuild),
			"BatchGetBuilds":   kernel.Op(s.getBuilds),
			"UpdateProject":    kernel.Op(s.updateProject),

			"ListBuildsForProject": kernel.Op(s.listBuilds),
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

func (s *Service) updateProject(_ *kernel.Call, in *project) (*projectReply, error) {
	p := s.project(in.Name)
	if p == nil {
		return nil, noProject(s, in.Name)
	}
	arn, created := p.ARN, p.Created
	*p = *in
	p.ARN, p.Created = arn, created
	p.LastModified = kernel.StampOf(s.Clock.Now())
	if p.Environment.EnvironmentVariables == nil {
		p.Environment.EnvironmentVariables = []variable{}
	}
	return &projectReply{p}, nil
}

func noProject(s *Service, name string) error {
	return kernel.Errorf("ResourceNotFoundException", "Project cannot be found: %s",
		s.ARN("codebuild", "project/"+name))
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

// Remove removes a project.
func (s *Service) Remove(name string) {
	s.projects = slices.DeleteFunc(s.projects, func(p *project) bool { return p.Name == name })
}

// Role is the role of a project; "" if there is none of that name.
func (s *Service) Role(name string) string {
	if p := s.project(name); p != nil {
		return p.ServiceRole
	}
	return ""
}
