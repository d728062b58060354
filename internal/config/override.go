package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"drawbridge/internal/config/field"
)

// Override is what an event may override of a job's task: a kind, and of the kind
// environment the variables, each a name or the beginning of names with a star after
// it. No Names means every variable that is not reserved.
type Override struct {
	Kind  string
	Names []string
}

// UnmarshalYAML reads a kind, or environment with its variables.
func (o *Override) UnmarshalYAML(node ast.Node) error {
	if yaml.NodeToValue(node, &o.Kind) == nil {
		return nil
	}
	var named map[string][]string
	if yaml.NodeToValue(node, &named) != nil || len(named) != 1 {
		return field.At(node, "write environment, command, cpu, memory, or environment: [NAME, PREFIX_*]")
	}
	for kind, names := range named {
		o.Kind, o.Names = kind, names
	}
	return nil
}

// reserved are variables by which a container is told who it is, where AWS is, and what
// its programs load and run: no event sets them, whatever a job allows.
var reserved = regexp.MustCompile("^(" + strings.Join([]string{
	`(AWS|ECS|LD|DYLD|DRAWBRIDGE|SSH|MALLOC)_.*`,
	`PATH|HOME|IFS|SHELL|BASH_ENV|BASH_FUNC_.*|PROMPT_COMMAND`,
	`(?i:.*_proxy)|HOSTALIASES|RES_OPTIONS|LOCALDOMAIN`,
	`SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|GCONV_PATH|GLIBC_TUNABLES`,
	`GIT_(SSH|CONFIG|ASKPASS|EXEC|PROXY|EXTERNAL|TEMPLATE).*|GIT_(DIR|EDITOR|PAGER|SEQUENCE_EDITOR|WORK_TREE)`,
	`PYTHON(PATH|HOME|STARTUP|INSPECT|BREAKPOINT|WARNINGS)|PERL5(OPT|LIB|DB)|PERLLIB|RUBY(OPT|LIB)`,
	`NODE_(OPTIONS|PATH|EXTRA_CA_CERTS|TLS_REJECT_UNAUTHORIZED)|(_?JAVA|JDK_JAVA|JAVA_TOOL)_OPTIONS|CLASSPATH`,
}, "|") + ")$")

// Reserved reports whether an event may never set a variable.
func Reserved(variable string) bool { return reserved.MatchString(variable) }

// environment is the kind of override that names variables.
const environment = "environment"

// Allows reports whether an event may override a kind.
func (j Job) Allows(kind string) bool {
	return slices.ContainsFunc(j.Overrides, func(o Override) bool { return o.Kind == kind })
}

// AllowsVariable reports whether an event may set a variable of the job's container.
func (j Job) AllowsVariable(name string) bool {
	if j.Made { // its variables are reserved, and named one by one
		return slices.ContainsFunc(j.Overrides, func(o Override) bool { return slices.Contains(o.Names, name) })
	}
	return !Reserved(name) && slices.ContainsFunc(j.Overrides, func(o Override) bool {
		return o.Kind == environment && (len(o.Names) == 0 || slices.ContainsFunc(o.Names, func(given string) bool {
			prefix, open := strings.CutSuffix(given, "*")
			return name == given || open && strings.HasPrefix(name, prefix)
		}))
	})
}

// overridePattern is a variable, or the beginning of one with a star after it.
var overridePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\*?$`)

// overrides checks what an event may override.
func (k *checker) overrides(where string, j Job) {
	for _, o := range j.Overrides {
		if !slices.Contains(overridable, o.Kind) {
			k.Add(where+".overrides", "use "+strings.Join(overridable, ", "), "%q cannot be overridden", o.Kind)
		}
		if len(o.Names) > 0 && o.Kind != environment {
			k.Add(where+".overrides", "write "+o.Kind+" alone", "%s has no names", o.Kind)
		}
		for _, name := range o.Names {
			switch {
			case !overridePattern.MatchString(name):
				k.Add(where+".overrides", "write NAME or PREFIX_*", "invalid variable %q", name)
			case Reserved(strings.TrimSuffix(name, "*")):
				k.Add(where+".overrides", "choose another name for what an event may say", "no event sets %s", name)
			}
		}
	}
}
