package terminal

import (
	"context"
	"fmt"
	"strings"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/tlv"
)

// Everything is all that a card shows without a payment: what Read makes sense of, and the bytes it comes from.
type Everything struct {
	Contactless  bool // the directory for the field answered
	Applications []ApplicationDump
	Reason       kernel.Reason // why there are none
}

// ApplicationDump is one application with every byte it shows.
type ApplicationDump struct {
	CardApplication
	FCI     []byte       // the answer to SELECT
	Records []CardRecord // in order of file and number
	Objects emv.Data     // the answers to GET DATA
}

// CardRecord is the answer to READ RECORD.
type CardRecord struct {
	SFI, Number byte
	Data        []byte
}

// Item is one data object of a dump with its place and its name.
type Item struct {
	Where     glossary.Term
	Tag       tlv.Tag
	Value     []byte
	Name      glossary.Term // what the dictionary calls it
	Sensitive bool          // not to be shown to everyone: account numbers, the holder's name and document
}

// Items lists every data object of a dump, templates taken apart, in the order read. A record that is no TLV, as those of logs, is
// one item without a tag.
func (d *ApplicationDump) Items() []Item {
	namer := namer{foreign: d.foreign()}
	items := namer.items(nil, glossary.Term{EN: "answer to SELECT", ZH: "SELECT 应答"}, d.FCI)
	for _, r := range d.Records {
		where := glossary.Term{EN: fmt.Sprintf("file %d, record %d", r.SFI, r.Number), ZH: fmt.Sprintf("文件 %d 记录 %d", r.SFI, r.Number)}
		if nodes, err := tlv.Tree(r.Data); err == nil && len(nodes) > 0 && r.SFI < firstLogFile {
			items = namer.items(items, where, r.Data)
			continue
		}
		items = append(items, Item{Where: where, Value: r.Data, Sensitive: true})
	}
	return namer.items(items, glossary.Term{EN: "GET DATA", ZH: "取数据"}, d.Objects.Bytes())
}

// foreign: the application is another scheme's, which gives the scheme's own tags meanings of its own.
func (d *ApplicationDump) foreign() bool {
	kernel, known := d.AID.Kernel()
	return known && kernel != emv.KernelUnionPay
}

// namer gives data objects their names.
type namer struct{ foreign bool }

func (n namer) items(items []Item, where glossary.Term, b []byte) []Item {
	nodes, err := tlv.Tree(b)
	if err != nil {
		return append(items, Item{Where: where, Value: b, Sensitive: true})
	}
	return n.nodes(items, where, nodes)
}

func (n namer) nodes(items []Item, where glossary.Term, nodes []tlv.Node) []Item {
	for _, node := range nodes {
		if node.Tag.Constructed() {
			items = n.nodes(items, where, node.Children)
			continue
		}
		items = append(items, n.item(where, node))
	}
	return items
}

// item names one object. What the dictionary does not know, or knows of another scheme, may be anything: it is shown unless it could be an
// account number.
func (n namer) item(where glossary.Term, node tlv.Node) Item {
	item := Item{Where: where, Tag: node.Tag, Value: node.Value, Sensitive: numberLike(node.Value),
		Name: glossary.Term{EN: "unknown data object", ZH: "未知数据对象"}}
	e, known := emv.Lookup(node.Tag)
	switch {
	case known && n.foreign && strings.HasPrefix(e.Ref, "REF"):
		item.Name = glossary.Term{EN: "data object of another scheme", ZH: "其他卡组织专用数据对象"}
	case known:
		item.Name, item.Sensitive = e.Name, e.Sensitive
	}
	return item
}

// numberLike: a run of digits, packed or in characters, as long as an account number [ISO 7812].
func numberLike(b []byte) bool {
	const shortest = 13
	packed, text := 0, 0
	for _, c := range b {
		if text++; c < '0' || c > '9' {
			text = 0
		}
		for _, digit := range [...]byte{c >> 4, c & 0xF} {
			if packed++; digit > 9 {
				packed = 0
			}
			if packed >= shortest || text >= shortest {
				return true
			}
		}
	}
	return false
}

const (
	firstLogFile, lastFile = 11, 30
	// MaxReadAllCommands bounds ReadAll: what Read does, and every file and data object of each application.
	MaxReadAllCommands = MaxReadCommands + MaxCandidates*(1+MaxReadFiles*MaxReadRecords+(lastFile-firstLogFile+1)*MaxLogRecords+maxDictionary)
	// maxDictionary is more than the objects that the dictionary says GET DATA reaches.
	maxDictionary = 64
)

// ReadAll shows every byte a card tells any reader, in the field or in the slot: each application's answer to SELECT, its records,
// its data objects and its logs. It starts no payment. The error is that of the reader, or wraps apdu.ErrCardLost.
func ReadAll(ctx context.Context, reader apdu.Transceiver) (Everything, error) {
	l := &line{ctx: ctx, reader: WholeAnswers(reader)}
	entries, contactless, why, err := l.readDirectory()
	all := Everything{Contactless: contactless, Reason: why}
	if err != nil || why != kernel.ReasonNone {
		return all, err
	}
	for i := range entries {
		a, found, err := l.readApplication(&entries[i])
		if err != nil {
			return all, fmt.Errorf("read card: %w", err)
		}
		if !found {
			continue
		}
		d := ApplicationDump{CardApplication: a}
		if err := l.dump(&d); err != nil {
			return all, fmt.Errorf("read card: %w", err)
		}
		all.Applications = append(all.Applications, d)
	}
	if len(all.Applications) == 0 {
		all.Reason = kernel.ReasonNoCommonApplication
	}
	return all, nil
}

// dump reads what readApplication has no name for.
func (l *line) dump(d *ApplicationDump) error {
	r, err := l.send(apdu.Select(d.AID.Bytes()))
	if err != nil {
		return err
	}
	d.FCI = r.Data
	for sfi := byte(1); sfi <= lastFile; sfi++ {
		if err := l.dumpFile(d, sfi); err != nil {
			return err
		}
	}
	for _, e := range emv.Dictionary() {
		if e.Access&emv.AccessGet == 0 {
			continue
		}
		value, err := l.getData(e.Tag)
		if err != nil {
			return err
		}
		if value != nil {
			d.Objects.Set(e.Tag, value)
		}
	}
	return nil
}

// dumpFile reads the records of a file. Files of data may begin behind record 1; logs do not.
func (l *line) dumpFile(d *ApplicationDump, sfi byte) error {
	records := byte(MaxReadRecords)
	if sfi >= firstLogFile {
		records = MaxLogRecords
	}
	for number := byte(1); number <= records; number++ {
		r, err := l.send(apdu.ReadRecord(sfi, number))
		switch {
		case err != nil:
			return err
		case r.SW == apdu.OK:
			d.Records = append(d.Records, CardRecord{SFI: sfi, Number: number, Data: r.Data})
		case r.SW != apdu.RecordNotFound || sfi >= firstLogFile:
			return nil
		}
	}
	return nil
}

// knownNames are what a card without a directory is asked for.
var knownNames = [...]emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit, emv.AIDElectronicCash, emv.AIDUSDebit, emv.AIDTransitCash,
	emv.AIDTransitPurse}

// readDirectory finds a card's applications: in the directory for the field, in the one for the slot, or by their names. A reason
// other than ReasonNone: there are none.
func (l *line) readDirectory() (entries []entry, contactless bool, why kernel.Reason, err error) {
	r, err := l.send(apdu.Select([]byte(emv.PPSE)))
	if err != nil {
		return nil, false, kernel.ReasonNone, fmt.Errorf("read card: %w", err)
	}
	switch r.SW {
	case apdu.OK:
		entries, ok := parseDirectory(r.Data)
		if !ok {
			return nil, true, kernel.ReasonCardAnswerMalformed, nil
		}
		return entries, true, kernel.ReasonNone, nil
	case apdu.FunctionNotSupported:
		return nil, false, kernel.ReasonCardBlocked, nil
	}
	entries, err = l.contactDirectory()
	if err == nil && len(entries) == 0 {
		entries, err = l.byNames()
	}
	if err != nil {
		return nil, false, kernel.ReasonNone, fmt.Errorf("read card: %w", err)
	}
	if len(entries) == 0 {
		why = kernel.ReasonNoDirectory
	}
	return entries, false, why, nil
}

// contactDirectory reads the directory for the slot [EMV B1 12.2.3].
func (l *line) contactDirectory() (entries []entry, err error) {
	r, err := l.send(apdu.Select([]byte(emv.PSE)))
	if err != nil {
		return nil, err
	}
	file, ok := tlv.Find(r.Data, emv.TagFCI, emv.TagFCIProprietary, emv.TagSFI)
	if r.SW != apdu.OK || !ok || len(file) != 1 || file[0] == 0 || file[0] > MaxReadFiles {
		return nil, nil
	}
	for number := byte(1); number <= contact.MaxDirectoryRecords; number++ {
		if r, err = l.send(apdu.ReadRecord(file[0], number)); err != nil || r.SW != apdu.OK {
			return entries, err
		}
		list, _ := tlv.Find(r.Data, emv.TagRecord)
		entries = append(entries, parseEntries(list, MaxCandidates-len(entries))...)
	}
	return entries, nil
}

func (l *line) byNames() (entries []entry, err error) {
	for _, aid := range knownNames {
		r, err := l.send(apdu.Select(aid.Bytes()))
		if err != nil {
			return entries, err
		}
		if r.SW == apdu.OK || r.SW == apdu.ApplicationBlocked {
			label, _ := tlv.Find(r.Data, emv.TagFCI, emv.TagFCIProprietary, emv.TagApplicationLabel)
			entries = append(entries, entry{aid: aid, priority: lowestPriority, label: label})
		}
	}
	return entries, nil
}
