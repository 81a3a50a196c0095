// What Gatehouse is measured against, and what measures it: one program, one subcommand each. All end when standard input
// closes or on SIGTERM; those that serve print "listening" once they listen.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: bench-peers load | upstream | authz | xds")
	}
	var err error
	switch name, args := args[0], args[1:]; name {
	case "load":
		err = runLoad(os.Stdin, os.Stdout)
	case "upstream":
		err = runUpstream(args)
	case "authz":
		err = runAuthz(args)
	case "xds":
		err = runXds(args)
	default:
		err = fmt.Errorf("no such subcommand: %s", name)
	}
	return err
}

// The address is `unix:/path` or `host:port`.
func listenOn(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", address)
}

// Envoy sends a PING every few seconds to notice a server that hangs; grpc-go would close the connection over that.
func pingsAllowed() grpc.ServerOption {
	return grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true})
}

// Serves until the program should end, and then ends every call and connection at once.
func serve(server *grpc.Server, address string) error {
	listener, err := listenOn(address)
	if err != nil {
		return err
	}
	go func() {
		untilTold()
		server.Stop()
	}()
	fmt.Println("listening")
	return server.Serve(listener)
}

// Returns when the program should end: SIGTERM, SIGINT, or the end of standard input. What comes there is dropped.
func untilTold() {
	told := make(chan os.Signal, 2)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		told <- syscall.SIGTERM
	}()
	<-told
}
