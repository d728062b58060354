package cfn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"drawbridge/endpoints"
)

// The roles of a mirror.
const (
	MirrorRole          Role = "mirror"
	MirrorExecutionRole Role = "mirror-execution"
	WebhookRole         Role = "webhook"
)

// BaseMirror is what the base stack holds for the job mirror: the task definition
// with its roles, the bucket, the security group, the alarms, and the function that
// git servers report pushes to.
type BaseMirror struct {
	Set, Cluster string
	// Image is given, or empty for one in a repository that the stack makes. Digest is
	// that of the image that lies there, as sha256:..., empty while there is none.
	Image, Digest string
	Architecture  string
	// CPU in units, Memory in MiB, Disk in GiB; a Disk of 0 is Fargate's own.
	CPU, Memory, Disk int
	// Settings is the mirror's part of the configuration as JSON.
	Settings string
	// Networks and Ports are where the sources are.
	Networks []string
	Ports    []int
	// StaleHours is the age of the last success beyond which an alarm sounds.
	StaleHours   int
	Repositories []BaseMirrorRepository
	// Receives makes the webhook function, CheckMinutes is how often it looks at
	// sources by itself, 0 for never.
	Receives     bool
	CheckMinutes int
	// WebhookConcurrency is what that function reserves; 0 reserves nothing.
	WebhookConcurrency int
}

// BaseMirrorRepository is a mirrored repository as far as the base stack depends on
// it.
type BaseMirrorRepository struct {
	Name string
	// CodeCommit is the replica's name there, Creates says that the mirror makes it.
	CodeCommit string
	Creates    bool
	// PullsFrom is the source's name in CodeCommit, empty if it is elsewhere.
	PullsFrom string
	// Secrets are the ARNs that the task reads, WebhookSecrets those that the function
	// does.
	Secrets, WebhookSecrets []string
	// Reads are objects in S3 as BUCKET/KEY, Writes places as BUCKET/PREFIX.
	Reads, Writes []string
}

// ParameterWebhookCode is the key of the webhook function's zip, a parameter where
// there is such a function.
const ParameterWebhookCode = "WebhookCode"

// The variables of the mirror's container.
const (
	MirrorVariable      = "DRAWBRIDGE_MIRROR"
	MirrorStateVariable = "DRAWBRIDGE_MIRROR_STATE"
	NameVariable        = "DRAWBRIDGE_NAME"
)

// The folders of the mirror's bucket: what the mirror keeps, what bundles are put
// into, and what the webhook function remembers for a day.
const (
	MirrorStateFolder = "state"
	MirrorInbox       = "inbox"
	MirrorSeenFolder  = "seen"
)

// maxSettings is how long a value of a task's environment may be, so that the task
// definition stays within its 64 KiB.
const maxSettings = 48 << 10

// MirrorBucket returns the name of an installation's bucket for the mirror.
func MirrorBucket(name, account, region string) string {
	return name + "-mirror-" + account + "-" + region
}

func (b Base) mirrorBucket() string { return MirrorBucket(b.Name, "${AWS::AccountId}", b.Region) }

func bucketARN(name string) string { return "arn:${AWS::Partition}:s3:::" + name }

// withoutTag returns the repository of an image.
func withoutTag(image string) string {
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[:i]
	}
	return image
}

// MirrorRoles are the ARNs of the mirror's two roles, with pseudo parameters.
func (b Base) MirrorRoles() []string {
	n := NamesOf(b.Name, b.Region)
	return []string{roleARN(n.MirrorRole), roleARN(n.MirrorExecutionRole)}
}

// addMirror adds what the mirror needs.
func (b Base) addMirror(r object) {
	m := b.Mirror
	b.addMirrorBucket(r)
	image, version := any(m.Image), ":latest"
	if m.Digest != "" {
		version = "@" + m.Digest
		image = withoutTag(m.Image) + version
	}
	if m.Image == "" {
		repository := resource("AWS::ECR::Repository", object{
			"RepositoryName": b.Name + "-mirror", "ImageScanningConfiguration": object{"ScanOnPush": true},
			"ImageTagMutability": "IMMUTABLE", "EmptyOnDelete": true,
			"LifecyclePolicy": object{
				"LifecyclePolicyText": `{"rules":[{"rulePriority":1,"description":"keep the newest images",` +
					`"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":50},` +
					`"action":{"type":"expire"}}]}`,
			},
		})
		r["MirrorImages"] = repository
		image = sub("${MirrorImages.RepositoryUri}" + version)
	}
	r["MirrorLogs"] = b.logGroup(b.mirrorLogs())
	variable := func(name string, value any) object { return object{"Name": name, "Value": value} }
	definition := object{
		"Family": b.names.MirrorDefinition, "NetworkMode": "awsvpc", "RequiresCompatibilities": []any{"FARGATE"},
		"Cpu": fmt.Sprint(m.CPU), "Memory": fmt.Sprint(m.Memory),
		"TaskRoleArn": att("MirrorRole", "Arn"), "ExecutionRoleArn": att("MirrorExecutionRole", "Arn"),
		"RuntimePlatform": object{"OperatingSystemFamily": "LINUX", "CpuArchitecture": strings.ToUpper(m.Architecture)},
		"ContainerDefinitions": []any{object{
			"Name": "mirror", "Image": image, "Essential": true, "StopTimeout": 30,
			"LinuxParameters": object{"InitProcessEnabled": true, "Capabilities": object{"Drop": []any{"ALL"}}},
			"Environment": []any{
				variable(NameVariable, b.Name), variable(MirrorVariable, m.Settings),
				variable(MirrorStateVariable, sub("s3://"+b.mirrorBucket()+"/"+MirrorStateFolder)),
			},
			"LogConfiguration": object{
				"LogDriver": "awslogs",
				"Options": object{
					"awslogs-group": ref("MirrorLogs"), "awslogs-region": ref("AWS::Region"),
					"awslogs-stream-prefix": "mirror",
				},
			},
		}},
	}
	if m.Disk > 0 {
		definition["EphemeralStorage"] = object{"SizeInGiB": m.Disk}
	}
	r["MirrorTaskDefinition"] = resource("AWS::ECS::TaskDefinition", definition)
	b.addMirrorGroup(r)
	b.addMirrorAlarms(r)
	if m.Receives {
		b.addWebhook(r)
	}
}

// addMirrorAlarms adds an alarm for each repository that was not mirrored for long.
func (b Base) addMirrorAlarms(r object) {
	m := b.Mirror
	for _, x := range m.Repositories {
		p := b.alarm(alarm{
			id: "StaleMirror" + logical(x.Name),
			description: fmt.Sprintf("repository %s was not mirrored for %d hours; the runs of job mirror show why",
				x.Name, m.StaleHours), statistic: "Sum", period: 3600, periods: m.StaleHours, above: 1,
			missing: "breaching",
		})
		p["AlarmName"], p["ComparisonOperator"] = b.Name+"-stale-mirror-"+x.Name, "LessThanThreshold"
		p["Namespace"] = Namespace
		p["MetricName"] = "MirrorInSync"
		p["Dimensions"] = []any{
			object{"Name": "Installation", "Value": b.Name}, object{"Name": "Repository", "Value": x.Name},
		}
		r["StaleMirror"+logical(x.Name)+"Alarm"] = resource("AWS::CloudWatch::Alarm", p)
	}
}

func (b Base) mirrorLogs() string { return "/" + b.Name + "/mirror" }

// addMirrorBucket adds the bucket, which tells EventBridge of what is put into it.
func (b Base) addMirrorBucket(r object) {
	expire := func(id string, more object) object {
		rule := object{"Id": id, "Status": "Enabled"}
		maps.Copy(rule, more)
		return rule
	}
	bucket := resource("AWS::S3::Bucket", object{
		"BucketName": sub(b.mirrorBucket()),
		"BucketEncryption": object{
			"ServerSideEncryptionConfiguration": []any{
				object{"ServerSideEncryptionByDefault": object{"SSEAlgorithm": "AES256"}},
			},
		},
		"PublicAccessBlockConfiguration": object{
			"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
		},
		"OwnershipControls":         object{"Rules": []any{object{"ObjectOwnership": "BucketOwnerEnforced"}}},
		"NotificationConfiguration": object{"EventBridgeConfiguration": object{"EventBridgeEnabled": true}},
		"LifecycleConfiguration": object{"Rules": []any{
			expire("seen", object{"Prefix": MirrorSeenFolder + "/", "ExpirationInDays": 1}),
			expire("uploads", object{"AbortIncompleteMultipartUpload": object{"DaysAfterInitiation": 1}}),
		}},
	})
	bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"] = "Delete", "Retain"
	r["MirrorBucket"] = bucket
	r["MirrorBucketPolicy"] = resource("AWS::S3::BucketPolicy",
		object{"Bucket": ref("MirrorBucket"), "PolicyDocument": object{"Version": "2012-10-17", "Statement": []any{
			object{
				"Sid": "OnlyEncrypted", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
				"Resource":  []any{att("MirrorBucket", "Arn"), sub("${MirrorBucket.Arn}/*")},
				"Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
			},
		}}})
}

const mirrorGroupID = "MirrorSecurityGroup"

// addMirrorGroup adds the security group of the mirror's tasks: out to S3, to the
// endpoints in the VPC, and to the sources on their ports; nothing in.
func (b Base) addMirrorGroup(r object) {
	i := slices.IndexFunc(b.Sets, func(s BaseSet) bool { return s.Name == b.Mirror.Set })
	if i < 0 {
		return // refused before
	}
	s := b.Sets[i]
	egress := taskEgress(s)
	for _, block := range sorted(b.Mirror.Networks) {
		for _, port := range b.Mirror.Ports {
			egress = append(egress, object{
				"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": block, "Description": "git servers",
			})
		}
	}
	r[mirrorGroupID] = resource("AWS::EC2::SecurityGroup", object{
		"GroupDescription": "Drawbridge " + b.Name + ": the mirror", "VpcId": s.VPC, "SecurityGroupEgress": egress,
		"Tags": b.tags("mirror"),
	})
}

// webhookFlood is how many requests in five minutes are more than git servers send.
const webhookFlood = 3000

// addWebhook adds the function that git servers report pushes to, and its address.
func (b Base) addWebhook(r object) {
	invoked := func(more object) object {
		p := object{"FunctionName": ref("Webhook"), "Action": "lambda:InvokeFunction"}
		maps.Copy(p, more)
		return resource("AWS::Lambda::Permission", p)
	}
	flood := b.alarm(alarm{
		id: "WebhookFlood",
		description: fmt.Sprintf("the webhook's address got more than %d requests in five minutes; "+
			"mirror.webhookSources bounds who is answered", webhookFlood), statistic: "Sum", period: 300, periods: 1,
		above: webhookFlood, missing: "notBreaching",
	})
	flood["Namespace"] = "AWS/Lambda"
	flood["MetricName"] = "Invocations"
	flood["Dimensions"] = []any{object{"Name": "FunctionName", "Value": ref("Webhook")}}
	r["WebhookFloodAlarm"] = resource("AWS::CloudWatch::Alarm", flood)
	r["WebhookURL"] = resource("AWS::Lambda::Url", object{"TargetFunctionArn": ref("Webhook"), "AuthType": "NONE"})
	r["WebhookURLPermission"] = invoked(object{
		"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE",
	})
	r["WebhookInvokePermission"] = invoked(object{"Principal": "*", "InvokedViaFunctionUrl": true})
	if b.Mirror.CheckMinutes > 0 {
		unit := "minutes"
		if b.Mirror.CheckMinutes == 1 {
			unit = "minute"
		}
		r["WebhookCheck"] = resource("AWS::Events::Rule",
			object{"Name": b.names.Webhook + "-check",
				"Description":        "Drawbridge " + b.Name + ": the look at sources from outside the VPC",
				"State":              "ENABLED",
				"ScheduleExpression": fmt.Sprintf("rate(%d %s)", b.Mirror.CheckMinutes, unit),
				"Targets":            []any{object{"Id": "target", "Arn": att("Webhook", "Arn")}}})
		r["WebhookCheckPermission"] = invoked(object{
			"Principal": "events.amazonaws.com", "SourceArn": att("WebhookCheck", "Arn"),
		})
	}
}

// mirrorStatements returns what the mirror's roles may do.
func (b Base) mirrorStatements() []Statement {
	m := b.Mirror
	if m == nil {
		return nil
	}
	out := append(b.mirrorTask(), b.mirrorRepositories()...)
	if m.Receives {
		out = append(out, b.webhookStatements()...)
	}
	return out
}

// mirrorTask is what the mirror's task needs whatever it mirrors.
func (b Base) mirrorTask() []Statement {
	state := bucketARN(b.mirrorBucket())
	return []Statement{
		{
			Role: MirrorExecutionRole, Sid: "LogInToECR", Actions: []string{"ecr:GetAuthorizationToken"},
			Resources: []string{"*"}, Why: "Fargate logs in to the registry; ECR knows no resources for it",
		},
		{
			Role: MirrorExecutionRole, Sid: "PullImage",
			Actions:   []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
			Resources: []string{b.mirrorImages()}, Why: "Fargate pulls the mirror's image",
		},
		{
			Role: MirrorExecutionRole, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{arn("logs", "log-group:"+b.mirrorLogs()+":*")},
			Why:       "the task's log, its metrics among it",
		},
		{
			Role: MirrorRole, Sid: "State", Actions: []string{"s3:DeleteObject", "s3:GetObject", "s3:PutObject"},
			Resources: []string{state + "/" + MirrorStateFolder + "/*"},
			Why:       "caches, records and locks of the repositories",
		},
		{
			Role: MirrorRole, Sid: "ListState", Actions: []string{"s3:ListBucket"}, Resources: []string{state},
			Why: "packs that no cache names are found; and without it S3 does not say that an object is missing",
		},
	}
}

// mirrorRepositories is what the mirror's task needs for the repositories: each right on
// what they name, and none that no repository asks for.
func (b Base) mirrorRepositories() []Statement {
	var replicas, pulled, created, secrets, reads, writes, lists []string
	for _, x := range b.Mirror.Repositories {
		if x.CodeCommit != "" {
			replicas = append(replicas, arn("codecommit", x.CodeCommit))
		}
		if x.PullsFrom != "" {
			pulled = append(pulled, arn("codecommit", x.PullsFrom))
		}
		if x.Creates {
			created = append(created, arn("codecommit", x.CodeCommit))
		}
		secrets = append(secrets, x.Secrets...)
		for _, place := range x.Reads {
			reads = append(reads, bucketARN(place))
			bucket, _, _ := strings.Cut(place, "/")
			lists = append(lists, bucketARN(bucket))
		}
		for _, place := range x.Writes {
			writes = append(writes, bucketARN(place)+"/*")
			bucket, _, _ := strings.Cut(place, "/")
			lists = append(lists, bucketARN(bucket))
		}
	}
	var out []Statement
	add := func(ids []string, s Statement) {
		if len(ids) > 0 {
			s.Resources = sorted(ids)
			out = append(out, s)
		}
	}
	add(replicas, Statement{
		Role: MirrorRole, Sid: "Replicas", Actions: []string{"codecommit:GitPull", "codecommit:GitPush"},
		Why: "the replicas' refs are compared, and pushed to",
	})
	add(pulled, Statement{
		Role: MirrorRole, Sid: "Sources", Actions: []string{"codecommit:GitPull"}, Why: "sources in CodeCommit",
	})
	add(created, Statement{
		Role: MirrorRole, Sid: "CreateReplicas", Actions: []string{"codecommit:CreateRepository"},
		Why: "replicas with create: true are made if they are missing",
	})
	add(secrets, Statement{
		Role: MirrorRole, Sid: "Secrets", Actions: []string{"secretsmanager:GetSecretValue"},
		Why: "the credentials of sources and targets, read again in each run",
	})
	add(reads, Statement{
		Role: MirrorRole, Sid: "ReadBundles", Actions: []string{"s3:GetObject"}, Why: "bundles that are sources",
	})
	add(writes, Statement{
		Role: MirrorRole, Sid: "Archives", Actions: []string{"s3:DeleteObject", "s3:GetObject", "s3:PutObject"},
		Why: "bundles that are kept, and objects of LFS",
	})
	add(lists, Statement{
		Role: MirrorRole, Sid: "ListBuckets", Actions: []string{"s3:ListBucket"},
		Why: "the oldest bundles are found; and without it S3 does not say that an object is missing",
	})
	return append(out, b.mirrorKeys(secrets, reads, writes)...)
}

// mirrorKeys returns what the mirror's task may do with customer-managed keys: for its
// secrets, and for the objects, by ARN, that it reads and writes.
func (b Base) mirrorKeys(secrets, reads, writes []string) []Statement {
	var out []Statement
	if len(secrets) > 0 {
		out = append(out, b.decryptSecrets(MirrorRole, secrets)...)
	}
	if len(reads) > 0 {
		why := "bundles under a customer-managed key, and nothing else under it"
		out = append(out, b.decryptObjects("DecryptBundles", []string{"kms:Decrypt"}, reads, why)...)
	}
	if len(writes) > 0 {
		why := "archives in a bucket under a customer-managed key"
		out = append(out,
			b.decryptObjects("EncryptArchives", []string{"kms:Decrypt", "kms:GenerateDataKey"}, writes, why)...)
	}
	return out
}

// decryptSecrets lets a role read secrets under a customer-managed key: any key of the
// account, but for these secrets alone and only by way of Secrets Manager, which names the
// secret in the encryption context.
//
// Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (b Base) decryptSecrets(role Role, secrets []string) []Statement {
	return b.decrypt(Statement{
		Role: role, Sid: "DecryptSecrets", Actions: []string{"kms:Decrypt"},
		Why: "these secrets where they are under a customer-managed key, and nothing else under it",
	},
		"secretsmanager", "kms:EncryptionContext:SecretARN", secrets)
}

// decryptObjects lets the mirror use the customer-managed key of objects: by way of S3
// alone, which names the object, or with a bucket key the bucket, in the encryption context.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (b Base) decryptObjects(sid string, actions, objects []string, why string) []Statement {
	contexts := slices.Clone(objects)
	for _, o := range objects {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(o, bucketARN("")), "/")
		contexts = append(contexts, bucketARN(bucket))
	}
	return b.decrypt(Statement{Role: MirrorRole, Sid: sid, Actions: actions, Why: why}, "s3",
		"kms:EncryptionContext:aws:s3:arn", contexts)
}

// decrypted is how many encryption contexts a statement names, so that it has room in a
// policy.
const decrypted = 25

// decrypt completes a statement about any key of the account: by way of a service, for
// the given values of the encryption context; several statements for many values.
func (b Base) decrypt(s Statement, service, key string, values []string) []Statement {
	var out []Statement
	for part := range slices.Chunk(sorted(values), decrypted) {
		one := s
		if len(out) > 0 {
			one.Sid = fmt.Sprintf("%s%d", s.Sid, len(out)+1)
		}
		one.Resources = []string{arn("kms", "key/*")}
		one.Condition = map[string]map[string]any{
			"StringEquals": {"kms:ViaService": service + "." + b.Region + "." + endpoints.DNSSuffix(b.Region)},
			"StringLike":   {key: oneOrMore(part)},
		}
		out = append(out, one)
	}
	return out
}

// mirrorImages is the ARN of the repository of the mirror's image.
func (b Base) mirrorImages() string {
	if b.Mirror.Image == "" {
		return arn("ecr", "repository/"+b.Name+"-mirror")
	}
	_, path, _ := strings.Cut(b.Mirror.Image, "/")
	path, _, _ = strings.Cut(path, "@")
	path, _, _ = strings.Cut(path, ":")
	account, _, _ := strings.Cut(b.Mirror.Image, ".")
	return "arn:${AWS::Partition}:ecr:${AWS::Region}:" + account + ":repository/" + path
}

// webhookStatements returns what the webhook function may do.
func (b Base) webhookStatements() []Statement {
	bucket := bucketARN(b.mirrorBucket())
	state := bucket + "/" + MirrorStateFolder + "/*/"
	out := []Statement{
		{Role: WebhookRole, Sid: "Records", Actions: []string{"s3:GetObject"},
			Resources: []string{state + "lock.json", state + "record.json", state + "report.json"},
			Why:       "what a replica last held, and whether a run is at work, is compared with what is reported"},
		{
			Role: WebhookRole, Sid: "Seen", Actions: []string{"s3:GetObject", "s3:PutObject"},
			Resources: []string{bucket + "/" + MirrorSeenFolder + "/*"}, Why: "a report counts once",
		},
		{
			Role: WebhookRole, Sid: "ListState", Actions: []string{"s3:ListBucket"}, Resources: []string{bucket},
			Why: "without it S3 does not say that an object is missing",
		},
		{
			Role: WebhookRole, Sid: "Ask", Actions: []string{"sqs:SendMessage"},
			Resources: []string{arn("sqs", b.names.Events)}, Why: "a push becomes an event of job mirror",
		},
		{
			Role: WebhookRole, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{arn("logs", "log-group:/aws/lambda/"+b.names.Webhook+":*")},
			Why:       "the function's log; the group itself belongs to the base stack",
		},
	}
	var secrets []string
	for _, x := range b.Mirror.Repositories {
		secrets = append(secrets, x.WebhookSecrets...)
	}
	if len(secrets) > 0 {
		out = append(out, b.decryptSecrets(WebhookRole, secrets)...)
		out = append(out,
			Statement{Role: WebhookRole, Sid: "Secrets", Actions: []string{"secretsmanager:GetSecretValue"},
				Resources: sorted(secrets),
				Why:       "the webhooks' secrets, and the credentials of sources that are looked at from outside"})
	}
	return out
}
