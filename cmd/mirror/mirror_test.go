package main

import (
	"testing"

	"drawbridge/internal/mirror"
)

func TestMirrorsThenFindsNothingChanged(t *testing.T) {
	w := newWorld(t)
	dir := w.repository("app", 5)
	git(t, dir, "tag", "-a", "-m", "v1", "v1", "main")
	git(t, dir, "update-ref", "refs/pull/1/head", "main")
	w.mirrors("app", nil)
	r := w.run().want(t, exitDone, "app", mirror.Mirrored)
	if len(r.Created) != 2 || r.Refs != 2 {
		t.Errorf("report %+v, want two refs created", r)
	}
	w.same("app")
	w.run().want(t, exitDone, "app", mirror.Unchanged)
	w.file(dir, "refs/heads/main", "new", "text")
	r = w.run().want(t, exitDone, "app", mirror.Mirrored)
	if r.Cache != "used" || len(r.Updated) != 1 {
		t.Errorf("report %+v, want one update upon the cache", r)
	}
	w.same("app")
}
