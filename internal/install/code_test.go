package install_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/functions"
	"drawbridge/internal/install"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/sandbox"
)

// runs returns the digest of what a function runs.
func runs(t *testing.T, i *install.Installer, function string) string {
	t.Helper()
	out, err := i.Clients.Lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.CodeSha256)
}

// roll plans and executes a deployment whose configuration reads text.
func roll(t *testing.T, i *install.Installer, c *config.File, text string) {
	t.Helper()
	code := maps.Clone(standIns)
	code["webhook"] = standIns["launcher"]
	p, err := i.Plan(t.Context(), c, []byte(text), code)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Execute(t.Context(), p, func(cfn.Event) {}); err != nil {
		t.Fatal(err)
	}
}

// first plans a deployment whose configuration reads first, and packs its launcher.
func first(t *testing.T, i *install.Installer, c *config.File) (p *install.Plan, launcher []byte) {
	t.Helper()
	launcher, err := functions.Zip(standIns["launcher"].Bootstrap, []byte("first"))
	if err == nil {
		p, err = i.Plan(t.Context(), c, []byte("first"), standIns)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, launcher
}

func sumOf(zipped []byte) string {
	sum := sha256.Sum256(zipped)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// poison is a zip that somebody else packed.
func poison(t *testing.T) []byte {
	t.Helper()
	zipped, err := functions.Zip([]byte("#!/bin/sh\nexit 1\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return zipped
}

// TestCodeThatLiesThereAlreadyIsNotRun: who may write to the bucket knows under which key
// the next code will be looked for.
func TestCodeThatLiesThereAlreadyIsNotRun(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
		roll(t, i, c, "first")
		clean := runs(t, i, "drawbridge-launcher")
		zipped, err := functions.Zip(standIns["launcher"].Bootstrap, []byte("second"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = i.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(i.Bucket("drawbridge")), Key: aws.String(functions.Key("launcher", zipped)), Body: bytes.NewReader(poison(t))})
		if err != nil {
			t.Fatal(err)
		}
		roll(t, i, c, "second")
		if got := runs(t, i, "drawbridge-launcher"); got == clean || got != sumOf(zipped) {
			t.Errorf("the launcher runs %s, want what was packed", got)
		}
	})
}

// replacing puts other code in the place of the launcher's as soon as it was uploaded.
type replacing struct {
	http.RoundTripper
	with []byte
}

func (r replacing) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodPut && strings.Contains(q.URL.Path, "/launcher/") {
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			return nil, err
		}
		q = q.Clone(q.Context())
		q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(r.with)), int64(len(r.with))
		q.Header.Del("X-Amz-Checksum-Crc32")
		q.Header.Del("X-Amz-Trailer")
		q.Header.Del("Content-Encoding")
		q.Header.Del("X-Amz-Decoded-Content-Length")
		q.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}
	return r.RoundTripper.RoundTrip(q)
}

// TestCodeThatIsReplacedIsFound: between the upload and CloudFormation's reading, and
// later on the function itself.
func TestCodeThatIsReplacedIsFound(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, sim *awssim.Sim, _ *install.Installer, c *config.File) {
		conf := sandbox.AWSConfig(sim, "http://aws.invalid", replacing{sim.RoundTripper(), poison(t)})
		i := install.New(conf, app.Place{Region: sim.Region(), Account: sim.Account()}, app.NewClients(conf), sandbox.Clock{Sim: sim})
		p, zipped := first(t, i, c)
		err := i.Execute(t.Context(), p, func(cfn.Event) {})
		if err == nil || !strings.Contains(err.Error(), "function drawbridge-launcher ran other code than was uploaded") || hintOf(err) == "" {
			t.Errorf("Execute = %v", err)
		}
		if got := runs(t, i, "drawbridge-launcher"); got != sumOf(zipped) {
			t.Errorf("the launcher runs %s afterwards, want %s", got, sumOf(zipped))
		}
		if _, err := i.Clients.Lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("drawbridge-reaper"), ZipFile: poison(t)}); err != nil {
			t.Fatal(err)
		}
		if p, err = i.Plan(t.Context(), c, []byte("first"), standIns); err != nil || len(p.Changes) > 0 {
			t.Fatalf("the same plan again: %v, %v", p.Changes, err)
		}
		if err := i.Confirm(t.Context(), p); err == nil || !strings.Contains(err.Error(), "function drawbridge-reaper ran other code") {
			t.Errorf("Confirm = %v", err)
		}
		if err := i.Confirm(t.Context(), p); err != nil {
			t.Errorf("Confirm once it was mended = %v", err)
		}
	})
}

// TestAnObjectThatIsReplacedDuringADeploymentIsFound: whatever the functions made of it.
func TestAnObjectThatIsReplacedDuringADeploymentIsFound(t *testing.T) {
	inAccount(t, hello(t), func(t *testing.T, _ *awssim.Sim, i *install.Installer, c *config.File) {
		p, zipped := first(t, i, c)
		put := false
		err := i.Execute(t.Context(), p, func(cfn.Event) {
			if !put {
				put = true
				if _, err := i.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(i.Bucket("drawbridge")), Key: aws.String(functions.Key("launcher", zipped)), Body: bytes.NewReader(poison(t))}); err != nil {
					t.Error(err)
				}
			}
		})
		if err == nil || !strings.Contains(err.Error(), "is not the object that was put there") || hintOf(err) == "" {
			t.Errorf("Execute = %v", err)
		}
	})
}

// TestTheMirrorRunsItsImageByDigest: as it was when it was deployed, whatever is pushed
// later.
func TestTheMirrorRunsItsImageByDigest(t *testing.T) {
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	inAccount(t, mirrorExample(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
		image := func() string {
			t.Helper()
			out, err := i.Clients.ECS.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("drawbridge-mirror")})
			if err != nil {
				t.Fatal(err)
			}
			return aws.ToString(out.TaskDefinition.ContainerDefinitions[0].Image)
		}
		roll(t, i, c, "first")
		first := image()
		if !strings.Contains(first, "/drawbridge-mirror@sha256:") {
			t.Errorf("the mirror's image is %s, want one by digest", first)
		}
		put := func(tag, body string) error {
			_, err := i.ECR.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String("drawbridge-mirror"), ImageTag: &tag, ImageManifest: &body})
			return err
		}
		const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`
		if err := put("latest", manifest); err == nil || !strings.Contains(err.Error(), "ImageTagAlreadyExistsException") {
			t.Errorf("another image under the same tag: %v", err)
		}
		if err := put("2", manifest); err != nil {
			t.Fatal(err)
		}
		if got := image(); got != first {
			t.Errorf("after a push, without a deployment, the image is %s", got)
		}
		roll(t, i, c, "second")
		if got := image(); got == first || !strings.Contains(got, "@sha256:") {
			t.Errorf("after the next deployment the image is %s", got)
		}
	})
}

// TestWhatAnAccountsConcurrencyLets: a new account has ten concurrent executions, of which
// none can be reserved. It is said before anything is made.
func TestWhatAnAccountsConcurrencyLets(t *testing.T) {
	inNewAccount(t, mirrorExample(t), func(t *testing.T, _ *awssim.Sim, i *install.Installer, c *config.File) {
		roll(t, i, c, "first") // the webhook reserves nothing by itself
	})
	for _, old := range []string{"sets:", "mirror:"} {
		more := map[string]string{"sets:": "reservedConcurrency: 2\nsets:", "mirror:": "mirror:\n  webhookConcurrency: 5"}[old]
		text := strings.Replace(mirrorExample(t), "\n"+old, "\n"+more, 1)
		inNewAccount(t, text, func(t *testing.T, _ *awssim.Sim, i *install.Installer, c *config.File) {
			if _, err := i.Plan(t.Context(), c, []byte("x"), standIns); err == nil || !strings.Contains(err.Error(), "have to stay unreserved") {
				t.Errorf("%s in a new account: %v", more, err)
			}
		})
	}
	// An installation that observes reserves nothing for a mirror that it does not run.
	text := "mode: observe\n" + strings.Replace(mirrorExample(t), "\nmirror:", "\nmirror:\n  webhookConcurrency: 5", 1)
	inNewAccount(t, text, func(t *testing.T, _ *awssim.Sim, i *install.Installer, c *config.File) {
		if _, err := i.Plan(t.Context(), c, []byte("x"), standIns); err != nil {
			t.Errorf("observing in a new account: %v", err)
		}
	})
}

// TestARemovalThatFailedGoesOn: what was put into the bucket meanwhile does not keep the
// next one from its end.
func TestARemovalThatFailedGoesOn(t *testing.T) {
	inAccount(t, mirrorExample(t), func(t *testing.T, sim *awssim.Sim, i *install.Installer, c *config.File) {
		roll(t, i, c, "first")
		bucket := section.Bucket("drawbridge", sim.Account(), sim.Region())
		var put error
		report := func(cfn.Event) { // a report of a push that comes while the stack is deleted
			_, put = i.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("seen/1"), Body: strings.NewReader("{}")})
		}
		if _, err := i.Remove(t.Context(), "drawbridge", report); put != nil || err == nil || !strings.Contains(err.Error(), "DELETE_FAILED") {
			t.Fatalf("Remove = %v, want DELETE_FAILED; the report: %v", err, put)
		}
		if found, err := i.Remove(t.Context(), "drawbridge", func(cfn.Event) {}); err != nil || !found {
			t.Errorf("the second removal: %v, %t", err, found)
		}
	})
}
