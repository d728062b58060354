package codebuild

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// build is one build.
type build struct {
	id, status, phase string
	project           *project
	order             Order
	variables         []variable
	started, ended    time.Time
	phases            []phase
	next              *kernel.Due
	done              func(Result)
	outputs           map[string][]byte
	exported          map[string]string
	command           *exec.Cmd // that runs on this machine; nil for none
}

// phase is a phase of a build that has ended, with why it failed.
type phase struct {
	name, status, why string
	started, ended    time.Time
}

// Order is what a build is asked to do beyond its project.
type Order struct {
	// Variables replace the project's.
	Variables map[string]string
	// Sources are zip files by the name of their artifact; Primary names the one that the
	// build starts in. Outputs are the names of the artifacts that it is to make.
	Sources map[string][]byte
	Primary string
	Outputs []string
	// Version is the commit that is built.
	Version string
}

// Result is how a build ended: what it made, zipped, by name of the artifact, and the values
// of its exported variables.
type Result struct {
	ID, Status, Why string
	Artifacts       map[string][]byte
	Exported        map[string]string
}

// Succeeded reports whether the build did.
func (r Result) Succeeded() bool { return r.Status == "SUCCEEDED" }

// The times of a build: SANDBOX_RUN_FOR in its variables says how long it takes otherwise. One
// whose commands run here takes what they take, at the clock's speed while it stands still
// for them.
const (
	provisionTakes = 30 * time.Second
	buildTakes     = 5 * time.Minute
	giveUpAfter    = 2 * time.Minute // a source that cannot be reached
)

// Start starts a build and calls done at its end. It returns "" if there is no such project.
func (s *Service) Start(name string, o Order, done func(Result)) (id string) {
	p := s.project(name)
	if p == nil {
		return ""
	}
	b := &build{
		id: p.Name + ":" + s.UUID("build"), project: p, status: "IN_PROGRESS", phase: "PROVISIONING", order: o,
		started: s.Clock.Now(), variables: slices.Clone(p.Environment.EnvironmentVariables), done: done,
	}
	for _, k := range kernel.SortedKeys(o.Variables) {
		b.variables = append(b.variables, variable{Name: k, Value: o.Variables[k]})
	}
	s.builds = append(s.builds, b)
	s.tell(b)
	b.next = s.Clock.After(provisionTakes, func() {
		s.enter(b, "DOWNLOAD_SOURCE")
		if why := s.cutOff(b); why != "" {
			b.next = s.Clock.After(giveUpAfter, func() { s.fail(b, why) })
			return
		}
		if s.Options.RunCode {
			s.run(b)
			return
		}
		s.enter(b, "BUILD")
		takes := buildTakes
		if d, err := time.ParseDuration(b.variable("SANDBOX_RUN_FOR")); err == nil {
			takes = d
		}
		b.next = s.Clock.After(takes, func() {
			code, _ := strconv.Atoi(b.variable("SANDBOX_EXIT_CODE")) // unset is success
			if code != 0 {
				s.fail(b, "COMMAND_EXECUTION_ERROR: Error while executing command. Reason: exit status "+
					strconv.Itoa(code))
				return
			}
			s.end(b, "SUCCEEDED")
		})
	})
	return b.id
}

// enter ends the present phase of a build and begins the next one.
func (s *Service) enter(b *build, name string) {
	now, began := s.Clock.Now(), b.started
	if n := len(b.phases); n > 0 {
		began = b.phases[n-1].ended
	}
	b.phases = append(b.phases, phase{b.phase, "SUCCEEDED", "", began, now})
	b.phase = name
}

// cutOff returns what a build in a VPC says that cannot reach its source; "" if it can.
//
// Source: https://docs.aws.amazon.com/codebuild/latest/userguide/use-vpc-endpoints-with-codebuild.html
func (s *Service) cutOff(b *build) string {
	if b.reaches(s, "s3") || b.project.Source.Type == "NO_SOURCE" {
		return ""
	}
	return "CLIENT_ERROR: RequestError: send request failed caused by: Get \"https://s3." + s.Suffix() +
		"/\": dial tcp 192.0.2.21:443: i/o timeout for primary source and source version " +
		s.ARN("s3", "source")
}

// reaches reports whether a build can reach a service.
func (b *build) reaches(s *Service, service string) bool {
	v := b.project.VPCConfig
	return v == nil || len(v.Subnets) == 0 || s.Reach(v.Subnets[0], v.SecurityGroupIDs, service)
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

func (s *Service) fail(b *build, why string) {
	if !b.ended.IsZero() {
		return
	}
	now, began := s.Clock.Now(), b.started
	if n := len(b.phases); n > 0 {
		began = b.phases[n-1].ended
	}
	b.phases = append(b.phases, phase{b.phase, "FAILED", why, began, now})
	s.end(b, "FAILED")
}

func (s *Service) end(b *build, status string) {
	s.Clock.Cancel(b.next)
	if status == "SUCCEEDED" {
		s.enter(b, "COMPLETED")
	}
	b.status, b.phase = status, "COMPLETED"
	b.ended = s.Clock.Now()
	s.tell(b)
	r := Result{ID: b.id, Status: status, Artifacts: b.outputs, Exported: b.exported}
	if n := len(b.phases); n > 0 {
		r.Why = b.phases[n-1].why
	}
	b.done(r)
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
	o := Order{Variables: map[string]string{}, Version: in.SourceVersion}
	for _, v := range in.EnvironmentVariablesOverride {
		o.Variables[v.Name] = v.Value
	}
	id := s.Start(in.ProjectName, o, func(Result) {})
	if id == "" {
		return nil, noProject(s, in.ProjectName)
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
		if b.command != nil {
			_ = b.command.Process.Kill() // it may have ended
		}
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

func (s *Service) listBuilds(_ *kernel.Call, in *struct{ ProjectName, SortOrder, NextToken string }) (*struct {
	IDs []string `json:"ids"`
}, error) {
	if s.project(in.ProjectName) == nil {
		return nil, noProject(s, in.ProjectName)
	}
	out := &struct {
		IDs []string `json:"ids"`
	}{[]string{}}
	for _, b := range s.builds {
		if b.project.Name == in.ProjectName {
			out.IDs = append(out.IDs, b.id)
		}
	}
	if in.SortOrder != "ASCENDING" {
		slices.Reverse(out.IDs)
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
	Phases       []phaseJSON   `json:"phases"`
	Logs         logsJSON      `json:"logs"`
	Exported     []valueJSON   `json:"exportedEnvironmentVariables"`
}

type valueJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type phaseJSON struct {
	Type      string        `json:"phaseType"`
	Status    string        `json:"phaseStatus,omitempty"`
	StartTime *kernel.Stamp `json:"startTime"`
	EndTime   *kernel.Stamp `json:"endTime,omitempty"`
	Duration  int           `json:"durationInSeconds"`
	Contexts  []contextJSON `json:"contexts"`
}

type contextJSON struct {
	StatusCode string `json:"statusCode"`
	Message    string `json:"message"`
}

type logsJSON struct {
	GroupName  string `json:"groupName,omitempty"`
	StreamName string `json:"streamName,omitempty"`
}

type buildReply struct {
	Build buildJSON `json:"build"`
}

func (s *Service) json(b *build) buildJSON {
	out := buildJSON{
		ID: b.id, ARN: s.ARN("codebuild", "build/"+b.id), ProjectName: b.project.Name, BuildStatus: b.status,
		CurrentPhase: b.phase, Complete: !b.ended.IsZero(), StartTime: kernel.StampOf(b.started),
		EndTime: kernel.StampOf(b.ended), VPCConfig: b.project.VPCConfig, Phases: []phaseJSON{},
		Logs: logsJSON{b.project.logGroup(), b.stream()}, Exported: []valueJSON{},
	}
	for _, p := range b.phases {
		code, message, _ := strings.Cut(p.why, ": ")
		out.Phases = append(out.Phases, phaseJSON{
			p.name, p.status, kernel.StampOf(p.started), kernel.StampOf(p.ended),
			int(p.ended.Sub(p.started).Seconds()), []contextJSON{{code, message}},
		})
	}
	for _, k := range kernel.SortedKeys(b.exported) {
		out.Exported = append(out.Exported, valueJSON{k, b.exported[k]})
	}
	return out
}

// logGroup is the log group of a project's builds.
func (p *project) logGroup() string {
	if c, _ := p.LogsConfig["cloudWatchLogs"].(map[string]any); kernel.Text(c, "groupName") != "" {
		return kernel.Text(c, "groupName")
	}
	return "/aws/codebuild/" + p.Name
}

// stream is the log stream of a build.
func (b *build) stream() string { return b.id[strings.Index(b.id, ":")+1:] }
