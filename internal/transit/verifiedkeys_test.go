package transit

import (
	"encoding/binary"
	"slices"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/verify/verifytest"
)

// TestChangesOfKeysAreVerified: one key follows another, everything is moved once, and what comes from outside is what the list says.
func TestChangesOfKeysAreVerified(t *testing.T) {
	c := rotated(t)
	row := func(rows []journal.Row, kind journal.Kind, reason uint16) *journal.Row {
		at := slices.IndexFunc(rows, func(r journal.Row) bool { return r.Kind == kind && r.Reason == reason })
		if at < 0 {
			t.Fatalf("no row of kind %s, reason %d", kind, reason)
		}
		return &rows[at]
	}
	keys := func(reason uint16, do func(r *journal.Row)) func([]journal.Row) []journal.Row {
		return func(rows []journal.Row) []journal.Row {
			do(row(rows, journal.KeysChanged, reason))
			return rows
		}
	}
	advised := func(reason uint16, do func(r *journal.Row)) func([]journal.Row) []journal.Row {
		return func(rows []journal.Row) []journal.Row {
			do(row(rows, journal.Advised, reason))
			return rows
		}
	}
	again := func(reason uint16) func([]journal.Row) []journal.Row {
		return func(rows []journal.Row) []journal.Row {
			r := row(rows, journal.KeysChanged, reason)
			at := slices.IndexFunc(rows, func(x journal.Row) bool { return x.Seq == r.Seq })
			return renumbered(slices.Insert(rows, at+1, *r))
		}
	}
	without := func(reason uint16) func([]journal.Row) []journal.Row {
		return func(rows []journal.Row) []journal.Row {
			r := row(rows, journal.KeysChanged, reason)
			at := slices.IndexFunc(rows, func(x journal.Row) bool { return x.Seq == r.Seq })
			return renumbered(slices.Delete(rows, at, at+1))
		}
	}
	item := func(kind byte, number uint64) func(r *journal.Row) {
		return func(r *journal.Row) {
			r.Note = append(binary.AppendUvarint(append(r.Note, kind), number), make([]byte, 32)...)
		}
	}
	epoch := func(r *journal.Row) { r.Note[3]++ }
	anything := []string{foundDenyList, foundEpoch, foundTotal, "reason", "note", "linked", "card", "key", "amount", foundEnd}
	for name, plant := range map[string]struct {
		spoil  func([]journal.Row) []journal.Row
		field  string
		others []string
	}{
		"an epoch is left out":        {keys(1, epoch), foundEpoch, anything},
		"a change within a change":    {again(1), "reason", anything},
		"a change that follows a row": {keys(1, func(r *journal.Row) { r.Linked = 3 }), "linked", nil},
		"moved under another key":     {keys(2, epoch), foundEpoch, anything},
		"moved twice":                 {again(2), "note", anything},
		"a credential nobody has":     {keys(2, item(1, 9999)), "note", nil},
		"a mark nobody has":           {keys(2, item(2, 9999)), "note", nil},
		"credential 0":                {keys(2, item(1, 0)), "note", nil},
		"moved of no kind":            {keys(2, item(3, 1)), "note", nil},
		"moved, and cut":              {keys(2, func(r *journal.Row) { r.Note = r.Note[:len(r.Note)-1] }), "note", anything},
		"of another change":           {keys(2, func(r *journal.Row) { r.Linked++ }), "linked", nil},
		"another is in force":         {keys(3, epoch), foundEpoch, anything},
		"in force, never begun":       {without(1), "reason", anything},
		"in force again":              {again(3), "reason", anything},
		"in force of another change":  {keys(3, func(r *journal.Row) { r.Linked = 0 }), "linked", nil},
		"never in force":              {without(3), foundEpoch, anything},
		"another is forgotten":        {keys(4, epoch), foundEpoch, nil},
		"forgotten twice":             {again(4), "reason", []string{foundEpoch}},
		"no epoch":                    {keys(4, func(r *journal.Row) { r.Note = nil }), "note", anything},
		"a reason without meaning":    {keys(4, func(r *journal.Row) { r.Reason = 9 }), "reason", anything},
		"the list of the former key": {func(rows []journal.Row) []journal.Row {
			verifytest.EditDeltas(rows, func(_ int, d *verifytest.Delta) {
				if d.Epoch == 2 {
					d.Epoch = 1
				}
			})
			return rows
		}, foundEpoch, nil},
		"an entry under no key in use":     {advised(1, func(r *journal.Row) { r.Note[4] = 7 }), foundEpoch, anything},
		"entries without epochs":           {advised(1, func(r *journal.Row) { r.Note[0] = 0 }), "note", anything},
		"an entry that is cut":             {advised(1, func(r *journal.Row) { r.Note = r.Note[:len(r.Note)-1] }), "note", anything},
		"an entry without a reason":        {advised(1, func(r *journal.Row) { r.Note[6] = 0 }), "note", anything},
		"an entry of another reason":       {advised(1, func(r *journal.Row) { r.Note[6] = 5 }), foundDenyList, nil},
		"another row's values":             {advised(1, func(r *journal.Row) { r.Key = "e/00000000000000000009" }), "key", nil},
		"the end of nobody's entry":        {advised(2, func(r *journal.Row) { r.Note = []byte{99} }), "note", anything},
		"an end that cannot be read":       {advised(2, func(r *journal.Row) { r.Note = []byte{0x80} }), "note", anything},
		"advice without meaning":           {advised(2, func(r *journal.Row) { r.Reason = 8 }), "reason", anything},
		"an end that the list says not":    {advised(2, func(r *journal.Row) { r.Note = []byte{r.Note[0] + 3} }), foundDenyList, []string{"note"}},
		"names beside a record of no kind": {beside(func(b []byte) []byte { b[1] = 2; return b }), "answer", anything},
		"names under a key to come":        {beside(func(b []byte) []byte { b[2] = 77; return b }), foundEpoch, anything},
		"names that are cut":               {beside(func(b []byte) []byte { return b[:len(b)-1] }), "answer", anything},
		"a name that is another's":         {moved(4, 2, func(id, others []byte) { copy(id, others) }), foundIdentity, anything},
		"a name that no gate knows":        {moved(10, 2, func(id, _ []byte) { id[1] ^= 1 }), "card", anything},
	} {
		s := c.stored()
		s.ListKey, s.Rows = nil, plant.spoil(copies(s.Rows))
		report := found(t, s)
		finds(t, name, &report, plant.field, plant.others...)
	}
}

// renumbered makes rows follow one another again, and what names one name it still.
func renumbered(rows []journal.Row) []journal.Row {
	to := map[uint64]uint64{}
	for i := range rows {
		if _, twice := to[rows[i].Seq]; !twice {
			to[rows[i].Seq] = uint64(i + 1)
		}
	}
	for i := range rows {
		rows[i].Seq = uint64(i + 1)
		if at, is := to[rows[i].Linked]; is {
			rows[i].Linked = at
		}
	}
	return rows
}

// beside changes the names of the first row that has any under two keys.
func beside(change func([]byte) []byte) func([]journal.Row) []journal.Row {
	return func(rows []journal.Row) []journal.Row {
		at := slices.IndexFunc(rows, func(r journal.Row) bool {
			return r.Kind == journal.Uploaded && r.Reason == 1 && len(r.Answer) > headBytes
		})
		rows[at].Answer = append(rows[at].Answer[:headBytes:headBytes], change(slices.Clone(rows[at].Answer[headBytes:]))...)
		return rows
	}
}

// moved changes the new name of a credential, given that of another.
func moved(number, other uint64, change func(id, others []byte)) func([]journal.Row) []journal.Row {
	return func(rows []journal.Row) []journal.Row {
		ids := map[uint64][]byte{}
		for i := range rows {
			if r := &rows[i]; r.Kind == journal.KeysChanged && r.Reason == 2 {
				for b := r.Note[epochBytes:]; len(b) > 0; {
					n, used := binary.Uvarint(b[1:])
					if b[0] == movedCredential {
						ids[n] = b[1+used : 1+used+linkBytes]
					}
					b = b[1+used+linkBytes:]
				}
			}
		}
		change(ids[number], ids[other])
		return rows
	}
}
