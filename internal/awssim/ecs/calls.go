package ecs

import (
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// taskToken is the session token of every task.
const taskToken = "sandbox-task-token"

// taskKey and taskSecret are a task's credentials.
func (s *Service) taskKey(t *task) string { return "ASIA" + strings.ToUpper(s.Digest("key "+t.id, 16)) }

func (s *Service) taskSecret(t *task) string { return s.Digest("secret "+t.id, 40) }

// taskPrincipal is the principal of a task that runs a local program.
func (s *Service) taskPrincipal(t *task) *kernel.Principal {
	role := kernel.Text(t.Definition.raw, "taskRoleArn")
	return &kernel.Principal{
		Role: func() string {
			return role
		}, Session: func() string { return role + "/" + t.id }, Secret: s.taskSecret(t), Token: taskToken, Inside: true,
		Reaches: func(service string) bool {
			return s.hasWayOut(t) || t.stopping.IsZero() && s.reach(t, service, "") != nil
		},
	}
}

// askForPull records what Fargate's agent does with the execution role of a task.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
func (s *Service) askForPull(t *task) {
	role := kernel.Text(t.Definition.raw, "executionRoleArn")
	for _, c := range t.Definition.containers {
		host, _ := registryOf(c.Image)
		if strings.Contains(host, ".dkr.ecr.") {
			repository := strings.TrimPrefix(c.Image, host+"/")
			repository, _, _ = strings.Cut(repository, "@")
			repository, _, _ = strings.Cut(repository, ":")
			arn := s.ARN("ecr", "repository/"+repository)
			s.iam.Ask(role, kernel.May("ecr:GetAuthorizationToken", "*"),
				kernel.May("ecr:BatchCheckLayerAvailability", arn), kernel.May("ecr:GetDownloadUrlForLayer", arn),
				kernel.May("ecr:BatchGetImage", arn))
		}
		if l := c.LogConfiguration; l != nil && l.LogDriver == "awslogs" {
			stream := s.ARN("logs",
				"log-group:"+l.Options["awslogs-group"]+":log-stream:"+l.Options["awslogs-stream-prefix"]+"/"+c.Name+
					"/"+t.id)
			s.iam.Ask(role, kernel.May("logs:CreateLogStream", stream), kernel.May("logs:PutLogEvents", stream))
		}
	}
}
