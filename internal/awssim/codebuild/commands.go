package codebuild

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"drawbridge/internal/awssim/kernel"
)

// spec is a buildspec, as far as it is read.
//
// Source: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
type spec struct {
	Version any `yaml:"version"`
	Env     struct {
		Variables      map[string]string `yaml:"variables"`
		ParameterStore map[string]string `yaml:"parameter-store"`
		SecretsManager map[string]string `yaml:"secrets-manager"`
		Exported       []string          `yaml:"exported-variables"`
	} `yaml:"env"`
	Phases map[string]struct {
		Commands []string `yaml:"commands"`
		Finally  []string `yaml:"finally"`
	} `yaml:"phases"`
	Artifacts struct {
		Files     []string         `yaml:"files"`
		Base      string           `yaml:"base-directory"`
		Secondary map[string]files `yaml:"secondary-artifacts"`
	} `yaml:"artifacts"`
}

type files struct {
	Files []string `yaml:"files"`
	Base  string   `yaml:"base-directory"`
}

// run runs the commands of a build on this machine. No simulated time passes meanwhile.
func (s *Service) run(b *build) {
	folder, err := os.MkdirTemp("", "build")
	if err != nil {
		s.fail(b, "CLIENT_ERROR: "+err.Error())
		return
	}
	x, why := s.prepare(b, folder)
	if why != "" {
		_ = os.RemoveAll(folder) // a folder for temporary files
		s.fail(b, why)
		return
	}
	values, why := s.values(b, x)
	if why != "" {
		_ = os.RemoveAll(folder)
		s.fail(b, why)
		return
	}
	s.enter(b, "BUILD")
	var out bytes.Buffer
	cmd := exec.CommandContext(s.Context, "bash", filepath.Join(folder, "build.sh"))
	cmd.Dir = filepath.Join(folder, "src")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = s.environment(b, folder, values)
	cmd.WaitDelay = 10 * time.Second // a program left behind does not keep the build
	if err := cmd.Start(); err != nil {
		_ = os.RemoveAll(folder)
		s.fail(b, "CLIENT_ERROR: "+err.Error())
		return
	}
	s.running[cmd], b.command = true, cmd
	s.Clock.SetBusy(1)
	go func() {
		defer os.RemoveAll(folder)
		err := cmd.Wait()
		s.Mu.Lock()
		defer s.Mu.Unlock()
		defer s.Clock.SetBusy(-1)
		delete(s.running, cmd)
		s.write(b, out.String())
		switch {
		case !b.ended.IsZero(): // stopped
		case err != nil:
			b.phase = strings.TrimSpace(text(filepath.Join(folder, "phase")))
			s.fail(b, "COMMAND_EXECUTION_ERROR: Error while executing command: "+
				strings.TrimSpace(text(filepath.Join(folder, "command")))+". Reason: exit status "+
				fmt.Sprint(cmd.ProcessState.ExitCode()))
		default:
			s.collect(b, x, folder)
		}
	}()
}

func text(path string) string {
	content, _ := os.ReadFile(path) // absent is empty
	return string(content)
}

// write writes a build's output to its log, unless it cannot be reached: the build goes on.
func (s *Service) write(b *build, out string) {
	if !b.reaches(s, "logs") {
		return
	}
	g := s.logs.AddLogGroup(b.project.logGroup())
	for _, line := range strings.Split(strings.TrimRight(out, "\n"), "\n") {
		g.Write(b.stream(), line, s.Clock.Now())
	}
}

// prepare puts the sources and the script of a build into a folder.
func (s *Service) prepare(b *build, folder string) (x spec, why string) {
	source := filepath.Join(folder, "src")
	if err := os.MkdirAll(source, 0o700); err != nil {
		return x, "CLIENT_ERROR: " + err.Error()
	}
	for name, content := range b.order.Sources {
		to := source
		if name != b.order.Primary {
			to = filepath.Join(folder, name)
		}
		if err := unzip(content, to); err != nil {
			return x, "CLIENT_ERROR: " + err.Error()
		}
	}
	if b.project.Source.Type == "GITHUB" {
		repository := strings.TrimSuffix(b.project.Source.Location, ".git")
		at := s.Options.Repositories[strings.TrimPrefix(repository, "https://github.com/")]
		if at == "" {
			return x, "CLIENT_ERROR: repository not found for primary source and source version " + b.order.Version
		}
		if err := os.CopyFS(source, os.DirFS(at)); err != nil {
			return x, "CLIENT_ERROR: " + err.Error()
		}
	}
	given := b.project.Source.Buildspec
	if !strings.ContainsAny(given, "\n{") { // a file of the source
		if given == "" {
			given = "buildspec.yml"
		}
		content, err := os.ReadFile(filepath.Join(source, filepath.Clean("/"+given)))
		if err != nil {
			return x, "YAML_FILE_ERROR: YAML file does not exist"
		}
		given = string(content)
	}
	if err := yaml.Unmarshal([]byte(given), &x); err != nil || x.Version == nil {
		return x, fmt.Sprintf("YAML_FILE_ERROR: Could not parse the buildspec: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "build.sh"), []byte(x.script(folder)), 0o600); err != nil {
		return x, "CLIENT_ERROR: " + err.Error()
	}
	return x, ""
}

// script is the phases as one script: version 0.2 runs all commands in one shell. A failed
// build phase does not keep post_build from running.
func (x spec) script(folder string) string {
	var out strings.Builder
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	out.WriteString("failed=0\nrun() {\n\t[ $skip = 1 ] && return\n\tprintf %s \"$1\" >" + quoted(folder+"/command") +
		"\n\teval \"$1\"\n\tcode=$?\n\tif [ $code != 0 ]; then skip=1; failed=$code; fi\n}\n")
	for _, name := range []string{"install", "pre_build", "build", "post_build"} {
		out.WriteString("echo " + strings.ToUpper(name) + " >" + quoted(folder+"/phase") + "\nskip=0\n")
		for _, c := range x.Phases[name].Commands {
			out.WriteString("run " + quoted(c) + "\n")
		}
		if f := x.Phases[name].Finally; len(f) > 0 {
			out.WriteString("skip=0\n")
			for _, c := range f {
				out.WriteString("run " + quoted(c) + "\n")
			}
		}
		if name == "build" {
			out.WriteString("export CODEBUILD_BUILD_SUCCEEDING=$((failed == 0))\nearlier=$failed\n")
			continue
		}
		out.WriteString("[ $failed = 0 ] || exit $failed\n")
		if name == "pre_build" {
			out.WriteString("failed=0\n")
		}
	}
	for _, v := range x.Env.Exported {
		out.WriteString("printf '%s\\0' " + quoted(v) + " \"$" + v + "\" >>" + quoted(folder+"/exported") + "\n")
	}
	return out.String() + "exit $earlier\n"
}

// values are the variables of a build, with those from parameters and secrets, which the
// project's role has to be able to read from where the build runs.
func (s *Service) values(b *build, x spec) (map[string]string, string) {
	out := maps.Clone(x.Env.Variables)
	if out == nil {
		out = map[string]string{}
	}
	parameters, secrets := maps.Clone(x.Env.ParameterStore), maps.Clone(x.Env.SecretsManager)
	for _, v := range b.variables {
		switch v.Type {
		case "PARAMETER_STORE":
			parameters = with(parameters, v)
		case "SECRETS_MANAGER":
			secrets = with(secrets, v)
		default:
			out[v.Name] = v.Value
		}
	}
	for _, k := range kernel.SortedKeys(parameters) {
		v, err := s.asked(b, "ssm", "GetParameters", map[string]any{
			"Names": []string{parameters[k]}, "WithDecryption": true,
		}, "Parameters", "Value")
		if err != nil {
			return nil, "PARAMETER_STORE_ERROR: Parameter Store fetch failed: " + err.Error()
		}
		out[k] = v
	}
	for _, k := range kernel.SortedKeys(secrets) {
		v, err := s.asked(b, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": secrets[k]}, "",
			"SecretString")
		if err != nil {
			return nil, "SECRETS_MANAGER_ERROR: Secrets Manager fetch failed: " + err.Error()
		}
		out[k] = v
	}
	return out, ""
}

func with(m map[string]string, v variable) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[v.Name] = v.Value
	return m
}

var errUnreachable = errors.New("request timed out")

// asked returns a text in a service's answer to a build.
func (s *Service) asked(b *build, service, action string, in map[string]any, list, member string) (string, error) {
	if !b.reaches(s, service) {
		return "", errUnreachable
	}
	out, err := s.PerformAs(b.project.ServiceRole, service, action, in)
	if err != nil {
		return "", err
	}
	if list != "" {
		items := kernel.Objects(out, list)
		if len(items) == 0 {
			return "", fmt.Errorf("%v does not exist", in)
		}
		out = items[0]
	}
	return kernel.Text(out, member), nil
}

// environment is that of a build's commands, which call with the role of its project from
// where it runs.
func (s *Service) environment(b *build, folder string, values map[string]string) []string {
	key := "ASIA" + strings.ToUpper(s.Digest("build "+b.id, 16))
	role := b.project.ServiceRole
	s.Principals[key] = &kernel.Principal{
		Role: func() string { return role }, Session: func() string { return role + "/" + b.stream() },
		Secret: "sandbox", Inside: true, Reaches: func(service string) bool { return b.reaches(s, service) },
	}
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"), "AWS_REGION": s.Options.Region,
		"AWS_DEFAULT_REGION": s.Options.Region, "AWS_ENDPOINT_URL": "http://" + s.Address, "AWS_ACCESS_KEY_ID": key,
		"AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_PAGER": "", "CODEBUILD_BUILD_ID": b.id,
		"CODEBUILD_BUILD_ARN":               s.ARN("codebuild", "build/"+b.id),
		"CODEBUILD_RESOLVED_SOURCE_VERSION": b.order.Version, "CODEBUILD_SRC_DIR": filepath.Join(folder, "src"),
	}
	for name := range b.order.Sources {
		if name != b.order.Primary {
			env["CODEBUILD_SRC_DIR_"+name] = filepath.Join(folder, name)
		}
	}
	maps.Copy(env, values)
	var out []string
	for _, k := range kernel.SortedKeys(env) {
		out = append(out, k+"="+env[k])
	}
	return out
}

// collect zips what a build made, and ends it.
func (s *Service) collect(b *build, x spec, folder string) {
	b.exported, b.outputs = map[string]string{}, map[string][]byte{}
	given := strings.Split(text(filepath.Join(folder, "exported")), "\x00")
	for i := 0; i+1 < len(given); i += 2 {
		b.exported[given[i]] = given[i+1]
	}
	b.phase = "UPLOAD_ARTIFACTS"
	for _, name := range b.order.Outputs {
		f := files{x.Artifacts.Files, x.Artifacts.Base}
		if second, ok := x.Artifacts.Secondary[name]; ok {
			f = second
		} else if len(x.Artifacts.Secondary) > 0 && len(b.order.Outputs) > 1 {
			s.fail(b, "CLIENT_ERROR: no secondary artifact "+name)
			return
		}
		content, err := zipped(filepath.Join(folder, "src", f.Base), f.Files)
		if err != nil {
			s.fail(b, "CLIENT_ERROR: no matching artifact paths found: "+err.Error())
			return
		}
		b.outputs[name] = content
	}
	s.end(b, "SUCCEEDED")
}

// unzip unpacks an archive.
func unzip(content []byte, to string) error {
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return os.CopyFS(to, r)
}

// zipped packs the files of a folder that fit the patterns, of which **/* is all.
func zipped(folder string, patterns []string) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	n := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil || !slices.ContainsFunc(patterns, func(p string) bool {
			return p == "**/*" || kernel.Wildcard(strings.ReplaceAll(p, "**/", ""), name)
		}) {
			return err
		}
		n++
		return add(w, name, path)
	})
	if err == nil {
		err = w.Close()
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%s", strings.Join(patterns, ", "))
	}
	return out.Bytes(), err
}

// add adds a file to an archive with its mode.
func add(w *zip.Writer, name, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	h, err := zip.FileInfoHeader(info)
	if err != nil {
		return err
	}
	h.Name, h.Method = filepath.ToSlash(name), zip.Deflate
	to, err := w.CreateHeader(h)
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

// Zip packs a folder, without git's own files.
func Zip(folder string) ([]byte, error) { return zipped(folder, []string{"**/*"}) }
