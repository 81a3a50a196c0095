package main

import (
	"errors"
	"io"
	"runtime"
	"runtime/debug"

	"google.golang.org/grpc"
)

const maxUpstreamMessage = 256 << 20

// Stands where a Spark driver would: reads any call to its end and answers one empty message at once. A real driver takes
// milliseconds per call, which would hide what the gateway adds. All arguments but --listen are ignored: a driver's
// record may ask for more on its command line.
func runUpstream(args []string) error {
	address := ""
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg == "--listen" {
			address = args[i+1]
		}
	}
	if address == "" {
		return errors.New("upstream: --listen HOST:PORT is missing")
	}
	// It is not what is measured: as few pauses as may be.
	debug.SetGCPercent(800)
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.UnknownServiceHandler(answerEmpty),
		grpc.MaxRecvMsgSize(maxUpstreamMessage),
		grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))),
		grpc.StaticStreamWindowSize(1<<20),
		grpc.StaticConnWindowSize(4<<20),
		pingsAllowed(),
	)
	return serve(server, address)
}

var emptyMessage = rawMessage([]byte{})

func answerEmpty(_ any, stream grpc.ServerStream) error {
	for {
		switch err := stream.RecvMsg(nil); {
		case err == io.EOF:
			return stream.SendMsg(emptyMessage)
		case err != nil:
			return err
		}
	}
}
