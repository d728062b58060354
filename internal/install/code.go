package install

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
)

// otherCodeError is a function that ran something else than was uploaded for it.
type otherCodeError struct {
	function, bucket string
	mended           error
}

func (e *otherCodeError) Error() string {
	out := fmt.Sprintf("function %s ran other code than was uploaded: somebody replaced it, or its object in bucket %s",
		e.function, e.bucket)
	if e.mended != nil {
		return out + "; it still does: " + e.mended.Error()
	}
	return out + "; now it runs what was uploaded"
}

func (e *otherCodeError) Unwrap() error { return e.mended }

// Hint returns the remedy.
func (e *otherCodeError) Hint() string {
	return "find out who did it (CloudTrail, PutObject and UpdateFunctionCode), take the right from them, look at " +
		"what the function's role was used for meanwhile, and deploy again"
}

// compareCode sees that each function runs what was packed for it, by the digest that
// Lambda made of it, and gives the right code to one that does not: under the key that it
// has CloudFormation would not read it again.
func (i *Installer) compareCode(ctx context.Context, p *Plan) error {
	var errs []error
	for _, function := range slices.Sorted(maps.Keys(p.code)) {
		out, err := i.Clients.Lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{
			FunctionName: &function,
		})
		if err != nil {
			errs = append(errs, awserr.Mark(err, "read what function %s runs", function))
			continue
		}
		sum := sha256.Sum256(p.code[function])
		if aws.ToString(out.CodeSha256) != base64.StdEncoding.EncodeToString(sum[:]) {
			_, err := i.Clients.Lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
				FunctionName: &function, ZipFile: p.code[function],
			})
			errs = append(errs, &otherCodeError{function, i.Bucket(p.Name), awserr.Mark(err, "update its code")})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.versions)) {
		now, err := i.version(ctx, p.Name, key)
		if err == nil && now != p.versions[key] {
			err = hint.New(fmt.Sprintf("%s in bucket %s is not the object that was put there: somebody replaced it "+
				"during "+
				"the deployment", key, i.Bucket(p.Name)),
				"find out who did it (CloudTrail, PutObject), take the right from them, and deploy again")
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
