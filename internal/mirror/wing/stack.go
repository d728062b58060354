package wing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/mirror/section"
)

// The roles of a mirror.
const (
	TaskRole      cfn.Role = "mirror"
	ExecutionRole cfn.Role = "mirror-execution"
	WebhookRole   cfn.Role = "webhook"
)

// part is what the base stack holds for the job mirror: the task definition with its
// roles, the bucket, the security group, the alarms, and the function that git servers
// report pushes to.
type part struct {
	cfn.Base
	*section.Mirror
	// set is the set that the job lives in.
	set string
	// digest is the image's in ECR, as sha256:..., empty without one.
	digest string
	// settings are what the mirror itself reads of its section, as JSON.
	settings     string
	repositories []repository
	// reserved is what the webhook function reserves.
	reserved int
}

// repository is a mirrored repository as far as the base stack depends on it.
type repository struct {
	name string
	// codeCommit is the replica's name there, creates says that the mirror makes it.
	codeCommit string
	creates    bool
	// pullsFrom is the source's name in CodeCommit, empty if it is elsewhere.
	pullsFrom string
	// secrets are the ARNs that the task reads, webhookSecrets those that the function
	// does.
	secrets, webhookSecrets []string
	// reads are objects in S3 as BUCKET/KEY, writes places as BUCKET/PREFIX.
	reads, writes []string
}

// parameterWebhookCode is the key of the webhook function's zip.
const parameterWebhookCode = "WebhookCode"

// webhookSeconds is the webhook function's time-out.
const webhookSeconds = 60

// maxSettings is how long a value of a task's environment may be, so that the task
// definition stays within its 64 KiB.
const maxSettings = 48 << 10

func (p part) bucket() string { return section.Bucket(p.Name, "${AWS::AccountId}", p.Region) }

func bucketARN(name string) string { return "arn:${AWS::Partition}:s3:::" + name }

// withoutTag returns the repository of an image.
func withoutTag(image string) string {
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[:i]
	}
	return image
}

// addition returns all of it.
func (p part) addition() cfn.Addition {
	r := cfn.Object{}
	p.addMirror(r)
	role := func(role cfn.Role, id, service string) cfn.RoleSpec {
		return cfn.RoleSpec{Role: role, ID: id, Name: roleName(p.Name, p.Region, role), Service: service}
	}
	out := cfn.Addition{
		Resources: r, Outputs: p.outputs(), Statements: p.statements(),
		Roles: []cfn.RoleSpec{
			role(TaskRole, "MirrorRole", "ecs-tasks"), role(ExecutionRole, "MirrorExecutionRole", "ecs-tasks"),
		},
		TaskGroup: &cfn.TaskGroup{Job: string(section.Job), Set: p.set, ID: groupID, Who: "the mirror"},
	}
	if p.Receives() {
		out.Roles = append(out.Roles, role(WebhookRole, "WebhookRole", "lambda"))
		out.Functions = []cfn.Function{{
			Code: "webhook", Name: p.function(), ID: "Webhook", Role: "WebhookRole", Parameter: parameterWebhookCode,
			What: "pushes in, events of job mirror out", Seconds: webhookSeconds, Reserved: p.reserved,
		}}
	}
	return out
}

// roleName returns a role's name, which carries the Region as all of an installation do.
func roleName(installation, region string, role cfn.Role) string {
	return installation + "-" + string(role) + "-" + region
}

// function is the name of the webhook function.
func (p part) function() string { return p.Name + "-webhook" }

func (p part) outputs() cfn.Object {
	out := cfn.Object{"MirrorBucket": cfn.Object{
		"Description": "The mirror's bucket; bundles go into " + section.Inbox + "/", "Value": cfn.Ref("MirrorBucket"),
	}}
	if p.Image == "" {
		out["MirrorImages"] = cfn.Object{
			"Description": "Where the mirror's image goes; its tags stay as they are",
			"Value":       cfn.Att("MirrorImages", "RepositoryUri"),
		}
	}
	if p.Receives() {
		out["WebhookURL"] = cfn.Object{
			"Description": "Where git servers report pushes, with the repository's name behind it",
			"Value":       cfn.Att("WebhookURL", "FunctionUrl"),
		}
	}
	return out
}

// addMirror adds what the mirror needs.
func (p part) addMirror(r cfn.Object) {
	p.addMirrorBucket(r)
	image, version := any(p.Image), ":latest"
	if p.digest != "" {
		version = "@" + p.digest
		image = withoutTag(p.Image) + version
	}
	if p.Image == "" {
		repository := cfn.Resource("AWS::ECR::Repository", cfn.Object{
			"RepositoryName":             section.ImageRepository(p.Name),
			"ImageScanningConfiguration": cfn.Object{"ScanOnPush": true},
			"ImageTagMutability":         "IMMUTABLE", "EmptyOnDelete": true,
			"LifecyclePolicy": cfn.Object{
				"LifecyclePolicyText": `{"rules":[{"rulePriority":1,"description":"keep the newest images",` +
					`"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":50},` +
					`"action":{"type":"expire"}}]}`,
			},
		})
		r["MirrorImages"] = repository
		image = cfn.Sub("${MirrorImages.RepositoryUri}" + version)
	}
	r["MirrorLogs"] = p.LogGroup(p.mirrorLogs())
	variable := func(name string, value any) cfn.Object { return cfn.Object{"Name": name, "Value": value} }
	definition := cfn.Object{
		"Family": section.Family(p.Name), "NetworkMode": "awsvpc", "RequiresCompatibilities": []any{"FARGATE"},
		"Cpu": fmt.Sprint(p.CPU), "Memory": fmt.Sprint(p.Memory),
		"TaskRoleArn": cfn.Att("MirrorRole", "Arn"), "ExecutionRoleArn": cfn.Att("MirrorExecutionRole", "Arn"),
		"RuntimePlatform": cfn.Object{
			"OperatingSystemFamily": "LINUX", "CpuArchitecture": strings.ToUpper(p.Mirror.Architecture),
		},
		"ContainerDefinitions": []any{cfn.Object{
			"Name": "mirror", "Image": image, "Essential": true, "StopTimeout": 30,
			"LinuxParameters": cfn.Object{"InitProcessEnabled": true, "Capabilities": cfn.Object{"Drop": []any{"ALL"}}},
			"Environment": []any{
				variable(section.NameVariable, p.Name), variable(section.SettingsVariable, p.settings),
				variable(section.StateVariable, cfn.Sub("s3://"+p.bucket()+"/"+section.StateFolder)),
			},
			"LogConfiguration": cfn.Object{
				"LogDriver": "awslogs",
				"Options": cfn.Object{
					"awslogs-group": cfn.Ref("MirrorLogs"), "awslogs-region": cfn.Ref("AWS::Region"),
					"awslogs-stream-prefix": "mirror",
				},
			},
		}},
	}
	if p.Disk > 0 {
		definition["EphemeralStorage"] = cfn.Object{"SizeInGiB": p.Disk}
	}
	r["MirrorTaskDefinition"] = cfn.Resource("AWS::ECS::TaskDefinition", definition)
	p.addMirrorGroup(r)
	p.addMirrorAlarms(r)
	if p.Receives() {
		p.addWebhook(r)
	}
}

// addMirrorAlarms adds an alarm for each repository that was not mirrored for long.
func (p part) addMirrorAlarms(r cfn.Object) {
	hours := int(time.Duration(p.StaleAfter).Hours())
	for _, x := range p.repositories {
		a := p.Alarm(cfn.Alarm{
			ID: "StaleMirror" + cfn.IDPart(x.name),
			Description: fmt.Sprintf("repository %s was not mirrored for %d hours; the runs of job mirror show why",
				x.name, hours), Statistic: "Sum", Period: 3600, Periods: hours, Above: 1,
			Missing: "breaching",
		})
		a["AlarmName"], a["ComparisonOperator"] = p.Name+"-stale-mirror-"+x.name, "LessThanThreshold"
		a["Namespace"] = cfn.Namespace
		a["MetricName"] = "MirrorInSync"
		a["Dimensions"] = []any{
			cfn.Object{"Name": "Installation", "Value": p.Name}, cfn.Object{"Name": "Repository", "Value": x.name},
		}
		r["StaleMirror"+cfn.IDPart(x.name)+"Alarm"] = cfn.Resource("AWS::CloudWatch::Alarm", a)
	}
}

func (p part) mirrorLogs() string { return "/" + p.Name + "/mirror" }

// addMirrorBucket adds the bucket, which tells EventBridge of what is put into it.
func (p part) addMirrorBucket(r cfn.Object) {
	expire := func(id string, more cfn.Object) cfn.Object {
		rule := cfn.Object{"Id": id, "Status": "Enabled"}
		maps.Copy(rule, more)
		return rule
	}
	bucket := cfn.Resource("AWS::S3::Bucket", cfn.Object{
		"BucketName": cfn.Sub(p.bucket()),
		"BucketEncryption": cfn.Object{
			"ServerSideEncryptionConfiguration": []any{
				cfn.Object{"ServerSideEncryptionByDefault": cfn.Object{"SSEAlgorithm": "AES256"}},
			},
		},
		"PublicAccessBlockConfiguration": cfn.Object{
			"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
		},
		"OwnershipControls":         cfn.Object{"Rules": []any{cfn.Object{"ObjectOwnership": "BucketOwnerEnforced"}}},
		"NotificationConfiguration": cfn.Object{"EventBridgeConfiguration": cfn.Object{"EventBridgeEnabled": true}},
		"LifecycleConfiguration": cfn.Object{"Rules": []any{
			expire("seen", cfn.Object{"Prefix": section.SeenFolder + "/", "ExpirationInDays": 1}),
			expire("uploads", cfn.Object{"AbortIncompleteMultipartUpload": cfn.Object{"DaysAfterInitiation": 1}}),
		}},
	})
	bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"] = "Delete", "Retain"
	r["MirrorBucket"] = bucket
	r["MirrorBucketPolicy"] = cfn.Resource("AWS::S3::BucketPolicy",
		cfn.Object{"Bucket": cfn.Ref("MirrorBucket"),
			"PolicyDocument": cfn.Object{"Version": "2012-10-17", "Statement": []any{
				cfn.Object{
					"Sid": "OnlyEncrypted", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
					"Resource":  []any{cfn.Att("MirrorBucket", "Arn"), cfn.Sub("${MirrorBucket.Arn}/*")},
					"Condition": cfn.Object{"Bool": cfn.Object{"aws:SecureTransport": "false"}},
				},
			}}})
}

const groupID = "MirrorSecurityGroup"

// addMirrorGroup adds the security group of the mirror's tasks: out to S3, to the
// endpoints in the VPC, and to the sources on their ports; nothing in.
func (p part) addMirrorGroup(r cfn.Object) {
	i := slices.IndexFunc(p.Sets, func(s cfn.BaseSet) bool { return s.Name == p.set })
	if i < 0 {
		return // refused before
	}
	s := p.Sets[i]
	egress := cfn.TaskEgress(s)
	for _, block := range sorted(p.SourceNetworks) {
		for _, port := range p.ServerPorts() {
			egress = append(egress, cfn.Object{
				"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": block, "Description": "git servers",
			})
		}
	}
	r[groupID] = cfn.Resource("AWS::EC2::SecurityGroup", cfn.Object{
		"GroupDescription": "Drawbridge " + p.Name + ": the mirror", "VpcId": s.VPC, "SecurityGroupEgress": egress,
		"Tags": p.Tags("mirror"),
	})
}

// webhookFlood is how many requests in five minutes are more than git servers send.
const webhookFlood = 3000

// addWebhook adds the function that git servers report pushes to, and its address.
func (p part) addWebhook(r cfn.Object) {
	invoked := func(more cfn.Object) cfn.Object {
		p := cfn.Object{"FunctionName": cfn.Ref("Webhook"), "Action": "lambda:InvokeFunction"}
		maps.Copy(p, more)
		return cfn.Resource("AWS::Lambda::Permission", p)
	}
	flood := p.Alarm(cfn.Alarm{
		ID: "WebhookFlood",
		Description: fmt.Sprintf("the webhook's address got more than %d requests in five minutes; "+
			"mirror.webhookSources bounds who is answered", webhookFlood), Statistic: "Sum", Period: 300, Periods: 1,
		Above: webhookFlood, Missing: "notBreaching",
	})
	flood["Namespace"] = "AWS/Lambda"
	flood["MetricName"] = "Invocations"
	flood["Dimensions"] = []any{cfn.Object{"Name": "FunctionName", "Value": cfn.Ref("Webhook")}}
	r["WebhookFloodAlarm"] = cfn.Resource("AWS::CloudWatch::Alarm", flood)
	r["WebhookURL"] = cfn.Resource("AWS::Lambda::Url", cfn.Object{
		"TargetFunctionArn": cfn.Ref("Webhook"), "AuthType": "NONE",
	})
	r["WebhookURLPermission"] = invoked(cfn.Object{
		"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE",
	})
	r["WebhookInvokePermission"] = invoked(cfn.Object{"Principal": "*", "InvokedViaFunctionUrl": true})
	if p.Looks() {
		minutes := int(time.Duration(p.CheckEvery).Minutes())
		unit := "minutes"
		if minutes == 1 {
			unit = "minute"
		}
		r["WebhookCheck"] = cfn.Resource("AWS::Events::Rule",
			cfn.Object{"Name": p.function() + "-check",
				"Description":        "Drawbridge " + p.Name + ": the look at sources from outside the VPC",
				"State":              "ENABLED",
				"ScheduleExpression": fmt.Sprintf("rate(%d %s)", minutes, unit),
				"Targets":            []any{cfn.Object{"Id": "target", "Arn": cfn.Att("Webhook", "Arn")}}})
		r["WebhookCheckPermission"] = invoked(cfn.Object{
			"Principal": "events.amazonaws.com", "SourceArn": cfn.Att("WebhookCheck", "Arn"),
		})
	}
}
