package cfn

import (
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"
)

// Errors that callers branch on.
var (
	// ErrExists means that a stack of that name is there already.
	ErrExists = errors.New("a stack of that name exists")
)

// IsMissing says whether the error reports a stack that does not exist. The API
// has no code of its own for it.
func IsMissing(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "does not exist")
}

// isExisting says whether the error reports a stack, or a request, that was
// there before.
func isExisting(err error) bool {
	var exists *types.AlreadyExistsException
	var token *types.TokenAlreadyExistsException
	return errors.As(err, &exists) || errors.As(err, &token)
}

// isUnderWay says whether the error reports that an update goes on already, or
// that there is nothing left to change. The API has no codes of its own for it.
func isUnderWay(err error) bool {
	var token *types.TokenAlreadyExistsException
	var api smithy.APIError
	return errors.As(err, &token) || errors.As(err, &api) && api.ErrorCode() == "ValidationError" &&
		(strings.Contains(api.ErrorMessage(), "No updates are to be performed") || strings.Contains(api.ErrorMessage(), "UPDATE_IN_PROGRESS"))
}

// notForced says whether the error reports that a stack is not in the one state
// in which a deletion may be forced.
func notForced(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "FORCE_DELETE_STACK")
}

var capacity = regexp.MustCompile(`(?i)capacity|InsufficientFreeAddresses|not have enough free addresses`)

// IsCapacity says whether a failure reason is one of a zone that has no room: of
// the service, or of addresses in the subnet.
func IsCapacity(reason string) bool { return capacity.MatchString(reason) }

// remedies maps what CloudFormation says of a failed resource to what to do.
var remedies = []struct{ text, remedy string }{
	{"conflicting DNS domain", "another endpoint or a private hosted zone in the VPC holds this name; remove it, or leave the service out of the set"},
	{"enableDnsSupport", "turn on DNS support and DNS host names of the VPC"},
	{"does not support the availability zone", "put the set's subnets in a zone that offers the service"},
	{"Service '", "leave the service out of the set: the Region does not offer it"},
	{"already has a route", "the route table has this gateway already; set s3Gateway: permanent"},
	{"not authorized", "give the CloudFormation service role the missing action"},
	{"exceeded the specified timeout", "look at the stack's events; the next generation tries again"},
	{"InsufficientFreeAddresses", "free addresses in the subnet, or add a subnet in another zone"},
	{"LimitExceeded", "raise the quota of interface endpoints a VPC"},
}

// Explain returns a failure reason of CloudFormation with the remedy for it, if
// there is one.
func Explain(reason string) string {
	for _, r := range remedies {
		if strings.Contains(reason, r.text) {
			return reason + "; " + r.remedy
		}
	}
	return reason
}
