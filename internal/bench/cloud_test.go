package bench

import "testing"

// TestCloudWork: what Cloud measures is right before it is measured, and each step works again and again.
func TestCloudWork(t *testing.T) {
	w, err := newCloudWork()
	if err != nil {
		t.Fatal(err)
	}
	all, failed, err := w.steps()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for range 3 {
			s.what()
			s.baseline()
		}
		if *failed != nil {
			t.Errorf("%s: %v", s.name, *failed)
		}
	}
}
