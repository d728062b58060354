// Package rooms draws the imports into docs/rooms.md, and sees that they go one way.
package rooms

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "draw the picture in docs/rooms.md anew")

// layers hold the folders of rooms, the highest layer first. A room is in the first
// that names its folder or one above it.
var layers = [][]string{{"cmd", "tools"}, {"internal"}, {"scheduler/reconcile", "cfn"}, {"scheduler", "endpoints", "docs"}}

// layerOf returns the index of room's layer, or -1.
func layerOf(room string) int {
	return slices.IndexFunc(layers, func(layer []string) bool {
		return slices.ContainsFunc(layer, func(dir string) bool { return strings.HasPrefix(room+"/", dir+"/") })
	})
}

// house maps each room to the rooms that it imports, tests aside. The simulated AWS is
// one room.
type house map[string][]string

func read(t *testing.T) house {
	const format = `{{if .GoFiles}}{{.ImportPath}} {{join .Imports " "}}{{end}}`
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", format, "drawbridge/...").Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	h := house{}
	for line := range strings.Lines(string(out)) {
		var rooms []string
		for _, path := range strings.Fields(line) {
			room, ours := strings.CutPrefix(path, "drawbridge/")
			if !ours {
				continue
			}
			// A cached result of this test counts until something changes that the test itself has opened.
			_, _ = os.ReadDir("../../" + room)
			rooms = append(rooms, regexp.MustCompile("(internal/awssim)/.*").ReplaceAllString(room, "$1"))
		}
		imports := slices.Sorted(slices.Values(append(h[rooms[0]], rooms[1:]...)))
		h[rooms[0]] = slices.DeleteFunc(slices.Compact(imports), func(to string) bool { return to == rooms[0] })
	}
	return h
}

// heights returns how many rooms stand above each other under each room. Rooms that
// import each other in a circle, and those above them, have no height.
func (h house) heights() map[string]int {
	heights := map[string]int{}
	for n, before := 0, -1; len(heights) > before; n++ {
		before = len(heights)
		for room, imports := range h {
			unknown := func(to string) bool { at, ok := heights[to]; return !ok || at == n }
			if _, done := heights[room]; !done && !slices.ContainsFunc(imports, unknown) {
				heights[room] = n
			}
		}
	}
	return heights
}

// faults says what is wrong with the imports.
func (h house) faults() (out []string) {
	heights := h.heights()
	for _, from := range slices.Sorted(maps.Keys(h)) {
		if _, ok := heights[from]; !ok { // then nor has one of its imports, and so on around the circle
			way, low := []string{}, func(to string) bool { _, ok := heights[to]; return !ok }
			for ; !slices.Contains(way, from); from = h[from][slices.IndexFunc(h[from], low)] {
				way = append(way, from)
			}
			circle := append(way[slices.Index(way, from):], from)
			return []string{"a circle: " + strings.Join(circle, " imports ")}
		}
		if layerOf(from) < 0 {
			out = append(out, from+" is in no layer: add it to layers")
		}
		for _, to := range h[from] {
			if layerOf(to) < layerOf(from) {
				out = append(out, fmt.Sprintf("%s imports %s, which is in a higher layer", from, to))
			}
		}
	}
	return out
}

// reaches reports whether from imports to by way of others. There must be no circle.
func (h house) reaches(from, to string) bool {
	return slices.ContainsFunc(h[from], func(by string) bool { return slices.Contains(h[by], to) || h.reaches(by, to) })
}

// draw returns the house in Mermaid: a line for each height of a layer, then one for
// the imports of each room, without those that it has by way of others as well.
func (h house) draw() string {
	nodes, arrows, heights := "", "", h.heights()
	rooms := slices.SortedFunc(maps.Keys(h), func(a, b string) int {
		return cmp.Or(layerOf(a)-layerOf(b), heights[b]-heights[a], strings.Compare(a, b))
	})
	for i, room := range rooms {
		switch l := layerOf(room); {
		case i == 0 || l != layerOf(rooms[i-1]):
			nodes += fmt.Sprintf("\n  end\n  subgraph layer%d [\"%s\"]\n    %s", l, strings.Join(layers[l], ", "), room)
		case heights[room] != heights[rooms[i-1]]:
			nodes += "\n    " + room
		default:
			nodes += " & " + room
		}
		far := func(to string) bool { return h.reaches(room, to) }
		if near := slices.DeleteFunc(slices.Clone(h[room]), far); len(near) > 0 {
			arrows += "\n  " + room + " --> " + strings.Join(near, " & ")
		}
	}
	text := strings.TrimPrefix(nodes, "\n  end") + "\n  end" + arrows
	const legend = "What imports what, in `internal/` where no folder is named. What follows from other arrows has none.\n\n"
	return legend + "```mermaid\nflowchart TB\n  accTitle: Which package imports which" + strings.ReplaceAll(text, " internal/", " ") + "\n```\n"
}

func TestPictureOfTheRooms(t *testing.T) {
	const page = "../../docs/rooms.md"
	h := read(t)
	if faults := h.faults(); len(faults) > 0 {
		t.Fatal(strings.Join(faults, "\n"))
	}
	text, err := os.ReadFile(page)
	place := regexp.MustCompile("(?s)(<!-- rooms: .*?-->\n).*(<!-- end of rooms -->\n)")
	if err != nil || !place.Match(text) {
		t.Fatalf("%s: %v; want a place %s", page, err, place)
	}
	want := place.ReplaceAll(text, []byte("$1\n"+h.draw()+"\n$2"))
	if *update {
		err = os.WriteFile(page, want, 0o644)
	} else if string(text) != string(want) {
		t.Errorf("%s does not show the imports as they are; make golden draws them anew", page)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheWayToAChangeSetGoesDown holds the steps that the page lists against the imports.
func TestTheWayToAChangeSetGoesDown(t *testing.T) {
	text, err := os.ReadFile("../../docs/internals.md")
	if err != nil {
		t.Fatal(err)
	}
	_, way, _ := strings.Cut(string(text), "From the file to a change set,")
	way, _, _ = strings.Cut(way, "\n\n`")
	steps := regexp.MustCompile("(?m)^[0-9]\\. `([a-z/]+)` ").FindAllStringSubmatch(way, -1)
	if len(steps) < 3 || len(steps) > 8 {
		t.Fatalf("the page lists %d steps, want 3 to 8", len(steps))
	}
	heights := read(t).heights()
	for i, step := range steps[1:] {
		from, to := steps[i][1], step[1]
		lower := layerOf(to) > layerOf(from) || layerOf(to) == layerOf(from) && heights[to] < heights[from]
		if _, known := heights[to]; !known || !lower {
			t.Errorf("step %d is in %s, which is no room below %s", i+2, to, from)
		}
	}
}
