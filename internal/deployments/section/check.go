package section

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"drawbridge/internal/config/field"
)

// Check is one thing that a hook looks at: one of its fields says which.
type Check struct {
	// HTTP is an address in the VPC that has to answer well. Default: none.
	HTTP *HTTPCheck `yaml:"http"`
	// Tasks asks each task of the service that the deployment has started, by its private
	// address. The section needs ecsService with it. Default: none.
	Tasks *TasksCheck `yaml:"tasks"`
	// TCP is an address HOST:PORT in the VPC that has to take a connection. Default: none.
	TCP string `yaml:"tcp"`
	// Targets is the ARN of a target group whose targets all have to be healthy, one at
	// least. Default: none.
	Targets string `yaml:"targets"`
	// Weights is the ARN of a listener, or of a listener's rule, that has to send all of its
	// requests to one target group with healthy targets. Default: none.
	Weights string `yaml:"weights"`
	// Invalidate has CloudFront drop what it has of a distribution, and waits for the end of
	// that. Default: none.
	Invalidate *Invalidation `yaml:"invalidate"`
	// Post is an address outside of the VPC, https://..., that is told of the hook by POST, and
	// answers 2xx. Default: none.
	Post string `yaml:"post"`
}

// Invalidation is what CloudFront is to drop.
type Invalidation struct {
	// Distribution is the distribution's id.
	Distribution string `yaml:"distribution"`
	// Paths are what is dropped, each beginning with /, as in /*.
	Paths []string `yaml:"paths"`
	// MayFail has the hook go on where CloudFront refuses. Default false.
	MayFail bool `yaml:"mayFail"`
}

// HTTPCheck asks an address in the VPC.
type HTTPCheck struct {
	// URL is what is asked, by GET, such as that of a test listener.
	URL string `yaml:"url"`
	// Status are the statuses of a good answer, as in 200-299,301. Default 200-399.
	Status string `yaml:"status"`
	// Contains is what the body of a good answer holds. Default: anything.
	Contains string `yaml:"contains"`
	// Latency is how long a good answer takes at most. Default 5s.
	Latency field.Duration `yaml:"latency"`
	// For is how long it is asked, every Every; at most 30m. Default 0s, once.
	For field.Duration `yaml:"for"`
	// Every is how often it is asked meanwhile, at least 100ms. Default 1s.
	Every field.Duration `yaml:"every"`
	// Bad is the share of answers that need not be good, 0 to 1. Default 0.
	Bad float64 `yaml:"bad"`
}

// TasksCheck asks each task by its private address.
type TasksCheck struct {
	// Port is the port that the container listens on.
	Port int `yaml:"port"`
	// Path is what is asked. Default /.
	Path string `yaml:"path"`
	// Status are the statuses of a good answer, as in http. Default 200-399.
	Status string `yaml:"status"`
}

// String names the check for people.
func (c Check) String() string {
	switch {
	case c.HTTP != nil:
		return "http " + c.HTTP.URL
	case c.Tasks != nil:
		return fmt.Sprintf("tasks on port %d", c.Tasks.Port)
	case c.TCP != "":
		return "tcp " + c.TCP
	case c.Targets != "":
		return "targets of " + last(c.Targets)
	}
	if c.Invalidate != nil {
		return "invalidation of " + c.Invalidate.Distribution
	}
	if u, err := url.Parse(c.Post); c.Post != "" && err == nil {
		return "post to " + u.Host // its path may be a secret
	}
	return "weights of " + last(c.Weights)
}

func last(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

// Inside reports whether the check is made from within the VPC.
func (c Check) Inside() bool { return c.HTTP != nil || c.Tasks != nil || c.TCP != "" }

var statusList = regexp.MustCompile(`^\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*$`)

func (c Check) check(problems *field.Problems, where string) {
	n := 0
	for _, is := range []bool{
		c.HTTP != nil, c.Tasks != nil, c.TCP != "", c.Targets != "", c.Weights != "", c.Invalidate != nil, c.Post != "",
	} {
		if is {
			n++
		}
	}
	if n != 1 {
		problems.Add(where, "give it one of http, tasks, tcp, targets, weights, invalidate and post",
			"the check has %d kinds", n)
		return
	}
	status := func(where, list string) {
		if list != "" && !statusList.MatchString(list) {
			problems.Add(where+".status", "write statuses, as in 200-299,301", "%q is not a list of them", list)
		}
	}
	switch {
	case c.Invalidate != nil:
		if c.Invalidate.Distribution == "" || len(c.Invalidate.Paths) == 0 || len(c.Invalidate.Paths) > 15 {
			problems.Add(where+".invalidate", "give it a distribution and 1 to 15 paths", "there is nothing to drop")
		}
		for _, p := range c.Invalidate.Paths {
			if !strings.HasPrefix(p, "/") {
				problems.Add(where+".invalidate.paths", "begin each with /", "%q is not a path", p)
			}
		}
	case c.Post != "":
		if u, err := url.Parse(c.Post); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			problems.Add(where+".post", "write https://HOST/PATH, without a password", "it is not such an address")
		}
	case c.HTTP != nil:
		c.HTTP.check(problems, where+".http")
		status(where+".http", c.HTTP.Status)
	case c.Tasks != nil:
		if c.Tasks.Port < 1 || c.Tasks.Port > 65535 {
			problems.Add(where+".tasks.port", "write the port that the container listens on", "%d is none",
				c.Tasks.Port)
		}
		if p := c.Tasks.Path; p != "" && !strings.HasPrefix(p, "/") {
			problems.Add(where+".tasks.path", "begin it with /", "%q is not a path", p)
		}
		status(where+".tasks", c.Tasks.Status)
	case c.TCP != "":
		if host, port, err := net.SplitHostPort(c.TCP); err != nil || host == "" || port == "" {
			problems.Add(where+".tcp", "write HOST:PORT, as in db.internal:5432", "%q is not an address", c.TCP)
		}
	case c.Targets != "":
		if !field.IsARN(c.Targets, "elasticloadbalancing", "targetgroup/") {
			problems.Add(where+".targets", "write the ARN of a target group", "%q is not one", c.Targets)
		}
	case !isListener(c.Weights):
		problems.Add(where+".weights", "write the ARN of a listener or of a rule", "%q is not one", c.Weights)
	}
}

// isListener reports whether a text is the ARN of a listener or of a listener's rule.
func isListener(arn string) bool { return field.IsARN(arn, "elasticloadbalancing", "listener") }

// Slice is how long an address is asked at a time, once a minute.
const Slice = 40 * time.Second

// lasts is how long the check takes in all, in the worst case.
func (h *HTTPCheck) lasts() time.Duration {
	slices := (time.Duration(h.For) + Slice - 1) / Slice
	return slices*time.Minute + time.Minute
}

func (h *HTTPCheck) check(problems *field.Problems, where string) {
	if u, err := url.Parse(h.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		problems.Add(where+".url", "write http://HOST:PORT/PATH", "%q is not an address", h.URL)
	} else if u.User != nil {
		problems.Add(where+".url", "leave the credentials out", "%s: a password does not belong in the file",
			u.Redacted())
	}
	if d := time.Duration(h.For); d < 0 || d > 30*time.Minute {
		problems.Add(where+".for", "write 0s to 30m", "%s is out of range", d)
	}
	if d := time.Duration(h.Latency); d < 0 || d > 5*time.Second {
		problems.Add(where+".latency", "write 1ms to 5s", "%s is out of range", d)
	}
	if d := time.Duration(h.Every); d != 0 && d < 100*time.Millisecond {
		problems.Add(where+".every", "write 100ms or more", "%s is out of range", d)
	}
	if h.Bad < 0 || h.Bad > 1 {
		problems.Add(where+".bad", "write a share of the answers, as in 0.02", "%v is out of range", h.Bad)
	}
}
