package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"drawbridge/internal/clock"
	"drawbridge/internal/hint"
	"drawbridge/internal/mirror/image"
	"drawbridge/internal/mirror/section"
)

type mirrorCmd struct {
	PushImage pushImageCmd `cmd:"" name:"push-image" help:"Push a release's image of the mirror to the account's ECR. Needs no Docker."`
}

type pushImageCmd struct {
	connectFlags
	dryRunFlag
	File string `arg:"" help:"The image, for all its architectures: drawbridge-mirror_VERSION.oci.tar of a release." type:"existingfile"`
	Tag  string `help:"Tag in the repository. Default: the image's version." placeholder:"TAG"`
}

// Help tells what comes next.
func (pushImageCmd) Help() string {
	return "The repository is the one that deploy makes for an installation with a mirror. The next deploy takes the image " +
		"that was pushed last, by its digest, unless mirror.image names one. Pushing the same image again changes nothing."
}

// Run pushes the image.
func (c *pushImageCmd) Run(ctx context.Context, s streams) error {
	of, err := image.Open(c.File)
	if err != nil {
		return err
	}
	defer of.Close()
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	tag := cmp.Or(c.Tag, of.Tag)
	if tag == "" {
		return hint.With(errors.New("the image names no version of its own"), "give its tag by --tag")
	}
	if m := ss.config.Mirror; m != nil && !of.Has(m.Architecture) {
		return hint.With(fmt.Errorf("%s holds no image for %s, which mirror.architecture asks for", c.File, m.Architecture),
			"give an image of both architectures, or change mirror.architecture")
	}
	to := image.Target{Repository: section.ImageRepository(ss.config.Name), Tag: tag, DryRun: c.DryRun}
	if endpoint := aws.ToString(ss.aws.BaseEndpoint); clock.Loopback(endpoint) { // a sandbox serves its registry there too
		to.Endpoint = endpoint
	}
	pushed, err := of.Push(ctx, ss.install.ECR, to, transport(ss.aws))
	if err != nil {
		return err
	}
	said := "Pushed %s to repository %s with the tag %s. The next deploy takes the image that was pushed last."
	switch {
	case !pushed:
		said = "%s is in repository %s already, with the tag %s."
	case c.DryRun:
		said = "Would push %s to repository %s with the tag %s."
	}
	ss.say(fmt.Sprintf(said, of.Digest, to.Repository, tag))
	return nil
}

// transport is the SDK's, with its proxies and authorities, for what the SDK does not call itself.
func transport(c aws.Config) http.RoundTripper {
	out := awshttp.NewBuildableClient().GetTransport()
	if given, ok := c.HTTPClient.(*awshttp.BuildableClient); ok {
		out = given.GetTransport()
	}
	out.ResponseHeaderTimeout = time.Minute
	return out
}
