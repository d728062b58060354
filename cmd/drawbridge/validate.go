package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"drawbridge/internal/config"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
)

type validateCmd struct {
	configFlag
	Region string `help:"Region of the price. Default: the configuration's." env:"AWS_REGION" placeholder:"REGION"`
	Schema bool   `help:"Print the JSON Schema of the file instead, for editors."`
	outputFlag
}

// Help is the longer text of --help; kong calls it.
func (validateCmd) Help() string {
	return "Needs no credentials: what only AWS knows, drawbridge doctor checks."
}

// Run reads the configuration and says what it amounts to.
func (c *validateCmd) Run(s streams) error {
	if c.Schema {
		_, err := s.out.Write(config.Schema)
		return err
	}
	text, err := config.Read(c.Config)
	if err != nil {
		return err
	}
	file, err := config.Parse(c.Config, text)
	if err != nil {
		return err
	}
	region := cmp.Or(file.Region, c.Region)
	if region != "" {
		if _, err := pricesOf(nil, region); err != nil {
			return err
		}
	}
	v, err := view.NewValidated(config.Resolve(file, config.Facts{Region: region}), region, time.Now())
	if err != nil {
		return err
	}
	return output.Write(s.out, c.Output, v, func(w io.Writer) error {
		if err := v.Write(w, output.Style{Zone: time.Local}); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\n%s is valid. drawbridge doctor checks what only AWS knows.\n", c.Config)
		return err
	})
}
