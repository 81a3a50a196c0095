package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// One kind of call, repeated.
type loadPlan struct {
	// "https://localhost:PORT".
	Origin string `json:"origin"`
	// PEM of the authority that signed the server's certificate.
	CaFile   string            `json:"caFile"`
	Method   string            `json:"method"`
	Metadata map[string]string `json:"metadata"`
	// One token per line: call i sends `authorization: Bearer <line (tokenOffset + i) mod n>`.
	TokensFile  string `json:"tokensFile"`
	TokenOffset int64  `json:"tokenOffset"`
	// One message, unframed.
	BodyBase64  string  `json:"bodyBase64"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	// One of the two: calls under way at once, or calls begun per second whatever is under way.
	Concurrency int     `json:"concurrency"`
	PerSecond   float64 `json:"perSecond"`
	// A gRPC code's name. Every other ending is a failure.
	Expect string `json:"expect"`
	// Each call sends as many of the message as that takes.
	UploadBytes int64 `json:"uploadBytes"`
}

type loadResult struct {
	Calls        int     `json:"calls"`
	Failed       int64   `json:"failed"`
	FirstFailure string  `json:"firstFailure,omitempty"`
	PerSecond    float64 `json:"perSecond"`
	// From when a call was due (closed loop: begun) to its end.
	P50Ms          float64 `json:"p50Ms"`
	P99Ms          float64 `json:"p99Ms"`
	P999Ms         float64 `json:"p999Ms"`
	BytesPerSecond float64 `json:"bytesPerSecond,omitempty"`
}

// How long calls may go on after the load's time.
const patience = 30 * time.Second

func runLoad(in io.Reader, out io.Writer) error {
	var plan loadPlan
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&plan); err != nil {
		return fmt.Errorf("the plan: %w", err)
	}
	// Whoever gave the plan keeps the input open as long as the answer is wanted.
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(1)
	}()
	load, err := newLoad(plan)
	if err != nil {
		return err
	}
	// It shares the machine with what it measures: as few pauses as may be.
	debug.SetGCPercent(800)
	return json.NewEncoder(out).Encode(load.run())
}

// A load that is ready to begin: all its connections stand.
type load struct {
	plan   loadPlan
	caller *caller
	begun  atomic.Int64
	// The context of every call, with the metadata that all have in common. Never with a deadline: that would be one more header.
	base   context.Context
	cancel context.CancelFunc
	tokens []string
	expect codes.Code
	failed atomic.Int64
	first  atomic.Pointer[string]
}

func newLoad(plan loadPlan) (*load, error) {
	if (plan.Concurrency > 0) == (plan.PerSecond > 0) {
		return nil, errors.New("the plan: either concurrency or perSecond")
	}
	if plan.Connections < 1 || plan.Seconds <= 0 {
		return nil, errors.New("the plan: connections and seconds must be above 0")
	}
	body, err := base64.StdEncoding.DecodeString(plan.BodyBase64)
	if err != nil {
		return nil, fmt.Errorf("the plan's body: %w", err)
	}
	one := &load{plan: plan}
	if plan.Expect == "" {
		plan.Expect = "OK"
	}
	if err := one.expect.UnmarshalJSON([]byte(`"` + plan.Expect + `"`)); err != nil {
		return nil, fmt.Errorf("the plan: %w", err)
	}
	if plan.TokensFile != "" {
		if one.tokens, err = bearers(plan.TokensFile); err != nil {
			return nil, err
		}
	}
	context, cancel := context.WithCancel(context.Background())
	one.base, one.cancel = metadata.NewOutgoingContext(context, metadata.New(plan.Metadata)), cancel
	one.caller, err = newCaller(plan, body)
	return one, err
}

// The values of the header for each line, cut from one text: the collector has nothing to look through.
func bearers(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	const prefix = "Bearer "
	all := prefix + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n"+prefix)
	if all == prefix {
		return nil, fmt.Errorf("no token in %s", file)
	}
	return strings.Split(all, "\n"), nil
}

func (l *load) run() loadResult {
	defer l.cancel()
	begun := time.Now()
	seconds := time.Duration(l.plan.Seconds * float64(time.Second))
	time.AfterFunc(seconds+patience, l.cancel)
	var latencies []time.Duration
	if l.plan.Concurrency > 0 {
		latencies = l.closedLoop(begun.Add(seconds))
	} else {
		latencies = l.openLoop(begun, seconds)
	}
	elapsed := time.Since(begun).Seconds()
	slices.Sort(latencies)
	result := loadResult{
		Calls:     len(latencies),
		Failed:    l.failed.Load(),
		PerSecond: float64(len(latencies)) / elapsed,
		P50Ms:     quantile(latencies, 0.5),
		P99Ms:     quantile(latencies, 0.99),
		P999Ms:    quantile(latencies, 0.999),
	}
	if first := l.first.Load(); first != nil {
		result.FirstFailure = *first
	}
	if l.plan.UploadBytes > 0 {
		result.BytesPerSecond = float64(l.plan.UploadBytes) * result.PerSecond
	}
	return result
}

// Makes the next call and notes how it ended.
func (l *load) call() {
	index := l.begun.Add(1) - 1
	context := l.base
	if count := int64(len(l.tokens)); count > 0 {
		token := l.tokens[(index+l.plan.TokenOffset)%count]
		context = metadata.AppendToOutgoingContext(context, "authorization", token)
	}
	if fault := l.caller.call(context, index, l.expect); fault != "" {
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, &fault)
	}
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := min(len(sorted)-1, int(q*float64(len(sorted))))
	return float64(sorted[at]) / float64(time.Millisecond)
}
