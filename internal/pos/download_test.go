package pos_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/tlv"
)

// application is the parameters of one application, with a floor limit in minor units.
func application(floor byte) emv.Data {
	var d emv.Data
	d.Set(emv.TagTerminalAID, []byte{0xA0, 0, 0, 3, 0x33, 1, 1})
	d.Set(emv.TagParameterTACDefault, []byte{0xD8, 0x40, 0, 0xA8, 0})
	d.Set(emv.TagParameterTACOnline, []byte{0xD8, 0x40, 4, 0xF8, 0})
	d.Set(emv.TagParameterTACDenial, []byte{0, 0x10, 0, 0, 0})
	d.Set(emv.TagFloorLimit, []byte{0, 0, 0x4E, floor})
	d.Set(emv.TagParameterFloorLimit, []byte{0, 0, 0, 0, 0, floor})
	return d
}

func caKey(issued *cardtest.Issued) emv.Data {
	k, sum := issued.CA, issued.CA.Checksum()
	var d emv.Data
	d.Set(emv.TagTerminalAID, k.RID[:])
	d.Set(emv.TagTerminalCAIndex, []byte{k.Index})
	d.Set(emv.TagParameterModulus, k.Modulus)
	d.Set(emv.TagParameterExponent, k.Exponent)
	d.Set(emv.TagParameterChecksum, sum[:])
	d.Set(emv.TagParameterHashAlgorithm, []byte{1})
	d.Set(emv.TagParameterKeyAlgorithm, []byte{1})
	d.Set(emv.TagParameterKeyExpiry, []byte("20301231"))
	return d
}

// refusing counts what terminals were made of; one of floor 13 cannot be made.
func refusing(used *[]pos.Parameters) func(d *pos.Deps) {
	return func(d *pos.Deps) {
		tap := d.Tap
		d.Configure = func(p pos.Parameters) (pos.Tapper, error) {
			if len(p.Applications) > 0 && p.Applications[0].TapFloor.Minor() == 13 {
				return nil, errors.New("unlucky")
			}
			*used = append(*used, p)
			return tap, nil
		}
	}
}

func TestListsAreDownloadedUsedAndRolledBack(t *testing.T) {
	var used []pos.Parameters
	c := newCounter(t, cardtest.Options{}, refusing(&used))
	c.host.lists[unionpay.DownloadCAKeys] = published{7, unionpay.AppendList(nil, caKey(c.host.issued), caKey(c.host.issued), caKey(c.host.issued), caKey(c.host.issued))}
	c.host.lists[unionpay.DownloadApplications] = published{1, unionpay.AppendList(nil, application(1))}
	r, err := c.till.Download(t.Context(), unionpay.DownloadCAKeys, money.CNY)
	if err != nil || !r.Fresh || r.Version != 7 || r.Parts < 2 || len(used) != 1 || len(used[0].CAKeys) != 4 {
		t.Fatalf("%+v, %v, %d", r, err, len(used))
	}
	if done, err := unionpay.ParseDownloadDone(last[*unionpay.NetworkRequest](c.host).Data); err != nil || done.Version != 7 {
		t.Errorf("done %+v, %v", done, err)
	}
	if r, err = c.till.Download(t.Context(), unionpay.DownloadCAKeys, money.CNY); err != nil || r.Fresh || r.Version != 7 {
		t.Errorf("the same again: %+v, %v", r, err)
	}
	for version := uint32(1); version <= 2; version++ {
		c.host.lists[unionpay.DownloadApplications] = published{version, unionpay.AppendList(nil, application(byte(version)))}
		if r, err = c.till.Download(t.Context(), unionpay.DownloadApplications, money.CNY); err != nil || r.Version != version {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if p := used[len(used)-1]; len(p.Applications) != 1 || p.Applications[0].TapFloor.Minor() != 2 || len(p.CAKeys) != 4 {
		t.Errorf("in use: %+v", p)
	}
	c.host.lists[unionpay.DownloadApplications] = published{3, unionpay.AppendList(nil, application(13))}
	if _, err = c.till.Download(t.Context(), unionpay.DownloadApplications, money.CNY); !errors.Is(err, pos.ErrList) {
		t.Errorf("a list that the terminal cannot use: %v", err)
	}
	c.inUse(t, 7, 2, 1)
	// A till that starts anew has the same lists.
	for _, rows := range []int{1, 1000} {
		again := &counter{chip: c.chip, host: c.host, hsm: c.hsm, term: c.term, deps: func(d *pos.Deps) { refusing(&used)(d); d.Capacity.Rows = rows }}
		again.till = again.newTill(t)
		again.Rig = networktest.NewRig(t, again.till, c.prefix(t, len(c.Rows()), journal.Capacity{Rows: rows}), clock.NewManual(networktest.Start), c.Dialect)
		again.attach()
		again.inUse(t, 7, 2, 1)
		if err := again.till.Restore(t.Context(), money.CNY); err != nil || used[len(used)-1].Applications[0].TapFloor.Minor() != 2 {
			t.Errorf("restored %+v, %v", used[len(used)-1], err)
		}
		if r, err = again.till.Rollback(t.Context(), unionpay.DownloadApplications, money.CNY); err != nil || r.Version != 1 || r.Before != 2 {
			t.Fatalf("rollback %+v, %v", r, err)
		}
		if used[len(used)-1].Applications[0].TapFloor.Minor() != 1 {
			t.Error("the terminal is not back")
		}
		again.inUse(t, 7, 1, 0)
		if _, err = again.till.Rollback(t.Context(), unionpay.DownloadApplications, money.CNY); err != nil {
			t.Error(err)
		}
		if _, err = again.till.Rollback(t.Context(), unionpay.DownloadApplications, money.CNY); !errors.Is(err, pos.ErrList) {
			t.Errorf("back from nothing: %v", err)
		}
	}
}

func (c *counter) inUse(t *testing.T, keys, applications, before uint32) {
	t.Helper()
	have, err := c.till.Lists(t.Context())
	if err != nil || have.Shelves[2].Active.Version != keys || have.Shelves[1].Active.Version != applications || have.Shelves[1].Previous.Version != before {
		t.Errorf("in use %+v, %v", have.Shelves, err)
	}
}

// What is damaged on the way changes nothing.
func TestDamagedListsAreRefused(t *testing.T) {
	list := unionpay.AppendList(nil, application(1))
	for name, spoil := range map[string]func(*unionpay.NetworkResponse){
		"one byte": func(m *unionpay.NetworkResponse) {
			if m.Code == unionpay.ApplicationGet {
				b := []byte(m.Data)
				b[len(b)-1] ^= 1
				m.Data = unionpay.Opaque(b)
			}
		},
		"short": func(m *unionpay.NetworkResponse) {
			if m.Code == unionpay.ApplicationGet {
				m.Data = m.Data[:len(m.Data)-1]
			}
		},
		"another version": func(m *unionpay.NetworkResponse) {
			if m.Code == unionpay.ApplicationGet {
				m.Data = "\x00\x00\x00\x09" + m.Data[4:]
			}
		},
		"status":  func(m *unionpay.NetworkResponse) { m.Data = m.Data[1:] },
		"refused": func(m *unionpay.NetworkResponse) { m.Response = unionpay.OriginalNotFound },
	} {
		var used []pos.Parameters
		c := newCounter(t, cardtest.Options{}, refusing(&used))
		c.host.lists[unionpay.DownloadApplications] = published{1, list}
		c.host.spoil = spoil
		if _, err := c.till.Download(t.Context(), unionpay.DownloadApplications, money.CNY); !errors.Is(err, pos.ErrList) {
			t.Errorf("%s: %v", name, err)
		}
		c.inUse(t, 0, 0, 0)
	}
	c := newCounter(t, cardtest.Options{}, nil)
	c.host.silent = func(unionpay.Message) bool { return true }
	began := c.Clock.Now()
	if _, err := c.till.Download(t.Context(), unionpay.DownloadApplications, money.CNY); err == nil || c.Clock.Now().Sub(began) < time.Minute {
		t.Errorf("without an answer: %v", err)
	}
	if reply := c.Command(pos.Stage{Kind: unionpay.DownloadApplications, Version: 1, List: list}); reply == nil {
		t.Error("a list with the wrong checksum was kept")
	}
}

func TestParametersSetTheSmallAmountRule(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	var e emv.Data
	e.Set(0xDF8158, []byte{0, 0, 0, 0, 0x50, 0})
	c.host.lists[unionpay.DownloadParameters] = published{1, unionpay.AppendList(nil, e)}
	if _, err := c.till.Download(t.Context(), unionpay.DownloadParameters, money.CNY); err != nil {
		t.Fatal(err)
	}
	without := c.sale(150_000)
	without.EnterPIN = nil
	c.must(pos.PINMissing)(c.till.Sale(t.Context(), c.tap(), without))
	bin := c.host.issued.PAN.BCD()[:3]
	e.Set(0xDF815B, append(bytes.Clone(bin), 0xFF, 0xFF))
	c.host.lists[unionpay.DownloadParameters] = published{2, unionpay.AppendList(nil, e)}
	if _, err := c.till.Download(t.Context(), unionpay.DownloadParameters, money.CNY); err != nil {
		t.Fatal(err)
	}
	without = c.sale(100)
	without.EnterPIN = nil
	c.must(pos.PINMissing)(c.till.Sale(t.Context(), c.tap(), without))
}

func TestListsThatAreNone(t *testing.T) {
	good := application(1)
	key := caKey(newCounter(t, cardtest.Options{}, nil).host.issued)
	change := func(d emv.Data, tag tagNumber, value []byte) emv.Data {
		d = d.Clone()
		d.Set(tag, value)
		return d
	}
	for name, lists := range map[string][3][]byte{
		"no list":      {1: {0xFF}},
		"no AID":       {1: unionpay.AppendList(nil, change(good, emv.TagTerminalAID, []byte{1}))},
		"action code":  {1: unionpay.AppendList(nil, change(good, emv.TagParameterTACDenial, []byte{1}))},
		"limit":        {1: unionpay.AppendList(nil, change(good, emv.TagParameterFloorLimit, []byte{0, 0, 0, 0, 0, 0xAA}))},
		"floor":        {1: unionpay.AppendList(nil, change(good, emv.TagFloorLimit, []byte{1}))},
		"key checksum": {2: unionpay.AppendList(nil, change(key, emv.TagParameterChecksum, make([]byte, 20)))},
		"key index":    {2: unionpay.AppendList(nil, change(key, emv.TagTerminalCAIndex, nil))},
		"algorithm":    {2: unionpay.AppendList(nil, change(key, emv.TagParameterKeyAlgorithm, []byte{9}))},
	} {
		if _, err := pos.ReadParameters(lists, money.CNY); !errors.Is(err, pos.ErrList) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p, err := pos.ReadParameters([3][]byte{1: unionpay.AppendList(nil, good), 2: unionpay.AppendList(nil, key)}, money.CNY); err != nil ||
		p.Applications[0].Contact.FloorLimit.Minor() != 0x4E01 || p.CAKeys[0].Expiry != "20301231" {
		t.Errorf("%+v, %v", p, err)
	}
}

type tagNumber = tlv.Tag
