package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"

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
		"that was pushed last, by its digest. Pushing the same image again changes nothing."
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
	to := image.Target{Repository: section.ImageRepository(ss.config.Name), Tag: tag}
	if endpoint := aws.ToString(ss.aws.BaseEndpoint); clock.Loopback(endpoint) { // a sandbox serves its registry there too
		to.Endpoint = endpoint
	}
	if c.DryRun {
		ss.say(fmt.Sprintf("Would push %s to repository %s with the tag %s.", of.Digest, to.Repository, tag))
		return nil
	}
	ss.say(fmt.Sprintf("Pushing to repository %s; some 70 MB, if nothing of it is there.", to.Repository))
	pushed, err := of.Push(ctx, ss.install.ECR, to, http.DefaultTransport)
	if err != nil {
		return err
	}
	said := "Pushed %s to repository %s with the tag %s. The next deploy takes it."
	if !pushed {
		said = "%s is in repository %s already, with the tag %s."
	}
	ss.say(fmt.Sprintf(said, of.Digest, to.Repository, tag))
	return nil
}
