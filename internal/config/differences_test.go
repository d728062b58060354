package config

import (
	"strings"
	"testing"
)

func TestDifferences(t *testing.T) {
	before := `
# a comment
name: etl
margin: 5m
sets: {main: {subnets: [subnet-1], zones: 1}}
jobs:
  a: {set: main, overrides: [command]}
  gone: {set: main}
`
	after := `
jobs:
  new: {set: main, cluster: "<c>"}
  a: {overrides: [command, environment], set: main}
sets: {main: {subnets: [subnet-1], zones: 2}}
name: etl
deployments: {web: {set: main}}
`
	got, err := Differences([]byte(before), []byte(after))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range got {
		lines = append(lines, d.Action()+" "+d.Key+" "+d.Values())
	}
	want := `add deployments.web {"set":"main"}
modify jobs.a.overrides ["command"] -> ["command","environment"]
remove jobs.gone {"set":"main"}
add jobs.new {"cluster":"<c>","set":"main"}
remove margin "5m"
modify sets.main.zones 1 -> 2`
	if text := strings.Join(lines, "\n"); text != want {
		t.Errorf("Differences =\n%s\nwant\n%s", text, want)
	}
	if d, err := Differences([]byte(before), []byte("# only a comment\n"+before)); err != nil || len(d) != 0 {
		t.Errorf("a comment is a difference: %v, %v", d, err)
	}
	if _, err := Differences([]byte("- a"), []byte(after)); err == nil {
		t.Error("a list passes for a configuration")
	}
}
