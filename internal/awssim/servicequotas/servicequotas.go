// Package servicequotas simulates Service Quotas.
package servicequotas

import (
	"strings"

	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/kernel"
)

// quotas are the simulated quotas: service, code, name, value.
//
// Source: the quotas' codes as Service Quotas shows them.
var quotas = []struct {
	service, code, name string
	value               float64
}{
	{"vpc", "L-29B6F2EB", "Interface VPC endpoints per VPC", 50},
	{"fargate", fargateQuota, "Fargate On-Demand vCPU resource count", 0}, // see vCPUQuota
}

// fargateQuota is the code of the quota of Fargate vCPUs.
const fargateQuota = "L-3032A538"

// Service is the simulated Service Quotas.
type Service struct {
	*kernel.Kernel
	ecs *ecs.Service
}

// New puts the service into an account.
func New(k *kernel.Kernel, ecs *ecs.Service) *Service {
	s := &Service{Kernel: k, ecs: ecs}
	k.Register(&kernel.API{
		Name: "servicequotas", Prefix: "ServiceQuotasV20190624", Protocol: kernel.JSON11,
		Ops: map[string]kernel.Operation{"GetServiceQuota": kernel.Op(s.getServiceQuota)},
		Asks: func(c *kernel.Call) []kernel.Question {
			return []kernel.Question{kernel.May("servicequotas:GetServiceQuota",
				s.ARN("servicequotas", c.Field("ServiceCode")+"/"+c.Field("QuotaCode")))}
		},
	})
	return s
}

type quotaJSON struct {
	ServiceCode, ServiceName, QuotaArn, QuotaCode, QuotaName string
	Value                                                    float64
	Unit                                                     string
	Adjustable, GlobalQuota                                  bool
}

func (s *Service) getServiceQuota(_ *kernel.Call,
	in *struct{ ServiceCode, QuotaCode, ContextId string }) (*struct{ Quota quotaJSON }, error) {
	for _, q := range quotas {
		if q.service == in.ServiceCode && q.code == in.QuotaCode {
			if q.code == fargateQuota {
				q.value = s.ecs.VCPUQuota()
			}
			return &struct{ Quota quotaJSON }{quotaJSON{
				q.service, strings.ToUpper(q.service), s.ARN("servicequotas", q.service+"/"+q.code), q.code, q.name,
				q.value, "None", true, false,
			}}, nil
		}
	}
	return nil, kernel.Errorf("NoSuchResourceException", "")
}
