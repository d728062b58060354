// Package doctor checks everything that an installation and its jobs need in an
// account. Each finding states the fact, why it matters and the remedy.
package doctor

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/install"
	"drawbridge/internal/seam"
)

// Doctor checks one configuration in one account and Region.
type Doctor struct {
	config     *config.Installation
	place      app.Place
	installer  *install.Installer
	ec2        *ec2.Client
	ecs        *ecs.Client
	tasks      *ecstasks.Tasks
	aws        aws.Config
	ecr        *ecr.Client
	iam        *iam.Client
	logs       *cloudwatchlogs.Client
	quotas     *servicequotas.Client
	vault      *secretsmanager.Client
	parameters *ssm.Client

	findings finding.List
}

// New returns a Doctor. It only reads.
func New(c aws.Config, cfg *config.Installation, i *install.Installer) *Doctor {
	return &Doctor{
		aws: c, config: cfg, place: i.Place, installer: i, ec2: i.Clients.EC2, ecs: i.Clients.ECS,
		tasks: ecstasks.New(i.Clients.ECS, cfg),
		ecr:   ecr.NewFromConfig(c), iam: iam.NewFromConfig(c), logs: cloudwatchlogs.NewFromConfig(c),
		quotas: servicequotas.NewFromConfig(c), vault: secretsmanager.NewFromConfig(c),
		parameters: ssm.NewFromConfig(c),
	}
}

// Look makes every check and returns the findings in a fixed order. A check that
// could not be made is also a finding; only the error of ctx is returned.
func (d *Doctor) Look(ctx context.Context) ([]finding.Finding, error) {
	d.findings = nil
	d.installation(ctx)
	d.caller(ctx)
	d.serviceLinkedRole(ctx)
	for _, name := range slices.Sorted(maps.Keys(d.config.Sets)) {
		d.set(ctx, name)
		d.idle(ctx, name)
		d.stack(ctx, name)
	}
	d.strangers(ctx)
	clusters := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.config.Jobs)) {
		if c := d.config.Jobs[name].Cluster; !clusters[c] {
			clusters[c] = true
			d.cluster(ctx, c)
		}
		d.job(ctx, name)
	}
	for _, p := range install.Products(d.config) {
		p.Check(ctx, seam.Look{List: &d.findings, AWS: d.aws, S3: d.installer.S3, Account: d.place.Account})
	}
	return finding.Once(d.findings), ctx.Err()
}
