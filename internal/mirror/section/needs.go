package section

import "drawbridge/endpoints"

// Calls are what a git mirror to CodeCommit calls: creates is true if it creates missing
// repositories, assumes if it assumes a role.
func Calls(creates, assumes bool) []endpoints.Call {
	out := []endpoints.Call{{Service: "git-codecommit", Why: "the git mirror pushes to CodeCommit"}}
	if creates {
		out = append(out, endpoints.Call{
			Service: "codecommit", Why: "the git mirror creates repositories",
			Spare: "create the repositories beforehand",
		})
	}
	if assumes {
		out = append(out, endpoints.Call{
			Service: "sts", Why: "the git mirror assumes a role",
			Spare: "grant push to the task role itself, which needs no call to STS",
		})
	}
	return out
}
