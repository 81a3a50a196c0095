// What Gatehouse is measured against, and what measures it: one program, one subcommand each. All end when standard input
// closes or on SIGTERM; those that serve print "listening" once they do.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	_ "github.com/golang-jwt/jwt/v5"
	_ "github.com/hashicorp/golang-lru/v2"
	_ "google.golang.org/genproto/googleapis/rpc/status"
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: bench-peers load | upstream | authz | xds"))
	}
	args := os.Args[2:]
	var err error
	switch os.Args[1] {
	case "xds":
		err = runXds(args)
	default:
		err = fmt.Errorf("no such subcommand: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench-peers:", err)
	os.Exit(1)
}

// Returns when the program should end: SIGTERM or SIGINT, or standard input at its end. What is read there is dropped.
func untilTold() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		told <- syscall.SIGTERM
	}()
	<-told
}
