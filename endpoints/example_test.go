package endpoints_test

import (
	"fmt"

	"drawbridge/endpoints"
)

// web is a task definition as aws ecs describe-task-definition prints it.
const web = `{"taskDefinition": {
  "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1",
  "requiresCompatibilities": ["FARGATE"],
  "containerDefinitions": [{
    "name": "web",
    "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1",
    "secrets": [{"name": "KEY", "valueFrom": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"}],
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/web", "awslogs-region": "eu-west-1"}}
  }]
}}`

// What a task needs follows from its task definition, each service with its reasons.
func ExampleWorkload_Requirements() {
	r, err := endpoints.Workload{TaskDefinitions: [][]byte{[]byte(web)}}.Requirements()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, need := range r.Services {
		fmt.Printf("%s (%s): %s\n", need.Service, need.Type, need.Because[0])
	}
	// Output:
	// ecr.api (interface): container web: image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1
	// ecr.dkr (interface): container web: image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1
	// logs (interface): container web: awslogs to /web
	// s3 (gateway): container web: image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1
	// secretsmanager (interface): container web: secret KEY
}

// A plan creates what the VPC lacks and adopts what it has, whoever made it.
func ExampleMake() {
	services, err := endpoints.Resolve([]endpoints.ServiceID{"ecr.api", "ecr.dkr", "logs"})
	if err != nil {
		fmt.Println(err)
		return
	}
	vpc := endpoints.VPC{
		ID: "vpc-1", DNSSupport: true, DNSHostnames: true, Offered: map[string][]string{},
		Subnets: []endpoints.Subnet{{ID: "subnet-a", VPC: "vpc-1", Zone: "eu-west-1a", RouteTable: "rtb-1"}},
		Endpoints: []endpoints.Endpoint{{
			ID: "vpce-logs", Service: "com.amazonaws.eu-west-1.logs", Type: endpoints.Interface,
			State: "available", PrivateDNS: true, Subnets: []string{"subnet-a"},
		}},
	}
	for _, s := range services {
		vpc.Offered[s.Name("eu-west-1")] = []string{"eu-west-1a"}
	}
	plan, err := endpoints.Make(endpoints.Request{Region: "eu-west-1", Services: services}, vpc)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range plan.Create {
		fmt.Println("create", s.ID, "in", plan.Subnets[0].ID)
	}
	for _, a := range plan.Adopt {
		fmt.Println("adopt", a.Endpoint, "for", a.Service)
	}
	fmt.Println("endpoint-hours an hour:", plan.PerHour())
	// Output:
	// create ecr.api in subnet-a
	// create ecr.dkr in subnet-a
	// adopt vpce-logs for logs
	// endpoint-hours an hour: 2
}

// Fargate's text says that the task reached no secret; the scene says why.
func ExampleDiagnose() {
	stopped := endpoints.Stopped{
		Code: "TaskFailedToStart",
		Reason: "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from " +
			"asm: failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf from secrets " +
			"manager: RequestCanceled: request context canceled caused by: context deadline exceeded",
	}
	d := endpoints.Diagnose(stopped, endpoints.Scene{
		Set: "main", Region: "eu-west-1", Services: []endpoints.ServiceID{"ecr.api", "ecr.dkr", "logs", "s3"},
		VPC:        endpoints.VPC{ID: "vpc-1", DNSSupport: true, DNSHostnames: true},
		Definition: []byte(web),
	})
	fmt.Println(d.Cause)
	fmt.Println(d.What)
	fmt.Println("because", d.Why)
	fmt.Println("remedy:", d.Remedy)
	// Output:
	// missing-endpoint
	// container web could not fetch its secret KEY
	// because set main has no secretsmanager endpoint
	// remedy: add secretsmanager to the set's services, or set services: auto
}
