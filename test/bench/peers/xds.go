package main

import (
	"errors"

	_ "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	_ "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	_ "github.com/envoyproxy/go-control-plane/pkg/server/v3"
)

// Not written yet.
func runXds(args []string) error {
	return errors.New("xds: not written yet")
}
