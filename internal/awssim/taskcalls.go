package awssim

import (
	"net/http"
	"strings"
)

// taskToken is the session token of every task.
const taskToken = "sandbox-task-token"

// taskKey and taskSecret are a task's credentials.
func (s *Sim) taskKey(t *task) string { return "ASIA" + strings.ToUpper(s.digest("key "+t.id, 16)) }

func (s *Sim) taskSecret(t *task) string { return s.digest("secret "+t.id, 40) }

// taskPrincipal is who a task with a program of its own calls as.
func (s *Sim) taskPrincipal(t *task) *Principal {
	role := text(t.definition.raw, "taskRoleArn")
	return &Principal{
		Role: func() string { return role }, Session: func() string { return role + "/" + t.id }, Secret: s.taskSecret(t), Token: taskToken, Inside: true,
		Reaches: func(service string) bool {
			return s.hasWayOut(t) || t.stopping.IsZero() && s.reach(t, service, "") != nil
		},
	}
}

// askForPull records what Fargate's agent does with the execution role of a task.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
func (s *Sim) askForPull(t *task) {
	role := text(t.definition.raw, "executionRoleArn")
	for _, c := range t.definition.containers {
		host, _ := registryOf(c.Image)
		if strings.Contains(host, ".dkr.ecr.") {
			repository := strings.TrimPrefix(c.Image, host+"/")
			repository, _, _ = strings.Cut(repository, "@")
			repository, _, _ = strings.Cut(repository, ":")
			arn := s.arn("ecr", "repository/"+repository)
			s.ask(role, question("ecr:GetAuthorizationToken", "*"), question("ecr:BatchCheckLayerAvailability", arn), question("ecr:GetDownloadUrlForLayer", arn), question("ecr:BatchGetImage", arn))
		}
		if l := c.LogConfiguration; l != nil && l.LogDriver == "awslogs" {
			stream := s.arn("logs", "log-group:"+l.Options["awslogs-group"]+":log-stream:"+l.Options["awslogs-stream-prefix"]+"/"+c.Name+"/"+t.id)
			s.ask(role, question("logs:CreateLogStream", stream), question("logs:PutLogEvents", stream))
		}
	}
}

// objectQuestions returns what a call to S3 asks of IAM.
//
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
func (s *Sim) objectQuestions(c *call) []authorisation {
	bucket, key := objectOf(c)
	action := map[string]string{"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject"}[c.action]
	if action == "" {
		action = c.action
	}
	if key == "" {
		q := question("s3:"+action, s.partition()+"s3:::"+bucket)
		if action == "ListBucket" {
			q.Context = map[string]any{"s3:prefix": c.request.URL.Query().Get("prefix")}
		}
		return []authorisation{q}
	}
	qs := []authorisation{question("s3:"+action, s.partition()+"s3:::"+bucket+"/"+key)}
	qs = append(qs, s.keyQuestions(c, bucket, key)...)
	if c.request.Method == http.MethodPut && c.request.Header.Get("If-Match") != "" {
		qs = append(qs, question("s3:GetObject", s.partition()+"s3:::"+bucket+"/"+key))
	}
	if c.request.Method == http.MethodGet || c.request.Method == http.MethodHead {
		if b := s.s3.buckets[bucket]; b == nil || b.objects[key].parts == nil { // or S3 says that it is denied
			qs = append(qs, question("s3:ListBucket", s.partition()+"s3:::"+bucket))
		}
	}
	return qs
}

// keyQuestions returns what a call for an object asks of KMS, if that is under a
// customer-managed key: its own, or the one that its bucket gives to new objects.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (s *Sim) keyQuestions(c *call, bucket, object string) []authorisation {
	b := s.s3.buckets[bucket]
	if b == nil {
		return nil
	}
	var actions []string
	id := b.objects[object].key
	switch c.action {
	case "GetObject":
		actions = []string{"kms:Decrypt"}
	case "PutObject":
		id, actions = b.key(c), []string{"kms:GenerateDataKey"}
	case "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
		id, actions = b.key(c), []string{"kms:GenerateDataKey", "kms:Decrypt"}
	}
	if id == "" {
		return nil
	}
	var out []authorisation
	for _, action := range actions {
		out = append(out, question(action, s.arn("kms", "key/"+id[strings.LastIndex(id, "/")+1:]), "kms:ViaService", "s3."+s.options.Region+".amazonaws.com", "kms:EncryptionContext:aws:s3:arn", s.partition()+"s3:::"+bucket+"/"+object))
	}
	return out
}
