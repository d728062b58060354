package ecs

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// taskRefusals are the temporary failures of RunTask, by the value of the fault
// refuse-tasks.
//
// Source of the texts: what users of ECS report. The capacity, the quota and the
// service-linked role: https://repost.aws/knowledge-center/ecs-fargate-runtask-capacity,
// PrefectHQ/prefect-aws#282, awslabs/fargatecli#35. EC2's errors inside
// InvalidParameterException: dask/dask-cloudprovider#56, cdklabs/construct-hub#415.
var taskRefusals = map[string]func() (*runTaskOutput, error){
	"capacity":    func() (*runTaskOutput, error) { return refusedTask(noCapacity), nil },
	"quota":       func() (*runTaskOutput, error) { return nil, kernel.Errorf("ClientException", "%s", quotaReached) },
	"quota-empty": func() (*runTaskOutput, error) { return refusedTask(), nil },
	"throttled": func() (*runTaskOutput, error) {
		return nil, bad("Error retrieving security group information for [sg-0]: Request limit exceeded. " +
			"(ErrorCode: RequestLimitExceeded)")
	},
	"internal": func() (*runTaskOutput, error) {
		return nil, bad("Error retrieving subnet information for [subnet-0]: An internal error has occurred " +
			"(ErrorCode: InternalError)")
	},
	"role": func() (*runTaskOutput, error) {
		return nil, bad("Unable to assume the service linked role. Please verify that the ECS service linked role " +
			"exists.")
	},
}

const (
	noCapacity   = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
	quotaReached = "You've reached the limit on the number of vCPUs you can run concurrently"
)

func refusedTask(reasons ...string) *runTaskOutput {
	out := &runTaskOutput{Tasks: []taskJSON{}, Failures: []failureJSON{}}
	for _, r := range reasons {
		out.Failures = append(out.Failures, failureJSON{Reason: r})
	}
	return out
}

// refuseTask refuses a task temporarily: by a fault, in a zone without capacity,
// or over the quota of vCPUs. It returns nothing for a task that can run.
func (s *Service) refuseTask(d *taskDefinition, sub *ec2.Subnet, count int) (*runTaskOutput, error) {
	if kind, on := s.FaultOn("refuse-tasks"); on {
		if kind == "" {
			kind = "capacity"
		}
		return taskRefusals[kind]()
	}
	if s.Happens("no-capacity", 0.5) {
		return refusedTask(noCapacity), nil
	}
	if zone, on := s.FaultOn("full-fargate-zone"); on && (zone == "" || zone == sub.Zone) {
		return refusedTask(noCapacity), nil
	}
	used := float64(count) * d.vCPUs()
	for _, t := range s.Tasks {
		if t.stopping.IsZero() {
			used += t.Definition.vCPUs()
		}
	}
	if used > s.VCPUQuota() {
		return nil, kernel.Errorf("ClientException", "%s", quotaReached)
	}
	return nil, nil
}

// vCPUs is how much of the quota a task takes.
func (d *taskDefinition) vCPUs() float64 {
	units := textOr(d.raw["cpu"])
	if n, ok := strings.CutSuffix(strings.ToLower(units), "vcpu"); ok {
		v, _ := strconv.ParseFloat(strings.TrimSpace(n), 64) // checked when it was registered
		return v
	}
	var n float64
	_, _ = fmt.Sscan(units, &n) // absent for a definition that is not for Fargate
	return n / 1024
}

// defaultVCPUs is the account's quota of Fargate vCPUs where the fault vcpu-quota
// does not give another: that of an account which has used Fargate for a while. A
// new account begins with 6.
const defaultVCPUs = 4000

// VCPUQuota is the number of Fargate vCPUs that may run at once.
func (s *Service) VCPUQuota() float64 {
	if v, on := s.FaultOn("vcpu-quota"); on {
		n := 6.0
		if v != "" {
			n, _ = strconv.ParseFloat(v, 64) // checked when it was set
		}
		return math.Max(n, 0)
	}
	return defaultVCPUs
}
