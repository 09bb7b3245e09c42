package vpcd

import "tapnet/apdu"

// staged is what the transmission protocol T=0 keeps between two commands: an answer that GET RESPONSE fetches, or one that is given when
// the same command comes again with the right Le. [EMV B1 9.3]
type staged struct {
	rest   []byte // for GET RESPONSE
	sw     apdu.SW
	header [4]byte // of the command that was told 6Cxx
	again  []byte  // its answer; nil: none
}

func correctLe(n int) apdu.SW { return apdu.SW(0x6C00 | n&0xFF) }

func moreData(n int) apdu.SW { return apdu.SW(0x6100 | n&0xFF) }

// processT0 is the card's end of T=0: a command with data has no Le, its answer waits for GET RESPONSE; one without data and with the
// wrong Le is told the right one and is not carried out twice. A program that sends Lc and Le at once, which T=0 cannot carry, gets the
// whole answer, as readers that translate give it.
func (c *Carrier) processT0(cmd apdu.Command, command []byte) (response []byte, ok bool) {
	last := c.staged
	c.staged = staged{}
	header := [4]byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2}
	switch {
	case last.rest != nil && cmd.INS == apdu.InsGetResponse && len(cmd.Data) == 0:
		return c.fetch(last.rest, last.sw, cmd.Le).Bytes(), true
	case last.again != nil && header == last.header && cmd.Le == len(last.again) && len(cmd.Data) == 0:
		return apdu.Response{Data: last.again, SW: last.sw}.Bytes(), true
	}
	b, err := c.chip.Process(command)
	if err != nil {
		return nil, false
	}
	r, err := apdu.ParseResponse(b)
	if err != nil || len(r.Data) == 0 {
		return b, true
	}
	switch {
	case len(cmd.Data) > 0 && cmd.Le == apdu.NoLe:
		c.staged = staged{rest: r.Data, sw: r.SW}
		return apdu.Response{SW: moreData(len(r.Data))}.Bytes(), true
	case len(cmd.Data) == 0 && cmd.Le != len(r.Data):
		c.staged = staged{header: header, again: r.Data, sw: r.SW}
		return apdu.Response{SW: correctLe(len(r.Data))}.Bytes(), true
	}
	return b, true
}

// fetch is GET RESPONSE. Le 256 is "whatever there is".
func (c *Carrier) fetch(rest []byte, sw apdu.SW, le int) apdu.Response {
	if le == apdu.NoLe || le == apdu.MaxLe {
		le = len(rest)
	}
	if le > len(rest) {
		c.staged = staged{rest: rest, sw: sw}
		return apdu.Response{SW: correctLe(len(rest))}
	}
	data, left := rest[:le], rest[le:]
	if len(left) > 0 {
		c.staged = staged{rest: left, sw: sw}
		sw = moreData(len(left))
	}
	return apdu.Response{Data: data, SW: sw}
}
