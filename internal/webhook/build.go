package webhook

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/mirror"
)

// Of returns the Receiver of an installation, in a Lambda.
func Of(a *app.App) *Receiver {
	conf := app.LambdaAWS()
	objects := s3.NewFromConfig(conf, func(o *s3.Options) {
		o.UsePathStyle, o.DisableLogOutputChecksumValidationSkipped = conf.BaseEndpoint != nil, true
	})
	bucket := cfn.MirrorBucket(a.Config.Name, a.Place.Account, a.Place.Region)
	m := a.Config.Mirror
	if m == nil {
		m = &config.Mirror{} // a deployment removed the mirror; every report is of an unknown repository
	}
	return &Receiver{
		Installation: a.Config.Name, Mirror: m, State: mirror.NewBucket(objects, bucket, cfn.MirrorStateFolder+"/"),
		Seen:    mirror.NewBucket(objects, bucket, cfn.MirrorSeenFolder+"/"),
		Secrets: secretsmanager.NewFromConfig(conf), Queue: sqs.NewFromConfig(conf),
		QueueURL: app.QueueURL(a.Place, a.Names.Events), Now: a.Clock.Now, Log: a.Log, Metrics: os.Stdout,
	}
}
