package ecs

import (
	"encoding/json"
	"fmt"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// ecsQuestions returns the IAM questions of a call to ECS.
func (s *Service) ecsQuestions(c *kernel.Call) []kernel.Question {
	action, body := c.Permission(), c.JSONBody()
	given := c.Field("cluster")
	short := given[strings.LastIndex(given, "/")+1:]
	cluster := s.ClusterARN(short)
	switch c.Action {
	case "RunTask":
		d := s.definition(c.Field("taskDefinition"))
		if d == nil {
			return nil
		}
		var exec bool
		_ = json.Unmarshal(body["enableExecuteCommand"], &exec) // absent is false
		qs := []kernel.Question{kernel.May(action, d.ARN(s), "ecs:cluster", cluster, "ecs:enable-execute-command",
			fmt.Sprint(exec))}
		for _, key := range []string{"executionRoleArn", "taskRoleArn"} {
			if role, ok := d.raw[key].(string); ok && role != "" {
				qs = append(qs, kernel.PassRole(role, "ecs-tasks.amazonaws.com"))
			}
		}
		return qs
	case "DescribeClusters":
		var names []string
		if json.Unmarshal(body["clusters"], &names) != nil || len(names) == 0 {
			names = []string{"default"}
		}
		var out []kernel.Question
		for _, name := range names {
			out = append(out, kernel.May(action, s.ClusterARN(name[strings.LastIndex(name, "/")+1:])))
		}
		return out
	case "ListTasks":
		return []kernel.Question{kernel.May(action,
			s.ARN("ecs", "container-instance/"+short+"/00000000000000000000000000000000"), "ecs:cluster", cluster)}
	case "CreateService", "UpdateService", "DeleteService", "ListServiceDeployments", "DescribeServices":
		name := c.Field("service") + c.Field("serviceName")
		return []kernel.Question{kernel.May(action,
			s.ARN("ecs", "service/"+short+"/"+name[strings.LastIndex(name, "/")+1:]), "ecs:cluster", cluster)}
	case "DescribeServiceDeployments", "ContinueServiceDeployment", "StopServiceDeployment":
		var arns []string
		if json.Unmarshal(body["serviceDeploymentArns"], &arns) != nil {
			arns = []string{c.Field("serviceDeploymentArn")}
		}
		var out []kernel.Question
		for _, arn := range arns {
			out = append(out, kernel.May(action, arn))
		}
		return out
	case "DescribeTasks", "StopTask":
		var ids []string
		if json.Unmarshal(body["tasks"], &ids) != nil {
			ids = []string{c.Field("task")}
		}
		var out []kernel.Question
		for _, id := range ids {
			if !strings.HasPrefix(id, "arn:") {
				id = s.ARN("ecs", "task/"+short+"/"+id)
			}
			out = append(out, kernel.May(action, id, "ecs:cluster", cluster))
		}
		return out
	}
	return []kernel.Question{kernel.May(action, "*")}
}
