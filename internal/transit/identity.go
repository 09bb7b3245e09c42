package transit

import (
	"encoding/binary"
	"fmt"
	"slices"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/kernel"
)

// called is a name of the card of a record, or of its account.
type called struct {
	kind denylist.Kind // Credential or PAR
	alias
}

// calledByKind in an Uploaded row says that its names have kinds and epochs. Rows from before have references alone, under the first epoch.
const calledByKind uint16 = 1

// covers reports whether names were made under all these epochs.
func covers(under, alive []denylist.Epoch) bool {
	return !slices.ContainsFunc(alive, func(e denylist.Epoch) bool { return !slices.Contains(under, e) })
}

// identifiers are the keys of some epochs, as far as the security module gives them.
func (o *Office) identifiers(under []denylist.Epoch) []gate.Identifier {
	ids := make([]gate.Identifier, 0, len(under))
	for _, e := range under {
		if k, err := o.deps.Keys.Of(e); err == nil {
			ids = append(ids, k)
		}
	}
	return ids
}

// nameRecords looks into the sealed data of records. What cannot be opened is left for later: a tap is not lost because a key is.
func (o *Office) nameRecords(found *received, under []denylist.Epoch) {
	found.under, found.called = under, make([][]called, len(found.records))
	ids := o.identifiers(under)
	for i := range found.records {
		if r := &found.records[i]; len(r.Sealed) > 0 {
			if data, ok := o.open(r); ok {
				found.called[i] = namesIn(data, r.Epoch, ids)
			}
		}
	}
}

// namesIn are the names of the card whose data these are, but for the one under a key that is known already, and of its account.
func namesIn(data emv.Data, but denylist.Epoch, ids []gate.Identifier) (found []called) {
	for _, k := range ids {
		if k.Epoch() == but {
			continue
		}
		if id, ok := credentialID(k, data); ok {
			found = append(found, called{denylist.Credential, alias{id, k.Epoch()}})
		}
	}
	if reference := data.Get(emv.TagPAR); len(reference) > 0 {
		for _, k := range ids {
			found = append(found, called{denylist.PAR, alias{k.PAR(string(reference)), k.Epoch()}})
		}
	}
	return found
}

// credentialID names a card as the gates do.
func credentialID(k gate.Identifier, data emv.Data) (id denylist.ID, ok bool) {
	o := kernel.Outcome{Data: data}
	number, hasNumber := o.PAN()
	expiry, hasExpiry := o.Expiry()
	if !hasNumber || !hasExpiry {
		return id, false
	}
	return k.Credential(number, o.Sequence(), expiry), true
}

func ofKind(found []called, kind denylist.Kind) (all []alias) {
	for _, c := range found {
		if c.kind == kind {
			all = append(all, c.alias)
		}
	}
	return all
}

// appendCalled packs what a row has to say of a record: names that the card does not have yet, and the reference. See parseCalled.
func (o *Office) appendCalled(head []byte, at int, own denylist.ID, found []called) []byte {
	s := o.state
	known, has := s.known(own)
	for _, c := range found {
		if c.kind == denylist.Credential && has {
			if _, named := s.credentials[known].under(c.epoch); named {
				continue
			}
		}
		head = append(binary.AppendUvarint(head, uint64(at)), byte(c.kind))
		head = append(binary.AppendUvarint(head, uint64(c.epoch)), c.id[:]...)
	}
	return head
}

// parseCalled reads what stands behind the links of an Uploaded row; the names of a row without kinds are references under the first epoch.
func parseCalled(b []byte, kinds bool, records int, first denylist.Epoch) (map[int][]called, error) {
	var found map[int][]called
	for len(b) > 0 {
		at, n := binary.Uvarint(b)
		if n <= 0 || at >= uint64(records) {
			return nil, fmt.Errorf("names of record %d: %w", at, errUploaded)
		}
		b = b[n:]
		c := called{kind: denylist.PAR, alias: alias{epoch: first}}
		if kinds {
			if len(b) < 1 {
				return nil, errUploaded
			}
			epoch, n := binary.Uvarint(b[1:])
			if c.kind = denylist.Kind(b[0]); n <= 0 || epoch>>32 != 0 || c.kind != denylist.Credential && c.kind != denylist.PAR {
				return nil, fmt.Errorf("names of record %d: %w", at, errUploaded)
			}
			c.epoch, b = denylist.Epoch(epoch), b[1+n:]
		}
		if len(b) < linkBytes {
			return nil, errUploaded
		}
		c.id, b = denylist.ID(b[:linkBytes]), b[linkBytes:]
		if found == nil {
			found = map[int][]called{}
		}
		found[int(at)] = append(found[int(at)], c)
	}
	return found, nil
}
