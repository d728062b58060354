// Command drawbridge schedules AWS interface VPC endpoints: they are up while
// private Fargate jobs need them and gone before the next hour is paid for.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if serveFunction() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
