// Package codeconnections simulates AWS CodeConnections: connections to git hosts elsewhere,
// whose handshake is made in the console.
package codeconnections

import (
	"slices"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated CodeConnections.
type Service struct {
	*kernel.Kernel
	connections []*connection
}

type connection struct {
	ARN      string `json:"ConnectionArn"`
	Name     string `json:"ConnectionName"`
	Provider string `json:"ProviderType"`
	Owner    string `json:"OwnerAccountId"`
	Status   string `json:"ConnectionStatus"`
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Register(&kernel.API{
		Name: "codeconnections", Prefix: "com.amazonaws.codeconnections.CodeConnections_20231201",
		Protocol: kernel.JSON10, Asks: func(c *kernel.Call) []kernel.Question {
			if arn := c.Field("ConnectionArn"); arn != "" {
				return []kernel.Question{kernel.May(c.Permission(), arn)}
			}
			return []kernel.Question{kernel.May(c.Permission(), "*")}
		}, Ops: map[string]kernel.Operation{
			"CreateConnection": kernel.Op(s.create),
			"GetConnection":    kernel.Op(s.get),
			"ListConnections":  kernel.Op(s.list),
			"DeleteConnection": kernel.Op(s.remove),
		},
	})
	return s
}

func (s *Service) create(_ *kernel.Call, in *struct {
	ConnectionName, ProviderType string
	Tags                         []kernel.Tag
}) (*struct {
	ARN string `json:"ConnectionArn"`
}, error) {
	c := &connection{
		s.ARN("codeconnections", "connection/"+s.UUID("connection")), in.ConnectionName, in.ProviderType,
		s.Options.Account, "PENDING",
	}
	s.connections = append(s.connections, c)
	return &struct {
		ARN string `json:"ConnectionArn"`
	}{c.ARN}, nil
}

func (s *Service) find(arn string) (*connection, error) {
	if c := kernel.Find(s.connections, func(c *connection) bool { return c.ARN == arn }); c != nil {
		return c, nil
	}
	return nil, kernel.Errorf("ResourceNotFoundException", "Connection %s not found", arn)
}

func (s *Service) get(_ *kernel.Call, in *struct{ ConnectionArn string }) (*struct{ Connection *connection }, error) {
	c, err := s.find(in.ConnectionArn)
	if err != nil {
		return nil, err
	}
	return &struct{ Connection *connection }{c}, nil
}

func (s *Service) list(_ *kernel.Call, in *struct {
	ProviderTypeFilter, HostArnFilter, NextToken string
	MaxResults                                   int
}) (*struct{ Connections []*connection }, error) {
	out := &struct{ Connections []*connection }{[]*connection{}}
	for _, c := range s.connections {
		if in.ProviderTypeFilter == "" || c.Provider == in.ProviderTypeFilter {
			out.Connections = append(out.Connections, c)
		}
	}
	return out, nil
}

func (s *Service) remove(_ *kernel.Call, in *struct{ ConnectionArn string }) (*kernel.None, error) {
	if _, err := s.find(in.ConnectionArn); err != nil {
		return nil, err
	}
	s.connections = slices.DeleteFunc(s.connections, func(c *connection) bool { return c.ARN == in.ConnectionArn })
	return &kernel.None{}, nil
}

// Handshake is what a user does in the console: the connection can be used from then on. It
// reports whether there is such a connection.
func (s *Service) Handshake(arn string) bool {
	c, err := s.find(arn)
	if err == nil {
		c.Status = "AVAILABLE"
	}
	return err == nil
}

// Available reports whether a connection can be used.
func (s *Service) Available(arn string) bool {
	c, err := s.find(arn)
	return err == nil && c.Status == "AVAILABLE"
}
