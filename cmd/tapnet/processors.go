package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// spareProcessor lets one more goroutine run at a time than there are processors, unless the environment says how many. What decides how long an
// answer takes is one goroutine that comes back from the disk a thousand times a second; with all processors taken it would wait behind dozens of
// others each time, while the kernel, which knows that it has slept, lets it in at once. It costs a busy machine next to nothing.
func spareProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	// What is live is small beside what a busy network allocates: memory for a quarter of the collections is well spent. GOMEMLIMIT bounds it.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
