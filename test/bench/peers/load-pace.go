package main

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Keeps that many calls under way until the end, and answers how long each took.
func (l *load) closedLoop(end time.Time) []time.Duration {
	// A second processor would spend its time looking for work, which the servers have.
	runtime.GOMAXPROCS(1)
	lanes := make([][]time.Duration, l.plan.Concurrency)
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			latencies := make([]time.Duration, 0, 1<<15)
			for begun := time.Now(); begun.Before(end); {
				l.call()
				now := time.Now()
				latencies = append(latencies, now.Sub(begun))
				begun = now
			}
			lanes[lane] = latencies
		})
	}
	all.Wait()
	return slices.Concat(lanes...)
}

// Begins a call whenever one is due, whatever is under way. A call's time counts from when it was due, so that a server
// that stops answering for a while is charged for all that came in meanwhile.
func (l *load) openLoop(begun time.Time, seconds time.Duration) []time.Duration {
	latencies := make([]time.Duration, int(math.Round(l.plan.PerSecond*seconds.Seconds())))
	interval := float64(time.Second) / l.plan.PerSecond
	// The pacer sits in system calls; the calls must not wait until the runtime notices.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all sync.WaitGroup
	for i := range latencies {
		due := begun.Add(time.Duration(float64(i) * interval))
		sleepUntil(due)
		all.Go(func() {
			l.call()
			latencies[i] = time.Since(due)
		})
	}
	all.Wait()
	return latencies
}

// time.Sleep may wake a whole millisecond late where nothing else goes on, which is more than most calls take.
func sleepUntil(due time.Time) {
	for {
		wait := time.Until(due)
		if wait <= 0 {
			return
		}
		interval := syscall.NsecToTimespec(int64(wait))
		// Cut short by a signal: the rest is slept in the next turn.
		_ = syscall.Nanosleep(&interval, nil)
	}
}
