package interchange_test

import (
	"fmt"
	"testing"

	"tapnet/internal/interchange"
	"tapnet/pan"
)

// TestStationsShareTheCardsEvenly: every card has one place, the places differ by little, and they are these: an issuer that has taken cards in relies on it.
func TestStationsShareTheCardsEvenly(t *testing.T) {
	const cards, stations = 4000, 4
	var at [stations]int
	for i := range cards {
		n, err := pan.CompleteLuhn(fmt.Sprintf("629999%09d", i))
		if err != nil {
			t.Fatal(err)
		}
		at[interchange.StationOf(n, stations)]++
	}
	for place, count := range at {
		if count < cards/stations*9/10 || count > cards/stations*11/10 {
			t.Errorf("station %d has %d cards of %d", place, count, cards)
		}
	}
	n, err := pan.CompleteLuhn("629999000000000")
	if err != nil {
		t.Fatal(err)
	}
	if got := interchange.StationOf(n, 1); got != 0 {
		t.Errorf("the only station is %d", got)
	}
}
