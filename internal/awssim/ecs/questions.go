package ecs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// ecsQuestions returns the IAM questions of a call to ECS.
func (s *Service) ecsQuestions(c *kernel.Call) []kernel.Question {
	action, body := c.Permission(), c.JSONBody()
	short := clusterIn(c.Field("cluster"))
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
		return forEach(c, "clusters", "cluster", func(name string) kernel.Question {
			return kernel.May(action, s.ClusterARN(clusterIn(name)))
		})
	case "ListTasks":
		return []kernel.Question{kernel.May(action,
			s.ARN("ecs", "container-instance/"+short+"/00000000000000000000000000000000"), "ecs:cluster", cluster)}
	case "CreateService", "UpdateService", "DeleteService", "ListServiceDeployments", "DescribeServices":
		name := c.Field("service") + c.Field("serviceName")
		return []kernel.Question{kernel.May(action,
			s.ARN("ecs", "service/"+short+"/"+name[strings.LastIndex(name, "/")+1:]), "ecs:cluster", cluster)}
	case "DescribeServiceDeployments", "ContinueServiceDeployment", "StopServiceDeployment":
		return forEach(c, "serviceDeploymentArns", "serviceDeploymentArn", func(arn string) kernel.Question {
			return kernel.May(action, arn)
		})
	case "DescribeTasks", "StopTask":
		return forEach(c, "tasks", "task", func(id string) kernel.Question {
			if !strings.HasPrefix(id, "arn:") {
				id = s.ARN("ecs", "task/"+short+"/"+id)
			}
			return kernel.May(action, id, "ecs:cluster", cluster)
		})
	}
	return []kernel.Question{kernel.May(action, "*")}
}

// clusterIn returns the name of a cluster that is given by name or ARN; the account's default one
// is meant by nothing.
func clusterIn(given string) string {
	return cmp.Or(given[strings.LastIndex(given, "/")+1:], "default")
}

// forEach asks about each of the names in a field of a call, or about the one in another field.
func forEach(c *kernel.Call, many, one string, ask func(name string) kernel.Question) []kernel.Question {
	var names []string
	if json.Unmarshal(c.JSONBody()[many], &names) != nil || len(names) == 0 {
		names = []string{c.Field(one)}
	}
	var out []kernel.Question
	for _, name := range names {
		out = append(out, ask(name))
	}
	return out
}
