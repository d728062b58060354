package lambda

import (
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// lambdaQuestions returns the IAM questions of a call to Lambda.
func (s *Service) lambdaQuestions(c *kernel.Call) []kernel.Question {
	if functionName(c) == "" {
		return []kernel.Question{kernel.May(c.Permission(), "*")}
	}
	action := c.Permission()
	if c.Action == "Invoke" {
		action = "lambda:InvokeFunction"
	}
	return []kernel.Question{kernel.May(action, s.FunctionARN(s.nameOf(functionName(c))))}
}

// joins are the actions on EC2 that Lambda puts a function into a VPC with, by the function's
// role.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
var joins = []string{
	"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
	"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
}

// JoinVPC refuses a function in a VPC whose role may not join it.
func (s *Service) JoinVPC(f *Function) error {
	if len(f.Subnets) == 0 {
		return nil
	}
	card := s.ARN("ec2", "network-interface/eni-"+s.Digest("function "+f.Name, 17))
	for _, action := range joins {
		resource := card
		if strings.HasPrefix(action, "ec2:Describe") {
			resource = "*"
		}
		if s.iam.Allows(f.Role, kernel.May(action, resource)) != nil {
			return kernel.Errorf("InvalidParameterValueException",
				"The provided execution role does not have permissions to call %s on EC2",
				strings.TrimPrefix(action, "ec2:"))
		}
	}
	return nil
}

// nameOf returns the name of a function given by name or ARN.
func (s *Service) nameOf(function string) string {
	return strings.TrimPrefix(function, s.ARN("lambda", "function:"))
}

// askForLogs records that Lambda writes a function's log with the function's role.
func (s *Service) askForLogs(f *Function, stream string) {
	resource := s.ARN("logs", "log-group:/aws/lambda/"+f.Name+":log-stream:"+stream)
	s.iam.Ask(f.Role, kernel.May("logs:CreateLogStream", resource), kernel.May("logs:PutLogEvents", resource))
}
