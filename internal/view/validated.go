package view

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/scheduler"
)

// Validated is what a configuration amounts to, as far as it is known without AWS.
type Validated struct {
	Name   string         `json:"name"`
	Region string         `json:"region,omitempty"`
	Sets   []ValidatedSet `json:"sets"`
	Jobs   []ValidatedJob `json:"jobs"`
}

// ValidatedSet is a set of the file.
type ValidatedSet struct {
	Name scheduler.SetName `json:"set"`
	// Services is empty for services: auto, which task definitions decide.
	Services []endpoints.ServiceID `json:"services"`
	Auto     bool                  `json:"auto"`
	Zones    int                   `json:"zones"`
	// USDPerHour is null where the Region, its price or the services are not known.
	USDPerHour *float64 `json:"usdPerHour"`
}

// ValidatedJob is a job of the file.
type ValidatedJob struct {
	Name scheduler.JobName `json:"job"`
	Set  scheduler.SetName `json:"set"`
	// Starts are what starts it in addition to its queue and drawbridge run.
	Starts []string `json:"starts"`
	// Next is the next time of its schedule.
	Next *time.Time `json:"next"`
}

// NewValidated returns what an installation amounts to at an instant.
func NewValidated(c *config.Installation, region string, now time.Time) (Validated, error) {
	v := Validated{Name: c.Name, Region: region}
	table, err := prices.Table()
	if err != nil {
		return v, err
	}
	price, known := table.In(v.Region)
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		s := c.Sets[name]
		set := ValidatedSet{Name: name, Services: s.Services, Auto: s.Auto, Zones: s.Zones}
		if n := c.Settings()[name].HoursPerHour; known && !s.Auto {
			usd := float64(n) * price.Endpoint
			set.USDPerHour = &usd
		}
		v.Sets = append(v.Sets, set)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		j := c.Jobs[name]
		job := ValidatedJob{Name: name, Set: j.Set, Starts: []string{}}
		if j.Schedule != nil {
			job.Starts = append(job.Starts, "its schedule")
			if at := j.Schedule.Next(now); !at.IsZero() {
				job.Next = &at
			}
		}
		if n := len(j.On); n > 0 {
			job.Starts = append(job.Starts, scheduler.Count(n, "event pattern", "event patterns"))
		}
		v.Jobs = append(v.Jobs, job)
	}
	return v, nil
}

// Write writes it for people.
func (v Validated) Write(w io.Writer, style output.Style) error {
	t := output.NewRows(style, "SET", "ZONES", "USD AN HOUR", "SERVICES")
	for _, s := range v.Sets {
		var ids []string
		for _, id := range s.Services {
			ids = append(ids, string(id))
		}
		services, usd := strings.Join(ids, ", "), "-"
		if s.Auto {
			services = "auto: what the task definitions need"
		}
		if s.USDPerHour != nil {
			usd = strconv.FormatFloat(*s.USDPerHour, 'f', 3, 64)
		}
		t.Add(string(s.Name), strconv.Itoa(s.Zones), usd, services)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	t = output.NewRows(style, "JOB", "SET", "NEXT", "STARTED BY")
	for _, j := range v.Jobs {
		next := "-"
		if j.Next != nil {
			next = style.Minute(*j.Next)
		}
		t.Add(string(j.Name), string(j.Set), next, cmp.Or(strings.Join(j.Starts, ", "), "messages and drawbridge run"))
	}
	return t.Write(w)
}
