package app

import (
	"slices"
	"testing"

	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/sim"
	"tapnet/internal/verify"
)

// chipVersion is the version of an issuer's cell from which on it says what the bank knows of the chip.
const chipVersion = 2

// TestEveryBitOfAChipsCellIsCompared: a cell with what the bank knows of a chip is what the rows say, and any bit of it that is turned is found.
func TestEveryBitOfAChipsCellIsCompared(t *testing.T) {
	var sound verify.Snapshot
	chips := func(m *verify.Member) (places []int) {
		for i := range m.Cells {
			if c := &m.Cells[i]; m.Role == verify.Issuer && len(c.Data) > 0 && c.ID < 1<<62 && c.Data[0] >= chipVersion {
				places = append(places, i)
			}
		}
		return places
	}
	tried := 0
	for seed := uint64(1); seed <= 6 && tried == 0; seed++ {
		report, err := sim.Run(t.Context(), sim.Options{Seed: seed, Taps: 150, Observe: func(s verify.Snapshot) { sound = s }})
		if err != nil || !report.Good() {
			t.Fatalf("seed %d: %v, %v", seed, err, report.Findings)
		}
		for at := range sound.Members {
			for _, place := range chips(&sound.Members[at]) {
				if tried++; tried > 2 {
					break
				}
				cell := sound.Members[at].Cells[place]
				for i := range cell.Data {
					s := verify.Snapshot{Calendar: sound.Calendar, Members: slices.Clone(sound.Members)}
					m := &s.Members[at]
					m.Cells = slices.Clone(m.Cells)
					m.Cells[place].Data = slices.Clone(cell.Data)
					m.Cells[place].Data[i] ^= 1 << (i % 7)
					if len(verify.Check(s, verify.CellsFromRows)) == 0 {
						t.Errorf("seed %d, cell %d: bit %d of octet %d of %d is not compared", seed, cell.ID, i%7, i, len(cell.Data))
					}
				}
			}
		}
	}
	if tried == 0 {
		t.Error("no bank knew anything of a chip")
	}
}

// TestPlantedChipErrorsAreFound spoils rows about what the bank knows of chips.
func TestPlantedChipErrorsAreFound(t *testing.T) {
	var sound verify.Snapshot
	report, err := sim.Run(t.Context(), sim.Options{Seed: 2, Taps: 450, Observe: func(s verify.Snapshot) { sound = s }})
	if err != nil || !report.Good() || !sound.Quiet {
		t.Fatalf("%v, %v", err, report.Findings)
	}
	another := func(at int) func(r *journal.Row) { return flipNote(at) }
	for _, p := range []plantedLoad{
		{"a load that sets another balance", verify.Issuer, of(journal.Held, issuer.LoadHeld, func(r *journal.Row) {
			r.Note = slices.Clone(r.Note)
			r.Note[len(r.Note)-1] ^= 1
		}), false},
		{"a load of a chip with another balance", verify.Issuer, of(journal.Held, issuer.LoadHeld, another(behindTheFlags)), false},
		{"an unload that leaves something", verify.Issuer, of(journal.Held, issuer.UnloadHeld, func(r *journal.Row) { r.Note = append(slices.Clone(r.Note[:len(r.Note)-1]), 5) }), false},
		{"a report about no load", verify.Issuer, func(r *journal.Row) bool {
			if r.Kind != journal.ScriptReported {
				return false
			}
			r.Linked++
			return true
		}, false},
	} {
		t.Run(p.name, func(t *testing.T) { p.find(t, sound) })
	}
}
