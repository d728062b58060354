package mirror

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"drawbridge/internal/codecommit"
	"drawbridge/internal/mirror/section"
)

// secretsAPI is the part of *secretsmanager.Client that the mirror calls.
type secretsAPI interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput,
		...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

var _ secretsAPI = (*secretsmanager.Client)(nil)

// Secret is the content of a secret in Secrets Manager for a git server.
type Secret struct {
	// Token replaces the password. Username defaults to git.
	Token    string `json:"token"`
	Username string `json:"username"`
	Password string `json:"password"`
	// CA is the certificate, in PEM, of the authority that signed the server's.
	CA string `json:"ca"`
	// ClientCertificate and ClientKey, in PEM, authenticate the mirror to the
	// server.
	ClientCertificate string `json:"clientCertificate"`
	ClientKey         string `json:"clientKey"`
	// PrivateKey is an OpenSSH key without a passphrase, KnownHosts the lines of a
	// known_hosts file for the server.
	PrivateKey string `json:"privateKey"`
	KnownHosts string `json:"knownHosts"`
}

// ReadSecret reads a secret. Errors never contain its value.
func ReadSecret(ctx context.Context, api secretsAPI, arn string) (s Secret, err error) {
	text, err := secretText(ctx, api, arn)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, &refusal{
			what: fmt.Sprintf("read secret %s: invalid value (want a JSON object of strings)", arn),
			hint: `store {"username": "...", "token": "..."}, or privateKey and knownHosts for SSH`,
		}
	}
	if s.Password == "" {
		s.Password = s.Token
	}
	if s.Username == "" && s.Password != "" {
		s.Username = "git"
	}
	s.Username, s.Password = strings.TrimRight(s.Username, "\r\n"), strings.TrimRight(s.Password, "\r\n")
	if strings.ContainsAny(s.Username+s.Password, "\r\n\x00") { // git's credential protocol is line-based
		return Secret{}, &refusal{
			what: fmt.Sprintf("secret %s: username or password contains a line break", arn),
			hint: "store it without one",
		}
	}
	return s, nil
}

func secretText(ctx context.Context, api secretsAPI, arn string) (string, error) {
	out, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", fmt.Errorf("read secret %s: %w", arn, err)
	}
	if out.SecretString == nil {
		return string(out.SecretBinary), nil
	}
	return aws.ToString(out.SecretString), nil
}

func (s Secret) all() []string { return []string{s.Token, s.Password, s.ClientKey, s.PrivateKey} }

// These environment variables pass the credentials to the credential helper.
const (
	HostVariable     = "DRAWBRIDGE_GIT_HOST"
	UsernameVariable = "DRAWBRIDGE_GIT_USERNAME"
	PasswordVariable = "DRAWBRIDGE_GIT_PASSWORD"
)

// remotes turns addresses into remotes.
type remotes struct {
	secrets secretsAPI
	// endpoint replaces CodeCommit's own host, "" for none.
	endpoint, region string
	// program is the path of the mirror, which is also git's credential helper.
	program string
	redact  *redactor
	// home is the folder for files with credentials.
	home string
}

// open returns the remote of an address, with the credentials of a secret.
func (r *remotes) open(ctx context.Context, address, arn, name string) (*remote, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("read the address of the %s", name)
	}
	if _, err := codecommit.Region(u.Host); err == nil {
		return r.codecommit(address), nil
	}
	out := &remote{url: address, scheme: u.Scheme}
	if arn == "" {
		return out, nil
	}
	s, err := ReadSecret(ctx, r.secrets, arn)
	if err != nil {
		return nil, err
	}
	r.redact.add(s.all()...)
	if s.Password != "" { // as a request carries them
		r.redact.add(base64.StdEncoding.EncodeToString([]byte(s.Username + ":" + s.Password)))
	}
	if u.Scheme == "ssh" {
		return out, r.ssh(out, s, arn, name)
	}
	files := map[string]string{"http.sslCAInfo": s.CA, "http.sslCert": s.ClientCertificate, "http.sslKey": s.ClientKey}
	for _, setting := range slices.Sorted(maps.Keys(files)) {
		if files[setting] == "" {
			continue
		}
		path, err := r.file(name+"-"+setting, files[setting])
		if err != nil {
			return nil, err
		}
		out.config = append(out.config, [2]string{setting, path})
	}
	if s.Password != "" {
		out.config = append(out.config, r.helper("static"))
		out.env = []string{
			HostVariable + "=" + u.Host, UsernameVariable + "=" + s.Username, PasswordVariable + "=" + s.Password,
		}
	}
	return out, nil
}

// codecommit returns the remote of an address in CodeCommit; the helper derives
// its passwords from the credentials of the task.
func (r *remotes) codecommit(address string) *remote {
	u, err := url.Parse(address)
	out := &remote{url: address, config: [][2]string{r.helper("codecommit")}}
	if err == nil {
		out.scheme = u.Scheme
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "ECS_") {
			out.env = append(out.env, v)
		}
	}
	out.env = append(out.env, "AWS_REGION="+r.region)
	return out
}

func (r *remotes) helper(kind string) [2]string {
	return [2]string{"credential.helper", "!'" + strings.ReplaceAll(r.program, "'", `'\''`) + "' credential " + kind}
}

func (r *remotes) ssh(out *remote, s Secret, arn, name string) error {
	if s.PrivateKey == "" || s.KnownHosts == "" {
		return &refusal{
			what: fmt.Sprintf("secret %s: privateKey or knownHosts is missing", arn),
			hint: "store both; ssh-keyscan HOST prints the lines for knownHosts; verify them with the " +
				"server's administrator",
		}
	}
	key, err := r.file(name+"-key", strings.TrimSpace(s.PrivateKey)+"\n")
	if err != nil {
		return err
	}
	hosts, err := r.file(name+"-hosts", strings.TrimSpace(s.KnownHosts)+"\n")
	if err != nil {
		return err
	}
	out.env = []string{"GIT_SSH_COMMAND=ssh -F none -i '" + key +
		"' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile='" + hosts +
		"' -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o ConnectTimeout=20 -o ServerAliveInterval=15 -o " +
		"ServerAliveCountMax=4"}
	return nil
}

func (r *remotes) file(name, text string) (string, error) {
	path := filepath.Join(r.home, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// bundleRemote is a bundle in a file.
func bundleRemote(path string) *remote { return &remote{url: path, scheme: "file"} }

// target returns the remote of a repository's target.
func (r *remotes) target(ctx context.Context, t section.Target) (*remote, error) {
	if t.CodeCommit != "" {
		return r.codecommit(codecommit.URL(r.endpoint, r.region, t.CodeCommit)), nil
	}
	return r.open(ctx, t.URL, t.Secret, "target")
}
