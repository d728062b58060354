package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"

	"drawbridge/internal/config"
	"drawbridge/internal/config/field"
	"drawbridge/internal/operate"
)

// completing is how long a shell waits at most for names that only AWS knows.
const completing = 3 * time.Second

// completions are the predictors of names, which the tags of arguments and flags refer to. What
// cannot be read is not completed, without a word.
func completions() kongcompletion.Option {
	return kongcompletion.WithPredictors(map[string]complete.Predictor{
		"set": complete.PredictFunc(func(a complete.Args) []string {
			c := configured(a)
			if c == nil {
				return nil
			}
			return keys(c.Members())
		}),
		"job": complete.PredictFunc(jobNames),
		"run": complete.PredictFunc(func(a complete.Args) []string { return append(jobNames(a), newestRuns(a)...) }),
	})
}

func jobNames(a complete.Args) []string {
	c := configured(a)
	if c == nil {
		return nil
	}
	return keys(c.Jobs)
}

// given returns the value of a flag on the line that is completed.
func given(a complete.Args, flag string) string {
	for i, word := range a.All {
		if value, ok := strings.CutPrefix(word, flag+"="); ok {
			return value
		}
		if word == flag && i+1 < len(a.All) {
			return a.All[i+1]
		}
	}
	return ""
}

func configPath(a complete.Args) string {
	return cmp.Or(given(a, "--config"), os.Getenv("DRAWBRIDGE_CONFIG"), "drawbridge.yaml")
}

func configured(a complete.Args) *config.Installation {
	path := configPath(a)
	text, err := config.Read(path)
	if err != nil {
		return nil
	}
	file, err := config.Parse(path, text)
	if err != nil {
		return nil
	}
	return config.Resolve(file, config.Facts{})
}

// newestRuns asks the installation for its newest runs.
func newestRuns(a complete.Args) (out []string) {
	ctx, stop := context.WithTimeout(context.Background(), completing)
	defer stop()
	f := connectFlags{
		configFlag: configFlag{configPath(a)}, Profile: cmp.Or(given(a, "--profile"), os.Getenv("AWS_PROFILE")),
		Region:      cmp.Or(given(a, "--region"), os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
		EndpointURL: cmp.Or(given(a, "--endpoint-url"), os.Getenv("AWS_ENDPOINT_URL")), LogLevel: "error",
		AssumeRoleARN: cmp.Or(given(a, "--assume-role-arn"), os.Getenv("DRAWBRIDGE_ASSUME_ROLE_ARN")),
	}
	_, installed, err := openInstalled(ctx, streams{strings.NewReader(""), io.Discard, io.Discard}, f.open)
	if err != nil {
		return nil
	}
	sets, err := chosen(installed, "")
	if err != nil {
		return nil
	}
	runs, err := operate.Runs(ctx, installed, operate.RunFilter{Sets: sets})
	if err != nil {
		return nil
	}
	for _, r := range runs[:min(len(runs), 50)] {
		out = append(out, string(r.ID))
	}
	return slices.Clip(out)
}

// durations has the flags that are durations take days, as the configuration does.
func durations() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](),
		kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
			var text string
			if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
				return err
			}
			d, err := field.ParseDuration(text)
			if err != nil {
				return err
			}
			target.SetInt(int64(d))
			return nil
		}))
}
