//go:build thirdparty

package thirdparty

import (
	"context"
	"crypto/rand"
	"testing"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/app/validator"
	"tapnet/internal/clock"
	"tapnet/internal/pcsc"
	"tapnet/internal/taplog"
	"tapnet/internal/vpcd"
	"tapnet/money"
)

// gate lets a gate serve the reader, as `tapnet gate run --reader` does: a card that comes opens it, the same card again does not, another one does.
func (d *daemon) gate(t *testing.T) {
	keys, err := validator.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	disk := func() taplog.Disk {
		dir, err := taplog.Dir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	provision, err := validator.LoadProvision(disk(), "GATE-7", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := validator.Options{
		Gate: gate.Config{Device: "GATE-7", Station: 7, Amount: money.New(0, money.CNY), Country: 156}, Taps: disk(), Lists: disk(), CAKeys: keys, Name: "METRO",
		Clock: clock.Real(), Random: rand.Reader,
	}
	if err := provision.Fill(&o, rand.Reader); err != nil {
		t.Fatal(err)
	}
	o.Courier.Trust = denylist.Trust{}
	v, err := validator.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan validator.Result, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- v.Serve(ctx, validator.Lane{Reader: d.reader(0), Tap: gate.Read{Direction: gate.In}, PCSC: pcsc.Config{}, Told: func(r validator.Result) { told <- r }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []struct {
		rider string
		want  gate.Reason
	}{{"lin", gate.OK}, {"lin", gate.DoubleTap}, {"wang", gate.OK}} {
		chip, _, err := validator.Card(step.rider, nil, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		remove := d.insert(t, 0, chip, vpcd.Contactless)
		select {
		case r := <-told:
			if r.Reason() != step.want && !(step.rider == "lin" && step.want == gate.DoubleTap && r.Reason() == gate.PassBack) {
				t.Errorf("%s: %s, want %s", step.rider, r.Reason(), step.want)
			}
		case err := <-ended:
			t.Fatalf("the lane ended: %v", err)
		}
		remove()
	}
}
