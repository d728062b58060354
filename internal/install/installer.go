package install

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/clock"
)

// Installer makes, changes and removes installations in one account and Region.
type Installer struct {
	Place   app.Place
	Clients app.Clients
	S3      *s3.Client
	IAM     *iam.Client
	ECR     *ecr.Client
	Clock   clock.Clock
	// RolesFrom is the stack that holds the roles of the installation; empty for the one that was used before, if any.
	RolesFrom string
}

// New returns an Installer.
func New(c aws.Config, at app.Place, clients app.Clients, ck clock.Clock) *Installer {
	return &Installer{Place: at, Clients: clients, Clock: ck, IAM: iam.NewFromConfig(c), ECR: ecr.NewFromConfig(c),
		S3: s3.NewFromConfig(c, func(o *s3.Options) {
			o.UsePathStyle = c.BaseEndpoint != nil // another endpoint than AWS's own has no host a bucket
		})}
}

// ECSRole is the service-linked role that ECS works with.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
const ECSRole = "AWSServiceRoleForECS"

// roleSettles is how long after its creation a role may not be assumable yet.
const roleSettles = 10 * time.Second

// serviceLinkedRole makes the role that ECS works with in an account that never used
// ECS: the first cluster, or the first task, would be refused there. Whoever may not look
// for it goes on without: most accounts have it.
func (i *Installer) serviceLinkedRole(ctx context.Context) error {
	_, err := i.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(ECSRole)})
	if awserr.Code(err) != "NoSuchEntity" {
		return nil
	}
	_, err = i.IAM.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{
		AWSServiceName: aws.String("ecs.amazonaws.com"),
	})
	if err != nil && awserr.Code(err) != "InvalidInput" { // which says that it is there by now
		return awserr.Mark(err, "create service-linked role %s", ECSRole)
	}
	return i.Clock.Sleep(ctx, roleSettles)
}

// Bucket returns the name of an installation's bucket.
func (i *Installer) Bucket(owner string) string {
	return cfn.Bucket(owner, i.Place.Account, i.Place.Region)
}
