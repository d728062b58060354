// Package seam is where products of their own join an installation: what one brings is in
// its wing, behind this interface, and the installation knows no more of it than this and
// its section of the configuration.
package seam

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drawbridge/cfn"
	"drawbridge/internal/doctor/finding"
	"drawbridge/scheduler"
)

// Product is a configured product.
type Product interface {
	// Job is the job that it runs as, whose task definition the base stack makes; empty
	// without one.
	Job() scheduler.JobName
	// Image is the image in ECR whose digest its task definition names; nil where there is
	// none to look for.
	Image() *Image
	// Reserves is how much of the account's concurrency the configuration reserves for its
	// functions.
	Reserves() int
	// Addition is what it adds to the base stack b, whose sets are known.
	Addition(b cfn.Base, known Known) (cfn.Addition, error)
	// Check checks what it needs in the account in addition to its job. It only reads.
	Check(ctx context.Context, look Look)
	// Next says in sentences what is left to do after a deployment, by the base stack's
	// outputs and the image's digest.
	Next(outputs map[string]string, digest string) []string
}

// Image is an image in ECR.
type Image struct {
	// Registry is the account of the registry; empty for the installation's.
	Registry, Repository string
	// Tag is empty for the image that was pushed last.
	Tag string
}

// Known holds the facts of the account that an Addition depends on.
type Known struct {
	// Concurrency is Lambda's quota of concurrent executions.
	Concurrency int
	// Digest is that of the image, as sha256:...; empty while there is none.
	Digest string
}

// Look holds what Check needs.
type Look struct {
	*finding.List
	AWS     aws.Config
	S3      *s3.Client
	Account string
}
