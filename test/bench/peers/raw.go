package main

import "google.golang.org/grpc/mem"

// Messages as bytes, in both directions. The content type is plain "application/grpc", as PySpark sends it.
//
// What is sent is a mem.SliceBuffer, shared by all calls: nothing is copied. What is received is dropped.
type rawCodec struct{}

func (rawCodec) Marshal(value any) (mem.BufferSlice, error) {
	return *value.(*mem.BufferSlice), nil
}

func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

func (rawCodec) Name() string { return "" }

// A message for that codec. It may be sent any number of times, by several goroutines at once.
func rawMessage(bytes []byte) *mem.BufferSlice {
	return &mem.BufferSlice{mem.SliceBuffer(bytes)}
}
