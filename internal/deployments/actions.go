package deployments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler/reconcile"
)

// invalidate has CloudFront drop what it has of a distribution's paths, and waits for its
// end. The same reference always asks for the same invalidation.
func (k *Keeper) invalidate(ctx context.Context, reference string, c section.Invalidation,
	p Progress) (Progress, error) {
	var err error
	id, status := p.ID, ""
	if id == "" {
		paths := &cftypes.Paths{Quantity: aws.Int32(int32(len(c.Paths))), Items: c.Paths}
		out, failed := k.clients.CloudFront.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{
			DistributionId: &c.Distribution, InvalidationBatch: &cftypes.InvalidationBatch{
				CallerReference: &reference, Paths: paths,
			},
		})
		if err = failed; err == nil {
			id, status = aws.ToString(out.Invalidation.Id), aws.ToString(out.Invalidation.Status)
		}
	} else {
		out, failed := k.clients.CloudFront.GetInvalidation(ctx, &cloudfront.GetInvalidationInput{
			DistributionId: &c.Distribution, Id: &id,
		})
		if err = failed; err == nil {
			status = aws.ToString(out.Invalidation.Status)
		}
	}
	switch err = awserr.Mark(err, "invalidate distribution %s", c.Distribution); {
	case err == nil:
		return Progress{ID: id, Done: status == "Completed"}, nil
	case errors.Is(err, reconcile.ErrTemporary) || awserr.Code(err) == "TooManyInvalidationsInProgress":
		return Progress{}, err
	case c.MayFail:
		return Progress{Done: true}, nil
	}
	return Progress{Done: true, Problem: err.Error()}, nil
}

// reportTakes is how long an address outside may take to answer.
const reportTakes = 10 * time.Second

// report tells an address outside of a deployment. Anything but 2xx is tried again by the
// next look, three times in all.
func (k *Keeper) report(ctx context.Context, r *Record, f Firing, url string) (Progress, error) {
	body, err := json.Marshal(map[string]string{
		"deployment": r.ID, "kind": string(r.Kind), "name": r.Name, "hook": f.Hook, "id": f.runEvent(r),
		"state": r.State,
	})
	if err != nil {
		return Progress{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, reportTakes)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return Progress{Done: true, Problem: "it cannot be called"}, nil
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := k.http.Do(req)
	if err != nil {
		return Progress{Asked: 1, Bad: 1, Problem: req.URL.Host + " does not answer"}, nil
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return Progress{Asked: 1, Bad: 1, Problem: fmt.Sprintf("%s answered %d", req.URL.Host, res.StatusCode)}, nil
	}
	return Progress{Asked: 1, Done: true}, nil
}
