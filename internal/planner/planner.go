// Package planner works out what a set holds. It is the one rule for what drawbridge
// plan shows and for what the launcher creates; it is pure.
package planner

import (
	"fmt"
	"slices"

	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
)

// Scene is what the plan of a set depends on.
type Scene struct {
	Config *config.Installation
	Region string
	// Set is a set that lives as itself, Services are what it serves, VPC is its network
	// with the endpoints of others.
	Set      scheduler.SetName
	Services []endpoints.Service
	VPC      endpoints.VPC
	// Avoid are zones to be used only if no other will do.
	Avoid []string
	// BaseGateway reports whether the base stack is still to create the set's S3 gateway:
	// then the gateway is planned with, although the VPC does not show it.
	BaseGateway bool
}

// Plan returns what the set's stack holds, and what of others it adopts or passes over.
// Errors name the set; they carry the remedy.
func Plan(s Scene) (endpoints.Plan, error) {
	set := s.Config.Sets[s.Set]
	services := s.Services
	if s.BaseGateway && set.S3Gateway == endpoints.GatewayPermanent {
		services = slices.DeleteFunc(slices.Clone(services), func(x endpoints.Service) bool { return x.ID == "s3" })
	}
	network := s.VPC
	if s.Config.Mode == config.Observe { // what stands there today is what would be saved
		network.Endpoints = slices.DeleteFunc(slices.Clone(network.Endpoints), func(e endpoints.Endpoint) bool {
			return e.Type == endpoints.Interface
		})
	}
	p, err := endpoints.Make(endpoints.Request{
		Region: s.Region, Services: services, Zones: set.Zones, Gateway: set.S3Gateway, Avoid: s.Avoid,
	}, network)
	if err != nil {
		return p, fmt.Errorf("plan set %s: %w", s.Set, err)
	}
	return p, nil
}
