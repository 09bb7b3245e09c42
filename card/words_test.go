package card_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
)

// worn is a security chip whose keys can no longer be used for what the issuer checks.
type worn struct{ card.Crypto }

var errWorn = errors.New("key store is worn out")

func (worn) ScriptMAC(uint16, [5]byte, [8]byte, []byte) ([4]byte, error) { return [4]byte{}, errWorn }
func (worn) ARPC(uint16, [8]byte, [2]byte) ([8]byte, error)              { return [8]byte{}, errWorn }
func (worn) MAC(uint16, []byte) ([4]byte, error)                         { return [4]byte{}, errWorn }

// What the card cannot compute it does not answer, and nothing changes: 6F00.
func TestWornKeys(t *testing.T) {
	const noDiagnosis apdu.SW = 0x6F00
	_, issued := contactCard(t, nil)
	c, err := card.New(&issued.Image, worn{issued.Crypto}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := insert(t, c, issued)
	ac := i.online()
	before := c.State()
	i.send(apdu.ReadRecord(0x0C, 0), noDiagnosis)
	wrong := apdu.ExternalAuthenticate(make([]byte, 10))
	wrong.P1 = 1
	i.send(wrong, apdu.WrongParameters)
	i.send(apdu.ExternalAuthenticate(make([]byte, 10)), noDiagnosis)
	for _, cmd := range scriptCommands(i, ac) {
		i.send(cmd, noDiagnosis)
	}
	if c.State() != before {
		t.Error("state changed")
	}
}

// scriptCommands are all commands of the issuer, each in good form with its MAC.
func scriptCommands(i *insertion, ac []byte) []apdu.Command {
	return []apdu.Command{
		i.seal(4, apdu.InsPutData, 0x9F, 0x58, []byte{2}, ac), i.seal(4, apdu.InsUpdateRecord, 1, 0x2C, []byte{0x70, 3, 0x95, 1, 1}, ac),
		i.seal(0x84, apdu.InsPINChange, 0, apdu.PINUnblock, nil, ac), i.seal(0x84, apdu.InsApplicationBlock, 0, 0, nil, ac),
		i.seal(0x84, apdu.InsApplicationUnblock, 0, 0, nil, ac), i.seal(0x84, apdu.InsCardBlock, 0, 0, nil, ac),
	}
}

// Every command of the issuer: without a MAC 6987, with parameters or data it does not have 6A86 and 6700, into a memory that refuses 6581.
func TestEveryScriptCommandRefused(t *testing.T) {
	const commands = 6
	for n := range commands {
		memory := &brokenMemory{}
		c, issued := cardtest.New(t, cardtest.Options{Contact: true, Memory: func(s card.State) card.Memory {
			memory.Memory = card.NewVolatile(s)
			return memory
		}})
		i := insert(t, c, issued)
		cmd := scriptCommands(i, i.online())[n]
		short := cmd
		short.Data = cmd.Data[:3]
		i.send(short, apdu.SecureMessagingMissing)

		cmd = scriptCommands(i, i.online())[n]
		memory.refuse = true
		before := c.State()
		i.send(cmd, apdu.MemoryFailure)
		if c.State() != before {
			t.Errorf("%v: state changed without a write", cmd)
		}
		memory.refuse = false
		if cmd.CLA == 4 || cmd.INS == apdu.InsPINChange {
			continue
		}
		ac := i.online()
		i.send(i.seal(cmd.CLA, cmd.INS, 1, 0, nil, ac), apdu.WrongParameters)
		ac = i.online()
		i.send(i.seal(cmd.CLA, cmd.INS, 0, 0, []byte{1}, ac), apdu.WrongLength)
		if s := c.State(); s.Blocked || s.Applications[0].Blocked {
			t.Errorf("%v: blocked by a command in bad form", cmd)
		}
	}
}

func TestExtendedCommandsRefused(t *testing.T) {
	m := newMerchant(t, 0x01, nil)
	m.register("T1 out")
	m.kind = 1
	m.initiate(apdu.OK)
	elsewhere := m.update([]byte("T1 in"))
	elsewhere.P2 = 0x16 << 3
	m.send(elsewhere, apdu.FileNotFound)

	blocked := newMerchant(t, 0x01, func(image *card.Image) { image.State.Applications[0].Blocked = true })
	blocked.send(apdu.Select(blocked.aid.Bytes()), apdu.ApplicationBlocked)
	blocked.send(blocked.appendCommand([]byte("T1 out")), apdu.ConditionsNotSatisfied)

	memory := &brokenMemory{Memory: card.NewVolatile(m.issued.Image.State)}
	keys := card.NewSoftCrypto(m.issued.Suite, m.issued.CardKeys, m.issued.Key).WithFileKey(merchantFile, m.opening)
	c, err := card.New(&m.issued.Image, keys, memory, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.reader, m.chip = present(t, c, m.issued), c
	m.selectApplication()
	memory.refuse = true
	m.send(m.appendCommand([]byte("T1 out")), apdu.MemoryFailure)
	if c.State().Extended != [card.MaxExtendedRecords]card.ExtendedRecord{} {
		t.Error("a record that was not written is there")
	}
	if got := m.amount(emv.TagECBalance); got != 8750 {
		t.Errorf("balance %d", got)
	}
}
