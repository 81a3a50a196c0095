package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/net/http2"
)

// Stands where a Spark driver would: reads any call to its end and answers one empty message at once. A real driver takes
// milliseconds per call, which would hide what the gateway adds. It shares the machine with what is measured, so it does
// with HTTP/2 no more than that takes: grpc-go's server takes five times as long. All arguments but --listen are ignored: a
// driver's record may ask for more on its command line.
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
	listener, err := listenOn(address)
	if err != nil {
		return err
	}
	go acceptAll(listener)
	fmt.Println("listening")
	untilTold()
	return nil
}

func acceptAll(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench-peers: upstream:", err)
			os.Exit(1)
		}
		go func() {
			defer connection.Close()
			if err := answerAll(connection); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				fmt.Fprintln(os.Stderr, "bench-peers: upstream:", err)
			}
		}()
	}
}

const (
	streamWindow     = 1 << 20
	connectionWindow = 16 << 20
	ioBuffer         = 64 << 10
)

// Answers one client's calls until it hangs up.
func answerAll(connection net.Conn) error {
	in, out := bufio.NewReaderSize(connection, ioBuffer), bufio.NewWriterSize(connection, ioBuffer)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(in, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errors.New("a client that does not speak HTTP/2")
	}
	framer := http2.NewFramer(out, in)
	framer.SetReuseFrames()
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow}); err != nil {
		return err
	}
	one := answering{framer: framer, out: out, answer: newAnswer(), owed: connectionWindow - 65_535}
	for {
		// What is written goes out when there is nothing left to be read.
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := one.take(frame); err != nil {
			return err
		}
	}
}

type answering struct {
	framer *http2.Framer
	out    *bufio.Writer
	answer answer
	// What the connection's window is to grow by.
	owed uint32
}

// Names and values of headers are not looked at, so nothing of them has to be decoded.
func (a *answering) take(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		if frame.StreamEnded() {
			return a.end(frame.StreamID)
		}
	case *http2.DataFrame:
		return a.data(frame)
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return a.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return a.framer.WritePing(true, frame.Data)
		}
	}
	return nil
}

func (a *answering) data(frame *http2.DataFrame) error {
	a.owed += frame.Length
	if a.owed > connectionWindow/4 {
		if err := a.framer.WriteWindowUpdate(0, a.owed); err != nil {
			return err
		}
		a.owed = 0
	}
	if frame.StreamEnded() {
		return a.end(frame.StreamID)
	}
	if frame.Length == 0 {
		return nil
	}
	return a.framer.WriteWindowUpdate(frame.StreamID, frame.Length)
}

func (a *answering) end(stream uint32) error {
	_, err := a.out.Write(a.answer.to(stream))
	return err
}

// The three frames of an answer. The client's windows are not counted: five bytes of data come with each call of its own,
// and Envoy gives back what it has read.
type answer struct {
	frames []byte
	starts [3]int
}

func newAnswer() answer {
	const status200 = 0x88
	var made answer
	head := append([]byte{status200}, literal("content-type", "application/grpc")...)
	for i, part := range []struct {
		kind    http2.FrameType
		flags   http2.Flags
		content []byte
	}{
		{http2.FrameHeaders, http2.FlagHeadersEndHeaders, head},
		{http2.FrameData, 0, make([]byte, 5)},
		{http2.FrameHeaders, http2.FlagHeadersEndHeaders | http2.FlagHeadersEndStream, literal("grpc-status", "0")},
	} {
		made.starts[i] = len(made.frames)
		made.frames = append(made.frames, 0, 0, byte(len(part.content)), byte(part.kind), byte(part.flags), 0, 0, 0, 0)
		made.frames = append(made.frames, part.content...)
	}
	return made
}

// The same bytes each time, with that stream's number in them.
func (a answer) to(stream uint32) []byte {
	for _, start := range a.starts {
		binary.BigEndian.PutUint32(a.frames[start+5:], stream)
	}
	return a.frames
}

// A header as HPACK has it without a table: both texts shorter than 127 bytes.
func literal(name, value string) []byte {
	made := append([]byte{0, byte(len(name))}, name...)
	return append(append(made, byte(len(value))), value...)
}
