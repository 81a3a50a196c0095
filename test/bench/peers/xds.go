package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/log"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Delta ADS as go-control-plane does it, told over standard input what drivers there are: first one line with what never
// changes and the shape of a driver's resources, then one order a line, each answered by one line. Orders and answers are
// those of test/bench/xds-orders.ts.

type xdsStart struct {
	// Names of the messages and the messages themselves: listener, routes, secret and Gatehouse's own clusters.
	Fixed []struct {
		TypeURL string `json:"typeUrl"`
		Bytes   []byte `json:"bytes"`
	} `json:"fixed"`
	// The resources of some driver; all others differ in name and address only.
	Cluster   []byte `json:"cluster"`
	Endpoints []byte `json:"endpoints"`
	// What stands before and after the application and the uid in a cluster's name.
	Prefix string `json:"prefix"`
}

type driverRange struct {
	From int    `json:"from"`
	To   int    `json:"to"`
	Port uint32 `json:"port"`
	Host string `json:"host"`
	App  string `json:"app"`
}

type xdsOrder struct {
	Put      []driverRange `json:"put"`
	Remove   []driverRange `json:"remove"`
	Awaiting []driverRange `json:"awaiting"`
	Expect   []string      `json:"expect"`
	Synced   bool          `json:"synced"`
	Collect  bool          `json:"collect"`
	AfterMs  int           `json:"afterMs"`
}

type xdsAnswer struct {
	Ms             float64 `json:"ms"`
	SinceConnectMs float64 `json:"sinceConnectMs"`
	GaveMs         float64 `json:"gaveMs"`
	CPUMs          float64 `json:"cpuMs"`
	LongestPauseMs float64 `json:"longestPauseMs"`
	RssKb          float64 `json:"rssKb"`
}

func runXds(args []string) error {
	flags := flag.NewFlagSet("xds", flag.ContinueOnError)
	address := flags.String("listen", "", "unix:PATH")
	mode := flags.String("mode", "snapshot", "snapshot or linear")
	if err := flags.Parse(args); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16*1024*1024)
	if !lines.Scan() {
		return errors.New("xds: the first line is missing")
	}
	var start xdsStart
	if err := json.Unmarshal(lines.Bytes(), &start); err != nil {
		return err
	}
	world, err := newXdsWorld(start)
	if err != nil {
		return err
	}
	held, err := newHolder(*mode, world)
	if err != nil {
		return err
	}
	socket, err := net.Listen("unix", strings.TrimPrefix(*address, "unix:"))
	if err != nil {
		return err
	}
	acks := newAcks()
	grpcServer := grpc.NewServer(grpc.MaxConcurrentStreams(1000))
	discovery.RegisterAggregatedDiscoveryServiceServer(
		grpcServer, server.NewServer(context.Background(), held.cache(), acks.callbacks()))
	go func() { _ = grpcServer.Serve(socket) }()
	defer grpcServer.Stop()
	fmt.Println("listening")
	for lines.Scan() {
		var order xdsOrder
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return err
		}
		answer, err := carryOut(order, world, held, acks)
		if err != nil {
			return err
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	return nil
}

func carryOut(order xdsOrder, world *xdsWorld, held holder, acks *acks) (xdsAnswer, error) {
	if order.Collect {
		debug.FreeOSMemory()
	}
	var names []string
	for _, ranges := range [][]driverRange{order.Put, order.Remove, order.Awaiting} {
		for _, r := range ranges {
			for i := r.From; i < r.To; i++ {
				names = append(names, world.name(i, r))
			}
		}
	}
	done := acks.expect(order.Expect, names)
	time.Sleep(time.Duration(order.AfterMs) * time.Millisecond)
	cpu := cpuMs()
	begun := time.Now()
	if err := held.apply(order, world); err != nil {
		return xdsAnswer{}, err
	}
	gave := time.Since(begun)
	if len(order.Expect) > 0 && len(names) > 0 {
		if err := <-done; err != nil {
			return xdsAnswer{}, err
		}
	}
	return xdsAnswer{
		Ms:             float64(time.Since(begun).Microseconds()) / 1000,
		SinceConnectMs: acks.sinceConnectMs(),
		GaveMs:         float64(gave.Microseconds()) / 1000,
		CPUMs:          cpuMs() - cpu,
		RssKb:          rssKb(),
	}, nil
}

// The messages: what never changes, and how a driver's are made.
type xdsWorld struct {
	fixed     map[resource.Type][]types.Resource
	cluster   *cluster.Cluster
	endpoints *endpoint.ClusterLoadAssignment
	prefix    string
}

func newXdsWorld(start xdsStart) (*xdsWorld, error) {
	world := &xdsWorld{
		fixed:     map[resource.Type][]types.Resource{},
		cluster:   &cluster.Cluster{},
		endpoints: &endpoint.ClusterLoadAssignment{},
		prefix:    start.Prefix,
	}
	for _, one := range start.Fixed {
		message := newResource(one.TypeURL)
		if message == nil {
			return nil, fmt.Errorf("xds: unknown type %s", one.TypeURL)
		}
		if err := proto.Unmarshal(one.Bytes, message); err != nil {
			return nil, err
		}
		world.fixed[one.TypeURL] = append(world.fixed[one.TypeURL], message)
	}
	if err := proto.Unmarshal(start.Cluster, world.cluster); err != nil {
		return nil, err
	}
	return world, proto.Unmarshal(start.Endpoints, world.endpoints)
}

func newResource(typeURL string) types.Resource {
	switch typeURL {
	case resource.ClusterType:
		return &cluster.Cluster{}
	case resource.ListenerType:
		return &listener.Listener{}
	case resource.RouteType:
		return &route.RouteConfiguration{}
	case resource.SecretType:
		return &tls.Secret{}
	}
	return nil
}

func (w *xdsWorld) name(i int, r driverRange) string {
	app := r.App
	if app == "" {
		app = fmt.Sprintf("app-%d", i)
	}
	return fmt.Sprintf("%s%s|00000000-0000-4000-8000-%012d", w.prefix, app, i)
}

func (w *xdsWorld) driver(i int, r driverRange) (*cluster.Cluster, *endpoint.ClusterLoadAssignment) {
	name := w.name(i, r)
	host := r.Host
	if host == "" {
		host = fmt.Sprintf("127.%d.%d.%d", 64+(i>>16), (i>>8)&255, i&255)
	}
	made := proto.Clone(w.cluster).(*cluster.Cluster)
	made.Name = name
	at := proto.Clone(w.endpoints).(*endpoint.ClusterLoadAssignment)
	at.ClusterName = name
	socket := at.Endpoints[0].LbEndpoints[0].GetEndpoint().GetAddress().GetSocketAddress()
	socket.Address = host
	socket.PortSpecifier = &core.SocketAddress_PortValue{PortValue: r.Port}
	return made, at
}

// Where the resources are held: one of go-control-plane's two caches.
type holder interface {
	cache() cache.Cache
	apply(order xdsOrder, world *xdsWorld) error
}

func newHolder(mode string, world *xdsWorld) (holder, error) {
	switch mode {
	case "snapshot":
		return &snapshots{
			inner:     cache.NewSnapshotCache(true, sameNode{}, log.NewDefaultLogger()),
			clusters:  map[string]types.Resource{},
			endpoints: map[string]types.Resource{},
		}, nil
	case "linear":
		return newLinear(world), nil
	}
	return nil, fmt.Errorf("xds: no such mode: %s", mode)
}

type sameNode struct{}

func (sameNode) ID(*core.Node) string { return "all" }

// One snapshot for all Envoys, set anew with every change: what most control planes do.
type snapshots struct {
	inner     cache.SnapshotCache
	clusters  map[string]types.Resource
	endpoints map[string]types.Resource
	version   int
	synced    bool
}

func (s *snapshots) cache() cache.Cache { return s.inner }

func (s *snapshots) apply(order xdsOrder, world *xdsWorld) error {
	for _, r := range order.Put {
		for i := r.From; i < r.To; i++ {
			made, at := world.driver(i, r)
			s.clusters[made.Name], s.endpoints[made.Name] = made, at
		}
	}
	for _, r := range order.Remove {
		for i := r.From; i < r.To; i++ {
			delete(s.clusters, world.name(i, r))
			delete(s.endpoints, world.name(i, r))
		}
	}
	s.synced = s.synced || order.Synced
	if !s.synced || len(order.Put)+len(order.Remove) == 0 && !order.Synced {
		return nil
	}
	s.version++
	all := map[resource.Type][]types.Resource{}
	for typ, fixed := range world.fixed {
		all[typ] = append(all[typ], fixed...)
	}
	for _, made := range s.clusters {
		all[resource.ClusterType] = append(all[resource.ClusterType], made)
	}
	for _, at := range s.endpoints {
		all[resource.EndpointType] = append(all[resource.EndpointType], at)
	}
	snapshot, err := cache.NewSnapshot(strconv.Itoa(s.version), all)
	if err != nil {
		return err
	}
	return s.inner.SetSnapshot(context.Background(), "all", snapshot)
}

// One linear cache for each type, told only what changes.
type linear struct {
	caches map[string]*cache.LinearCache
	mux    *cache.MuxCache
	known  map[string]bool
}

func newLinear(world *xdsWorld) *linear {
	l := &linear{caches: map[string]*cache.LinearCache{}, known: map[string]bool{}, mux: &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{},
	}}
	for _, typ := range []string{
		resource.ClusterType, resource.EndpointType, resource.SecretType, resource.ListenerType, resource.RouteType,
	} {
		initial := map[string]types.Resource{}
		for _, one := range world.fixed[typ] {
			initial[cache.GetResourceName(one)] = one
		}
		l.caches[typ] = cache.NewLinearCache(typ, cache.WithInitialResources(initial))
		l.mux.Caches[typ] = l.caches[typ]
	}
	return l
}

func (l *linear) cache() cache.Cache { return l.mux }

func (l *linear) apply(order xdsOrder, world *xdsWorld) error {
	clusters, endpoints := map[string]types.Resource{}, map[string]types.Resource{}
	for _, r := range order.Put {
		for i := r.From; i < r.To; i++ {
			made, at := world.driver(i, r)
			clusters[made.Name], endpoints[made.Name] = made, at
		}
	}
	var removed []string
	for _, r := range order.Remove {
		for i := r.From; i < r.To; i++ {
			removed = append(removed, world.name(i, r))
		}
	}
	if len(clusters)+len(removed) == 0 {
		return nil
	}
	// A driver's cluster never changes: an address is told by its endpoints alone.
	for name := range clusters {
		if l.known[name] {
			delete(clusters, name)
		}
		l.known[name] = true
	}
	for _, name := range removed {
		delete(l.known, name)
	}
	if len(clusters)+len(removed) > 0 {
		if err := l.caches[resource.ClusterType].UpdateResources(clusters, removed); err != nil {
			return err
		}
	}
	return l.caches[resource.EndpointType].UpdateResources(endpoints, removed)
}

// What Envoy has acknowledged.
type acks struct {
	mu        sync.Mutex
	sent      map[string]*discovery.DeltaDiscoveryResponse
	awaited   map[string]bool
	done      chan error
	connected time.Time
}

func newAcks() *acks {
	return &acks{sent: map[string]*discovery.DeltaDiscoveryResponse{}, awaited: map[string]bool{}}
}

var typesByKind = map[string]string{"cluster": resource.ClusterType, "endpoints": resource.EndpointType}

func (a *acks) expect(kinds []string, names []string) chan error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, kind := range kinds {
		for _, name := range names {
			a.awaited[typesByKind[kind]+" "+name] = true
		}
	}
	a.done = make(chan error, 1)
	return a.done
}

func (a *acks) sinceConnectMs() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return float64(time.Since(a.connected).Microseconds()) / 1000
}

func (a *acks) callbacks() server.Callbacks {
	key := func(stream int64, nonce string) string { return fmt.Sprint(stream, " ", nonce) }
	return server.CallbackFuncs{
		DeltaStreamOpenFunc: func(context.Context, int64, string) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.connected = time.Now()
			return nil
		},
		StreamDeltaResponseFunc: func(
			stream int64, _ *discovery.DeltaDiscoveryRequest, response *discovery.DeltaDiscoveryResponse,
		) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sent[key(stream, response.GetNonce())] = response
		},
		StreamDeltaRequestFunc: func(stream int64, request *discovery.DeltaDiscoveryRequest) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			response := a.sent[key(stream, request.GetResponseNonce())]
			if response == nil {
				return nil
			}
			delete(a.sent, key(stream, request.GetResponseNonce()))
			a.note(response, request)
			return nil
		},
	}
}

func (a *acks) note(response *discovery.DeltaDiscoveryResponse, request *discovery.DeltaDiscoveryRequest) {
	if len(a.awaited) == 0 {
		return
	}
	if refused := request.GetErrorDetail(); refused != nil {
		a.done <- fmt.Errorf("xds: Envoy refused: %s", refused.GetMessage())
		return
	}
	for _, one := range response.GetResources() {
		delete(a.awaited, response.GetTypeUrl()+" "+one.GetName())
	}
	for _, name := range response.GetRemovedResources() {
		delete(a.awaited, response.GetTypeUrl()+" "+name)
	}
	if len(a.awaited) == 0 {
		a.done <- nil
	}
}

func cpuMs() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

func rssKb() float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb
		}
	}
	return 0
}
