package main

import (
	"context"
	"encoding/hex"
	"log/slog"
	"os"
	"time"
)

// One line of JSON per decision, with the fields of Gatehouse's own records.
type audit struct{ handler slog.Handler }

func openAudit(file string) (*audit, error) {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{ReplaceAttr: plainTime}
	return &audit{slog.NewJSONHandler(out, options)}, nil
}

// "time" as Gatehouse writes it, and neither level nor message, which every line would have in common.
func plainTime(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attribute
	}
	switch attribute.Key {
	case slog.TimeKey:
		return slog.String(slog.TimeKey, attribute.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	case slog.LevelKey, slog.MessageKey:
		return slog.Attr{}
	default:
		return attribute
	}
}

// The line is written, by one write(2) of its own, when this returns nil.
func (a *audit) write(d *decision) error {
	record := slog.NewRecord(d.begun, slog.LevelInfo, "", 0)
	verdict, reason := "allow", "ALLOWED"
	if d.refusal != nil {
		verdict, reason = "deny", d.refusal.reason
	}
	record.AddAttrs(
		slog.String("schema", "gatehouse.audit/1"),
		slog.String("kind", "decision"),
		slog.String("decision_id", d.id),
		slog.String("request_id", d.requestID),
		slog.String("source_address", d.source),
		slog.String("method", d.method),
		slog.String("verdict", verdict),
		slog.String("reason", reason),
	)
	if d.refusal != nil {
		record.AddAttrs(slog.String("text", d.refusal.message))
	}
	if d.who != nil {
		record.AddAttrs(
			slog.String("issuer", d.who.issuer),
			slog.String("subject", d.who.subject),
			slog.String("user", d.who.user),
			slog.Any("groups", d.who.groups),
		)
	}
	record.AddAttrs(
		slog.String("token_fingerprint", hex.EncodeToString(d.fingerprint[:8])),
		slog.String("session", d.session),
		slog.String("driver", d.driver),
		slog.String("driver_uid", d.driverUID),
		slog.Float64("latency_ms", float64(time.Since(d.begun).Microseconds())/1000),
	)
	return a.handler.Handle(context.Background(), record)
}
