package denylist

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
)

// Hashes are spread evenly, so that their leading bits put them nearly in place; the few in one bucket are then put in order.
const (
	fewEntries  = 1 << 12
	bucketBits  = 16
	buckets     = 1 << bucketBits
	bucketShift = 64 - bucketBits
	maxWorkers  = 8 // each counts all buckets
)

func compareEntries(a, b Entry) int {
	if c := cmp.Compare(a.hash, b.hash); c != 0 {
		return c
	}
	switch {
	case a.outranks(b):
		return -1
	case b.outranks(a):
		return 1
	}
	return 0
}

// sortEntries sorts by hash, the strongest first, on all processors. The result depends on the entries alone.
func sortEntries(entries []Entry) {
	if len(entries) < fewEntries {
		slices.SortFunc(entries, compareEntries)
		return
	}
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	part := func(n, worker int) int { return n * worker / workers }
	counts := make([][]int, workers)
	inParallel(workers, func(w int) {
		count := make([]int, buckets)
		for _, e := range entries[part(len(entries), w):part(len(entries), w+1)] {
			count[e.hash>>bucketShift]++
		}
		counts[w] = count
	})
	starts, total := make([]int, buckets+1), 0
	for i := range buckets {
		starts[i] = total
		for w := range counts {
			counts[w][i], total = total, total+counts[w][i] // from now on: where the worker's next entry of the bucket goes
		}
	}
	starts[buckets] = total
	sorted := make([]Entry, len(entries))
	inParallel(workers, func(w int) {
		next := counts[w]
		for _, e := range entries[part(len(entries), w):part(len(entries), w+1)] {
			bucket := e.hash >> bucketShift
			sorted[next[bucket]] = e
			next[bucket]++
		}
	})
	inParallel(workers, func(w int) {
		first, last := part(buckets, w), part(buckets, w+1)
		for i := first; i < last; i++ {
			slices.SortFunc(sorted[starts[i]:starts[i+1]], compareEntries)
		}
		copy(entries[starts[first]:starts[last]], sorted[starts[first]:starts[last]])
	})
}

func inParallel(workers int, work func(worker int)) {
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() { work(w) })
	}
	group.Wait()
}
