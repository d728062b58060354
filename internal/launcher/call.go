package launcher

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/internal/awserr"
)

// Call calls the launcher named function with an event and returns its answer.
func Call(ctx context.Context, api *lambda.Client, function string, payload []byte) (Answer, error) {
	var answer Answer
	out, err := api.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return answer, awserr.Mark(err, "call %s", function)
	}
	if out.FunctionError != nil {
		var failed struct {
			ErrorMessage string `json:"errorMessage"`
		}
		if json.Unmarshal(out.Payload, &failed) != nil || failed.ErrorMessage == "" {
			failed.ErrorMessage = string(out.Payload)
		}
		return answer, fmt.Errorf("%s refuses: %s", function, failed.ErrorMessage)
	}
	if err := json.Unmarshal(out.Payload, &answer); err != nil {
		return answer, fmt.Errorf("read the answer of %s: %w", function, err)
	}
	return answer, nil
}
