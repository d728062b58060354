// Package awserr classifies errors of the AWS SDK by how the caller should
// react.
package awserr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"drawbridge/internal/hint"
	"drawbridge/scheduler/reconcile"
)

// throttles are the error codes of throttled calls.
var throttles = []string{
	"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
	"ProvisionedThroughputExceededException", "RequestThrottled", "SlowDown", "TransactionConflictException",
}

// Temporary reports whether the same call may succeed later: throttling, a
// failure of the server, a connection that broke.
func Temporary(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return slices.Contains(throttles, api.ErrorCode()) || api.ErrorFault() == smithy.FaultServer ||
			strings.HasPrefix(api.ErrorCode(), "Internal") || strings.HasPrefix(api.ErrorCode(), "Service")
	}
	var timeout net.Error
	return errors.As(err, &timeout) || retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err).Bool() ||
		strings.Contains(err.Error(), "EOF")
}

// Throttled reports whether a call was throttled, and had no effect.
func Throttled(err error) bool { return slices.Contains(throttles, Code(err)) }

// Code returns the API's error code, or "".
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Brief returns the message of an AWS error with its code and the request's id;
// any other error's text unchanged.
func Brief(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err.Error()
	}
	text := api.ErrorCode()
	if m := api.ErrorMessage(); m != "" {
		text += ": " + m
	}
	var response interface{ ServiceRequestID() string }
	if errors.As(err, &response) && response.ServiceRequestID() != "" {
		text += " (request " + response.ServiceRequestID() + ")"
	}
	return text
}

// Mark wraps a failed call: with reconcile.ErrTemporary if it may succeed later.
// The text begins with the action and its ids.
func Mark(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	if Temporary(err) {
		return fmt.Errorf("%s: %w: %w", what, reconcile.ErrTemporary, err)
	}
	return &callError{what, err}
}

// callError reports a call that AWS refused.
type callError struct {
	what  string
	cause error
}

func (e *callError) Error() string { return e.what + ": " + Brief(e.cause) }
func (e *callError) Unwrap() error { return e.cause }

// Hint returns the remedy for common codes, and the hint of the cause for any other.
func (e *callError) Hint() string {
	switch Code(e.cause) {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the credentials have expired: sign in again, for example with aws sso login"
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
		return missing(e.cause.Error())
	case "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure":
		return "AWS does not know the credentials: check the profile and the Region"
	}
	return hint.Of(e.cause)
}

// denial matches AWS's denial of an action to a principal.
var denial = regexp.MustCompile(`User: (\S+) is not authorized to perform: (\S+)`)

// missing returns the role and the action of a denial.
func missing(text string) string {
	m := denial.FindStringSubmatch(text)
	if m == nil {
		return "the caller lacks the permission that the message names; docs/permissions.md lists what each role needs"
	}
	return Caller(m[1]) + " lacks " + m[2] +
		"; docs/permissions.md lists what each role needs, and drawbridge deploy corrects the installation's roles"
}

// Caller returns the principal of a caller's ARN, without account and session: "role
// NAME" of a role, "user/NAME" of a user.
func Caller(text string) string {
	a, err := arn.Parse(text)
	if err != nil {
		return text
	}
	if role, ok := strings.CutPrefix(a.Resource, "assumed-role/"); ok {
		role, _, _ = strings.Cut(role, "/")
		return "role " + role
	}
	return a.Resource
}
