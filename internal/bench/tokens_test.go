package bench

import "testing"

func TestTokens(t *testing.T) {
	o := quick(t)
	var found []Vaulted
	if err := Tokens(t.Context(), o, []int{50, 5000}, nil, func(v Vaulted) error { found = append(found, v); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Tokens != 50 || found[0].Ratio != 1 || found[1].Nanoseconds <= 0 || found[1].P99us <= 0 {
		t.Errorf("%+v", found)
	}
}

func TestTokenMethods(t *testing.T) {
	steps, err := TokenMethods()
	if err != nil || len(steps) != 4 {
		t.Fatal(steps, err)
	}
	for _, s := range steps {
		if s.Nanoseconds <= 0 {
			t.Errorf("%+v", s)
		}
	}
}

// BenchmarkTokenMethods is the cost of a token number by each method.
func BenchmarkTokenMethods(b *testing.B) { benchmarkWork(b, tokenMethods) }

// BenchmarkCloud is the key batch and the verification of a tap.
func BenchmarkCloud(b *testing.B) {
	benchmarkWork(b, func() ([]work, *error, error) {
		w, err := newCloudWork()
		if err != nil {
			return nil, nil, err
		}
		return w.steps()
	})
}
