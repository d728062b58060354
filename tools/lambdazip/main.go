// Command lambdazip packs a bootstrap binary for Lambda: the same binary gives
// the same bytes, whenever and wherever it is packed.
package main

import (
	"fmt"
	"os"

	"drawbridge/internal/functions"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lambdazip OUT.zip BOOTSTRAP")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "lambdazip:", err)
		os.Exit(1)
	}
}

func pack(out, bootstrap string) error {
	b, err := os.ReadFile(bootstrap)
	if err != nil {
		return err
	}
	zipped, err := functions.Zip(b, nil)
	if err != nil {
		return err
	}
	return os.WriteFile(out, zipped, 0o644)
}
