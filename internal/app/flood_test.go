package app

import (
	"bytes"
	"context"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floodConnections is how many hostile connections the acquirer's port takes in this test; TAPNET_FLOOD=1000 is the full measure.
func floodConnections(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TAPNET_FLOOD")
	if text == "" {
		return 200
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 3 {
		t.Fatalf("TAPNET_FLOOD=%q is not a number of connections", text)
	}
	return n
}

const (
	floodWindow = 250 * time.Millisecond // one measurement
	floodRounds = 3                      // measurements that are compared; the machine has other work too
	slowByte    = 50 * time.Millisecond  // between two bytes of a slow connection
	comesBack   = 250 * time.Millisecond // until somebody whose connection was closed is there again
	keepsShare  = 0.8                    // of the honest rate
)

// flood holds hostile connections until it is stopped: a third says nothing, a third sends a byte now and then, a third sends garbage and comes back.
func (a *arena) flood(count int) (stop func()) {
	a.Helper()
	at := a.banks.Addresses()[RoleAcquirer]
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.Context()))
	var busy sync.WaitGroup
	var opened atomic.Int64
	dial := func() net.Conn {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", at)
		if err != nil {
			return nil
		}
		opened.Add(1)
		return conn
	}
	var quiet, slow []net.Conn
	for range count / 3 {
		for _, list := range []*[]net.Conn{&quiet, &slow} {
			conn := dial()
			if conn == nil {
				a.Fatal("no connection")
			}
			*list = append(*list, conn)
		}
	}
	frame := append(terminalLength(9000), bytes.Repeat([]byte{0x60}, 9000)...)
	busy.Go(func() {
		ticker := time.NewTicker(slowByte)
		defer ticker.Stop()
		for sent := 0; sent < len(frame)-1; sent++ {
			for _, conn := range slow {
				_, _ = conn.Write(frame[sent : sent+1])
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	garbage := bytes.Repeat([]byte{0xFF}, 512)
	for range count - len(quiet) - len(slow) {
		busy.Go(func() {
			for ctx.Err() == nil {
				if conn := dial(); conn != nil {
					_, _ = conn.Write(garbage)
					_ = conn.SetReadDeadline(time.Now().Add(patience))
					_, _ = conn.Read(make([]byte, 1)) // until the acquirer closes
					_ = conn.Close()
				}
				select {
				case <-time.After(comesBack):
				case <-ctx.Done():
				}
			}
		})
	}
	return func() {
		cancel()
		for _, conn := range append(quiet, slow...) {
			_ = conn.Close()
		}
		busy.Wait()
		a.Logf("%d hostile connections were opened", opened.Load())
	}
}

// rate is how many honest payments two tills make in a second, in the best of several measurements.
func (a *arena) rate() float64 {
	a.Helper()
	best := 0.0
	for range floodRounds {
		var paid atomic.Int64
		var tills sync.WaitGroup
		began := time.Now()
		for card, at := range map[string]string{"lin": "shop-1", "liu": "kiosk"} {
			tills.Go(func() {
				for time.Since(began) < floodWindow {
					result, err := a.tryPay(a.Context(), card, at, "0.01")
					if err != nil || !result.Paid() {
						a.Errorf("honest tap: %s %s %v", result.Outcome, result.ResponseCode, err)
						return
					}
					paid.Add(1)
				}
			})
		}
		tills.Wait()
		best = max(best, float64(paid.Load())/time.Since(began).Seconds())
	}
	return best
}

// TestFlood holds hundreds of hostile connections at the acquirer's port: honest payments keep four fifths of their rate, and a connection costs little.
func TestFlood(t *testing.T) {
	a := newArena(t)
	count := floodConnections(t)
	share := 0.0
	for range 5 { // the machine may have something else to do during one of two measurements
		alone := a.rate()
		before := heap()
		stop := a.flood(count)
		together := a.rate()
		used := int64(heap()) - int64(before)
		stop()
		share = together / alone
		t.Logf("%d hostile connections: %.0f payments a second, %.0f without them: %.0f%%; %d bytes each", count, together, alone, 100*share, used/int64(count))
		if used > int64(count)*connectionBudget {
			t.Errorf("%d connections use %d bytes", count, used)
		}
		if share >= keepsShare {
			break
		}
	}
	if share < keepsShare {
		t.Errorf("honest payments keep %.0f%% of their rate", 100*share)
	}
	a.checkBooks()
}
