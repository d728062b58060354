package main

import (
	"bytes"
	"context"
	"fmt"

	"drawbridge/internal/ui"
)

type uiCmd struct {
	connectFlags
	Port int `help:"Port to listen on; 0 takes one that is free." default:"0"`
}

// Help is the longer text of --help; kong calls it.
func (uiCmd) Help() string {
	return "Serves on this machine alone. The address that it prints holds a token: whoever has it can do what you can. " +
		"Everything that the page shows or does is a verb, under your own credentials."
}

// Run serves the page until it is interrupted.
func (c *uiCmd) Run(ctx context.Context, s streams) error {
	if _, _, err := openInstalled(ctx, s, c.open); err != nil {
		return err
	}
	server, err := ui.New(ctx, func(ctx context.Context, args ...string) (int, string, string) {
		var out, problems bytes.Buffer
		code := run(ctx, append(args, c.args()...), &out, &problems)
		return code, out.String(), problems.String()
	}, c.Port)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, server.Address())
	return server.Serve(ctx)
}
