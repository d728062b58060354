package webhook

import (
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/mirror"
	"drawbridge/internal/mirror/section"
)

// Of returns the Receiver of an installation, in a Lambda. It does not read the base stack.
func Of(s app.Start) *Receiver {
	conf := app.LambdaAWS()
	objects := s3.NewFromConfig(conf, func(o *s3.Options) {
		o.UsePathStyle, o.DisableLogOutputChecksumValidationSkipped = conf.BaseEndpoint != nil, true
	})
	c := config.Resolve(s.File, config.Facts{})
	bucket := section.Bucket(c.Name, s.Place.Account, s.Place.Region)
	m := c.Mirror
	if m == nil {
		m = &section.Mirror{} // a deployment removed the mirror; every report is of an unknown repository
	}
	return &Receiver{
		Installation: c.Name, Mirror: m, State: mirror.NewBucket(objects, bucket, section.StateFolder+"/"),
		Seen:    mirror.NewBucket(objects, bucket, section.SeenFolder+"/"),
		Secrets: secretsmanager.NewFromConfig(conf), Queue: sqs.NewFromConfig(conf),
		QueueURL: app.QueueURL(s.Place, cfn.NamesOf(c.Name, s.Place.Region).Events), Now: s.Clock.Now, Log: s.Log,
		Metrics: s.Metrics,
	}
}
