package transit

import (
	"strconv"

	"tapnet/gate/denylist"
)

// index finds credentials by the beginning of their hash, which is keyed: two with the same one are as good as never, and then the rest tells them apart.
type index struct {
	by    map[uint64]int32
	twins map[denylist.ID]int32
}

func newIndex() index { return index{by: map[uint64]int32{}, twins: map[denylist.ID]int32{}} }

func (x *index) put(id denylist.ID, number int32) {
	if _, taken := x.by[id.Hash()]; taken {
		x.twins[id] = number
		return
	}
	x.by[id.Hash()] = number
}

// known is the number of the credential with an ID.
func (s *state) known(id denylist.ID) (int32, bool) {
	if at, ok := s.credentialBy.by[id.Hash()]; ok && s.credentials[at].id == id {
		return at, true
	}
	at, ok := s.credentialBy.twins[id]
	return at, ok
}

// medium is the credential's name in journeys.
func (c *credential) medium() string { return "c" + strconv.Itoa(int(c.number)) }
