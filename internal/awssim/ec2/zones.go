package ec2

import (
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// HostedZone is a private hosted zone of Route 53 with its associated VPC.
type HostedZone struct{ ID, Name, VPC, Account string }

// zoneOf returns the hosted zone of a VPC that answers for an endpoint service.
func (s *Service) zoneOf(service, vpc string) *HostedZone {
	name := strings.TrimPrefix(s.PrivateDNSName(service), "*.")
	return kernel.Find(s.HostedZones, func(z *HostedZone) bool { return z.VPC == vpc && z.Name == name })
}
