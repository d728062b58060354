// Package awsconf holds the settings added to every AWS SDK configuration that is read
// from a user's environment and profiles.
package awsconf

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"drawbridge/internal/clock"
)

// PlainError reports a call that would go over the network unencrypted.
type PlainError struct{ Host string }

func (e *PlainError) Error() string {
	return fmt.Sprintf("the endpoint http://%s would be called unencrypted over the network", e.Host)
}

// Hint returns the remedy.
func (e *PlainError) Hint() string {
	return "use an https endpoint, or a sandbox on this machine (for example through an SSH tunnel); check " +
		"AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE> and endpoint_url in the profile"
}

// Encrypted makes every client of a configuration refuse plain http endpoints that are
// not on this machine, wherever the endpoint was set.
func Encrypted(c *aws.Config) {
	c.APIOptions = append(c.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("Encrypted",
			func(ctx context.Context, in middleware.FinalizeInput,
				next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				if r, ok := in.Request.(*smithyhttp.Request); ok && r.URL.Scheme == "http" &&
					!clock.Loopback(r.URL.String()) {
					return middleware.FinalizeOutput{}, middleware.Metadata{}, &PlainError{r.URL.Host}
				}
				return next.HandleFinalize(ctx, in)
			}), middleware.After)
	})
}
