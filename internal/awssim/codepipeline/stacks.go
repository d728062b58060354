package codepipeline

import (
	"encoding/json"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// deployStack makes a change set, executes one, creates or updates a stack, or deletes it.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CloudFormation.html
func (s *Service) deployStack(r *run) {
	var err error
	switch mode := r.action.Configuration["ActionMode"]; mode {
	case "CHANGE_SET_REPLACE":
		err = s.replaceChangeSet(r)
	case "CHANGE_SET_EXECUTE":
		err = s.executeChangeSet(r)
	case "DELETE_ONLY":
		_, err = s.call(r, "cloudformation", "DeleteStack", map[string]any{
			"StackName": r.action.Configuration["StackName"],
		})
		s.awaitStack(r)
	default:
		err = kernel.Errorf("ConfigurationError", "the sandbox does not simulate ActionMode %s", mode)
	}
	if err != nil {
		s.later(r, refused(err))
	}
}

// replaceChangeSet makes a change set, in place of one of the same name.
func (s *Service) replaceChangeSet(r *run) error {
	c := r.action.Configuration
	stack, name := c["StackName"], c["ChangeSetName"]
	status := s.stackStatus(r)
	kind := "UPDATE"
	if status == "" || status == "REVIEW_IN_PROGRESS" {
		kind = "CREATE"
	}
	if status != "" {
		if _, err := s.call(r, "cloudformation", "DeleteChangeSet", map[string]any{
			"StackName": stack, "ChangeSetName": name,
		}); err != nil {
			return err
		}
	}
	in, err := s.changeSetInput(r, kind)
	if err != nil {
		return err
	}
	if _, err := s.call(r, "cloudformation", "CreateChangeSet", in); err != nil {
		return err
	}
	s.poll(r, func() (outcome, bool) {
		out, err := s.call(r, "cloudformation", "DescribeChangeSet", map[string]any{
			"StackName": stack, "ChangeSetName": name,
		})
		if err != nil {
			return refused(err), true
		}
		switch kernel.At(out, "Status") {
		case "CREATE_COMPLETE":
			return outcome{
				external: kernel.At(out, "ChangeSetID"), summary: "Change set " + name + " was created.",
			}, true
		case "FAILED":
			reason := kernel.At(out, "StatusReason")
			if _, on := s.FaultOn("empty-change-set-fails"); !on && strings.Contains(reason, "didn't contain changes") {
				return outcome{summary: reason}, true
			}
			return failure("JobFailed", "%s", reason), true
		}
		return outcome{}, false
	})
	return nil
}

// changeSetInput is the call that makes an action's change set.
func (s *Service) changeSetInput(r *run, kind string) (map[string]any, error) {
	c := r.action.Configuration
	body, err := s.file(r, c["TemplatePath"])
	if err != nil {
		return nil, err
	}
	values, err := s.parameters(r)
	if err != nil {
		return nil, err
	}
	in := map[string]any{
		"StackName": c["StackName"], "ChangeSetName": c["ChangeSetName"], "ChangeSetType": kind,
		"TemplateBody": string(body),
	}
	if c["RoleArn"] != "" {
		in["RoleARN"] = c["RoleArn"]
	}
	var list []any
	for _, k := range kernel.SortedKeys(values) {
		list = append(list, map[string]any{"ParameterKey": k, "ParameterValue": values[k]})
	}
	if list != nil {
		in["Parameters"] = list
	}
	if c["Capabilities"] != "" {
		var all []any
		for _, x := range strings.Split(c["Capabilities"], ",") {
			all = append(all, strings.TrimSpace(x))
		}
		in["Capabilities"] = all
	}
	return in, nil
}

// parameters are those of the template's configuration file, and the overrides, which are at
// most 1 KB.
func (s *Service) parameters(r *run) (map[string]string, error) {
	c := r.action.Configuration
	var file struct{ Parameters map[string]string }
	if at := c["TemplateConfiguration"]; at != "" {
		text, err := s.file(r, at)
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil {
			return nil, err
		}
	}
	if file.Parameters == nil {
		file.Parameters = map[string]string{}
	}
	text := c["ParameterOverrides"]
	if len(text) > 1024 {
		return nil, kernel.Errorf("ConfigurationError", "ParameterOverrides is longer than 1 KB")
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &file.Parameters); err != nil {
			return nil, kernel.Errorf("ConfigurationError", "ParameterOverrides is not valid JSON: %v", err)
		}
	}
	return file.Parameters, nil
}

// executeChangeSet executes a change set. One without changes is none, which is fine.
func (s *Service) executeChangeSet(r *run) error {
	c := r.action.Configuration
	in := map[string]any{"StackName": c["StackName"], "ChangeSetName": c["ChangeSetName"]}
	out, err := s.call(r, "cloudformation", "DescribeChangeSet", in)
	if err != nil {
		return err
	}
	if kernel.At(out, "Status") == "FAILED" {
		s.later(r, outcome{summary: kernel.At(out, "StatusReason")})
		return nil
	}
	if _, err := s.call(r, "cloudformation", "ExecuteChangeSet", in); err != nil {
		return err
	}
	s.awaitStack(r)
	return nil
}

// stackStatus is the status of an action's stack; "" if there is none.
func (s *Service) stackStatus(r *run) string {
	out, err := s.call(r, "cloudformation", "DescribeStacks", map[string]any{
		"StackName": r.action.Configuration["StackName"],
	})
	if err != nil {
		return "" // the next call says what is wrong
	}
	return kernel.At(out, "Stacks.Member.StackStatus")
}

// awaitStack ends an action with its stack's operation. The stack's outputs are its variables.
func (s *Service) awaitStack(r *run) {
	s.poll(r, func() (outcome, bool) {
		out, err := s.call(r, "cloudformation", "DescribeStacks", map[string]any{
			"StackName": r.action.Configuration["StackName"],
		})
		if err != nil {
			return outcome{}, r.action.Configuration["ActionMode"] == "DELETE_ONLY"
		}
		switch status := kernel.At(out, "Stacks.Member.StackStatus"); {
		case strings.HasSuffix(status, "IN_PROGRESS"):
			return outcome{}, false
		case status == "CREATE_COMPLETE" || status == "UPDATE_COMPLETE" || status == "DELETE_COMPLETE":
			values := map[string]string{}
			for _, o := range kernel.Objects(outputs(out), "Member") {
				values[kernel.Text(o, "OutputKey")] = kernel.Text(o, "OutputValue")
			}
			return outcome{external: kernel.At(out, "Stacks.Member.StackID"), variables: values}, true
		default:
			return failure("JobFailed", "Stack %s is in %s", r.action.Configuration["StackName"], status), true
		}
	})
}

// outputs are the outputs of the one stack in an answer.
func outputs(out map[string]any) map[string]any {
	stacks, _ := out["Stacks"].(map[string]any)
	for _, st := range kernel.Objects(stacks, "Member") {
		o, _ := st["Outputs"].(map[string]any)
		return o
	}
	return nil
}
