package bench

import (
	"testing"
)

// TestTransit: a small day comes out whole.
func TestTransit(t *testing.T) {
	found, err := Transit(t.Context(), Options{Dir: t.TempDir(), AllowMemory: true}, 200)
	if err != nil {
		t.Fatal(err)
	}
	if found.Taps != 800 || found.Bills != 200 || !found.SameAfterReplay || found.Rows == 0 {
		t.Errorf("%+v", found)
	}
}
