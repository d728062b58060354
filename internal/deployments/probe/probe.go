// Package probe asks what runs inside a VPC, from a function there: a service over HTTP, a
// database over TCP. What it sees it returns; it calls no AWS API, and so needs no endpoint.
package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/clock"
)

// Request is what to ask.
type Request struct {
	// URL is asked by GET; Address, as HOST:PORT, is connected to. One of them is empty.
	URL     string `json:"url,omitempty"`
	Address string `json:"address,omitempty"`
	// Status are the statuses of a good answer, as in 200-299,301; Contains is what its body
	// holds.
	Status   string `json:"status,omitempty"`
	Contains string `json:"contains,omitempty"`
	// Latency is how long a good answer takes at most; 0 is Patience.
	Latency time.Duration `json:"latency,omitempty"`
	// For is how long to go on, Every how often to ask; 0 asks once.
	For   time.Duration `json:"for,omitempty"`
	Every time.Duration `json:"every,omitempty"`
}

// Result is what was seen.
type Result struct {
	// Asked counts the requests, Bad those without a good answer.
	Asked int `json:"asked"`
	Bad   int `json:"bad"`
	// Worst is the longest that an answer took, Last what was wrong last.
	Worst time.Duration `json:"worst"`
	Last  string        `json:"last,omitempty"`
}

// Patience is how long an answer may take where nothing else is said.
const Patience = 5 * time.Second

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 1 << 20

// Prober asks.
type Prober struct {
	Clock clock.Clock
	// Transport carries HTTP, Dial connects.
	Transport http.RoundTripper
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
}

// New returns a Prober on the machine's network.
func New(c clock.Clock) *Prober {
	return &Prober{c, http.DefaultTransport, (&net.Dialer{Timeout: Patience}).DialContext}
}

// Run asks once, or again and again for as long as the request says.
func (p *Prober) Run(ctx context.Context, r Request) (Result, error) {
	var out Result
	until := p.Clock.Now().Add(r.For)
	for {
		began := p.Clock.Now()
		problem := p.ask(ctx, r)
		took := p.Clock.Now().Sub(began)
		if limit := r.Latency; problem == "" && limit > 0 && took > limit {
			problem = fmt.Sprintf("it took %s, longer than %s", took.Round(time.Millisecond), limit)
		}
		out.Asked++
		out.Worst = max(out.Worst, took)
		if problem != "" {
			out.Bad++
			out.Last = problem
		}
		if r.Every <= 0 || p.Clock.Now().Add(r.Every).After(until) {
			return out, nil
		}
		if err := p.Clock.Sleep(ctx, r.Every); err != nil {
			return out, err
		}
	}
}

// ask asks once and returns what is wrong with the answer; "" if nothing is.
func (p *Prober) ask(ctx context.Context, r Request) string {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if r.Address != "" {
		conn, err := p.Dial(ctx, "tcp", r.Address)
		if err != nil {
			return err.Error()
		}
		_ = conn.Close() // that it opened is enough
		return ""
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("User-Agent", "drawbridge-probe")
	client := http.Client{Transport: p.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirection is an answer
	}}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	switch {
	case err != nil:
		return err.Error()
	case !Among(r.Status, res.StatusCode):
		return fmt.Sprintf("it answered %d", res.StatusCode)
	case !strings.Contains(string(body), r.Contains):
		return fmt.Sprintf("its answer does not hold %q", r.Contains)
	}
	return ""
}

// Among reports whether a status is among those of a list such as 200-299,301; without a
// list, whether it is 200 to 399.
func Among(list string, status int) bool {
	if list == "" {
		return 200 <= status && status < 400
	}
	for _, part := range strings.Split(list, ",") {
		from, to, is := strings.Cut(strings.TrimSpace(part), "-")
		if !is {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA == nil && errB == nil && a <= status && status <= b {
			return true
		}
	}
	return false
}
