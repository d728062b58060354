package selftest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Recorder records the shape of AWS's answers: their members and error codes, not
// their values.
type Recorder struct {
	mu     sync.Mutex
	shapes map[string]map[string]bool
	errors map[string]map[string]bool
	texts  []string // of errors
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{shapes: map[string]map[string]bool{}, errors: map[string]map[string]bool{}}
}

// Watch returns a configuration whose clients' calls the Recorder sees.
func (r *Recorder) Watch(c aws.Config) aws.Config {
	c.APIOptions = append(slices.Clone(c.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Record",
			func(ctx context.Context, in middleware.InitializeInput,
				next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				out, metadata, err := next.HandleInitialize(ctx, in)
				r.record(awsmiddleware.GetServiceID(ctx)+" "+awsmiddleware.GetOperationName(ctx), out.Result, err)
				return out, metadata, err
			}), middleware.Before)
	})
	return c
}

func (r *Recorder) record(op string, result any, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var api smithy.APIError
	if errors.As(err, &api) {
		if r.errors[op] == nil {
			r.errors[op] = map[string]bool{}
		}
		r.errors[op][api.ErrorCode()] = true
		r.texts = append(r.texts, api.ErrorMessage())
		return
	}
	if err != nil {
		return
	}
	if r.shapes[op] == nil {
		r.shapes[op] = map[string]bool{}
	}
	members(reflect.ValueOf(result), "", r.shapes[op], 0)
}

// deepest is the depth to which the members of an answer are recorded.
const deepest = 4

// members adds the names of the present members to a set.
func members(v reflect.Value, path string, into map[string]bool, depth int) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			members(v.Index(i), path, into, depth)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() || depth == deepest {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Name == "ResultMetadata" || v.Field(i).IsZero() {
				continue
			}
			name := f.Name
			if path != "" {
				name = path + "." + f.Name
			}
			into[name] = true
			members(v.Field(i), name, into, depth+1)
		}
	}
}

// evidence returns what was recorded.
func (r *Recorder) evidence() (shapes, errors map[string][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lists := func(m map[string]map[string]bool) map[string][]string {
		out := map[string][]string{}
		for op, set := range m {
			for name := range set {
				out[op] = append(out[op], name)
			}
			slices.Sort(out[op])
		}
		return out
	}
	return lists(r.shapes), lists(r.errors)
}

// refusals returns the texts of the errors that came.
func (r *Recorder) refusals() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}
