package ecstasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// definitionAPI is what Describe calls.
type definitionAPI interface {
	DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput,
		...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error)
}

// Describe reads a task definition: a family, family:revision or ARN. text is what aws ecs
// describe-task-definition prints of it, with its tags.
func Describe(ctx context.Context, api definitionAPI,
	given string) (def *types.TaskDefinition, text []byte, err error) {
	out, err := api.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: &given, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
	if err != nil {
		return nil, nil, awserr.Mark(err, "describe task definition %s", given)
	}
	text, err = json.Marshal(lowerFirst(map[string]any{"taskDefinition": out.TaskDefinition, "tags": out.Tags}))
	if err != nil {
		return nil, nil, fmt.Errorf("describe task definition %s: %w", given, err)
	}
	return out.TaskDefinition, text, nil
}

// Requirements derives what a job needs from its current task definition and from
// the configuration. It returns the ARN of the revision that was read.
func (t *Tasks) Requirements(ctx context.Context,
	name scheduler.JobName) (r endpoints.Requirements, revision string, err error) {
	job, ok := t.config.Jobs[name]
	if !ok {
		return r, "", fmt.Errorf("read requirements of job %s: it is no longer in the configuration", name)
	}
	d, err := t.definition(ctx, job.TaskDefinition)
	if err != nil && job.Made && !errors.Is(err, reconcile.ErrTemporary) { // before the first deployment
		r, err = endpoints.Workload{Hints: job.Services}.Requirements()
		return r, "", err
	}
	if err != nil {
		return r, "", fmt.Errorf("read requirements of job %s: %w", name, err)
	}
	r, err = endpoints.Workload{TaskDefinitions: [][]byte{d.text}, Hints: job.Services}.Requirements()
	if err != nil {
		return r, "", fmt.Errorf("read requirements of job %s: %w", name, err)
	}
	return r, d.arn, nil
}

// Services returns the services of a set: those that the configuration names, or
// what all its jobs need together, with those in more. A job whose task definition
// cannot be read fails the set only if the reason is temporary, or if nothing else
// is known: its own runs will report the problem.
func (t *Tasks) Services(ctx context.Context, set scheduler.SetName,
	more ...endpoints.ServiceID) ([]endpoints.Service, error) {
	s := t.config.Sets[set]
	if !s.Auto {
		return endpoints.Resolve(s.Services)
	}
	ids := append(slices.Clone(s.Fixed), more...)
	var last error
	for _, name := range slices.Sorted(maps.Keys(t.config.Jobs)) {
		if t.config.Jobs[name].Set != set {
			continue
		}
		r, _, err := t.Requirements(ctx, name)
		if errors.Is(err, reconcile.ErrTemporary) {
			return nil, err
		}
		if err != nil {
			last = err
		}
		ids = append(ids, r.IDs()...)
	}
	for _, name := range slices.Sorted(maps.Keys(t.config.Deployments)) {
		more, err := t.deployment(ctx, set, name)
		if errors.Is(err, reconcile.ErrTemporary) {
			return nil, err
		}
		if err != nil {
			last = err
		}
		ids = append(ids, more...)
	}
	if len(ids) == 0 && last != nil {
		return nil, last
	}
	return endpoints.Resolve(ids)
}

// deployment returns the services that deployments of a section need in the set: what their
// tasks reach, and codedeploy where hook functions of others run in the VPC.
func (t *Tasks) deployment(ctx context.Context, set scheduler.SetName, name string) ([]endpoints.ServiceID, error) {
	d := t.config.Deployments[name]
	if d.Set != set {
		return nil, nil
	}
	w := endpoints.Workload{Hints: d.Services}
	for _, family := range d.TaskDefinitions {
		text, err := t.definition(ctx, family)
		if err != nil {
			return nil, fmt.Errorf("read what deployments %s need: %w", name, err)
		}
		w.TaskDefinitions = append(w.TaskDefinitions, text.text)
	}
	for _, f := range d.Functions {
		text, err := json.Marshal(map[string]any{
			"FunctionName": f, "VpcConfig": map[string]any{"SubnetIds": []string{"of the set"}},
		})
		if err != nil {
			return nil, err
		}
		w.HookFunctions = append(w.HookFunctions, text)
	}
	r, err := w.Requirements()
	return r.IDs(), err
}

// lowerFirst turns an answer of the SDK into the JSON that the AWS CLI prints:
// member names start with a lower-case letter.
func lowerFirst(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var plain any
	if json.Unmarshal(b, &plain) != nil {
		return v
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			out := map[string]any{}
			for k, x := range v {
				if k != "" {
					k = strings.ToLower(k[:1]) + k[1:]
				}
				out[k] = walk(x)
			}
			return out
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		}
		return v
	}
	return walk(plain)
}
