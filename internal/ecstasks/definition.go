package ecstasks

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// DefinitionJSON returns a task definition as aws ecs describe-task-definition
// prints it.
func DefinitionJSON(out *ecs.DescribeTaskDefinitionOutput) ([]byte, error) {
	return json.Marshal(lowerFirst(map[string]any{"taskDefinition": out.TaskDefinition, "tags": out.Tags}))
}

// lowerFirst turns an answer of the SDK into the JSON that the AWS CLI prints:
// the members' names begin with a small letter.
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
