package cloudformation

import (
	"drawbridge/endpoints"
	"drawbridge/internal/awssim/template"
)

// Scope is the scope in which a stack's template functions are evaluated.
func (s *Service) Scope(st *Stack) *template.Scope {
	return &template.Scope{
		Parameters: st.Parameters,
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
	}
}
