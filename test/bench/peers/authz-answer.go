package main

import (
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	types "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

func set(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: name, Value: value},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// The call goes to its driver, with the driver's credential and without what is none of the driver's business.
func (a *authorizer) allowed(made *decision, headers map[string]string) *auth.CheckResponse {
	answer := &auth.CheckResponse{
		Status: &rpc.Status{},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
			Headers: []*core.HeaderValueOption{
				set("x-gatehouse-cluster", a.cluster),
				set("authorization", "Bearer "+a.driverToken),
			},
			HeadersToRemove:      removals(headers),
			ResponseHeadersToAdd: []*core.HeaderValueOption{set("x-gatehouse-decision-id", made.id)},
		}},
	}
	if a.metadata {
		answer.DynamicMetadata = &structpb.Struct{Fields: map[string]*structpb.Value{
			"decision_id": structpb.NewStringValue(made.id),
			"user_id":     structpb.NewStringValue(made.who.subject + "@" + made.who.issuer),
			"user_name":   structpb.NewStringValue(made.who.user),
			"method":      structpb.NewStringValue(made.method),
			"session":     structpb.NewStringValue(made.session),
			"driver_uid":  structpb.NewStringValue(made.driverUID),
			"cluster":     structpb.NewStringValue(a.cluster),
			"inspect":     structpb.NewBoolValue(false),
			"request_id":  structpb.NewStringValue(made.requestID),
		}}
	}
	return answer
}

// All but what gRPC needs, and what Envoy itself still needs.
func removals(headers map[string]string) []string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		switch {
		case strings.HasPrefix(name, ":"), strings.HasPrefix(name, "grpc-"):
		case name == "content-type", name == "te", name == "user-agent", name == "host":
		case name == "x-forwarded-proto", name == "x-request-id", name == "authorization":
		default:
			names = append(names, name)
		}
	}
	return names
}

// The call ends with a gRPC status, also where Envoy would have made one of HTTP's.
func denied(made *decision) *auth.CheckResponse {
	why := made.refusal
	answer := &auth.CheckResponse{
		Status: &rpc.Status{Code: int32(why.code)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status: &types.HttpStatus{Code: types.StatusCode(why.http)},
			Headers: []*core.HeaderValueOption{
				set("grpc-status", strconv.Itoa(int(why.code))),
				set("grpc-message", url.PathEscape(why.message)),
				set("x-gatehouse-decision-id", made.id),
			},
		}},
	}
	return answer
}

// A random UUID.
func newID() string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	random[6] = random[6]&0x0f | 0x40
	random[8] = random[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:8], random[:4])
	hex.Encode(text[9:13], random[4:6])
	hex.Encode(text[14:18], random[6:8])
	hex.Encode(text[19:23], random[8:10])
	hex.Encode(text[24:], random[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
