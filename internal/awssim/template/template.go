// Package template parses CloudFormation templates, rejects what CloudFormation
// rejects at the call, and evaluates their functions. It knows no stack.
package template

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"drawbridge/internal/awssim/kernel"
)

// Parameter is a parameter of a stack as a call gives it.
type Parameter struct {
	ParameterKey, ParameterValue string
	UsePreviousValue             bool
	ResolvedValue                string
}

// Invalid is the error for a template that CloudFormation rejects at the call.
func Invalid(format string, args ...any) *kernel.APIError {
	return kernel.Errorf("ValidationError", format, args...)
}

// Template is a parsed template.
type Template struct {
	Description string
	Parameters  map[string]templateParameter
	Specs       map[string]ResourceSpec
	Outputs     map[string]any
	// Exports are the names under which outputs are exported, by the output's.
	Exports    map[string]any
	conditions map[string]any
	mappings   map[string]any
}

type templateParameter struct {
	kind, Def, Description string
	hasDefault, NoEcho     bool
}

// ResourceSpec is a resource as its template describes it.
type ResourceSpec struct {
	Kind, condition string
	Properties      map[string]any
	DependsOn       []string
	// Retained and KeptWhenReplaced are true for the policy Retain.
	Retained, KeptWhenReplaced bool
	// CreationPolicy and UpdatePolicy are as the template has them, values alone.
	CreationPolicy, UpdatePolicy map[string]any
}

func formatError(format string, args ...any) *kernel.APIError {
	return Invalid("Template format error: "+format, args...)
}

// Parse parses JSON or YAML and rejects what CloudFormation rejects at the
// call.
func Parse(known func(kind string) bool, body string) (*Template, error) {
	var root any
	if strings.HasPrefix(strings.TrimSpace(body), "{") {
		if err := json.Unmarshal([]byte(body), &root); err != nil {
			return nil, formatError("JSON not well-formed. (%v)", err)
		}
	} else {
		file, err := parser.ParseBytes([]byte(body), 0)
		if err != nil || len(file.Docs) == 0 || file.Docs[0].Body == nil {
			return nil, formatError("YAML not well-formed. (line 1, column 1)")
		}
		root = fromYAML(file.Docs[0].Body)
	}
	top, ok := root.(map[string]any)
	if !ok {
		return nil, formatError("unsupported structure.")
	}
	if path := nullIn(top["Resources"], "/Resources"); path != "" {
		return nil, formatError("[%s] 'null' values are not allowed in templates", path)
	}
	t := &Template{
		Parameters: map[string]templateParameter{}, Specs: map[string]ResourceSpec{}, Outputs: map[string]any{},
		Exports: map[string]any{},
	}
	t.Description, _ = top["Description"].(string)
	t.conditions, _ = top["Conditions"].(map[string]any)
	t.mappings, _ = top["Mappings"].(map[string]any)
	for k := range top {
		if !slices.Contains([]string{
			"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources",
			"Outputs", "Rules", "Transform", "Hooks",
		}, k) {
			return nil, Invalid("Invalid template property or properties [%s]", k)
		}
	}
	// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resources-section-structure.html
	if resources, ok := top["Resources"].(map[string]any); ok {
		for id := range resources {
			if !logicalID.MatchString(id) {
				return nil, Invalid("Template format error: Resource name %s is non alphanumeric.", id)
			}
		}
	}
	t.readParameters(top["Parameters"])
	if err := t.readResources(known, top["Resources"]); err != nil {
		return nil, err
	}
	if outs, ok := top["Outputs"].(map[string]any); ok {
		for k, o := range outs {
			if m, ok := o.(map[string]any); ok {
				t.Outputs[k] = m["Value"]
				if e, ok := m["Export"].(map[string]any); ok {
					t.Exports[k] = e["Name"]
				}
			}
		}
	}
	return t, t.checkReferences()
}

// logicalID matches valid ids of resources.
var logicalID = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// nullIn returns the path of the first null in v, or "".
func nullIn(v any, path string) string {
	switch v := v.(type) {
	case nil:
		return path
	case map[string]any:
		for _, k := range kernel.SortedKeys(v) {
			if p := nullIn(v[k], path+"/"+k); p != "" {
				return p
			}
		}
	case []any:
		for i, x := range v {
			if p := nullIn(x, fmt.Sprintf("%s/%d", path, i)); p != "" {
				return p
			}
		}
	}
	return ""
}

func (t *Template) readParameters(v any) {
	m, _ := v.(map[string]any)
	for name, p := range m {
		pm, _ := p.(map[string]any)
		tp := templateParameter{}
		tp.kind, _ = pm["Type"].(string)
		tp.Description, _ = pm["Description"].(string)
		if d, ok := pm["Default"]; ok {
			tp.Def, tp.hasDefault = fmt.Sprint(d), true
		}
		tp.NoEcho = fmt.Sprint(pm["NoEcho"]) == "true"
		t.Parameters[name] = tp
	}
}

func (t *Template) readResources(known func(kind string) bool, v any) error {
	m, _ := v.(map[string]any)
	if len(m) == 0 {
		return formatError("At least one Resources member must be defined.")
	}
	var unknown []string
	for _, name := range kernel.SortedKeys(m) {
		r, ok := m[name].(map[string]any)
		if !ok {
			return formatError("[/Resources/%s] resource definition is malformed", name)
		}
		kind, _ := r["Type"].(string)
		if kind == "" {
			return formatError("[/Resources/%s] Every Resources object must contain a Type member.", name)
		}
		if !known(kind) {
			unknown = append(unknown, kind)
		}
		for k := range r {
			if !slices.Contains([]string{
				"Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy",
				"CreationPolicy", "UpdatePolicy",
			}, k) {
				return Invalid("Invalid template resource property '%s'", k)
			}
		}
		spec := ResourceSpec{Kind: kind}
		spec.Properties, _ = r["Properties"].(map[string]any)
		spec.condition, _ = r["Condition"].(string)
		spec.Retained, spec.KeptWhenReplaced = r["DeletionPolicy"] == "Retain", r["UpdateReplacePolicy"] == "Retain"
		spec.CreationPolicy, _ = r["CreationPolicy"].(map[string]any)
		spec.UpdatePolicy, _ = r["UpdatePolicy"].(map[string]any)
		switch d := r["DependsOn"].(type) {
		case string:
			spec.DependsOn = []string{d}
		case []any:
			for _, x := range d {
				spec.DependsOn = append(spec.DependsOn, fmt.Sprint(x))
			}
		}
		t.Specs[name] = spec
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return formatError("Unrecognized resource types: [%s]", strings.Join(slices.Compact(unknown), ", "))
	}
	return nil
}

// checkReferences resolves the references of each resource, and adds them to
// its dependencies.
func (t *Template) checkReferences() error {
	var unresolved []string
	for name, spec := range t.Specs {
		references(spec.Properties, func(ref string, att bool) {
			if _, ok := t.Specs[ref]; ok {
				if ref != name && !slices.Contains(spec.DependsOn, ref) {
					spec.DependsOn = append(spec.DependsOn, ref)
				}
				return
			}
			if _, ok := t.Parameters[ref]; (!ok || att) && !strings.HasPrefix(ref, "AWS::") {
				unresolved = append(unresolved, ref)
			}
		})
		slices.Sort(spec.DependsOn)
		t.Specs[name] = spec
	}
	if len(unresolved) > 0 {
		slices.Sort(unresolved)
		return formatError("Unresolved resource dependencies [%s] in the Resources block of the template",
			strings.Join(slices.Compact(unresolved), ", "))
	}
	return t.checkCycles()
}

func (t *Template) checkCycles() error {
	state := map[string]int{}
	var visit func(string) bool
	visit = func(n string) bool {
		switch state[n] {
		case 1:
			return false
		case 2:
			return true
		}
		state[n] = 1
		for _, d := range t.Specs[n].DependsOn {
			if !visit(d) {
				return false
			}
		}
		state[n] = 2
		return true
	}
	for _, n := range kernel.SortedKeys(t.Specs) {
		if !visit(n) {
			return Invalid("Circular dependency between resources: [%s]", n)
		}
	}
	return nil
}

var subVariable = regexp.MustCompile(`\$\{([^!][^}]*)\}`)

// references calls f for every resource or parameter that v refers to.
func references(v any, f func(name string, attribute bool)) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			references(x, f)
		}
	case map[string]any:
		if ref, ok := v["Ref"].(string); ok && len(v) == 1 {
			f(ref, false)
			return
		}
		if att, ok := v["Fn::GetAtt"]; ok && len(v) == 1 {
			name, _ := getAtt(att)
			f(name, true)
			return
		}
		if sub, ok := v["Fn::Sub"]; ok && len(v) == 1 {
			subReferences(sub, f)
			return
		}
		for _, k := range kernel.SortedKeys(v) {
			references(v[k], f)
		}
	}
}

func subReferences(sub any, f func(string, bool)) {
	text, local := subParts(sub)
	for _, m := range subVariable.FindAllStringSubmatch(text, -1) {
		name, attr, isAtt := strings.Cut(m[1], ".")
		if _, ok := local[m[1]]; !ok {
			f(name, isAtt && attr != "")
		}
	}
	for _, x := range local {
		references(x, f)
	}
}

func subParts(sub any) (string, map[string]any) {
	switch s := sub.(type) {
	case string:
		return s, nil
	case []any:
		if len(s) == 2 {
			text, _ := s[0].(string)
			local, _ := s[1].(map[string]any)
			return text, local
		}
	}
	return "", nil
}

func getAtt(v any) (name, attribute string) {
	switch a := v.(type) {
	case string:
		name, attribute, _ = strings.Cut(a, ".")
	case []any:
		if len(a) == 2 {
			return fmt.Sprint(a[0]), fmt.Sprint(a[1])
		}
	}
	return name, attribute
}

// Bind checks the given parameters against the declared ones.
func (t *Template) Bind(given []Parameter) (map[string]string, error) {
	out := map[string]string{}
	var undeclared, missing []string
	for _, p := range given {
		if _, ok := t.Parameters[p.ParameterKey]; !ok {
			undeclared = append(undeclared, p.ParameterKey)
		}
		out[p.ParameterKey] = p.ParameterValue
	}
	if len(undeclared) > 0 {
		return nil, Invalid("Parameters: [%s] do not exist in the template", strings.Join(undeclared, ", "))
	}
	for _, name := range kernel.SortedKeys(t.Parameters) {
		if _, ok := out[name]; ok {
			continue
		}
		if p := t.Parameters[name]; p.hasDefault {
			out[name] = p.Def
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, Invalid("Parameters: [%s] must have values", strings.Join(missing, ", "))
	}
	return out, nil
}

// Kind returns the type of a parameter.
func (t *Template) Kind(name string) string { return t.Parameters[name].kind }

// NoEcho reports whether a parameter's value must not be shown.
func (t *Template) NoEcho(name string) bool { return t.Parameters[name].NoEcho }

// Capability returns the capability that the template requires, or "".
func (t *Template) Capability() string {
	need := ""
	for _, r := range t.Specs {
		if strings.HasPrefix(r.Kind, "AWS::IAM::") {
			if need == "" {
				need = "CAPABILITY_IAM"
			}
			if r.Properties["RoleName"] != nil || r.Properties["ManagedPolicyName"] != nil ||
				r.Properties["UserName"] != nil {
				return "CAPABILITY_NAMED_IAM"
			}
		}
	}
	return need
}

// Resources returns the resources whose condition holds.
func (t *Template) Resources(params map[string]string) map[string]ResourceSpec {
	out := map[string]ResourceSpec{}
	for name, r := range t.Specs {
		if r.condition == "" || t.condition(r.condition, params) {
			r.DependsOn = slices.DeleteFunc(slices.Clone(r.DependsOn), func(d string) bool {
				c := t.Specs[d].condition
				return c != "" && !t.condition(c, params)
			})
			out[name] = r
		}
	}
	return out
}

func (t *Template) condition(name string, params map[string]string) bool {
	v, err := t.Evaluate(t.conditions[name], &Scope{Parameters: params, Pseudo: func(string) (string, bool) {
		return "", false
	}})
	b, _ := v.(bool)
	return err == nil && b
}

// Scope is the scope in which a template's functions are evaluated.
type Scope struct {
	Parameters map[string]string
	Pseudo     func(string) (string, bool)
	// resource returns the physical id and the attributes of an existing resource.
	Resource func(name string) (physical string, attributes map[string]string, there bool)
	// Import returns the value that another stack exports under a name.
	Import func(name string) (string, bool)
	// Zones are the availability zones of the Region.
	Zones []string
}

// noValue is what AWS::NoValue evaluates to: the property is left out.
type noValue struct{}

// Evaluate returns v with all functions evaluated.
func (t *Template) Evaluate(v any, sc *Scope) (any, error) {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, x := range v {
			y, err := t.Evaluate(x, sc)
			if err != nil {
				return nil, err
			}
			if _, none := y.(noValue); !none {
				out = append(out, y)
			}
		}
		return out, nil
	case map[string]any:
		if len(v) == 1 {
			for k, arg := range v {
				if k == "Ref" || k == "Condition" || strings.HasPrefix(k, "Fn::") {
					return t.call(k, arg, sc)
				}
			}
		}
		out := map[string]any{}
		for k, x := range v {
			y, err := t.Evaluate(x, sc)
			if err != nil {
				return nil, err
			}
			if _, none := y.(noValue); !none {
				out[k] = y
			}
		}
		return out, nil
	}
	return v, nil
}

// call evaluates one function.
func (t *Template) call(name string, arg any, sc *Scope) (any, error) {
	switch name {
	case "Ref":
		return t.ref(fmt.Sprint(arg), sc)
	case "Condition":
		return t.condition(fmt.Sprint(arg), sc.Parameters), nil
	case "Fn::GetAtt":
		r, att := getAtt(arg)
		return t.attribute(r, att, sc)
	case "Fn::Sub":
		return t.sub(arg, sc)
	case "Fn::If":
		a, _ := arg.([]any)
		if len(a) != 3 {
			return nil, Invalid("Template error: Fn::If requires a list argument with the first element being a " +
				"condition")
		}
		if t.condition(fmt.Sprint(a[0]), sc.Parameters) {
			return t.Evaluate(a[1], sc)
		}
		return t.Evaluate(a[2], sc)
	}
	v, err := t.Evaluate(arg, sc)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Fn::GetAZs": // of its own Region alone
		var out []any
		for _, zone := range sc.Zones {
			out = append(out, zone)
		}
		return out, nil
	case "Fn::Base64":
		return base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(v))), nil
	case "Fn::ImportValue":
		value, ok := sc.Import(fmt.Sprint(v))
		if !ok {
			return nil, Invalid("No export named %v found.", v)
		}
		return value, nil
	}
	a, _ := v.([]any)
	return t.callList(name, a)
}

// callList evaluates a function whose argument is an already evaluated list.
func (t *Template) callList(name string, a []any) (any, error) {
	switch name {
	case "Fn::Join":
		if len(a) == 2 {
			parts, _ := a[1].([]any)
			return strings.Join(kernel.TextsOf(parts), fmt.Sprint(a[0])), nil
		}
	case "Fn::Split":
		if len(a) == 2 {
			var out []any
			for _, p := range strings.Split(fmt.Sprint(a[1]), fmt.Sprint(a[0])) {
				out = append(out, p)
			}
			return out, nil
		}
	case "Fn::Select":
		if len(a) == 2 {
			list, _ := a[1].([]any)
			i := 0
			if _, err := fmt.Sscan(fmt.Sprint(a[0]), &i); err == nil && i >= 0 && i < len(list) {
				return list[i], nil
			}
		}
	case "Fn::Equals":
		if len(a) == 2 {
			return reflect.DeepEqual(fmt.Sprint(a[0]), fmt.Sprint(a[1])), nil
		}
	case "Fn::Not":
		if len(a) == 1 {
			b, _ := a[0].(bool)
			return !b, nil
		}
	case "Fn::And", "Fn::Or":
		for _, x := range a {
			if b, _ := x.(bool); b == (name == "Fn::Or") {
				return name == "Fn::Or", nil
			}
		}
		return name == "Fn::And", nil
	case "Fn::FindInMap":
		if len(a) == 3 {
			top, _ := t.mappings[fmt.Sprint(a[0])].(map[string]any)
			second, _ := top[fmt.Sprint(a[1])].(map[string]any)
			if found, ok := second[fmt.Sprint(a[2])]; ok {
				return found, nil
			}
		}
	}
	return nil, Invalid("Template error: the sandbox does not simulate %s", name)
}

func (t *Template) ref(name string, sc *Scope) (any, error) {
	if name == "AWS::NoValue" {
		return noValue{}, nil
	}
	if v, ok := sc.Pseudo(name); ok {
		return v, nil
	}
	if v, ok := sc.Parameters[name]; ok {
		if k := t.Parameters[name].kind; strings.HasPrefix(k, "List<") || k == "CommaDelimitedList" {
			var out []any
			for _, p := range strings.Split(v, ",") {
				out = append(out, strings.TrimSpace(p))
			}
			return out, nil
		}
		return v, nil
	}
	if sc.Resource != nil {
		if physical, _, there := sc.Resource(name); there {
			return physical, nil
		}
	}
	return nil, formatError("Unresolved resource dependencies [%s] in the Resources block of the template", name)
}

func (t *Template) attribute(name, attribute string, sc *Scope) (any, error) {
	if _, attributes, there := sc.Resource(name); there {
		if v, ok := attributes[attribute]; ok {
			return v, nil
		}
	}
	return nil, Invalid("Template error: resource %s does not support attribute type %s in Fn::GetAtt", name, attribute)
}

func (t *Template) sub(arg any, sc *Scope) (any, error) {
	text, local := subParts(arg)
	var failure error
	out := subVariable.ReplaceAllStringFunc(text, func(m string) string {
		name := m[2 : len(m)-1]
		var v any
		var err error
		if x, ok := local[name]; ok {
			v, err = t.Evaluate(x, sc)
		} else if r, att, isAtt := strings.Cut(name, "."); isAtt {
			v, err = t.attribute(r, att, sc)
		} else {
			v, err = t.ref(name, sc)
		}
		if err != nil {
			failure = err
		}
		return fmt.Sprint(v)
	})
	return strings.ReplaceAll(out, "${!", "${"), failure
}

// plainWithColon returns a plain scalar such as s3:GetObject, which the parser takes for a
// mapping inside [ ]: in YAML a mapping needs a space after the colon.
func plainWithColon(n ast.Node) (string, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok || m.Start == nil || m.Start.Value == "{" || len(m.Values) != 1 {
		return "", false
	}
	key, value := m.Values[0].Key.GetToken(), m.Values[0].Value.GetToken()
	if key.Position.Line != value.Position.Line || value.Position.Offset != key.Position.Offset+len(key.Value)+1 {
		return "", false
	}
	return key.Value + ":" + value.Value, true
}

// fromYAML turns a YAML node into plain values; short functions such as !Ref
// become their long form.
func fromYAML(n ast.Node) any {
	switch n := n.(type) {
	case *ast.MappingNode:
		out := map[string]any{}
		for _, kv := range n.Values {
			out[kv.Key.GetToken().Value] = fromYAML(kv.Value)
		}
		return out
	case *ast.MappingValueNode:
		return map[string]any{n.Key.GetToken().Value: fromYAML(n.Value)}
	case *ast.SequenceNode:
		out := []any{}
		for _, v := range n.Values {
			if text, ok := plainWithColon(v); ok {
				out = append(out, text)
				continue
			}
			out = append(out, fromYAML(v))
		}
		return out
	case *ast.TagNode:
		name := strings.TrimPrefix(n.Start.Value, "!")
		v := fromYAML(n.Value)
		if name == "Ref" || name == "Condition" {
			return map[string]any{name: v}
		}
		if strings.HasPrefix(name, "!") {
			return v
		}
		return map[string]any{"Fn::" + name: v}
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.StringNode:
		return n.Value
	case *ast.BoolNode:
		return n.Value
	case *ast.AnchorNode:
		return fromYAML(n.Value)
	case ast.ScalarNode:
		switch v := n.GetValue().(type) { // a number is the same in both languages
		case int64:
			return float64(v)
		case uint64:
			return float64(v)
		default:
			return v
		}
	}
	return nil
}
