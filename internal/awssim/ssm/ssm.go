// Package ssm simulates the Parameter Store of Systems Manager.
package ssm

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated Parameter Store.
type Service struct {
	*kernel.Kernel
	parameters []*parameter
}

// parameter is a parameter in its current version.
type parameter struct {
	name, kind, value, key string
	version                int
	changed                time.Time
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Register(&kernel.API{Name: "ssm", Asks: s.questions, Endpoint: "ssm", Prefix: "AmazonSSM",
		Protocol: kernel.JSON11, Ops: map[string]kernel.Operation{
			"PutParameter":    kernel.Op(s.putParameter),
			"GetParameter":    kernel.Op(s.getParameter),
			"GetParameters":   kernel.Op(s.getParameters),
			"DeleteParameter": kernel.Op(s.deleteParameter),
		}})
	return s
}

// questions asks for each parameter, and for the key of one that is to be decrypted.
func (s *Service) questions(c *kernel.Call) []kernel.Question {
	var in struct {
		Name           string
		Names          []string
		WithDecryption bool
	}
	_ = json.Unmarshal(c.Body, &in) // the call itself says what is wrong with it
	var out []kernel.Question
	for _, name := range append(in.Names, in.Name) {
		if name == "" {
			continue
		}
		out = append(out, kernel.May(c.Permission(), s.arn(name)))
		if p := s.find(name); p != nil && in.WithDecryption && p.key != "" {
			out = append(out, s.ViaKey(p.key, "ssm", "kms:Decrypt")...)
		}
	}
	return out
}

func (s *Service) arn(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	if name != "" && name[0] == '/' {
		return s.ARN("ssm", "parameter"+name)
	}
	return s.ARN("ssm", "parameter/"+name)
}

func (s *Service) find(name string) *parameter {
	return kernel.Find(s.parameters, func(p *parameter) bool { return p.name == name || s.arn(p.name) == name })
}

type parameterJSON struct {
	ARN, Name, Type, Value string
	Version                int
	LastModifiedDate       kernel.Stamp
	DataType               string
}

// sealed is how a value looks that is not decrypted.
const sealed = "AQICAHsandbox"

func (s *Service) json(p *parameter, decrypt bool) parameterJSON {
	value := p.value
	if p.kind == "SecureString" && !decrypt {
		value = sealed
	}
	return parameterJSON{s.arn(p.name), p.name, p.kind, value, p.version, kernel.Stamp{Time: p.changed}, "text"}
}

func (s *Service) putParameter(_ *kernel.Call, in *struct {
	Name, Value, Type, KeyId, Description string
	Overwrite                             bool
	Tags                                  []kernel.Tag
}) (*struct {
	Version int
	Tier    string
}, error) {
	p := s.find(in.Name)
	if p != nil && !in.Overwrite {
		return nil, kernel.Errorf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, "+
			"set the overwrite option in the request to true.")
	}
	if p == nil && in.Type == "" {
		return nil, kernel.Errorf("ValidationException", "A parameter type is required when you create a parameter.")
	}
	if p == nil {
		p = &parameter{name: in.Name, kind: in.Type}
		s.parameters = append(s.parameters, p)
	}
	p.value, p.changed = in.Value, s.Clock.Now()
	p.version++
	if in.KeyId != "" {
		p.key = s.KeyARN(in.KeyId)
	}
	return &struct {
		Version int
		Tier    string
	}{p.version, "Standard"}, nil
}

func (s *Service) getParameter(_ *kernel.Call, in *struct {
	Name           string
	WithDecryption bool
}) (*struct{ Parameter parameterJSON }, error) {
	p := s.find(in.Name)
	if p == nil {
		return nil, kernel.Errorf("ParameterNotFound", "")
	}
	return &struct{ Parameter parameterJSON }{s.json(p, in.WithDecryption)}, nil
}

func (s *Service) getParameters(_ *kernel.Call, in *struct {
	Names          []string
	WithDecryption bool
}) (*struct {
	Parameters        []parameterJSON
	InvalidParameters []string
}, error) {
	out := &struct {
		Parameters        []parameterJSON
		InvalidParameters []string
	}{[]parameterJSON{}, []string{}}
	for _, name := range in.Names {
		if p := s.find(name); p != nil {
			out.Parameters = append(out.Parameters, s.json(p, in.WithDecryption))
		} else {
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}

func (s *Service) deleteParameter(_ *kernel.Call, in *struct{ Name string }) (*kernel.None, error) {
	if s.find(in.Name) == nil {
		return nil, kernel.Errorf("ParameterNotFound", "")
	}
	s.parameters = slices.DeleteFunc(s.parameters, func(p *parameter) bool { return p.name == in.Name })
	return &kernel.None{}, nil
}
