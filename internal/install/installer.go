package install

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/clock"
)

// Installer makes, changes and removes installations in one account and Region.
type Installer struct {
	Place   app.Place
	Clients app.Clients
	S3      *s3.Client
	Clock   clock.Clock
}

// New returns an Installer.
func New(c aws.Config, at app.Place, clients app.Clients, ck clock.Clock) *Installer {
	return &Installer{Place: at, Clients: clients, Clock: ck, S3: s3.NewFromConfig(c, func(o *s3.Options) {
		o.UsePathStyle = c.BaseEndpoint != nil // another endpoint than AWS's own has no host a bucket
	})}
}

// Bucket returns the name of an installation's bucket.
func (i *Installer) Bucket(owner string) string {
	return cfn.Bucket(owner, i.Place.Account, i.Place.Region)
}
