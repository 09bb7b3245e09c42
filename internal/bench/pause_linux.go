package bench

import (
	"syscall"
	"time"
)

// pause waits for a time shorter than the runtime's timers can: they wake with the milliseconds of the kernel's poll.
func pause(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&left, nil) // woken early by a signal, the caller looks at the time again
}
