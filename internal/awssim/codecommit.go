package awssim

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"drawbridge/internal/codecommit"
	"drawbridge/internal/gitserver"
)

// codecommitState is CodeCommit: bare repositories on disk, served by git's own
// http-backend.
type codecommitState struct {
	folder       string
	repositories map[string]*ccRepository
	onGit        func(push bool)
}

// OnGit lets do be called before each request of git is answered, with whether it is
// part of a push: somebody else at work in between.
func (s *Sim) OnGit(do func(push bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codecommit.onGit = do
}

type ccRepository struct {
	name, id, description string
	created               time.Time
}

func (s *Sim) newCodeCommit() *service {
	s.codecommit = &codecommitState{repositories: map[string]*ccRepository{}}
	s.paths[gitRoot] = s.serveGit
	return &service{name: "codecommit", asks: s.repositoryQuestions, endpoint: "codecommit", prefix: "CodeCommit_20150413", protocol: json11, ops: map[string]operation{
		"CreateRepository": op(s.createRepository),
		"GetRepository":    op(s.getRepository),
		"ListRepositories": op(s.listRepositories),
		"DeleteRepository": op(s.deleteRepository),
	}}
}

type repositoryJSON struct {
	AccountID    string `json:"accountId"`
	ID           string `json:"repositoryId"`
	Name         string `json:"repositoryName"`
	Description  string `json:"repositoryDescription,omitempty"`
	Branch       string `json:"defaultBranch,omitempty"`
	LastModified stamp  `json:"lastModifiedDate"`
	Created      stamp  `json:"creationDate"`
	CloneURLHTTP string `json:"cloneUrlHttp"`
	CloneURLSSH  string `json:"cloneUrlSsh"`
	Arn          string `json:"Arn"`
}

type oneRepository struct {
	Metadata repositoryJSON `json:"repositoryMetadata"`
}

func (s *Sim) repositoryJSON(r *ccRepository) repositoryJSON {
	out := repositoryJSON{AccountID: s.options.Account, ID: r.id, Name: r.name, Description: r.description, LastModified: stamp{r.created}, Created: stamp{r.created},
		CloneURLHTTP: codecommit.URL("", s.options.Region, r.name), CloneURLSSH: "ssh://git-codecommit." + s.options.Region + ".amazonaws.com/v1/repos/" + r.name, Arn: s.arn("codecommit", r.name)}
	if head, err := os.ReadFile(filepath.Join(s.codecommit.folder, r.name, "HEAD")); err == nil {
		if branch, ok := strings.CutPrefix(strings.TrimSpace(string(head)), "ref: refs/heads/"); ok && branch != noBranch {
			out.Branch = branch
		}
	}
	return out
}

var repositoryName = regexp.MustCompile(`^[\w.-]{1,100}$`)

func (s *Sim) repository(name string) (*ccRepository, error) {
	if name == "" {
		return nil, errf("RepositoryNameRequiredException", "A repository name is required, but was not specified.")
	}
	if r := s.codecommit.repositories[name]; r != nil {
		return r, nil
	}
	return nil, errf("RepositoryDoesNotExistException", "%s does not exist", name)
}

// noBranch is what the HEAD of a repository without branches stands for: the first
// branch that is pushed becomes the default one.
const noBranch = "-none-"

// hooks hold pushes to what CodeCommit takes: 4,000 refs, branches and tags alone.
//
// Source: https://docs.aws.amazon.com/codecommit/latest/userguide/limits.html
var hooks = map[string]string{
	"pre-receive": `#!/bin/sh
exec awk '{ n++; if ($3 !~ /^refs\/(heads|tags)\//) { print "deny updating a hidden ref: " $3 > "/dev/stderr"; bad = 1 } }
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

func (s *Sim) createRepository(_ *call, in *struct {
	Name        string            `json:"repositoryName"`
	Description string            `json:"repositoryDescription"`
	Tags        map[string]string `json:"tags"`
}) (*oneRepository, error) {
	if _, err := s.repository(in.Name); err == nil {
		return nil, errf("RepositoryNameExistsException", "Repository named %s already exists", in.Name)
	}
	if !repositoryName.MatchString(in.Name) || strings.HasSuffix(in.Name, ".git") {
		return nil, errf("InvalidRepositoryNameException", "The repository name is not valid. Repository names can be any valid combination of letters, numbers, periods, underscores, and dashes between 1 and 100 characters in length. Names are case sensitive. Repository names cannot end in .git.")
	}
	r := &ccRepository{in.Name, s.uuid("repository"), in.Description, s.clock.time()}
	if err := s.initRepository(r); err != nil {
		return nil, err
	}
	s.codecommit.repositories[in.Name] = r
	return &oneRepository{s.repositoryJSON(r)}, nil
}

func (s *Sim) initRepository(r *ccRepository) (err error) {
	if s.codecommit.folder == "" {
		if s.codecommit.folder, err = os.MkdirTemp("", "drawbridge-codecommit-"); err != nil {
			return err
		}
		folder := s.codecommit.folder
		s.atEnd = append(s.atEnd, func() { _ = os.RemoveAll(folder) }) // a temporary folder
	}
	dir := filepath.Join(s.codecommit.folder, r.name)
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "git", "init", "--quiet", "--bare", "--template=", "--initial-branch="+noBranch, dir).CombinedOutput(); err != nil {
		return errf("InternalFailure", "git init: %v: %s", err, out).status(http.StatusInternalServerError)
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

func (s *Sim) getRepository(_ *call, in *struct {
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

func (s *Sim) listRepositories(_ *call, in *struct {
	NextToken string `json:"nextToken"`
	SortBy    string `json:"sortBy"`
	Order     string `json:"order"`
}) (*struct {
	Repositories []repositoryID `json:"repositories"`
}, error) {
	out := &struct {
		Repositories []repositoryID `json:"repositories"`
	}{[]repositoryID{}}
	for _, name := range sortedKeys(s.codecommit.repositories) {
		out.Repositories = append(out.Repositories, repositoryID{name, s.codecommit.repositories[name].id})
	}
	return out, nil
}

func (s *Sim) deleteRepository(_ *call, in *struct {
	Name string `json:"repositoryName"`
}) (*struct {
	ID string `json:"repositoryId,omitempty"`
}, error) {
	out := &struct {
		ID string `json:"repositoryId,omitempty"`
	}{}
	if r := s.codecommit.repositories[in.Name]; r != nil { // one that is gone is no error
		out.ID = r.id
		delete(s.codecommit.repositories, in.Name)
		return out, os.RemoveAll(filepath.Join(s.codecommit.folder, in.Name))
	}
	return out, nil
}

// gitRoot is where git finds repositories.
const gitRoot = "/v1/repos/"

// serveGit answers git over HTTP: it checks the password as CodeCommit does and hands
// the request to git http-backend.
func (s *Sim) serveGit(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, gitRoot), "/")
	user, password, given := r.BasicAuth()
	if !given {
		w.Header().Set("WWW-Authenticate", `Basic realm="AWS CodeCommit"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	key, token, _ := strings.Cut(user, "%")
	s.mu.Lock()
	err := s.gitAccess(key, token, password, r.Host, gitRoot+name)
	down := s.unplugged(key, "git-codecommit") || s.happens("server-error", 0.1)
	_, missing := s.repository(name)
	folder, onGit := s.codecommit.folder, s.codecommit.onGit
	if err == nil && !down && missing == nil {
		s.count("codecommit", gitAction(r))
		s.ask(s.principals[key].RoleARN(), question("codecommit:"+gitAction(r), s.arn("codecommit", name)))
	}
	s.mu.Unlock()
	switch {
	case s.silent(key, "git-codecommit"):
		panic(http.ErrAbortHandler) // no way to the endpoint
	case down:
		http.Error(w, "Internal Service Error", http.StatusInternalServerError)
		return
	case err != nil:
		http.Error(w, "<UnrecognizedClientException><Message>"+err.Error()+"</Message></UnrecognizedClientException>", http.StatusForbidden)
		return
	case missing != nil:
		http.Error(w, "RepositoryDoesNotExistException", http.StatusNotFound)
		return
	}
	if onGit != nil {
		onGit(gitserver.Pushes(r))
	}
	gitserver.Serve(w, r, gitRoot, folder, key)
}

func gitAction(r *http.Request) string {
	if gitserver.Pushes(r) {
		return "GitPush"
	}
	return "GitPull"
}

// gitAccess checks a user name and password of CodeCommit. Passwords are of the
// machine's time, as the programs that make them know no other.
func (s *Sim) gitAccess(key, token, password, host, path string) error {
	if _, on := s.faultOn("expired-credentials"); on {
		return errf("ExpiredTokenException", "The security token included in the request is expired")
	}
	if p := s.principals[key]; p != nil && p.Token != "" && token != p.Token {
		return errf("UnrecognizedClientException", "The security token included in the request is invalid")
	}
	err := codecommit.Verify(s.secretOf(key), s.options.Region, host, path, password, time.Now())
	if err != nil && s.options.Speed != 1 {
		err = codecommit.Verify(s.secretOf(key), s.options.Region, host, path, password, s.clock.time())
	}
	return err
}

// secretOf returns the secret of an access key: a task's, a session's, or, for any
// other, the key itself.
func (s *Sim) secretOf(key string) string {
	if p := s.principals[key]; p != nil {
		return p.Secret
	}
	return key
}

// GitFolder returns the bare repository that stands for one of CodeCommit's, "" if
// there is none.
func (s *Sim) GitFolder(repository string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.codecommit.repositories[repository] == nil {
		return ""
	}
	return filepath.Join(s.codecommit.folder, repository)
}
