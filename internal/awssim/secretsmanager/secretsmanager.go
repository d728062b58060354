// Package secretsmanager simulates Secrets Manager.
package secretsmanager

import (
	"time"

	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
)

// secretQuestions returns the IAM questions of a call to Secrets Manager.
func secretQuestions(c *kernel.Call) []kernel.Question {
	return []kernel.Question{kernel.May(c.Permission(), c.Field("SecretId"))}
}

// Service is the simulated Secrets Manager.
type Service struct {
	*kernel.Kernel
	iam *iam.Service

	Secrets map[string]SecretValue
}

// SecretValue is a secret with its current text.
type SecretValue struct {
	Text    string
	Created time.Time
	Key     string // of KMS, customer-managed; empty for Secrets Manager's own
}

// New puts the service into an account.
func New(k *kernel.Kernel, iam *iam.Service) *Service {
	s := &Service{Kernel: k, iam: iam, Secrets: map[string]SecretValue{}}
	k.Register(&kernel.API{Name: "secretsmanager", Asks: secretQuestions, Endpoint: "secretsmanager",
		Prefix: "secretsmanager", Protocol: kernel.JSON11, Ops: map[string]kernel.Operation{
			"CreateSecret":   kernel.Op(s.createSecret),
			"GetSecretValue": kernel.Op(s.getSecretValue),
			"DescribeSecret": kernel.Op(s.describeSecret),
			"PutSecretValue": kernel.Op(s.putSecretValue),
		}})
	return s
}

// SecretARN returns the ARN of a secret by its name.
func (s *Service) SecretARN(name string) string {
	return s.ARN("secretsmanager", "secret:"+name+"-"+s.Digest("secret"+name, 6))
}

type secretJSON struct {
	ARN          string
	Name         string
	VersionID    string        `json:"VersionId"`
	SecretString string        `json:",omitempty"`
	Stages       []string      `json:"VersionStages,omitempty"`
	CreatedDate  *kernel.Stamp `json:",omitempty"`
}

func (s *Service) createSecret(_ *kernel.Call, in *struct {
	Name, SecretString, Description, ClientRequestToken, KmsKeyId string
	Tags                                                          []kernel.Tag
}) (*secretJSON, error) {
	if _, ok := s.Secrets[in.Name]; ok {
		return nil, kernel.Errorf("ResourceExistsException",
			"The operation failed because the secret %s already exists.", in.Name)
	}
	s.Secrets[in.Name] = SecretValue{in.SecretString, s.Clock.Now(), in.KmsKeyId}
	return &secretJSON{ARN: s.SecretARN(in.Name), Name: in.Name, VersionID: s.UUID("version")}, nil
}

func (s *Service) putSecretValue(_ *kernel.Call,
	in *struct{ SecretId, SecretString, ClientRequestToken string }) (*secretJSON, error) {
	for name, v := range s.Secrets {
		if name == in.SecretId || s.SecretARN(name) == in.SecretId {
			s.Secrets[name] = SecretValue{in.SecretString, v.Created, v.Key}
			return &secretJSON{
				ARN: s.SecretARN(name), Name: name, VersionID: s.UUID("version"), Stages: []string{"AWSCURRENT"},
			}, nil
		}
	}
	return nil, kernel.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (s *Service) describeSecret(_ *kernel.Call, in *struct{ SecretId string }) (*struct {
	ARN, Name   string
	CreatedDate kernel.Stamp
}, error) {
	for name, v := range s.Secrets {
		if name == in.SecretId || s.SecretARN(name) == in.SecretId {
			return &struct {
				ARN, Name   string
				CreatedDate kernel.Stamp
			}{s.SecretARN(name), name, kernel.Stamp{Time: v.Created}}, nil
		}
	}
	return nil, kernel.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (s *Service) getSecretValue(c *kernel.Call,
	in *struct{ SecretId, VersionId, VersionStage string }) (*secretJSON, error) {
	for name, v := range s.Secrets {
		if name == in.SecretId || s.SecretARN(name) == in.SecretId {
			if denied := s.iam.DeniedKey(c, v.Key, "kms:Decrypt", "secretsmanager", "kms:EncryptionContext:SecretARN",
				s.SecretARN(name)); denied {
				return nil, kernel.Errorf("AccessDeniedException", "Access to KMS is not allowed")
			}
			return &secretJSON{
				s.SecretARN(name), name, s.Digest("v"+name, 32), v.Text, []string{"AWSCURRENT"},
				kernel.StampOf(v.Created),
			}, nil
		}
	}
	return nil, kernel.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}
