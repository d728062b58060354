// Command mutants changes the code in one place at a time and sees whether the tests notice.
//
//	go run ./tools/mutants [-sample 200] [-only scheduler/decide.go] [-jobs 2] [-report build/mutants.json]
//
// All mutants are compiled into the test programs at once, by an overlay, and each is switched on by its number. Which
// tests reach a mutant is recorded first, and kept in build/mutants until the test program changes; then these alone are
// run with it until one fails: the one that killed its neighbour first, then what has killed most in the least time. One that no test reaches, or
// that all of them pass with, is alive. Two show that the tool works: one that changes nothing
// has to live, one that breaks everything has to die. tools/mutants/equivalent.txt names those that change nothing that
// anybody could see, each with its reason.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mutated are the packages that are changed, tested those whose tests look at them.
var (
	mutated = []string{
		"scheduler", "scheduler/forecast", "scheduler/reconcile", "internal/store", "internal/launcher",
		"internal/reaper",
	}
	tested = append(slices.Clone(mutated), "internal/explore", "internal/app", "internal/replay", "internal/demo",
		"internal/sandbox")
)

// test is a test function of a package.
type test struct {
	Pkg, Name string
	Took      time.Duration
	Reaches   map[int]bool
}

// options are what the flags say.
type options struct {
	sample       int
	seed         uint64
	only, report string
	jobs         int
	most         time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.sample, "sample", 0, "how many mutants to draw; 0 is all")
	flag.Uint64Var(&o.seed, "seed", 1, "what to draw them with")
	flag.StringVar(&o.only, "only", "", "only mutants whose name begins so")
	flag.IntVar(&o.jobs, "jobs", 2, "how many tests to run at a time")
	flag.DurationVar(&o.most, "most", 30*time.Second, "how long to look for a test that notices a mutant")
	flag.StringVar(&o.report, "report", "build/mutants.json", "where to write what became of each")
	justDefects := flag.Bool("defects", false, "only the designed defects")
	flag.Parse()
	ctx := context.Background()
	var err error
	if !*justDefects {
		err = inFolder(ctx, o.run)
	}
	if o.only == "" {
		err = errors.Join(err, inFolder(ctx, designed))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// inFolder calls f with a folder that is removed afterwards.
func inFolder(ctx context.Context, f func(ctx context.Context, dir string) error) error {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return f(ctx, dir)
}

func (o options) run(ctx context.Context, dir string) error {
	mutants, overlay, err := makeMutants(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%d mutants in %d packages\n", len(mutants), len(mutated))
	var tests []*test
	for _, pkg := range tested {
		if err := build(ctx, dir, overlay, pkg); err != nil {
			return err
		}
		found, err := o.recorded(ctx, dir, pkg)
		if err != nil {
			return err
		}
		tests = append(tests, found...)
	}
	slices.SortStableFunc(tests, func(a, b *test) int { return int(a.Took - b.Took) })
	if err := calibrate(dir, tests); err != nil {
		return err
	}
	chosen := slices.Clone(mutants)
	chosen = slices.DeleteFunc(chosen, func(m Mutant) bool { return !strings.HasPrefix(m.Name(), o.only) })
	if o.sample > 0 && o.sample < len(chosen) {
		draw := rand.New(rand.NewPCG(o.seed, 1))
		draw.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:o.sample]
	}
	slices.SortFunc(chosen, func(a, b Mutant) int { return a.ID - b.ID })
	return o.judge(dir, chosen, tests)
}

// makeMutants writes the mutated packages and an overlay that puts them in place.
func makeMutants(ctx context.Context, dir string) ([]Mutant, string, error) {
	m := maker{dir: dir, replace: map[string]string{}}
	var err error
	if m.root, err = os.Getwd(); err != nil {
		return nil, "", err
	}
	if m.exports, err = exportFiles(ctx); err != nil {
		return nil, "", err
	}
	if m.helpers, err = os.ReadFile("tools/mutants/helpers.go.txt"); err != nil {
		return nil, "", err
	}
	for _, pkg := range mutated {
		if err := m.add(pkg); err != nil {
			return nil, "", fmt.Errorf("%s: %w", pkg, err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": m.replace})
	if err != nil {
		return nil, "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return m.mutants, overlay, os.WriteFile(overlay, text, 0o600)
}

// maker makes the mutants of packages. exports are where the compiler keeps what each package exports, replace what the
// overlay puts in place of what.
type maker struct {
	dir, root string
	helpers   []byte
	exports   map[string]string
	replace   map[string]string
	mutants   []Mutant
}

func (m *maker) add(pkg string) error {
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(pkg, "*.go"))
	if err != nil {
		return err
	}
	var files []*ast.File
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, "_test.go") })
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(m.exports[path])
	})}
	if _, err := conf.Check("drawbridge/"+pkg, fset, files, info); err != nil {
		return err
	}
	for i, f := range files {
		text, err := mutate(fset, info, f, names[i], names[i], &m.mutants)
		if err != nil {
			return err
		}
		if err := m.put(names[i], text); err != nil {
			return err
		}
	}
	helpers := append([]byte("package "+files[0].Name.Name+"\n\n"), m.helpers...)
	return m.put(filepath.Join(pkg, "mutant_helpers.go"), helpers)
}

// put has the overlay put a text in place of a file.
func (m *maker) put(name string, text []byte) error {
	to := filepath.Join(m.dir, strings.ReplaceAll(name, "/", "_"))
	m.replace[filepath.Join(m.root, name)] = to
	return os.WriteFile(to, text, 0o600)
}

// exportFiles returns where the compiler keeps what each package exports.
func exportFiles(ctx context.Context) (map[string]string, error) {
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, p := range mutated {
		args = append(args, "./"+p)
	}
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	return exports, nil
}

func program(dir, pkg string) string {
	return filepath.Join(dir, strings.ReplaceAll(pkg, "/", "_")+".test")
}

func build(ctx context.Context, dir, overlay, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-vet=off", "-o", program(dir, pkg),
		"./"+pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func list(ctx context.Context, dir, pkg string) ([]*test, error) {
	if _, err := os.Stat(program(dir, pkg)); errors.Is(err, os.ErrNotExist) {
		return nil, nil // no tests of its own
	}
	cmd := exec.CommandContext(ctx, program(dir, pkg), "-test.list", ".")
	cmd.Dir = pkg
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w", pkg, err)
	}
	var tests []*test
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		// a mutant that hides a designed defect is not noticed by that
		if strings.HasPrefix(name, "Test") && name != portDefects {
			tests = append(tests, &test{Pkg: pkg, Name: name, Reaches: map[int]bool{}})
		}
	}
	return tests, nil
}

// recorded returns the tests of a package with what they reach: as it was recorded with the same program, or anew.
func (o options) recorded(ctx context.Context, dir, pkg string) ([]*test, error) {
	text, err := os.ReadFile(program(dir, pkg))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // no tests of its own
	}
	if err != nil {
		return nil, err
	}
	file := filepath.Join("build", "mutants", fmt.Sprintf("%x.json", sha256.Sum256(text)))
	var tests []*test
	if text, err := os.ReadFile(file); err == nil {
		return tests, json.Unmarshal(text, &tests)
	}
	if tests, err = list(ctx, dir, pkg); err != nil {
		return nil, err
	}
	if err := record(dir, tests, o.jobs); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(tests); err != nil {
		return nil, err
	}
	return tests, errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o600))
}

// batch are tests of one package that are run together.
type batch []*test

func (b batch) took() time.Duration {
	var sum time.Duration
	for _, t := range b {
		sum += t.Took
	}
	return sum
}

// quick is how long a test takes that is not worth a program of its own.
const quick = 100 * time.Millisecond

// batches returns what to run, the quick tests of a package together.
func batches(tests []*test) []batch {
	together := map[string]batch{}
	var out []batch
	for _, t := range tests {
		if t.Took < quick {
			together[t.Pkg] = append(together[t.Pkg], t)
		} else {
			out = append(out, batch{t})
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(together)) {
		out = append(out, together[pkg])
	}
	return out
}

// name names a batch: a test, or a package's quick ones.
func (b batch) name() string {
	if b[0].Took < quick {
		return b[0].Pkg
	}
	return b[0].Pkg + " " + b[0].Name
}

// yield is how often a batch was run, and how often it killed.
type yield struct{ runs, kills float64 }

// yields remembers what the batches have yielded so far.
type yields struct {
	mu sync.Mutex
	of map[string]yield
}

// order puts first what has killed most in the least time so far.
func (y *yields) order(all []batch) {
	y.mu.Lock()
	defer y.mu.Unlock()
	rate := func(b batch) float64 {
		x := y.of[b.name()]
		return (x.kills + 0.5) / (x.runs + 1) / (b.took().Seconds() + 0.1)
	}
	slices.SortStableFunc(all, func(a, b batch) int { return cmp.Compare(rate(b), rate(a)) })
}

func (y *yields) note(b batch, killed bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	x := y.of[b.name()]
	x.runs++
	if killed {
		x.kills++
	}
	y.of[b.name()] = x
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// play runs tests with a mutant. It returns what they printed, and of those that failed the first one's name, or of
// those that ended the program the only one's.
func (b batch) play(dir, mutant, reached string, limit time.Duration) (out []byte, by string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var names []string
	for _, t := range b {
		names = append(names, t.Name)
	}
	args := []string{"-test.run", "^(" + strings.Join(names, "|") + ")$", "-test.failfast", "-test.parallel", "1"}
	if b[0].Pkg == "internal/explore" { // stories are run in full, searches are not
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(ctx, program(dir, b[0].Pkg), args...)
	cmd.Dir = b[0].Pkg
	cmd.Env = append(os.Environ(), "MUTANT="+mutant, "MUTANTS_REACHED="+reached, "GOMAXPROCS=1")
	cmd.WaitDelay = time.Second
	out, err = cmd.CombinedOutput()
	switch m := failed.FindSubmatch(out); {
	case err == nil:
	case m != nil:
		by = string(m[1])
	case len(b) == 1:
		by = names[0]
	}
	return out, by, err
}

// record finds out which mutants each test reaches, and how long it takes.
func record(dir string, tests []*test, jobs int) error {
	began := time.Now()
	err := each(jobs, len(tests), func(i int) error {
		t := tests[i]
		file := program(dir, t.Pkg) + "-" + t.Name + ".reached"
		start := time.Now()
		if out, _, err := (batch{t}).play(dir, "0", file, 10*time.Minute); err != nil {
			return fmt.Errorf("%s %s fails without a mutant: %w\n%s", t.Pkg, t.Name, err, out)
		}
		t.Took = time.Since(start)
		f, err := os.Open(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if id, err := strconv.Atoi(lines.Text()); err == nil {
				t.Reaches[id] = true
			}
		}
		return lines.Err()
	})
	if len(tests) > 0 {
		fmt.Printf("%d tests of %s, looked at in %s\n", len(tests), tests[0].Pkg, time.Since(began).Round(time.Second))
	}
	return err
}

// calibrate sees that a mutant which changes nothing lives and one that breaks everything dies.
func calibrate(dir string, tests []*test) error {
	for _, t := range tests {
		if len(t.Reaches) == 0 {
			continue
		}
		if out, _, err := (batch{t}).play(dir, "0", "", 10*time.Minute); err != nil {
			return fmt.Errorf("a mutant that changes nothing is killed by %s: %w\n%s", t.Name, err, out)
		}
		if _, _, err := (batch{t}).play(dir, "breaks everything", "", 10*time.Minute); err == nil {
			return fmt.Errorf("a mutant that breaks everything survives %s", t.Name)
		}
		if t.Took > 200*time.Millisecond {
			break // the faster ones are enough
		}
	}
	fmt.Println("calibrated: a mutant that changes nothing lives, one that breaks everything dies")
	return nil
}

// Verdict is what became of a mutant.
type Verdict struct {
	Mutant
	Killed bool `json:"killed"`
	// By is the test that noticed it; Tried how many tests that reach it did not.
	By    string `json:"by,omitempty"`
	Tried int    `json:"tried"`
	// Equivalent is why nobody could see it.
	Equivalent string `json:"equivalent,omitempty"`
}

func (o options) judge(dir string, mutants []Mutant, tests []*test) error {
	reasons, err := equivalents()
	if err != nil {
		return err
	}
	out := make([]Verdict, len(mutants))
	var mu sync.Mutex
	killers := map[string]string{} // the last by the function of the mutant
	seen := &yields{of: map[string]yield{}}
	done, began := 0, time.Now()
	err = each(o.jobs, len(mutants), func(i int) error {
		v := Verdict{Mutant: mutants[i], Equivalent: reasons[mutants[i].Name()]}
		mu.Lock()
		killer := killers[v.File+v.Function]
		mu.Unlock()
		if v.Equivalent == "" {
			o.hunt(dir, &v, tests, killer, seen)
		}
		out[i] = v
		mu.Lock()
		defer mu.Unlock()
		if v.By != "" {
			killers[v.File+v.Function] = v.By
		}
		if done++; !v.Killed && v.Equivalent == "" {
			fmt.Printf("alive: %s:%d %s: %s: %s (%d tests reach it)\n", v.File, v.Line, v.Function, v.Kind, v.Text,
				v.Tried)
		}
		if done%100 == 0 {
			fmt.Printf("%d of %d after %s\n", done, len(mutants), time.Since(began).Round(time.Second))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return write(out, o.report)
}

// hunt looks for a test that notices a mutant, killer first.
func (o options) hunt(dir string, v *Verdict, tests []*test, killer string, seen *yields) {
	var first batch
	var rest []*test
	for _, t := range tests {
		switch {
		case !t.Reaches[v.ID]:
		case t.Pkg+" "+t.Name == killer:
			first = batch{t}
		default:
			rest = append(rest, t)
		}
	}
	all := batches(rest)
	seen.order(all)
	if first != nil {
		all = slices.Insert(all, 0, first)
	}
	var spent time.Duration
	for _, b := range all {
		if spent > 0 && spent+b.took() > o.most {
			continue
		}
		start := time.Now()
		_, by, err := b.play(dir, strconv.Itoa(v.ID), "", 10*b.took()+10*time.Second)
		spent += time.Since(start)
		seen.note(b, err != nil)
		if err != nil {
			v.Killed = true
			if by != "" {
				v.By = b[0].Pkg + " " + by
			}
			return
		}
		v.Tried += len(b)
	}
}

func write(out []Verdict, report string) error {
	killed, same := map[string]int{}, map[string]int{}
	all := map[string]int{}
	total, dead := 0, 0
	for _, v := range out {
		pkg := filepath.Dir(v.File)
		switch {
		case v.Equivalent != "":
			same[pkg]++
			continue
		case v.Killed:
			killed[pkg]++
			dead++
		}
		all[pkg]++
		total++
	}
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		fmt.Printf("%-22s %4d of %4d killed, %d equivalent\n", pkg, killed[pkg], all[pkg], same[pkg])
	}
	text, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(report), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(report, text, 0o644); err != nil {
		return err
	}
	const least = 90
	fmt.Printf("%d of %d killed: %d %%\n", dead, total, 100*dead/max(total, 1))
	if 100*dead < least*total {
		return fmt.Errorf("less than %d %% are killed", least)
	}
	return nil
}

// equivalents reads the mutants that change nothing that anybody could see: a name a line, and under it the reason,
// indented.
func equivalents() (map[string]string, error) {
	text, err := os.ReadFile("tools/mutants/equivalent.txt")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	name := ""
	for line := range bytes.Lines(text) {
		switch s := strings.TrimRight(string(line), "\n"); {
		case s == "" || strings.HasPrefix(s, "#"):
		case strings.HasPrefix(s, "\t"):
			out[name] = strings.TrimSpace(out[name] + " " + strings.TrimSpace(s))
		default:
			name = s
		}
	}
	return out, nil
}

// each calls f for every number below n, some at a time, and returns the first error.
func each(jobs, n int, f func(int) error) error {
	var wg sync.WaitGroup
	next := make(chan int)
	errs := make(chan error, n)
	for range jobs {
		wg.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					errs <- err
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	close(errs)
	return <-errs
}
