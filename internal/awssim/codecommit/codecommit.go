// Package codecommit simulates CodeCommit: bare repositories on disk, served by git itself.
package codecommit

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/codecommit"
	"drawbridge/internal/gitserver"
)

// repositoryQuestions returns the IAM questions of a call to CodeCommit.
func (s *Service) repositoryQuestions(c *kernel.Call) []kernel.Question {
	return []kernel.Question{kernel.May(c.Permission(), s.ARN("codecommit", c.Field("repositoryName")))}
}

// Service is the simulated CodeCommit.
type Service struct {
	*kernel.Kernel
	iam *iam.Service

	folder       string
	repositories map[string]*ccRepository
	onGit        func(push bool)
}

// OnGit calls do before each git request is answered, with whether it is part of a
// push, to simulate another client in between.
func (s *Service) OnGit(do func(push bool)) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.onGit = do
}

type ccRepository struct {
	name, id, description string
	created               time.Time
}

// New puts the service into an account.
func New(k *kernel.Kernel, iam *iam.Service) *Service {
	s := &Service{Kernel: k, iam: iam, repositories: map[string]*ccRepository{}}
	s.Paths[kernel.GitRoot] = s.serveGit
	k.Register(&kernel.API{Name: "codecommit", Asks: s.repositoryQuestions, Endpoint: "codecommit",
		Prefix: "CodeCommit_20150413", Protocol: kernel.JSON11, Ops: map[string]kernel.Operation{
			"CreateRepository": kernel.Op(s.createRepository),
			"GetRepository":    kernel.Op(s.getRepository),
			"ListRepositories": kernel.Op(s.listRepositories),
			"DeleteRepository": kernel.Op(s.deleteRepository),

			"UpdateDefaultBranch": kernel.Op(s.updateDefaultBranch),
		}})
	return s
}

type repositoryJSON struct {
	AccountID    string       `json:"accountId"`
	ID           string       `json:"repositoryId"`
	Name         string       `json:"repositoryName"`
	Description  string       `json:"repositoryDescription,omitempty"`
	Branch       string       `json:"defaultBranch,omitempty"`
	LastModified kernel.Stamp `json:"lastModifiedDate"`
	Created      kernel.Stamp `json:"creationDate"`
	CloneURLHTTP string       `json:"cloneUrlHttp"`
	CloneURLSSH  string       `json:"cloneUrlSsh"`
	Arn          string       `json:"Arn"`
}

type oneRepository struct {
	Metadata repositoryJSON `json:"repositoryMetadata"`
}

func (s *Service) repositoryJSON(r *ccRepository) repositoryJSON {
	out := repositoryJSON{AccountID: s.Options.Account, ID: r.id, Name: r.name, Description: r.description,
		LastModified: kernel.Stamp{Time: r.created}, Created: kernel.Stamp{Time: r.created},
		CloneURLHTTP: codecommit.URL("", s.Options.Region, r.name),
		CloneURLSSH:  "ssh://git-codecommit." + s.Options.Region + ".amazonaws.com/v1/repos/" + r.name,
		Arn:          s.ARN("codecommit", r.name)}
	if head, err := os.ReadFile(filepath.Join(s.folder, r.name, "HEAD")); err == nil {
		if branch, ok := strings.CutPrefix(strings.TrimSpace(string(head)), "ref: refs/heads/"); ok &&
			branch != noBranch {
			out.Branch = branch
		}
	}
	return out
}

var repositoryName = regexp.MustCompile(`^[\w.-]{1,100}$`)

func (s *Service) repository(name string) (*ccRepository, error) {
	if name == "" {
		return nil, kernel.Errorf("RepositoryNameRequiredException",
			"A repository name is required, but was not specified.")
	}
	if r := s.repositories[name]; r != nil {
		return r, nil
	}
	return nil, kernel.Errorf("RepositoryDoesNotExistException", "%s does not exist", name)
}

// noBranch is the HEAD of a repository without branches: the first branch that is
// pushed becomes the default one.
const noBranch = "-none-"

// hooks limit pushes to what CodeCommit accepts: 4,000 refs, only branches and
// tags.
//
// Source: https://docs.aws.amazon.com/codecommit/latest/userguide/limits.html
var hooks = map[string]string{
	"pre-receive": `#!/bin/sh
exec awk '{ n++ }
$3 !~ /^refs\/(heads|tags)\// { print "deny updating a hidden ref: " $3 > "/dev/stderr"; bad = 1 }
END { if (n > 4000) { print "Too many reference update commands" > "/dev/stderr"; bad = 1 } exit bad }'
`,
	"post-receive": `#!/bin/sh
git rev-parse --quiet --verify HEAD >/dev/null && exit 0
while read -r old new ref; do
	case "$ref" in refs/heads/*) git symbolic-ref HEAD "$ref"; break ;; esac
done
exit 0
`,
}

func (s *Service) createRepository(_ *kernel.Call, in *struct {
	Name        string            `json:"repositoryName"`
	Description string            `json:"repositoryDescription"`
	Tags        map[string]string `json:"tags"`
}) (*oneRepository, error) {
	if _, err := s.repository(in.Name); err == nil {
		return nil, kernel.Errorf("RepositoryNameExistsException", "Repository named %s already exists", in.Name)
	}
	if !repositoryName.MatchString(in.Name) || strings.HasSuffix(in.Name, ".git") {
		return nil, kernel.Errorf("InvalidRepositoryNameException",
			"The repository name is not valid. Repository names can be any valid combination of letters, numbers, "+
				"periods, underscores, and dashes between 1 and 100 characters in length. Names are case sensitive. "+
				"Repository names cannot end in .git.")
	}
	r := &ccRepository{in.Name, s.UUID("repository"), in.Description, s.Clock.Now()}
	if err := s.initRepository(r); err != nil {
		return nil, err
	}
	s.repositories[in.Name] = r
	return &oneRepository{s.repositoryJSON(r)}, nil
}

func (s *Service) initRepository(r *ccRepository) (err error) {
	if s.folder == "" {
		if s.folder, err = os.MkdirTemp("", "drawbridge-codecommit-"); err != nil {
			return err
		}
		folder := s.folder
		s.AtEnd = append(s.AtEnd, func() { _ = os.RemoveAll(folder) }) // a temporary folder
	}
	dir := filepath.Join(s.folder, r.name)
	ctx, cancel := context.WithTimeout(s.Context, time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "git", "init", "--quiet", "--bare", "--template=",
		"--initial-branch="+noBranch, dir).CombinedOutput(); err != nil {
		return kernel.Errorf("InternalFailure", "git init: %v: %s", err, out).WithStatus(http.StatusInternalServerError)
	}
	if err := os.Mkdir(filepath.Join(dir, "hooks"), 0o755); err != nil {
		return err
	}
	for name, text := range hooks {
		if err := os.WriteFile(filepath.Join(dir, "hooks", name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) getRepository(_ *kernel.Call, in *struct {
	Name string `json:"repositoryName"`
}) (*oneRepository, error) {
	r, err := s.repository(in.Name)
	if err != nil {
		return nil, err
	}
	return &oneRepository{s.repositoryJSON(r)}, nil
}

type repositoryID struct {
	Name string `json:"repositoryName"`
	ID   string `json:"repositoryId"`
}

func (s *Service) listRepositories(_ *kernel.Call, in *struct {
	NextToken string `json:"nextToken"`
	SortBy    string `json:"sortBy"`
	Order     string `json:"order"`
}) (*struct {
	Repositories []repositoryID `json:"repositories"`
}, error) {
	out := &struct {
		Repositories []repositoryID `json:"repositories"`
	}{[]repositoryID{}}
	for _, name := range kernel.SortedKeys(s.repositories) {
		out.Repositories = append(out.Repositories, repositoryID{name, s.repositories[name].id})
	}
	return out, nil
}

func (s *Service) deleteRepository(_ *kernel.Call, in *struct {
	Name string `json:"repositoryName"`
}) (*struct {
	ID string `json:"repositoryId,omitempty"`
}, error) {
	out := &struct {
		ID string `json:"repositoryId,omitempty"`
	}{}
	if r := s.repositories[in.Name]; r != nil { // a missing one is not an error
		out.ID = r.id
		delete(s.repositories, in.Name)
		return out, os.RemoveAll(filepath.Join(s.folder, in.Name))
	}
	return out, nil
}

// updateDefaultBranch makes a branch that is there the default one.
//
// Source: https://docs.aws.amazon.com/codecommit/latest/APIReference/API_UpdateDefaultBranch.html
func (s *Service) updateDefaultBranch(_ *kernel.Call, in *struct {
	Name   string `json:"repositoryName"`
	Branch string `json:"defaultBranchName"`
}) (*kernel.None, error) {
	r, err := s.repository(in.Name)
	if err != nil {
		return nil, err
	}
	if in.Branch == "" {
		return nil, kernel.Errorf("BranchNameRequiredException", "A branch name is required, but was not specified.")
	}
	ctx, cancel := context.WithTimeout(s.Context, time.Minute)
	defer cancel()
	dir := filepath.Join(s.folder, r.name)
	ref := "refs/heads/" + in.Branch
	if exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "--quiet", "--verify", ref).Run() != nil {
		return nil, kernel.Errorf("BranchDoesNotExistException", "%s does not exist", in.Branch)
	}
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "symbolic-ref", "HEAD", ref).CombinedOutput()
	if err != nil {
		return nil, kernel.Errorf("InternalFailure", "git symbolic-ref: %v: %s", err, out).
			WithStatus(http.StatusInternalServerError)
	}
	return &kernel.None{}, nil
}

// serveGit answers git over HTTP: it checks the password as CodeCommit does and hands
// the request to git http-backend.
func (s *Service) serveGit(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, kernel.GitRoot), "/")
	user, password, given := r.BasicAuth()
	if !given {
		w.Header().Set("WWW-Authenticate", `Basic realm="AWS CodeCommit"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	key, token, _ := strings.Cut(user, "%")
	s.Mu.Lock()
	err := s.gitAccess(key, token, password, r.Host, kernel.GitRoot+name)
	down := s.Unplugged(key, "git-codecommit") || s.Happens("server-error", 0.1)
	_, missing := s.repository(name)
	folder, onGit := s.folder, s.onGit
	if err == nil && !down && missing == nil {
		s.Count("codecommit", gitAction(r))
		s.iam.Ask(s.Principals[key].RoleARN(), kernel.May("codecommit:"+gitAction(r), s.ARN("codecommit", name)))
	}
	s.Mu.Unlock()
	switch {
	case s.Silent(key, "git-codecommit"):
		panic(http.ErrAbortHandler) // no way to the endpoint
	case down:
		http.Error(w, "Internal Service Error", http.StatusInternalServerError)
		return
	case err != nil:
		http.Error(w, "<UnrecognizedClientException><Message>"+err.Error()+"</Message></UnrecognizedClientException>",
			http.StatusForbidden)
		return
	case missing != nil:
		http.Error(w, "RepositoryDoesNotExistException", http.StatusNotFound)
		return
	}
	if onGit != nil {
		onGit(gitserver.Pushes(r))
	}
	gitserver.Serve(w, r, kernel.GitRoot, folder, key)
}

func gitAction(r *http.Request) string {
	if gitserver.Pushes(r) {
		return "GitPush"
	}
	return "GitPull"
}

// gitAccess checks a user name and password of CodeCommit. Passwords are of the
// machine's time, as the programs that make them know no other.
func (s *Service) gitAccess(key, token, password, host, path string) error {
	if _, on := s.FaultOn("expired-credentials"); on {
		return kernel.Errorf("ExpiredTokenException", "The security token included in the request is expired")
	}
	if p := s.Principals[key]; p != nil && p.Token != "" && token != p.Token {
		return kernel.Errorf("UnrecognizedClientException", "The security token included in the request is invalid")
	}
	err := codecommit.Verify(s.secretOf(key), s.Options.Region, host, path, password, time.Now())
	if err != nil && s.Options.Speed != 1 {
		err = codecommit.Verify(s.secretOf(key), s.Options.Region, host, path, password, s.Clock.Now())
	}
	return err
}

// secretOf returns the secret of an access key: a task's, a session's, or, for any
// other key, the key itself.
func (s *Service) secretOf(key string) string {
	if p := s.Principals[key]; p != nil {
		return p.Secret
	}
	return key
}

// GitFolder returns the bare repository that stands for one of CodeCommit's, "" if
// there is none.
func (s *Service) GitFolder(repository string) string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if s.repositories[repository] == nil {
		return ""
	}
	return filepath.Join(s.folder, repository)
}
