package cloudformation

import (
	"fmt"
	"slices"
	"strings"

	"drawbridge/endpoints"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/template"
)

// Scope is the scope in which a stack's template functions are evaluated.
func (s *Service) Scope(st *Stack) *template.Scope {
	return &template.Scope{
		Parameters: st.Parameters, Zones: s.EC2.Zones(),
		Pseudo: func(name string) (string, bool) {
			v, ok := map[string]string{
				"AWS::Region": s.Options.Region, "AWS::AccountId": s.Options.Account,
				"AWS::Partition": endpoints.Partition(s.Options.Region),
				"AWS::URLSuffix": endpoints.DNSSuffix(s.Options.Region),
				"AWS::StackName": st.Name, "AWS::StackId": st.ID,
			}[name]
			return v, ok
		},
		Resource: func(name string) (string, map[string]string, bool) {
			r := st.Resources[name]
			if r == nil {
				return "", nil, false
			}
			return r.Physical, r.Attributes, true
		},
		Import: func(name string) (string, bool) {
			for _, other := range s.Stacks {
				if value, ok := s.exports(other)[name]; ok && other != st {
					st.imports = append(st.imports, name)
					return value, true
				}
			}
			return "", false
		},
	}
}

// exports returns what a stack exports, by name.
func (s *Service) exports(st *Stack) map[string]string {
	if !strings.HasSuffix(st.Status, "_COMPLETE") || strings.HasPrefix(st.Status, "DELETE") {
		return nil
	}
	return s.exporting(st)
}

// exporting is what a stack exports once it is complete.
func (s *Service) exporting(st *Stack) map[string]string {
	out := map[string]string{}
	if st.Template == nil {
		return out
	}
	for k, name := range st.Template.Exports {
		n, err := st.Template.Evaluate(name, s.Scope(st))
		if err != nil {
			continue
		}
		if v, err := st.Template.Evaluate(st.Template.Outputs[k], s.Scope(st)); err == nil {
			out[fmt.Sprint(n)] = fmt.Sprint(v)
		}
	}
	return out
}

// inUse returns an export of a stack that another one imports, with that one's name.
func (s *Service) inUse(st *Stack) (export, by string) {
	for _, name := range kernel.SortedKeys(s.exports(st)) {
		if by := s.importer(st, name); by != "" {
			return name, by
		}
	}
	return "", ""
}

// importer returns the name of a stack that imports an export of st, "" if none does.
func (s *Service) importer(st *Stack, export string) string {
	for _, other := range s.Stacks {
		if other != st && other.Status != "DELETE_COMPLETE" && slices.Contains(other.imports, export) {
			return other.Name
		}
	}
	return ""
}

// takesExport says which export in use an update would change or take away; "" for none.
func (s *Service) takesExport(st *Stack) string {
	now := s.exporting(st)
	for _, name := range kernel.SortedKeys(st.exported) {
		by, what := s.importer(st, name), "updated"
		value, stays := now[name]
		if !stays {
			what = "deleted"
		}
		if by != "" && (!stays || value != st.exported[name]) {
			return fmt.Sprintf("Export %s cannot be %s as it is in use by %s", name, what, by)
		}
	}
	return ""
}
