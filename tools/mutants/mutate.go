package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"strings"
)

// Mutant is one change of the code.
type Mutant struct {
	ID   int    `json:"id"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Function is the function it is in, Kind what is changed, Text the code as it is.
	Function string `json:"function"`
	Kind     string `json:"kind"`
	Text     string `json:"text"`
}

// Name names a mutant without its line, so that it is known again after a change elsewhere.
func (m Mutant) Name() string { return m.File + " " + m.Function + ": " + m.Kind + ": " + m.Text }

// rewriter rewrites a file so that each mutant can be switched on: an operator becomes a call of a helper with the
// mutant's number, a statement stands behind a condition.
type rewriter struct {
	fset     *token.FileSet
	info     *types.Info
	source   []byte
	file     string
	function string
	mutants  *[]Mutant
	edits    []edit
	same     map[string]int // how many mutants have a name
	// unused is a call whose answer nobody looks at.
	unused ast.Expr
}

type edit struct {
	from, to int
	text     string
}

func (r *rewriter) offset(p token.Pos) int { return r.fset.Position(p).Offset }

func (r *rewriter) text(n ast.Node) string {
	return string(r.source[r.offset(n.Pos()):r.offset(n.End())])
}

func (r *rewriter) add(n ast.Node, kind string) int {
	text := strings.Join(strings.Fields(r.text(n)), " ")
	if len(text) > 120 {
		text = text[:117] + "..."
	}
	name := r.function + kind + text
	r.same[name]++
	if n := r.same[name]; n > 1 {
		kind = fmt.Sprintf("%s, number %d", kind, n)
	}
	m := Mutant{
		ID: len(*r.mutants) + 1, File: r.file, Line: r.fset.Position(n.Pos()).Line, Function: r.function, Kind: kind,
		Text: text,
	}
	*r.mutants = append(*r.mutants, m)
	return m.ID
}

// insert puts text at a place.
func (r *rewriter) insert(at int, text string) { r.edits = append(r.edits, edit{at, at, text}) }

func (r *rewriter) replace(from, to int, text string) {
	r.edits = append(r.edits, edit{from, to, text})
}

// plain reports whether an expression is a constant or a type.
func (r *rewriter) plain(e ast.Expr) bool {
	tv, ok := r.info.Types[e]
	return !ok || !tv.IsValue() || tv.Value != nil
}

func (r *rewriter) kindOf(e ast.Expr) types.BasicInfo {
	tv, ok := r.info.Types[e]
	if !ok {
		return 0
	}
	b, ok := tv.Type.Underlying().(*types.Basic)
	if !ok {
		return 0
	}
	return b.Info()
}

// wrap makes a call of a helper of an expression with two operands.
func (r *rewriter) wrap(e *ast.BinaryExpr, open string, lazy bool) {
	between, after := ", ", ")"
	if lazy {
		open += "func() bool { return ("
		between, after = ") }, func() bool { return (", ") })"
	}
	r.insert(r.offset(e.Pos()), open)
	r.replace(r.offset(e.OpPos), r.offset(e.OpPos)+len(e.Op.String()), between)
	r.insert(r.offset(e.End()), after)
}

func (r *rewriter) around(e ast.Node, open, end string) {
	r.insert(r.offset(e.Pos()), open)
	r.insert(r.offset(e.End()), end)
}

var (
	compares = map[token.Token]string{
		token.LSS: "Less", token.LEQ: "LessEqual", token.GTR: "Greater", token.GEQ: "GreaterEqual",
	}
	sums = map[token.Token]string{
		token.ADD: "Add", token.SUB: "Subtract", token.MUL: "Multiply", token.QUO: "Divide",
	}
)

// expression makes mutants of one expression; those inside it come by themselves.
func (r *rewriter) expression(e ast.Expr) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if r.plain(e) {
			return
		}
		switch {
		case e.Op == token.LAND || e.Op == token.LOR:
			name := map[token.Token]string{token.LAND: "And", token.LOR: "Or"}[e.Op]
			r.wrap(e, fmt.Sprintf("mutant%s(%d, ", name, r.add(e, "the other of && and ||")), true)
		case e.Op == token.EQL || e.Op == token.NEQ:
			r.around(e, fmt.Sprintf("mutantFlip(%d, ", r.add(e, "the other of == and !=")), ")")
		case compares[e.Op] != "" && r.kindOf(e.X)&types.IsOrdered != 0:
			r.wrap(e, r.bounds(compares[e.Op], e), false)
		case sums[e.Op] != "" && r.kindOf(e)&types.IsNumeric != 0:
			r.wrap(e, fmt.Sprintf("mutant%s(%d, ", sums[e.Op], r.add(e, "the opposite operation")), false)
		}
	case *ast.UnaryExpr:
		if e.Op == token.NOT && !r.plain(e) {
			r.around(e, fmt.Sprintf("mutantFlip(%d, ", r.add(e, "without !")), ")")
		}
	case *ast.CallExpr:
		r.call(e)
	}
}

// bounds opens the helper of a comparison, which has two mutants.
func (r *rewriter) bounds(name string, e ast.Expr) string {
	return fmt.Sprintf("mutant%s(%d, %d, ", name, r.add(e, "bound in or out"), r.add(e, "comparison the other way"))
}

func (r *rewriter) call(e *ast.CallExpr) {
	if r.plain(e) {
		return
	}
	if tv := r.info.Types[e.Fun]; tv.IsType() {
		return
	}
	if id, ok := e.Fun.(*ast.Ident); ok && (id.Name == "max" || id.Name == "min") && len(e.Args) == 2 {
		name := map[string]string{"max": "Max", "min": "Min"}[id.Name]
		r.replace(r.offset(e.Fun.Pos()), r.offset(e.Lparen)+1,
			fmt.Sprintf("mutant%s(%d, ", name, r.add(e, "the other of max and min")))
		return
	}
	if r.kindOf(e)&types.IsBoolean == 0 || e == r.unused {
		return
	}
	if s, ok := e.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "Before" || s.Sel.Name == "After") &&
		r.info.TypeOf(s.X) != nil && r.info.TypeOf(s.X).String() == "time.Time" {
		r.insert(r.offset(e.Pos()), r.bounds(s.Sel.Name, e))
		r.replace(r.offset(s.X.End()), r.offset(e.Lparen)+1, ", ")
		return
	}
	if _, named := r.info.TypeOf(e).(*types.Named); named {
		return
	}
	r.around(e, fmt.Sprintf("mutantFlip(%d, ", r.add(e, "the opposite answer")), ")")
}

// statement makes a mutant that leaves a statement out.
func (r *rewriter) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt:
	case *ast.BranchStmt:
		if s.Tok == token.FALLTHROUGH || s.Tok == token.GOTO {
			return
		}
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			return
		}
	case *ast.ReturnStmt:
		if len(s.Results) > 0 {
			return
		}
	default:
		return
	}
	r.around(s, fmt.Sprintf("if mutantKeeps(%d) { ", r.add(s, "left out")), " }")
}

// block makes mutants of the statements of a block.
func (r *rewriter) block(list []ast.Stmt) {
	for _, s := range list {
		r.statement(s)
	}
}

// run makes the mutants of a function's body.
func (r *rewriter) run(body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ExprStmt:
			r.unused = n.X
		case *ast.BlockStmt:
			r.block(n.List)
		case *ast.CaseClause:
			r.block(n.Body)
		case *ast.CommClause:
			r.block(n.Body)
		case ast.Expr:
			r.expression(n)
		}
		return true
	})
}

// apply returns the source with the edits. Nodes are visited from outside to inside: at one place, what encloses more
// opens first and closes last.
func (r *rewriter) apply() []byte {
	type piece struct{ opens, closes []string }
	at := map[int]*piece{}
	skip := map[int]int{}
	place := func(i int) *piece {
		if at[i] == nil {
			at[i] = &piece{}
		}
		return at[i]
	}
	for _, e := range r.edits {
		switch {
		case e.from != e.to:
			skip[e.from] = e.to
			p := place(e.from)
			p.opens = append(p.opens, e.text)
		case strings.HasPrefix(e.text, ")") || strings.HasPrefix(e.text, " }"):
			p := place(e.from)
			p.closes = append([]string{e.text}, p.closes...)
		default:
			p := place(e.from)
			p.opens = append(p.opens, e.text)
		}
	}
	var out bytes.Buffer
	for i := 0; i <= len(r.source); i++ {
		if p := at[i]; p != nil {
			out.WriteString(strings.Join(p.closes, ""))
			out.WriteString(strings.Join(p.opens, ""))
		}
		if to, ok := skip[i]; ok {
			i = to - 1
			continue
		}
		if i < len(r.source) {
			out.WriteByte(r.source[i])
		}
	}
	return out.Bytes()
}

// mutate returns the text of a file with its mutants.
func mutate(fset *token.FileSet, info *types.Info, f *ast.File, path, name string, mutants *[]Mutant) ([]byte, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &rewriter{fset: fset, info: info, source: source, file: name, mutants: mutants, same: map[string]int{}}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			r.function = fn.Name.Name
			r.run(fn.Body)
		}
	}
	return r.apply(), nil
}
