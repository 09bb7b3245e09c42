package fares

import (
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func citySpec(tb testing.TB) Spec {
	tb.Helper()
	var s Spec
	if err := toml.Unmarshal([]byte(cityTOML), &s); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestCity(t *testing.T) { city(t) }
