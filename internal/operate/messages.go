package operate

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
)

// Messages returns the approximate number of messages in a queue.
func Messages(ctx context.Context, api *sqs.Client, at app.Place, queue string) (int, error) {
	out, err := api.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(app.QueueURL(at, queue)),
			AttributeNames: []types.QueueAttributeName{
				types.QueueAttributeNameApproximateNumberOfMessages,
				types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			}})
	if err != nil {
		return 0, awserr.Mark(err, "look into queue %s", queue)
	}
	n := 0
	for _, v := range out.Attributes {
		var part int
		if _, err := fmt.Sscan(v, &part); err == nil {
			n += part
		}
	}
	return n, nil
}
