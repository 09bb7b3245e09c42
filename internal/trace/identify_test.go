package trace

import "testing"

// TestKeysOfRows: the row that ends a payment is the payment's, and keys that look like account numbers join nothing.
func TestKeysOfRows(t *testing.T) {
	network := "1121020000" + "000001" + "00030010000" + "00030010000" + "2"
	terminal := "T0000001" + "000001" + "000007" + "2"
	for _, row := range []struct{ key, want string }{
		{network, "net:1121020000/000001/30010000/30010000"}, {network + "e", "net:1121020000/000001/30010000/30010000"},
		{terminal, "term:T0000001/000001/000007"}, {terminal + "e", "term:T0000001/000001/000007"},
		{"b/7", "key:switch/b/7"}, {"", ""}, {"6299991000000010015123", ""}, {network + "x", ""},
	} {
		if got := keyID("switch", row.key); got != row.want {
			t.Errorf("%q: %q, want %q", row.key, got, row.want)
		}
	}
}
