package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"strings"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const servicePrefix = "/spark.connect.SparkConnectService/"

// Envoy's external authorization as one would write it in Go for one's own Spark Connect servers: the token is checked
// (and remembered), the session named, the call sent to its cluster with the driver's credential instead of the caller's.
type authorizer struct {
	auth.UnimplementedAuthorizationServer
	tokens *verifier
	// Nil where nothing is recorded.
	audit    *audit
	metadata bool
	// The one driver that every session leads to.
	cluster     string
	driverUID   string
	driverToken string
}

// One call's way through.
type decision struct {
	id          string
	begun       time.Time
	requestID   string
	source      string
	method      string
	session     string
	who         *identity
	fingerprint [sha256.Size]byte
	driver      string
	driverUID   string
	// Nil where the call is allowed.
	refusal *refusal
}

type refusal struct {
	code codes.Code
	// HTTP's status, for callers that do not speak gRPC.
	http    int32
	reason  string
	message string
}

func runAuthz(args []string) error {
	flags := flag.NewFlagSet("authz", flag.ContinueOnError)
	listen := flags.String("listen", "", "unix:PATH or HOST:PORT")
	jwks := flags.String("jwks", "", "file with the issuer's public keys")
	issuer := flags.String("issuer", "", "the tokens' iss")
	audience := flags.String("audience", "", "the tokens' aud")
	remembered := flags.Int("cache", 10_000, "how many good tokens are remembered")
	cluster := flags.String("cluster", "driver", "Envoy's cluster that calls go to")
	file := flags.String("audit", "", "file for one line of JSON per decision")
	metadata := flags.Bool("metadata", false, "answer with dynamic metadata")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *listen == "" || *jwks == "" || *issuer == "" || *audience == "" {
		return errors.New("authz: --listen, --jwks, --issuer and --audience are needed")
	}
	keys, err := readKeys(*jwks)
	if err != nil {
		return err
	}
	tokens, err := newVerifier(keys, *issuer, *audience, *remembered)
	if err != nil {
		return err
	}
	service := &authorizer{
		tokens:      tokens,
		metadata:    *metadata,
		cluster:     *cluster,
		driverUID:   newID(),
		driverToken: newID(),
	}
	if *file != "" {
		if service.audit, err = openAudit(*file); err != nil {
			return err
		}
	}
	server := grpc.NewServer(pingsAllowed())
	auth.RegisterAuthorizationServer(server, service)
	return serve(server, *listen)
}

// Check implements Envoy's question. It answers every one: what cannot be recorded is refused.
func (a *authorizer) Check(_ context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	http := request.GetAttributes().GetRequest().GetHttp()
	made := a.decide(http)
	made.source = request.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()
	if a.audit != nil {
		if err := a.audit.write(made); err != nil {
			made.refusal = &refusal{codes.Unavailable, 503, "AUDIT_UNAVAILABLE", "the decision cannot be recorded"}
		}
	}
	if made.refusal != nil {
		return denied(made), nil
	}
	return a.allowed(made, http.GetHeaders()), nil
}

func (a *authorizer) decide(http *auth.AttributeContext_HttpRequest) *decision {
	headers := http.GetHeaders()
	made := &decision{
		id:        newID(),
		begun:     time.Now(),
		requestID: headers["x-request-id"],
		session:   headers["x-spark-session-id"],
	}
	method, ok := strings.CutPrefix(http.GetPath(), servicePrefix)
	made.method = method
	if !ok {
		made.refusal = &refusal{codes.Unimplemented, 404, "METHOD_UNKNOWN", "no such method"}
		return made
	}
	token, ok := strings.CutPrefix(headers["authorization"], "Bearer ")
	if !ok {
		made.refusal = unauthenticated("TOKEN_MISSING", "the call carries no token")
		return made
	}
	var err error
	if made.who, made.fingerprint, err = a.tokens.verify(token, made.begun); err != nil {
		made.refusal = unauthenticated("TOKEN_REFUSED", err.Error())
		return made
	}
	if made.session == "" {
		made.refusal = &refusal{codes.InvalidArgument, 400, "SESSION_MISSING", "the call names no session"}
		return made
	}
	made.driver, made.driverUID = a.cluster, a.driverUID
	return made
}

func unauthenticated(reason, message string) *refusal {
	return &refusal{codes.Unauthenticated, 401, reason, message}
}
