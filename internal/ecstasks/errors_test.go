package ecstasks

import "testing"

// TestWhatRefusalsMean goes through texts as ECS gives them: EC2's troubles come inside
// InvalidParameterException, beside a subnet or a security group that is wrong for good.
func TestWhatRefusalsMean(t *testing.T) {
	for text, want := range map[string]class{
		"Capacity is unavailable at this time. Please try again later or in a different availability zone":                                         passing,
		"You've reached the limit on the number of vCPUs you can run concurrently":                                                                 passing,
		"InvalidParameterException: Error retrieving subnet information for [subnet-1]: Request limit exceeded. (ErrorCode: RequestLimitExceeded)": passing,
		"InvalidParameterException: Error retrieving subnet information for [subnet-1]: (ErrorCode: Unavailable)":                                  passing,
		"InvalidParameterException: Error retrieving subnet information for [subnet-1]: (ErrorCode: RequestTimeout)":                               passing,
		"InvalidParameterException: Error retrieving security group information for [sg-1]: (ErrorCode: InternalFailure)":                          passing,
		"InvalidParameterException: Error retrieving security group information for [sg-1]: (ErrorCode: ServiceUnavailable)":                       passing,
		"InvalidParameterException: Error retrieving subnet information for [subnet-1]: (ErrorCode: ThrottlingException)":                          passing,
		"InvalidParameterException: Error retrieving subnet information for [subnet-1]: An internal error has occurred (ErrorCode: InternalError)": passing,
		"InvalidParameterException: Unable to assume the service linked role. Please verify that the ECS service linked role exists.":              passing,
		"RESOURCE:ENI": passing,
		"InvalidParameterException: Error retrieving subnet information for [subnet-1]: The subnet ID 'subnet-1' does not exist (ErrorCode: InvalidSubnetID.NotFound)":   lasting,
		"InvalidParameterException: Error retrieving security group information for [sg-1]: The security group 'sg-1' does not exist (ErrorCode: InvalidGroup.NotFound)": lasting,
		"ClusterNotFoundException: Cluster not found.":                                lasting,
		"ClientException: TaskDefinition is inactive":                                 lasting,
		"InvalidParameterException: No Fargate configuration exists for given values": lasting,
		"something that nobody has seen":                                              lasting,
	} {
		if got := known(text).class; got != want {
			t.Errorf("%q is of class %d, want %d", text, got, want)
		}
	}
}
