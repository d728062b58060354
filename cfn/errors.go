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

// IsMissing reports whether the error reports a stack that does not exist. The API
// has no code of its own for it.
func IsMissing(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" &&
		strings.Contains(api.ErrorMessage(), "does not exist")
}

// isExisting reports whether the error reports a stack, or a request, that was
// there before.
func isExisting(err error) bool {
	var exists *types.AlreadyExistsException
	var token *types.TokenAlreadyExistsException
	return errors.As(err, &exists) || errors.As(err, &token)
}

// isUnderWay reports whether the error reports that an update goes on already, or
// that there is nothing left to change. The API has no codes of its own for it.
func isUnderWay(err error) bool {
	var token *types.TokenAlreadyExistsException
	var api smithy.APIError
	return errors.As(err, &token) || errors.As(err, &api) && api.ErrorCode() == "ValidationError" &&
		(strings.Contains(api.ErrorMessage(), "No updates are to be performed") ||
			strings.Contains(api.ErrorMessage(), "UPDATE_IN_PROGRESS"))
}

// notForced reports whether the error reports that a stack is not in the one state
// in which a deletion may be forced.
func notForced(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "FORCE_DELETE_STACK")
}

var capacity = regexp.MustCompile(`(?i)capacity|InsufficientFreeAddresses|not have enough free addresses`)

// IsCapacity reports whether a failure reason is one of a zone that has no room: of
// the service, or of addresses in the subnet.
func IsCapacity(reason string) bool { return capacity.MatchString(reason) }

// remedies maps what CloudFormation says of a failed resource to what to do, and
// whether the next try would fail for the same reason.
var remedies = []struct {
	text, remedy string
	lasts        bool
}{
	{
		"conflicting DNS domain",
		"another endpoint or a private hosted zone in the VPC holds this name; remove it, or leave the service out " +
			"of the set", true,
	},
	{"enableDnsSupport", "turn on DNS support and DNS host names of the VPC", true},
	{"does not support the availability zone", "put the set's subnets in a zone that offers the service", true},
	{"Service '", "leave the service out of the set: the Region does not offer it", true},
	{"already has a route", "the route table has this gateway already; set s3Gateway: permanent", true},
	{
		"UnauthorizedTaggingOperation",
		"give the CloudFormation service role the right to tag endpoints; drawbridge deploy does", true,
	},
	{
		"not authorized",
		"give the CloudFormation service role the missing action; drawbridge deploy restores the roles of the " +
			"installation", true,
	},
	{"exceeded the specified timeout", "look at the stack's events; the next generation tries again", false},
	{"InsufficientFreeAddresses", "free addresses in the subnet, or add a subnet in another zone", false},
	{"LimitExceeded", "raise the quota of interface endpoints per VPC", true},
}

// Lasts reports whether another try would fail for the same reason: what a policy, a
// quota, a setting of the VPC or an endpoint of somebody else stands against. Room in a
// zone comes and goes.
func Lasts(reason string) bool {
	if IsCapacity(reason) {
		return false
	}
	for _, r := range remedies {
		if strings.Contains(reason, r.text) {
			return r.lasts
		}
	}
	return false
}

// denial is how AWS names who may not do what, inside what a resource reports.
var denial = regexp.MustCompile(`(?s)^(\w+: ).*assumed-role/([^/]+)/\S+ is not authorized to perform: (\S+).*$`)

// forbidding is how AWS says that another policy than the caller's own stands against it.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
var forbidding = regexp.MustCompile(`with an explicit deny in an? ([\w -]*policy|permissions boundary)[^.;(]*` +
	`|because no (service control policy|resource control policy|permissions boundary|session policy|VPC endpoint ` +
	`policy) allows[^.;(]*`)

// Forbidden returns the part of a denial that says which other policy than the caller's
// own stands against it, and the kind of that policy; "" if none does. No statement that
// is added to the caller's rights changes that.
func Forbidden(reason string) (clause, policy string) {
	m := forbidding.FindStringSubmatch(reason)
	if m == nil {
		return "", ""
	}
	return m[0], m[1] + m[2] // one of the two is empty
}

// Explain returns a failure reason of CloudFormation with the remedy for it, if
// there is one.
func Explain(reason string) string {
	if m := denial.FindStringSubmatch(reason); m != nil {
		if by, _ := Forbidden(reason); by != "" {
			return m[1] + "role " + m[2] + " is not authorized to perform: " + m[3] + " " + by +
				"; no right of the role changes that"
		}
		return m[1] + "role " + m[2] + " lacks " + m[3] +
			": not authorized; drawbridge deploy restores the roles of the installation"
	}
	for _, r := range remedies {
		if strings.Contains(reason, r.text) {
			return reason + "; " + r.remedy
		}
	}
	return reason
}
