package main

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"drawbridge/internal/config"
	"drawbridge/internal/config/field"
	"drawbridge/internal/hint"
	"drawbridge/internal/mirror"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
)

type mirrorsCmd struct {
	awsFlags
}

// mirrorView is a mirrored repository as it is shown.
type mirrorView struct {
	Repository string `json:"repository"`
	Source     string `json:"source"`
	Target     string `json:"target"`
	// InSync is when the replica was last known to hold what the source holds.
	InSync *time.Time `json:"inSync"`
	Refs   int        `json:"refs"`
	// Last is the report of the last run, null before the first.
	Last *mirror.Report `json:"last"`
	// Webhook is where the git server reports pushes, empty if it does not.
	Webhook string `json:"webhook,omitempty"`
}

// Run lists the mirrored repositories.
func (c *mirrorsCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	if ss.config.Mirror == nil {
		return hint.With(&config.Error{
			Path: ss.config.Path(), Problems: field.Problems{{Where: "mirror", What: "nothing is mirrored"}},
		}, "add a mirror with its repositories; docs/mirror.md shows one")
	}
	if _, err := ss.installed(ctx); err != nil {
		return err
	}
	stack, err := ss.install.Installed(ctx, ss.config.Name)
	if err != nil {
		return err
	}
	state := mirror.NewBucket(ss.install.S3, section.Bucket(ss.config.Name, ss.place.Account, ss.place.Region),
		section.StateFolder+"/")
	views := []mirrorView{}
	for _, name := range slices.Sorted(maps.Keys(ss.config.Mirror.Repositories)) {
		v, err := viewMirror(ctx, state, name, ss.config.Mirror.Repositories[name], stack.Outputs["WebhookURL"])
		if err != nil {
			return err
		}
		views = append(views, v)
	}
	return ss.print(views, func(w io.Writer, style output.Style) error { return writeMirrors(w, style, views) })
}

func viewMirror(ctx context.Context, state *mirror.Bucket, name string, r *section.Repository,
	webhook string) (mirrorView, error) {
	v := mirrorView{Repository: name, Source: r.Source.URL + r.Source.Bundle, Target: mirror.TargetName(r.Target)}
	if r.Webhook != nil && webhook != "" {
		v.Webhook = webhook + name
	}
	held, err := mirror.ReadRecord(ctx, mirror.In(state, name))
	if err != nil {
		return v, err
	}
	v.InSync, v.Refs = view.UTC(held.At), len(held.Refs)
	v.Last, err = mirror.ReadReport(ctx, mirror.In(state, name))
	return v, err
}

func writeMirrors(w io.Writer, style output.Style, views []mirrorView) error {
	t := output.NewRows(style, "REPOSITORY", "LAST RUN", "IN SYNC", "REFS", "LAG", "NOTE")
	for _, v := range views {
		last := ""
		lag := ""
		note := ""
		inSync := ""
		refs := ""
		if v.InSync != nil {
			inSync, refs = style.Time(*v.InSync), strconv.Itoa(v.Refs)
		}
		if v.Last != nil {
			last, note = string(v.Last.Status), v.Last.Error
			lag = (time.Duration(v.Last.LagSeconds) * time.Second).String()
		}
		t.Add(v.Repository, last, inSync, refs, lag, cmp.Or(note, "from "+v.Source+" to "+v.Target))
	}
	if err := t.Write(w); err != nil {
		return err
	}
	for _, v := range views {
		if v.Webhook != "" {
			if _, err := io.WriteString(w, "Pushes to "+v.Repository+" are reported to "+v.Webhook+"\n"); err != nil {
				return err
			}
		}
	}
	return nil
}
