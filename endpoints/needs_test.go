package endpoints

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const ownImage = `"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1"`

// task returns a task definition of Fargate in eu-west-1 with one container.
func task(container string) string {
	return `{"taskDefinition":{"taskDefinitionArn":"arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1","requiresCompatibilities":["FARGATE"],"containerDefinitions":[{"name":"web",` + container + `}]}}`
}

func withLog(driver, options string) string {
	return task(ownImage + `,"logConfiguration":{"logDriver":"` + driver + `","options":{` + options + `}}`)
}

func function(inVPC bool) string {
	subnets := ""
	if inVPC {
		subnets = `"subnet-1"`
	}
	return `{"FunctionName":"verify","VpcConfig":{"SubnetIds":[` + subnets + `]}}`
}

func build(more string) string {
	return `{"projects":[{"name":"b","environment":{"image":"aws/codebuild/standard:7.0"},"source":{"type":"NO_SOURCE"},"vpcConfig":{"vpcId":"vpc-1"}` + more + `}]}`
}

const (
	serverSpec = `{"os":"linux","files":[{"source":"/","destination":"/srv"}],"hooks":{"ApplicationStop":[{"location":"stop.sh"}]}}`
	lambdaSpec = `{"Resources":[{"f":{"Type":"AWS::Lambda::Function"}}],"Hooks":[{"BeforeAllowTraffic":"verify"}]}`
	ecsSpec    = `{"Resources":[{"TargetService":{"Type":"AWS::ECS::Service"}}],"Hooks":[{"AfterAllowTestTraffic":"verify"}]}`
	ecr        = "ecr.api ecr.dkr s3"
)

func TestRequirements(t *testing.T) {
	defs := func(texts ...string) Workload {
		var w Workload
		for _, s := range texts {
			w.TaskDefinitions = append(w.TaskDefinitions, []byte(s))
		}
		return w
	}
	deploys := func(spec string, functions ...string) Workload {
		var w Workload
		if spec != "" {
			w.AppSpecs = [][]byte{[]byte(spec)}
		}
		for _, f := range functions {
			w.HookFunctions = append(w.HookFunctions, []byte(f))
		}
		return w
	}
	builds := func(s string) Workload { return Workload{Region: "eu-west-1", Projects: [][]byte{[]byte(s)}} }
	sm := func(region string) string {
		return `"secrets":[{"name":"KEY","valueFrom":"arn:aws:secretsmanager:` + region + `:123456789012:secret:key-AbCdEf"}]`
	}
	full := `{"taskDefinition":{"taskDefinitionArn":"arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1","requiresCompatibilities":["FARGATE"],"containerDefinitions":[{"name":"web",` + ownImage + `,` + sm("eu-west-1") +
		`,"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"/web","awslogs-region":"eu-west-1"}}}]}}`
	hooked := defs(full)
	hooked.AppSpecs, hooked.HookFunctions = [][]byte{[]byte(ecsSpec)}, [][]byte{[]byte(function(true))}
	lean := defs(strings.Replace(full, sm("eu-west-1")+",", "", 1))
	execs, hints := defs(task(ownImage)), Workload{Hints: []ServiceID{"sqs"}}
	execs.Exec = true
	regionless := defs(strings.Replace(task(ownImage), `"taskDefinitionArn":"arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1",`, "", 1))
	elsewhere := regionless
	elsewhere.Region = "us-east-1"
	exec := func(configuration string) Workload {
		return Workload{Exec: true, Clusters: [][]byte{[]byte(`{"clusters":[{"clusterName":"c","configuration":{"executeCommandConfiguration":` + configuration + `}}]}`)}}
	}
	notExec := func(w Workload) Workload { w.Exec = false; return w }
	const invoke = `{"name":"a","actionTypeId":{"category":"Invoke","owner":"AWS","provider":"Lambda"},"configuration":{"FunctionName":"verify"}}`
	piped := func(action string, functions ...string) Workload {
		w := Workload{Pipelines: [][]byte{[]byte(`{"pipeline":{"name":"p","stages":[{"actions":[` + action + `]}]}}`)}}
		for _, f := range functions {
			w.HookFunctions = append(w.HookFunctions, []byte(f))
		}
		return w
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(task(ownImage), `{"taskDefinition":`), "}")

	for _, tt := range []struct {
		name  string
		w     Workload
		want  string
		wrong string // part of what is unreachable, "" for nothing
	}{
		{"the six of the default set", hooked, "codedeploy ecr.api ecr.dkr logs s3 secretsmanager", ""},
		{"two fewer without the secret and the hook", lean, "ecr.api ecr.dkr logs s3", ""},
		{"an image in ECR", defs(task(ownImage)), ecr, ""},
		{"without the outer object", defs(inner), ecr, ""},
		{"an image by digest", defs(task(`"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/web@sha256:0"`)), ecr, ""},
		{"an image of another account", defs(task(`"image":"999999999999.dkr.ecr.eu-west-1.amazonaws.com/web:1"`)), ecr, ""},
		{"an image in another Region", defs(task(`"image":"123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1"`)), "", "is in us-east-1, but the task runs in eu-west-1"},
		{"a Region by name where the ARN is missing", elsewhere, "", "is in eu-west-1, but the task runs in us-east-1"},
		{"no Region at all", regionless, ecr, ""},
		{"an image of China", defs(strings.ReplaceAll(task(`"image":"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/web:1"`), "arn:aws:ecs:eu-west-1", "arn:aws-cn:ecs:cn-north-1")), ecr, ""},
		{"an image on Docker Hub by its name", defs(task(`"image":"nginx:1"`)), "", "Docker Hub has no endpoint"},
		{"an image on Docker Hub by its owner", defs(task(`"image":"library/nginx:1"`)), "", "Docker Hub has no endpoint"},
		{"an image on Docker Hub by its host", defs(task(`"image":"docker.io/library/nginx:1"`)), "", "Docker Hub has no endpoint"},
		{"an image in the public gallery", defs(task(`"image":"public.ecr.aws/nginx/nginx:1"`)), "", "the public gallery of ECR has no endpoint"},
		{"an image that a pipeline puts in", defs(task(`"image":"<IMAGE1_NAME>"`)), ecr, ""},
		{"an image that a template puts in", defs(task(`"image":"${IMAGE}:${TAG}"`)), ecr, ""},
		{"an image that a program puts in", defs(task(`"image":"{{ image }}"`)), ecr, ""},
		{"an image at another registry", defs(task(`"image":"ghcr.io/me/web:1"`)), "", "ghcr.io has no endpoint"},
		{"an image through a cache", defs(task(`"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:1"`)), ecr, "first pull through a cache"},
		{"an image by a FIPS host", defs(task(`"image":"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/web:1"`)), "", "do not serve FIPS hosts"},
		{"an image by a dual-stack host", defs(task(`"image":"123456789012.dkr-ecr.eu-west-1.on.aws/web:1"`)), "", "do not serve dual-stack hosts"},
		{"credentials of a registry", defs(task(ownImage + `,"repositoryCredentials":{"credentialsParameter":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub"}`)), "ecr.api ecr.dkr s3 secretsmanager", ""},
		{"awslogs", defs(withLog("awslogs", `"awslogs-group":"/web","awslogs-region":"eu-west-1"`)), "ecr.api ecr.dkr logs s3", ""},
		{"awslogs to another Region", defs(withLog("awslogs", `"awslogs-group":"/web","awslogs-region":"us-east-1"`)), ecr, "log group /web is in us-east-1"},
		{"FireLens to CloudWatch", defs(withLog("awsfirelens", `"Name":"cloudwatch_logs","region":"eu-west-1"`)), "ecr.api ecr.dkr logs s3", ""},
		{"FireLens to Firehose", defs(withLog("awsfirelens", `"Name":"kinesis_firehose"`)), "ecr.api ecr.dkr kinesis-firehose s3", ""},
		{"FireLens to Kinesis", defs(withLog("awsfirelens", `"Name":"kinesis_streams"`)), "ecr.api ecr.dkr kinesis-streams s3", ""},
		{"FireLens to S3", defs(withLog("awsfirelens", `"Name":"s3","bucket":"logs"`)), ecr, ""},
		{"FireLens to somewhere else", defs(withLog("awsfirelens", `"Name":"datadog","Host":"http-intake.logs.datadoghq.com"`)), ecr, "with output datadog"},
		{"FireLens to another Region", defs(withLog("awsfirelens", `"Name":"cloudwatch","region":"us-east-1"`)), ecr, "FireLens sends the log to us-east-1"},
		{"FireLens with a configuration in S3", defs(task(ownImage + `,"firelensConfiguration":{"type":"fluentbit","options":{"config-file-type":"s3"}}`)), ecr, ""},
		{"FireLens that its own file steers", defs(withLog("awsfirelens", ``)), ecr, ""},
		{"Splunk", defs(withLog("splunk", `"splunk-url":"https://splunk.example"`)), ecr, "the log goes to Splunk"},
		{"a secret of Secrets Manager", defs(task(ownImage + "," + sm("eu-west-1"))), "ecr.api ecr.dkr s3 secretsmanager", ""},
		{"a secret of another Region", defs(task(ownImage + "," + sm("us-east-1"))), ecr, "secret arn:aws:secretsmanager:us-east-1"},
		{"a parameter by name", defs(task(ownImage + `,"secrets":[{"name":"KEY","valueFrom":"/web/key"}]`)), "ecr.api ecr.dkr s3 ssm", ""},
		{"a parameter by ARN", defs(task(ownImage + `,"secrets":[{"name":"KEY","valueFrom":"arn:aws:ssm:eu-west-1:123456789012:parameter/key"}]`)), "ecr.api ecr.dkr s3 ssm", ""},
		{"a secret of the log driver", defs(task(ownImage + `,"logConfiguration":{"logDriver":"awsfirelens","options":{"Name":"s3"},"secretOptions":[{"name":"k","valueFrom":"/k"}]}`)), "ecr.api ecr.dkr s3 ssm", ""},
		{"an environment file", defs(task(ownImage + `,"environmentFiles":[{"value":"arn:aws:s3:::b/x.env","type":"s3"}]`)), ecr, ""},
		{"ECS Exec by a switch", execs, "ecr.api ecr.dkr s3 ssmmessages", ""},
		{"ECS Exec in the definition", defs(strings.Replace(inner, `{"taskDefinitionArn"`, `{"enableExecuteCommand":true,"taskDefinitionArn"`, 1)), "ecr.api ecr.dkr s3 ssmmessages", ""},
		{"the X-Ray daemon from the own registry", defs(task(`"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/aws-xray-daemon:3"`)), "ecr.api ecr.dkr s3 xray", ""},
		{"the X-Ray daemon from the gallery", defs(task(`"image":"public.ecr.aws/xray/aws-xray-daemon:3"`)), "xray", "the public gallery"},
		{"the ADOT collector", defs(task(`"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/aws-otel-collector:1"`)), "ecr.api ecr.dkr logs s3 xray", ""},
		{"the CloudWatch agent", defs(task(`"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/cloudwatch-agent:1"`)), "ecr.api ecr.dkr logs monitoring s3", ""},
		{"an EFS volume needs no endpoint", defs(strings.Replace(task(ownImage), `"requiresCompatibilities"`, `"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1"}}],"requiresCompatibilities"`, 1)), ecr, ""},
		{"a hint by tag", defs(strings.TrimSuffix(task(ownImage), "}") + `,"tags":[{"key":"drawbridge:endpoints","value":"sqs, kms"}]}`), "ecr.api ecr.dkr kms s3 sqs", ""},
		{"a hint by hand", hints, "sqs", ""},
		{"launch type EC2", defs(strings.Replace(task(ownImage), "FARGATE", "EC2", 1)), "ecr.api ecr.dkr ecs ecs-agent ecs-telemetry s3", ""},
		{"launch type EC2, as ECS found", defs(strings.Replace(task(ownImage), `"requiresCompatibilities":["FARGATE"]`, `"compatibilities":["EXTERNAL","EC2"]`, 1)), "ecr.api ecr.dkr ecs ecs-agent ecs-telemetry s3", ""},
		{"no launch type is said, but Fargate is possible", defs(strings.Replace(task(ownImage), `"requiresCompatibilities":["FARGATE"]`, `"compatibilities":["EC2","FARGATE"]`, 1)), ecr, ""},
		{"both launch types: Fargate counts", defs(strings.Replace(task(ownImage), `"FARGATE"`, `"EC2","FARGATE"`, 1)), ecr, ""},
		{"Fargate in a late Region", defs(strings.ReplaceAll(task(ownImage), "eu-west-1", "ca-west-1")), "ecr.api ecr.dkr ecs ecs-agent ecs-telemetry s3", ""},
		{"two containers", defs(strings.Replace(task(ownImage), `"containerDefinitions":[`, `"containerDefinitions":[{"name":"side","image":"nginx"},`, 1)), ecr, "container side"},
		{"two jobs: the union", defs(task(ownImage), withLog("awslogs", `"awslogs-group":"/x"`)), "ecr.api ecr.dkr logs s3", ""},
		{"CodeDeploy to servers", deploys(serverSpec), "codedeploy codedeploy-commands-secure", ""},
		{"CodeDeploy to Lambda", deploys(lambdaSpec), "", ""},
		{"CodeDeploy to ECS", deploys(ecsSpec), "", ""},
		{"CodeDeploy to Lambda, a hook outside the VPC", deploys(lambdaSpec, function(false)), "", ""},
		{"CodeDeploy to Lambda, a hook in the VPC", deploys(lambdaSpec, function(true)), "codedeploy", ""},
		{"CodeDeploy to ECS, a hook outside the VPC", deploys(ecsSpec, function(false)), "", ""},
		{"CodeDeploy to ECS, a hook in the VPC", deploys(ecsSpec, function(true)), "codedeploy", ""},
		{"CodeDeploy to servers, a function in the VPC is no hook", deploys(serverSpec, function(true)), "codedeploy codedeploy-commands-secure", ""},
		{"a hook in the VPC alone", deploys("", function(true)), "codedeploy", ""},
		{"a hook in the shape of get-function", deploys("", `{"Configuration":`+function(true)+`}`), "codedeploy", ""},
		{"CodeBuild in a VPC", builds(build("")), "logs", ""},
		{"CodeBuild outside of one", builds(strings.Replace(build(""), "vpc-1", "", 1)), "", ""},
		{"CodeBuild without the outer object", builds(strings.TrimSuffix(strings.TrimPrefix(build(""), `{"projects":`), "}")), "logs", ""},
		{"CodeBuild with an image of its own", builds(strings.Replace(build(""), "aws/codebuild/standard:7.0", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/b:1", 1)), "ecr.api ecr.dkr logs s3", ""},
		{"CodeBuild from CodeCommit", builds(strings.Replace(build(""), `"NO_SOURCE"`, `"CODECOMMIT","location":"https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/r"`, 1)), "git-codecommit logs", ""},
		{"CodeBuild from GitHub", builds(strings.Replace(build(""), `"NO_SOURCE"`, `"GITHUB","location":"https://github.com/x/y"`, 1)), "logs", "source GITHUB"},
		{"CodeBuild under CodePipeline", builds(strings.Replace(build(`,"artifacts":{"type":"CODEPIPELINE"}`), `"NO_SOURCE"`, `"CODEPIPELINE"`, 1)), "logs s3", ""},
		{"CodeBuild with secrets and parameters", builds(strings.Replace(build(""), `standard:7.0"`, `standard:7.0","environmentVariables":[{"name":"A","type":"PARAMETER_STORE"},{"name":"B","type":"SECRETS_MANAGER"},{"name":"C","type":"PLAINTEXT"}]`, 1)), "logs secretsmanager ssm", ""},
		{"CodeBuild that logs to S3 alone", builds(build(`,"logsConfig":{"cloudWatchLogs":{"status":"DISABLED"},"s3Logs":{"status":"ENABLED"}}`)), "s3", ""},
		{"a program whose calls are known", Workload{Calls: []Call{{Service: "kms", Why: "it signs"}}}, "kms", ""},
		{"credentials of a registry by the secret's name", defs(task(ownImage + `,"repositoryCredentials":{"credentialsParameter":"hub"}`)), "ecr.api ecr.dkr s3 secretsmanager", ""},
		{"a secret without a value", defs(task(ownImage + `,"secrets":[{"name":"KEY","valueFrom":""}]`)), ecr, ""},
		{"no image", defs(task(`"image":""`)), "", "no image"},
		{"FireLens by Fluentd", defs(withLog("awsfirelens", `"@type":"cloudwatch_logs","region":"eu-west-1"`)), "ecr.api ecr.dkr logs s3", ""},
		{"FireLens to a host in the VPC", defs(withLog("awsfirelens", `"Name":"forward","Host":"logs.corp.internal"`)), ecr, ""},
		{"FireLens to an address in the VPC", defs(withLog("awsfirelens", `"Name":"forward","Host":"10.0.3.7"`)), ecr, ""},
		{"FireLens to an address outside", defs(withLog("awsfirelens", `"Name":"forward","Host":"198.51.100.7"`)), ecr, "with output forward to 198.51.100.7"},
		{"FireLens to OpenSearch in a VPC", defs(withLog("awsfirelens", `"Name":"opensearch","Host":"vpc-logs-x.eu-west-1.es.amazonaws.com"`)), ecr, ""},
		{"FireLens to the standard output", defs(withLog("awsfirelens", `"Name":"stdout"`)), ecr, ""},
		{"an EFS volume with IAM authorisation", defs(strings.Replace(task(ownImage), `"requiresCompatibilities"`, `"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1","authorizationConfig":{"iam":"ENABLED"}}}],"requiresCompatibilities"`, 1)), "ecr.api ecr.dkr elasticfilesystem s3", ""},
		{"ECS Exec with a key and a log", exec(`{"kmsKeyId":"alias/k","logging":"OVERRIDE","logConfiguration":{"cloudWatchLogGroupName":"/exec","s3BucketName":"b"}}`), "kms logs s3 ssmmessages", ""},
		{"ECS Exec that logs as the container does", exec(`{"logging":"DEFAULT","logConfiguration":{"cloudWatchLogGroupName":"/exec"}}`), "ssmmessages", ""},
		{"a cluster whose tasks do not use ECS Exec", notExec(exec(`{"kmsKeyId":"alias/k"}`)), "", ""},
		{"a tag that names what is no service", defs(strings.TrimSuffix(task(ownImage), "}") + `,"tags":[{"key":"drawbridge:endpoints","value":"sqs,bedrok"}]}`), "ecr.api ecr.dkr s3 sqs", `unknown service "bedrok"`},
		{"no ARN: the image says the Region", defs(strings.Replace(withLog("awslogs", `"awslogs-group":"/web","awslogs-region":"us-east-1"`), `"taskDefinitionArn":"arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1",`, "", 1)), ecr, "log group /web is in us-east-1"},
		{"CodeBuild with an image of another Region", builds(strings.Replace(build(`,"arn":"arn:aws:codebuild:us-east-1:123456789012:project/b"`), "aws/codebuild/standard:7.0", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/b:1", 1)), "logs", "CodeBuild project b: image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/b:1 is in eu-west-1"},
		{"CodeBuild from CodeCommit in another Region", builds(strings.Replace(build(`,"arn":"arn:aws:codebuild:us-east-1:123456789012:project/b"`), `"NO_SOURCE"`, `"CODECOMMIT","location":"https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/r"`, 1)), "logs", "is in eu-west-1, but the build runs in us-east-1"},
		{"CodeBuild with a secret of another Region", builds(strings.Replace(build(`,"arn":"arn:aws:codebuild:us-east-1:123456789012:project/b"`), `standard:7.0"`, `standard:7.0","environmentVariables":[{"name":"B","type":"SECRETS_MANAGER","value":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"}]`, 1)), "logs", "secret arn:aws:secretsmanager:eu-west-1"},
		{"CodeBuild with credentials of a registry", builds(strings.Replace(build(""), `standard:7.0"`, `standard:7.0","registryCredential":{"credential":"hub","credentialProvider":"SECRETS_MANAGER"}`, 1)), "logs secretsmanager", ""},
		{"CodeBuild with a buildspec of its own", builds(strings.Replace(build(""), `"NO_SOURCE"`, `"NO_SOURCE","buildspec":"version: 0.2\nenv:\n  secrets-manager:\n    TOKEN: hub:token\n  parameter-store:\n    KEY: /web/key\nphases:\n  build:\n    commands:\n      - codebuild-breakpoint\n"`, 1)), "logs secretsmanager ssm ssmmessages", ""},
		{"CodeBuild with another buildspec", builds(strings.Replace(build(""), `"NO_SOURCE"`, `"NO_SOURCE","buildspec":"version: 0.2\nphases:\n  build:\n    commands:\n      - make: it\n"`, 1)), "logs", ""},
		{"CodeBuild with secondary artifacts", builds(build(`,"secondaryArtifacts":[{"type":"S3"}]`)), "logs s3", ""},
		{"CodePipeline", piped(`{"name":"a","actionTypeId":{"category":"Build","owner":"AWS","provider":"CodeBuild"}}`), "", ""},
		{"CodePipeline with a function in the VPC", piped(invoke, function(true)), "codepipeline s3", ""},
		{"CodePipeline with a function outside of it", piped(invoke, function(false)), "", ""},
		{"CodePipeline with a worker of its own", piped(`{"name":"a","actionTypeId":{"category":"Build","owner":"Custom","provider":"Jenkins"}}`), "codepipeline s3", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := tt.w.Requirements()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range r.Services {
				got = append(got, string(n.Service))
				if len(n.Because) == 0 || n.Type == "" {
					t.Errorf("%s has no reason or type: %+v", n.Service, n)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("needs %q, want %q", strings.Join(got, " "), tt.want)
			}
			text := fmt.Sprint(r.Unreachable)
			if (tt.wrong == "") != (len(r.Unreachable) == 0) || !strings.Contains(text, tt.wrong) {
				t.Errorf("unreachable %s, want %q", text, tt.wrong)
			}
			for _, u := range r.Unreachable {
				if u.Remedy == "" {
					t.Errorf("no remedy for %s", u.What)
				}
			}
			for _, a := range r.Avoidable {
				if !slices.Contains(got, string(a.Service)) || a.How == "" {
					t.Errorf("avoidable %+v is not needed, or does not say how", a)
				}
			}
		})
	}
}

func TestRequirementsRefuseWhatTheyCannotRead(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    Workload
		want string
	}{
		{"no JSON", Workload{TaskDefinitions: [][]byte{[]byte("{")}}, "read task definition"},
		{"no containers", Workload{TaskDefinitions: [][]byte{[]byte("{}")}}, "containerDefinitions is missing"},
		{"no AppSpec", Workload{AppSpecs: [][]byte{[]byte(`{"version":0.0}`)}}, "neither os and files nor Resources"},
		{"no function", Workload{HookFunctions: [][]byte{[]byte(`{}`)}}, "FunctionName is missing"},
		{"no projects", Workload{Projects: [][]byte{[]byte(`{}`)}}, "no projects in the input"},
		{"a hint that is no service", Workload{Hints: []ServiceID{"ecr"}}, `unknown service "ecr"`},
	} {
		if _, err := tt.w.Requirements(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzRequirements(f *testing.F) {
	for _, s := range []string{task(ownImage), withLog("awsfirelens", `"Name":"s3"`), serverSpec, lambdaSpec, function(true), build("")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, w := range []Workload{{TaskDefinitions: [][]byte{text}}, {AppSpecs: [][]byte{text}}, {HookFunctions: [][]byte{text}}, {Projects: [][]byte{text}}} {
			r, err := w.Requirements()
			if err != nil {
				continue
			}
			if _, err := json.Marshal(r); err != nil {
				t.Fatal(err)
			}
			again, err := w.Requirements()
			if err != nil || fmt.Sprint(r) != fmt.Sprint(again) {
				t.Fatalf("the same input gives %v and %v", r, again)
			}
			if !slices.IsSortedFunc(r.Services, func(a, b Need) int { return strings.Compare(string(a.Service), string(b.Service)) }) {
				t.Fatalf("not sorted: %v", r.Services)
			}
		}
	})
}
