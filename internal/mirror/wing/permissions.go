package wing

import (
	"fmt"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/mirror/section"
)

// statements returns what the mirror's roles may do.
func (p part) statements() []cfn.Statement {
	out := append(p.mirrorTask(), p.mirrorRepositories()...)
	if p.Receives() {
		out = append(out, p.webhookStatements()...)
		out = append(out, p.UseKey(WebhookRole, "sqs")...)
	}
	return out
}

// mirrorTask is what the mirror's task needs whatever it mirrors.
func (p part) mirrorTask() []cfn.Statement {
	state := bucketARN(p.bucket())
	return []cfn.Statement{
		{
			Role: ExecutionRole, Sid: "LogInToECR", Actions: []string{"ecr:GetAuthorizationToken"},
			Resources: []string{"*"}, Why: "Fargate logs in to the registry; ECR knows no resources for it",
		},
		{
			Role: ExecutionRole, Sid: "PullImage",
			Actions:   []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
			Resources: []string{p.mirrorImages()}, Why: "Fargate pulls the mirror's image",
		},
		{
			Role: ExecutionRole, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{cfn.ARN("logs", "log-group:"+p.mirrorLogs()+":*")},
			Why:       "the task's log, its metrics among it",
		},
		{
			Role: TaskRole, Sid: "State", Actions: []string{"s3:DeleteObject", "s3:GetObject", "s3:PutObject"},
			Resources: []string{state + "/" + section.StateFolder + "/*"},
			Why:       "caches, records and locks of the repositories",
		},
		{
			Role: TaskRole, Sid: "ListState", Actions: []string{"s3:ListBucket"}, Resources: []string{state},
			Why: "packs that no cache names are found; and without it S3 does not say that an object is missing",
		},
	}
}

// mirrorRepositories is what the mirror's task needs for the repositories: each right on
// what they name, and none that no repository asks for.
func (p part) mirrorRepositories() []cfn.Statement {
	var replicas, pulled, created, secrets, reads, writes, lists []string
	for _, x := range p.repositories {
		if x.codeCommit != "" {
			replicas = append(replicas, cfn.ARN("codecommit", x.codeCommit))
		}
		if x.pullsFrom != "" {
			pulled = append(pulled, cfn.ARN("codecommit", x.pullsFrom))
		}
		if x.creates {
			created = append(created, cfn.ARN("codecommit", x.codeCommit))
		}
		secrets = append(secrets, x.secrets...)
		for _, place := range x.reads {
			reads = append(reads, bucketARN(place))
			bucket, _, _ := strings.Cut(place, "/")
			lists = append(lists, bucketARN(bucket))
		}
		for _, place := range x.writes {
			writes = append(writes, bucketARN(place)+"/*")
			bucket, _, _ := strings.Cut(place, "/")
			lists = append(lists, bucketARN(bucket))
		}
	}
	var out []cfn.Statement
	add := func(ids []string, s cfn.Statement) {
		if len(ids) > 0 {
			s.Resources = sorted(ids)
			out = append(out, s)
		}
	}
	add(replicas, cfn.Statement{
		Role: TaskRole, Sid: "Replicas", Actions: replicaActions,
		Why: "the replicas' refs are compared and pushed to, and their default branch follows the source's",
	})
	add(pulled, cfn.Statement{
		Role: TaskRole, Sid: "Sources", Actions: []string{"codecommit:GitPull"}, Why: "sources in CodeCommit",
	})
	add(created, cfn.Statement{
		Role: TaskRole, Sid: "CreateReplicas", Actions: []string{"codecommit:CreateRepository"},
		Why: "replicas with create: true are made if they are missing",
	})
	add(secrets, cfn.Statement{
		Role: TaskRole, Sid: "Secrets", Actions: []string{"secretsmanager:GetSecretValue"},
		Why: "the credentials of sources and targets, read again in each run",
	})
	add(reads, cfn.Statement{
		Role: TaskRole, Sid: "ReadBundles", Actions: []string{"s3:GetObject"}, Why: "bundles that are sources",
	})
	add(writes, cfn.Statement{
		Role: TaskRole, Sid: "Archives", Actions: []string{"s3:DeleteObject", "s3:GetObject", "s3:PutObject"},
		Why: "bundles that are kept, and objects of LFS",
	})
	add(lists, cfn.Statement{
		Role: TaskRole, Sid: "ListBuckets", Actions: []string{"s3:ListBucket"},
		Why: "the oldest bundles are found; and without it S3 does not say that an object is missing",
	})
	return append(out, p.mirrorKeys(secrets, reads, writes)...)
}

// replicaActions are what the mirror does with a replica.
var replicaActions = []string{"codecommit:GitPull", "codecommit:GitPush", "codecommit:UpdateDefaultBranch"}

// mirrorKeys returns what the mirror's task may do with customer-managed keys: for its
// secrets, and for the objects, by ARN, that it reads and writes.
func (p part) mirrorKeys(secrets, reads, writes []string) []cfn.Statement {
	var out []cfn.Statement
	if len(secrets) > 0 {
		out = append(out, p.decryptSecrets(TaskRole, secrets)...)
	}
	if len(reads) > 0 {
		why := "bundles under a customer-managed key, and nothing else under it"
		out = append(out, p.decryptObjects("DecryptBundles", []string{"kms:Decrypt"}, reads, why)...)
	}
	if len(writes) > 0 {
		why := "archives in a bucket under a customer-managed key"
		out = append(out,
			p.decryptObjects("EncryptArchives", []string{"kms:Decrypt", "kms:GenerateDataKey"}, writes, why)...)
	}
	return out
}

// decryptSecrets lets a role read secrets under a customer-managed key: any key of the
// account, but for these secrets alone and only by way of Secrets Manager, which names the
// secret in the encryption context.
//
// Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (p part) decryptSecrets(role cfn.Role, secrets []string) []cfn.Statement {
	return p.decrypt(cfn.Statement{
		Role: role, Sid: "DecryptSecrets", Actions: []string{"kms:Decrypt"},
		Why: "these secrets where they are under a customer-managed key, and nothing else under it",
	},
		"secretsmanager", "kms:EncryptionContext:SecretARN", secrets)
}

// decryptObjects lets the mirror use the customer-managed key of objects: by way of S3
// alone, which names the object, or with a bucket key the bucket, in the encryption context.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (p part) decryptObjects(sid string, actions, objects []string, why string) []cfn.Statement {
	contexts := slices.Clone(objects)
	for _, o := range objects {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(o, bucketARN("")), "/")
		contexts = append(contexts, bucketARN(bucket))
	}
	return p.decrypt(cfn.Statement{Role: TaskRole, Sid: sid, Actions: actions, Why: why}, "s3",
		"kms:EncryptionContext:aws:s3:arn", contexts)
}

// decrypted is how many encryption contexts a statement names, so that it has room in a
// policy.
const decrypted = 25

// decrypt completes a statement about any key of the account: by way of a service, for
// the given values of the encryption context; several statements for many values.
func (p part) decrypt(s cfn.Statement, service, key string, values []string) []cfn.Statement {
	var out []cfn.Statement
	for part := range slices.Chunk(sorted(values), decrypted) {
		one := s
		if len(out) > 0 {
			one.Sid = fmt.Sprintf("%s%d", s.Sid, len(out)+1)
		}
		one.Resources = []string{cfn.ARN("kms", "key/*")}
		one.Condition = map[string]map[string]any{
			"StringEquals": {"kms:ViaService": service + "." + p.Region + "." + endpoints.DNSSuffix(p.Region)},
			"StringLike":   {key: cfn.OneOrMore(part)},
		}
		out = append(out, one)
	}
	return out
}

// mirrorImages is the ARN of the repository of the mirror's image.
func (p part) mirrorImages() string {
	if p.Image == "" {
		return cfn.ARN("ecr", "repository/"+section.ImageRepository(p.Name))
	}
	_, path, _ := strings.Cut(p.Image, "/")
	path, _, _ = strings.Cut(path, "@")
	path, _, _ = strings.Cut(path, ":")
	account, _, _ := strings.Cut(p.Image, ".")
	return "arn:${AWS::Partition}:ecr:${AWS::Region}:" + account + ":repository/" + path
}

// webhookStatements returns what the webhook function may do.
func (p part) webhookStatements() []cfn.Statement {
	bucket := bucketARN(p.bucket())
	state := bucket + "/" + section.StateFolder + "/*/"
	out := []cfn.Statement{
		{Role: WebhookRole, Sid: "Records", Actions: []string{"s3:GetObject"},
			Resources: []string{state + "lock.json", state + "record.json", state + "report.json"},
			Why:       "what a replica last held, and whether a run is at work, is compared with what is reported"},
		{
			Role: WebhookRole, Sid: "Seen", Actions: []string{"s3:GetObject", "s3:PutObject"},
			Resources: []string{bucket + "/" + section.SeenFolder + "/*"}, Why: "a report counts once",
		},
		{
			Role: WebhookRole, Sid: "ListState", Actions: []string{"s3:ListBucket"}, Resources: []string{bucket},
			Why: "without it S3 does not say that an object is missing",
		},
		{
			Role: WebhookRole, Sid: "Ask", Actions: []string{"sqs:SendMessage"},
			Resources: []string{cfn.ARN("sqs", cfn.NamesOf(p.Name, p.Region).Events)},
			Why:       "a push becomes an event of job mirror",
		},
		{
			Role: WebhookRole, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{cfn.ARN("logs", "log-group:/aws/lambda/"+p.function()+":*")},
			Why:       "the function's log; the group itself belongs to the base stack",
		},
	}
	var secrets []string
	for _, x := range p.repositories {
		secrets = append(secrets, x.webhookSecrets...)
	}
	if len(secrets) > 0 {
		out = append(out, p.decryptSecrets(WebhookRole, secrets)...)
		out = append(out,
			cfn.Statement{Role: WebhookRole, Sid: "Secrets", Actions: []string{"secretsmanager:GetSecretValue"},
				Resources: sorted(secrets),
				Why:       "the webhooks' secrets, and the credentials of sources that are looked at from outside"})
	}
	return out
}

// sorted returns texts in order, each once.
func sorted(in []string) []string { return slices.Compact(slices.Sorted(slices.Values(in))) }
