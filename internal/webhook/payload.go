package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// change is a ref and its new object as reported; an ID of zeros means that it was
// deleted.
type change struct{ ref, id string }

// zero is the id of a deleted ref.
const zero = "0000000000000000000000000000000000000000"

// push is the content of a report.
type push struct {
	// events other than pushes have no changes but a name.
	other      string
	repository string
	changes    []change
	// at is the signed time; zero if there is none.
	at time.Time
}

// ping are the test events of webhooks.
var ping = []string{"ping", "diagnostics:ping"}

// systemPushes are the events of GitLab's system hooks that are pushes.
var systemPushes = []string{"push", "tag_push", "repository_update"}

// parse parses a verified report.
//
// Source: the webhook references of GitHub Enterprise, GitLab, Gitea and Bitbucket
// Data Center.
func parse(provider string, r report) (push, error) {
	if provider == "bitbucket" {
		return parseBitbucket(r)
	}
	event := map[string]string{
		"github": r.header["x-github-event"], "gitlab": r.header["x-gitlab-event"], "gitea": r.header["x-gitea-event"],
		"plain": "push",
	}[provider]
	if event == "" {
		event = r.header["x-forgejo-event"]
	}
	if event == "" {
		return push{}, errors.New("the header that names the event is missing: X-GitHub-Event, X-Gitlab-Event, " +
			"X-Gitea-Event or X-Forgejo-Event")
	}
	if !slices.Contains([]string{"push", "delete", "Push Hook", "Tag Push Hook", "System Hook"}, event) {
		return push{other: event}, nil
	}
	var body struct {
		Ref        string
		After      string
		Repository struct {
			FullName string          `json:"full_name"`
			PushedAt json.RawMessage `json:"pushed_at"`
		}
		Project struct {
			Path string `json:"path_with_namespace"`
		}
		// Changes are those of the plain hook: several refs in one report.
		Changes []struct{ Ref, After string }
		Name    string
		// RefType is of a deletion, whose ref is a short name; EventName is of a system hook.
		RefType   string `json:"ref_type"`
		EventName string `json:"event_name"`
	}
	if err := json.Unmarshal(r.payload(), &body); err != nil {
		return push{}, errors.New("invalid body (want the JSON of a push)")
	}
	if event == "System Hook" && !slices.Contains(systemPushes, body.EventName) {
		return push{other: body.EventName}, nil
	}
	p := push{repository: body.Repository.FullName + body.Project.Path + body.Name}
	if event == "delete" {
		folder := map[string]string{"branch": "refs/heads/", "tag": "refs/tags/"}[body.RefType]
		p.changes = []change{{folder + body.Ref, zero}}
		return p, p.check()
	}
	if body.Ref != "" {
		p.changes = []change{{body.Ref, body.After}}
	}
	for _, c := range body.Changes {
		p.changes = append(p.changes, change{c.Ref, c.After})
	}
	var seconds int64
	if provider == "github" && json.Unmarshal(body.Repository.PushedAt, &seconds) == nil && seconds > 0 {
		p.at = time.Unix(seconds, 0)
	}
	return p, p.check()
}

func parseBitbucket(r report) (push, error) {
	if event := r.header["x-event-key"]; event != "repo:refs_changed" {
		return push{other: event}, nil
	}
	var body struct {
		Date       string
		Repository struct {
			Slug    string
			Project struct{ Key string }
		}
		Changes []struct {
			Ref          struct{ ID string }
			ToHash, Type string
		}
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		return push{}, errors.New("invalid body (want the JSON of a push)")
	}
	p := push{repository: body.Repository.Project.Key + "/" + body.Repository.Slug}
	for _, c := range body.Changes {
		if c.Type == "DELETE" {
			c.ToHash = zero
		}
		p.changes = append(p.changes, change{c.Ref.ID, c.ToHash})
	}
	var err error
	if p.at, err = time.Parse("2006-01-02T15:04:05-0700", body.Date); err != nil {
		return push{}, errors.New("the body has no date")
	}
	return p, p.check()
}

func (p push) check() error {
	if len(p.changes) == 0 {
		return errors.New("the body names no ref")
	}
	for _, c := range p.changes {
		if !strings.HasPrefix(c.ref, "refs/") || len(c.id) != len(zero) ||
			strings.Trim(c.id, "0123456789abcdef") != "" {
			return fmt.Errorf("invalid ref %.80q at %.50q", c.ref, c.id)
		}
	}
	return nil
}
