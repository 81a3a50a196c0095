package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

const connectLimit = 20 * time.Second

// Makes the calls of one load over its connections, in turn.
type caller struct {
	connections []*grpc.ClientConn
	method      string
	message     any
	// Messages of each call; 0 for a unary call of one.
	messages int64
}

// All connections stand when it returns.
func newCaller(plan loadPlan, body []byte) (*caller, error) {
	origin, err := url.Parse(plan.Origin)
	if err != nil {
		return nil, fmt.Errorf("the plan's origin: %w", err)
	}
	authority, err := os.ReadFile(plan.CaFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("no certificate in %s", plan.CaFile)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: origin.Hostname()})),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})),
		// A call that fails is to be seen, and a retry keeps a copy of what was sent.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
	made := &caller{method: plan.Method, message: rawMessage(body)}
	if plan.UploadBytes > 0 {
		if len(body) == 0 {
			return nil, errors.New("the plan: an upload needs a body")
		}
		made.messages = (plan.UploadBytes + int64(len(body)) - 1) / int64(len(body))
	}
	limit, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	for range plan.Connections {
		connection, err := grpc.NewClient("passthrough:///"+origin.Host, options...)
		if err != nil {
			return nil, err
		}
		made.connections = append(made.connections, connection)
		if err := ready(limit, connection); err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Origin, err)
		}
	}
	return made, nil
}

func ready(limit context.Context, connection *grpc.ClientConn) error {
	connection.Connect()
	for {
		state := connection.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if !connection.WaitForStateChange(limit, state) {
			return fmt.Errorf("no connection within %s (%s)", connectLimit, state)
		}
	}
}

// One call over the connection whose turn it is. Answers what went wrong, in words; "" where it ended as expected.
func (c *caller) call(context context.Context, index int64, expect codes.Code) string {
	connection := c.connections[index%int64(len(c.connections))]
	var err error
	if c.messages == 0 {
		err = connection.Invoke(context, c.method, c.message, nil)
	} else {
		err = c.upload(context, connection)
	}
	if status.Code(err) == expect {
		return ""
	}
	if err == nil {
		return "OK"
	}
	return err.Error()
}

var uploadStream = &grpc.StreamDesc{ClientStreams: true}

func (c *caller) upload(context context.Context, connection *grpc.ClientConn) error {
	stream, err := connection.NewStream(context, uploadStream, c.method)
	if err != nil {
		return err
	}
	for range c.messages {
		// EOF: the call has ended already; receiving says how.
		if err := stream.SendMsg(c.message); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(nil)
}
