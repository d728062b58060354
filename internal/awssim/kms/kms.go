// Package kms simulates KMS as far as stacks need it: keys, their aliases, and who may use
// them through other services.
package kms

import (
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated KMS.
type Service struct {
	*kernel.Kernel
	keys    []*key
	aliases map[string]string // ids of keys
}

type key struct {
	id, description string
	created, gone   time.Time
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k, aliases: map[string]string{}}
	k.KeyARN = s.keyARN
	k.Register(&kernel.API{Name: "kms", Endpoint: "kms", Prefix: "TrentService", Protocol: kernel.JSON11,
		Asks: func(c *kernel.Call) []kernel.Question {
			if id := c.Field("KeyId"); id != "" {
				return []kernel.Question{kernel.May(c.Permission(), s.keyARN(id))}
			}
			return []kernel.Question{kernel.May(c.Permission(), "*")}
		}, Ops: map[string]kernel.Operation{
			"CreateKey":           kernel.Op(s.createKey),
			"DescribeKey":         kernel.Op(s.describeKey),
			"CreateAlias":         kernel.Op(s.createAlias),
			"ScheduleKeyDeletion": kernel.Op(s.scheduleDeletion),
		}})
	return s
}

func (s *Service) find(given string) *key {
	id := given[strings.LastIndex(given, "/")+1:]
	if i := strings.Index(given, "alias/"); i >= 0 {
		id = s.aliases[given[i:]]
	}
	return kernel.Find(s.keys, func(k *key) bool { return k.id == id })
}

// keyARN is the ARN of a key that is given by id, ARN or alias; what is given if there is none.
func (s *Service) keyARN(given string) string {
	if k := s.find(given); k != nil {
		return s.ARN("kms", "key/"+k.id)
	}
	return given
}

type keyReply struct {
	Metadata keyJSON `json:"KeyMetadata"`
}

type keyJSON struct {
	KeyID        string `json:"KeyId"`
	Arn          string
	Description  string
	Enabled      bool
	KeyState     string
	CreationDate kernel.Stamp
	DeletionDate *kernel.Stamp `json:",omitempty"`
	KeyManager   string
}

func (s *Service) json(k *key) *keyReply {
	out := keyJSON{
		KeyID: k.id, Arn: s.ARN("kms", "key/"+k.id), Description: k.description, Enabled: k.gone.IsZero(),
		KeyState: "Enabled", CreationDate: kernel.Stamp{Time: k.created}, KeyManager: "CUSTOMER",
	}
	if !k.gone.IsZero() {
		out.KeyState, out.DeletionDate = "PendingDeletion", kernel.StampOf(k.gone)
	}
	return &keyReply{out}
}

func noKey(id string) error {
	return kernel.Errorf("NotFoundException", "Key '%s' does not exist", id)
}

func (s *Service) createKey(_ *kernel.Call, in *struct {
	Description, Policy, KeyUsage, KeySpec string
	Tags                                   []map[string]string
}) (*keyReply, error) {
	k := &key{id: s.UUID("key"), description: in.Description, created: s.Clock.Now()}
	s.keys = append(s.keys, k)
	return s.json(k), nil
}

func (s *Service) describeKey(_ *kernel.Call, in *struct{ KeyID string }) (*keyReply, error) {
	if k := s.find(in.KeyID); k != nil {
		return s.json(k), nil
	}
	return nil, noKey(in.KeyID)
}

func (s *Service) createAlias(_ *kernel.Call, in *struct{ AliasName, TargetKeyID string }) (*kernel.None, error) {
	k := s.find(in.TargetKeyID)
	if k == nil {
		return nil, noKey(in.TargetKeyID)
	}
	if s.aliases[in.AliasName] != "" {
		return nil, kernel.Errorf("AlreadyExistsException", "An alias with the name %s already exists", in.AliasName)
	}
	s.aliases[in.AliasName] = k.id
	return &kernel.None{}, nil
}

func (s *Service) scheduleDeletion(_ *kernel.Call, in *struct {
	KeyID               string
	PendingWindowInDays int
}) (*struct {
	KeyID        string `json:"KeyId"`
	DeletionDate kernel.Stamp
	KeyState     string
}, error) {
	k := s.find(in.KeyID)
	if k == nil {
		return nil, noKey(in.KeyID)
	}
	days := in.PendingWindowInDays
	if days == 0 {
		days = 30
	}
	k.gone = s.Clock.Now().AddDate(0, 0, days)
	return &struct {
		KeyID        string `json:"KeyId"`
		DeletionDate kernel.Stamp
		KeyState     string
	}{s.ARN("kms", "key/"+k.id), kernel.Stamp{Time: k.gone}, "PendingDeletion"}, nil
}

// Remove schedules the deletion of a key, as a stack does, or removes an alias.
func (s *Service) Remove(given string) {
	if strings.HasPrefix(given, "alias/") {
		delete(s.aliases, given)
		return
	}
	if k := s.find(given); k != nil {
		k.gone = s.Clock.Now().AddDate(0, 0, 30)
	}
}
