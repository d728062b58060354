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

// nameOf returns the name of a function given by name or ARN.
func (s *Service) nameOf(function string) string {
	return strings.TrimPrefix(function, s.ARN("lambda", "function:"))
}

// askForLogs records that Lambda writes a function's log with the function's role.
func (s *Service) askForLogs(f *Function, stream string) {
	resource := s.ARN("logs", "log-group:/aws/lambda/"+f.Name+":log-stream:"+stream)
	s.iam.Ask(f.Role, kernel.May("logs:CreateLogStream", resource), kernel.May("logs:PutLogEvents", resource))
}
