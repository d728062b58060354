// Package cloudfront simulates CloudFront's invalidations.
package cloudfront

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated CloudFront.
type Service struct {
	*kernel.Kernel
	// distributions are the ids of distributions.
	distributions map[string]bool
	invalidations []*invalidation
}

type invalidation struct {
	id, distribution string
	created          time.Time
	batch            batchXML
}

type batchXML struct {
	Paths struct {
		Quantity int      `xml:"Quantity"`
		Items    []string `xml:"Items>Path"`
	} `xml:"Paths"`
	Reference string `xml:"CallerReference"`
}

// takes is how long an invalidation takes.
const takes = 90 * time.Second

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k, distributions: map[string]bool{}}
	k.Register(&kernel.API{
		Name: "cloudfront", Route: action, Asks: s.questions, Protocol: kernel.RESTXML,
		XMLNS: "http://cloudfront.amazonaws.com/doc/2020-05-31/",
		Ops:   map[string]kernel.Operation{"CreateInvalidation": s.create, "GetInvalidation": s.get},
	})
	return s
}

// AddDistribution adds a distribution.
func (s *Service) AddDistribution(id string) { s.distributions[id] = true }

func action(r *http.Request, parts []string) string {
	if len(parts) < 4 || parts[1] != "distribution" || parts[3] != "invalidation" {
		return ""
	}
	switch {
	case len(parts) == 4 && r.Method == http.MethodPost:
		return "CreateInvalidation"
	case len(parts) == 5 && r.Method == http.MethodGet:
		return "GetInvalidation"
	}
	return ""
}

func distributionOf(c *kernel.Call) string {
	return strings.Split(strings.Trim(c.Request.URL.Path, "/"), "/")[2]
}

func (s *Service) questions(c *kernel.Call) []kernel.Question {
	return []kernel.Question{kernel.May(c.Permission(), s.GlobalARN("cloudfront", "distribution/"+distributionOf(c)))}
}

func (s *Service) create(c *kernel.Call) (any, error) {
	id := distributionOf(c)
	if !s.distributions[id] {
		return nil, kernel.Errorf("NoSuchDistribution",
			"The specified distribution does not exist.").WithStatus(http.StatusNotFound)
	}
	var batch batchXML
	if err := xml.Unmarshal(c.Body, &batch); err != nil || len(batch.Paths.Items) == 0 {
		return nil, kernel.Errorf("InvalidArgument", "Your request contains empty/invalid/out of limits value.")
	}
	for _, i := range s.invalidations {
		if i.distribution != id || i.batch.Reference != batch.Reference {
			continue
		}
		if !slices.Equal(i.batch.Paths.Items, batch.Paths.Items) {
			return nil, kernel.Errorf("InvalidationBatchAlreadyExists",
				"The caller reference that you are using to create an invalidation batch is associated "+
					"with another batch.")
		}
		return s.reply(i, http.StatusCreated)
	}
	i := &invalidation{"I" + strings.ToUpper(s.NewID("invalidation", 13)), id, s.Clock.Now(), batch}
	s.invalidations = append(s.invalidations, i)
	return s.reply(i, http.StatusCreated)
}

func (s *Service) get(c *kernel.Call) (any, error) {
	parts := strings.Split(strings.Trim(c.Request.URL.Path, "/"), "/")
	i := kernel.Find(s.invalidations, func(i *invalidation) bool {
		return i.distribution == parts[2] && i.id == parts[4]
	})
	if i == nil {
		return nil, kernel.Errorf("NoSuchInvalidation",
			"The specified invalidation does not exist.").WithStatus(http.StatusNotFound)
	}
	return s.reply(i, http.StatusOK)
}

func (s *Service) reply(i *invalidation, status int) (any, error) {
	state := "InProgress"
	if s.Clock.Now().Sub(i.created) >= takes {
		state = "Completed"
	}
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ Invalidation"`
		ID      string   `xml:"Id"`
		Status  string   `xml:"Status"`
		Created string   `xml:"CreateTime"`
		Batch   batchXML `xml:"InvalidationBatch"`
	}{ID: i.id, Status: state, Created: i.created.UTC().Format(time.RFC3339), Batch: i.batch})
	if err != nil {
		return nil, err
	}
	return &kernel.RawReply{
		Status: status, Header: map[string]string{"Content-Type": "text/xml"},
		Body: append([]byte(xml.Header), body...),
	}, nil
}
