package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"drawbridge/internal/awsconf"
	"drawbridge/internal/clock"
	"drawbridge/internal/codecommit"
	"drawbridge/internal/mirror"
)

type credentialCmd struct {
	CodeCommit codeCommitCredentialCmd `cmd:"" name:"codecommit" help:"For CodeCommit, from AWS credentials; set credential.UseHttpPath true."`
	Static     staticCredentialCmd     `cmd:"" help:"For one host, from DRAWBRIDGE_GIT_HOST, DRAWBRIDGE_GIT_USERNAME and DRAWBRIDGE_GIT_PASSWORD."`
	URL        urlCredentialCmd        `cmd:"" help:"Print a CodeCommit URL with its password."`
}

// question is git's request to a credential helper.
//
// Source: https://git-scm.com/docs/git-credential#IOFMT
type question map[string]string

func ask(in io.Reader) (question, error) {
	q := question{}
	lines := bufio.NewScanner(in)
	for lines.Scan() && lines.Text() != "" {
		key, value, _ := strings.Cut(lines.Text(), "=")
		q[key] = value
	}
	return q, lines.Err()
}

type codeCommitCredentialCmd struct {
	Operation string `arg:"" help:"get, store or erase; only get does something."`
}

// Run answers git. It leaves hosts other than CodeCommit's and that of
// AWS_ENDPOINT_URL to other helpers.
func (c *codeCommitCredentialCmd) Run(ctx context.Context, s streams) error {
	if c.Operation != "get" {
		return nil
	}
	q, err := ask(s.in)
	if err != nil {
		return err
	}
	region, err := codeCommitRegion(q["protocol"], q["host"])
	if err != nil {
		return nil //nolint:nilerr // another helper may know the host
	}
	if q["path"] == "" {
		return fmt.Errorf("git did not send the repository's path: set credential.UseHttpPath to true")
	}
	creds, err := awsCredentials(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "username=%s\npassword=%s\n", codecommit.Username(creds),
		codecommit.Password(creds, region, q["host"], "/"+strings.TrimPrefix(q["path"], "/"), time.Now()))
	return nil
}

// codeCommitRegion returns the Region of a host of CodeCommit, or of its
// simulation.
func codeCommitRegion(protocol, host string) (string, error) {
	region, err := codecommit.Region(host)
	if endpoint := codeCommitEndpoint(); err != nil && endpoint != "" && endpoint == protocol+"://"+host {
		return os.Getenv("AWS_REGION"), nil
	}
	if err == nil && protocol != "https" {
		return "", fmt.Errorf("invalid scheme of %s (CodeCommit supports only https)", host)
	}
	return region, err
}

// codeCommitEndpoint is the local simulation that replaces AWS's own endpoints, "" for
// none.
func codeCommitEndpoint() string {
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); clock.Loopback(endpoint) {
		return strings.TrimSuffix(endpoint, "/")
	}
	return ""
}

// loadAWS reads the AWS settings. It refuses an endpoint that would be called
// unencrypted over the network.
func loadAWS(ctx context.Context) (aws.Config, error) {
	conf, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return conf, fmt.Errorf("read AWS settings: %w", err)
	}
	awsconf.Encrypted(&conf)
	return conf, nil
}

func awsCredentials(ctx context.Context) (aws.Credentials, error) {
	conf, err := loadAWS(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	creds, err := conf.Credentials.Retrieve(ctx)
	if err != nil {
		return creds, fmt.Errorf("get AWS credentials: %w", err)
	}
	return creds, nil
}

type staticCredentialCmd struct {
	Operation string `arg:"" help:"get, store or erase; only get does something."`
}

// Run answers git for the one host that the credentials are for.
func (c *staticCredentialCmd) Run(s streams) error {
	if c.Operation != "get" {
		return nil
	}
	q, err := ask(s.in)
	if err != nil || q["host"] != os.Getenv(mirror.HostVariable) {
		return err // another host, for example after a redirect, gets no credentials
	}
	fmt.Fprintf(s.out, "username=%s\npassword=%s\n", os.Getenv(mirror.UsernameVariable),
		os.Getenv(mirror.PasswordVariable))
	return nil
}

type urlCredentialCmd struct {
	Repository string `arg:"" help:"Name of the repository."`
	Region     string `help:"Region." env:"AWS_REGION" required:""`
}

// Run prints the address.
func (c *urlCredentialCmd) Run(ctx context.Context, s streams) error {
	creds, err := awsCredentials(ctx)
	if err != nil {
		return err
	}
	out, err := codecommit.WithCredentials(codecommit.URL(codeCommitEndpoint(), c.Region, c.Repository), creds,
		c.Region, time.Now())
	if err == nil {
		fmt.Fprintln(s.out, out)
	}
	return err
}
