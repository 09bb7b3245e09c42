package verify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// Wrong is one row that does not hold, or one thing that no row says.
type Wrong struct {
	Role   string // of the member, one of the constants above
	Member string // institution or terminal
	// Row is its number in the member's journal; 0 is the journal as a whole.
	Row      uint64
	Kind     journal.Kind // of the row, 0 when there is none
	Cell     int64        // number of the cell that is wrong as of the row, 0 when it is the row that is
	Field    string       // what of the row is wrong: the column's name, or what follows from several
	Found    glossary.Term
	Expected glossary.Term
	// Witness is the row of another member that says otherwise; Row 0 means none.
	Witness Witness
	at      int64
}

// Witness is a row that speaks against another.
type Witness struct {
	Role, Member string
	Row          uint64
}

// wrongJSON is a finding for a program: the same words in both languages.
type wrongJSON struct {
	Role     string       `json:"role"`
	Member   string       `json:"member"`
	Row      uint64       `json:"row"`
	Kind     string       `json:"kind,omitempty"`
	Cell     int64        `json:"cell,omitempty"`
	Field    string       `json:"field"`
	Found    termJSON     `json:"found"`
	Expected termJSON     `json:"expected"`
	Witness  *witnessJSON `json:"witness,omitempty"`
}

type termJSON struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

type witnessJSON struct {
	Role   string `json:"role"`
	Member string `json:"member"`
	Row    uint64 `json:"row"`
}

// MarshalJSON gives found and expected in both languages.
func (w Wrong) MarshalJSON() ([]byte, error) {
	out := wrongJSON{Role: w.Role, Member: w.Member, Row: w.Row, Cell: w.Cell, Field: w.Field,
		Found: termJSON(w.Found), Expected: termJSON(w.Expected)}
	if w.Kind != 0 {
		out.Kind = w.Kind.String()
	}
	if w.Witness != (Witness{}) {
		witness := witnessJSON(w.Witness)
		out.Witness = &witness
	}
	return json.Marshal(out)
}

// String is the finding in English.
func (w Wrong) String() string { return w.Term().EN }

// Term is the finding as a sentence.
func (w Wrong) Term() glossary.Term {
	t := glossary.Term{
		EN: fmt.Sprintf("%s: %s: found %s, expected %s", w.Place().EN, FieldTerm(w.Field).EN, w.Found.EN, w.Expected.EN),
		ZH: fmt.Sprintf("%s：%s：实为%s，应为%s", w.Place().ZH, FieldTerm(w.Field).ZH, w.Found.ZH, w.Expected.ZH),
	}
	if by := w.Witness.Place(); by.EN != "" {
		t.EN += " (by " + by.EN + ")"
		t.ZH += "（依据" + by.ZH + "）"
	}
	return t
}

// Place says which row the witness is, or nothing.
func (w Witness) Place() glossary.Term {
	if w.Row == 0 {
		return glossary.Term{}
	}
	return Wrong{Role: w.Role, Member: w.Member, Row: w.Row}.Place()
}

// Place says where the finding is.
func (w Wrong) Place() glossary.Term {
	role := RoleTerm(w.Role)
	t := glossary.Term{EN: role.EN + " " + w.Member, ZH: role.ZH + w.Member}
	if w.Row != 0 {
		t.EN += fmt.Sprintf(" row %d", w.Row)
		t.ZH += fmt.Sprintf("第%d行", w.Row)
	}
	if w.Kind != 0 {
		t.EN += " (" + w.Kind.Term().EN + ")"
		t.ZH += "（" + w.Kind.Term().ZH + "）"
	}
	switch w.Cell {
	case 0:
	case bankCell:
		t.EN += " in the cell of the bank's own accounts"
		t.ZH += "在银行自有账户的存储单元中"
	default:
		what := glossary.Term{EN: "the cell of card", ZH: "卡%d的存储单元"}
		if w.Role != Issuer {
			what = glossary.Term{EN: "cell", ZH: "存储单元%d"}
		}
		t.EN += fmt.Sprintf(" in %s %d", what.EN, w.Cell)
		t.ZH += "在" + fmt.Sprintf(what.ZH, w.Cell) + "中"
	}
	return t
}

var roleTerms = map[string]glossary.Term{
	Issuer: {EN: "issuer", ZH: "发卡行"}, Switch: {EN: "switch", ZH: "交换中心"}, Acquirer: {EN: "acquirer", ZH: "收单行"}, Till: {EN: "till", ZH: "终端"},
	Operator: {EN: "transit operator", ZH: "公交运营方"}, TokenService: {EN: "token service", ZH: "令牌服务"}, CloudSE: {EN: "cloud secure element", ZH: "云端安全单元"},
}

// RoleTerm names a role for people.
func RoleTerm(role string) glossary.Term {
	if t, ok := roleTerms[role]; ok {
		return t
	}
	return verbatim(role)
}

// Fields of findings that are no columns.
const (
	FieldChain       = "chain"
	FieldSequence    = "seq"
	FieldJournal     = "journal"
	FieldCounterpart = "counterpart"
	FieldEnd         = "end"
	FieldHold        = "hold"
	FieldTries       = "pin_tries"
	FieldCounter     = "counter"
	FieldLimit       = "limit"
	FieldAvailable   = "available"
	FieldPurse       = "purse"
	FieldAuthCode    = "auth_code"
	FieldParties     = "parties"
	FieldDelivery    = "delivery"
	FieldTotal       = "total"
	FieldMarker      = "marker"
	FieldTaken       = "taken"

	FieldCell        = "cell"
	FieldWatermark   = "watermark"
	FieldStanding    = "standing"
	FieldSwitches    = "switches"
	FieldWindow      = "window"
	FieldDays        = "days"
	FieldCredit      = "credit_line"
	FieldAccount     = "account"
	FieldLast        = "last_transfer"
	FieldFingerprint = "fingerprint"
	FieldPIN         = "pin_reference"
	FieldIdentity    = "identity"

	FieldToken      = "token"
	FieldState      = "state"
	FieldSuspenders = "suspenders"
	FieldBurnt      = "burnt"
	FieldTwin       = "twin"
	FieldDefault    = "default"
	FieldList       = "list"
	FieldRecord     = "record"
	FieldChallenge  = "challenge"
	FieldBatch      = "batch"
	FieldRatchet    = "ratchet"
	FieldOpen       = "open"
	FieldChip       = "chip"
	FieldHistory    = "history"
	FieldScripts    = "scripts"

	FieldDenyList = "deny_list"
	FieldEpoch    = "epoch"
	FieldSigner   = "signer"
	FieldKept     = "kept_state"
)

var fieldTerms = map[string]glossary.Term{
	FieldChain: {EN: "hash chain", ZH: "哈希链"}, FieldSequence: {EN: "row number", ZH: "行号"}, FieldJournal: {EN: "journal", ZH: "日志"},
	FieldCounterpart: {EN: "counterpart", ZH: "对方记录"}, FieldEnd: {EN: "end of the payment", ZH: "交易结果"}, FieldHold: {EN: "hold", ZH: "冻结"},
	FieldTries: {EN: "PIN tries left", ZH: "剩余密码次数"}, FieldCounter: {EN: "card counter", ZH: "卡片计数器"}, FieldLimit: {EN: "card limits", ZH: "卡片限额"},
	FieldAvailable: {EN: "money available", ZH: "可用余额"}, FieldPurse: {EN: "purse", ZH: "电子现金余额"}, FieldAuthCode: {EN: "authorization code", ZH: "授权码"},
	FieldParties: {EN: "sender and receiver", ZH: "收发双方"}, FieldDelivery: {EN: "delivery", ZH: "报文投递"}, FieldTotal: {EN: "total", ZH: "合计"},
	FieldMarker: {EN: "marker of the spent key", ZH: "已占用键的标记"}, FieldTaken: {EN: "what the reversal gives back", ZH: "冲正所退还的额度"},
	FieldCell: {EN: "cell", ZH: "存储单元"}, FieldWatermark: {EN: "watermark", ZH: "水位"}, FieldStanding: {EN: "standing", ZH: "卡片状态"},
	FieldSwitches: {EN: "switches of the cardholder", ZH: "持卡人开关"}, FieldWindow: {EN: "window of counters", ZH: "计数器窗口"},
	FieldDays: {EN: "days used", ZH: "当日累计"}, FieldCredit: {EN: "credit line", ZH: "授信额度"}, FieldAccount: {EN: "account", ZH: "账户"},
	FieldLast: {EN: "last transfer", ZH: "最后一笔转账"}, FieldFingerprint: {EN: "fingerprint of the number", ZH: "卡号指纹"},
	FieldPIN: {EN: "PIN reference", ZH: "密码参考值"}, FieldIdentity: {EN: "enrolment", ZH: "开户资料"},
	FieldToken: {EN: "token", ZH: "令牌"}, FieldState: {EN: "state", ZH: "状态"}, FieldSuspenders: {EN: "suspenders", ZH: "暂停方集合"},
	FieldBurnt: {EN: "number given out once", ZH: "号码只发放一次"}, FieldTwin: {EN: "one token per card and device", ZH: "每卡每设备一个令牌"},
	FieldDefault: {EN: "default of the device", ZH: "设备默认令牌"}, FieldList: {EN: "list of tokens", ZH: "令牌列表"}, FieldRecord: {EN: "record", ZH: "记录"},
	FieldChallenge: {EN: "verification of the holder", ZH: "持卡人验证"}, FieldBatch: {EN: "batch of keys", ZH: "密钥批次"},
	FieldHistory: {EN: "history of the token", ZH: "令牌历史"}, FieldChip: {EN: "what is known of the chip", ZH: "芯片状态"}, FieldScripts: {EN: "scripts", ZH: "脚本"},
	FieldDenyList: {EN: "deny list", ZH: "黑名单"}, FieldEpoch: {EN: "key epoch", ZH: "密钥纪元"}, FieldSigner: {EN: "signature of the deny list", ZH: "黑名单签名"},
	FieldKept:    {EN: "kept state", ZH: "保存的状态"},
	FieldRatchet: {EN: "ratchet", ZH: "棘轮"}, FieldOpen: {EN: "what has not ended", ZH: "未结束的事项"},
	"kind": {EN: "kind", ZH: "类型"}, "at": {EN: "instant", ZH: "时间"}, "business_date": {EN: "business date", ZH: "业务日期"},
	"content": {EN: "content hash", ZH: "内容哈希"}, "stan": {EN: "trace number", ZH: "流水号"}, "card": {EN: "card", ZH: "卡片"},
	"atc": {EN: "card counter", ZH: "卡片计数器"}, "reason": {EN: "reason", ZH: "原因"}, "debit": {EN: "debit account", ZH: "借方账户"},
	"credit": {EN: "credit account", ZH: "贷方账户"}, "amount": {EN: "amount", ZH: "金额"}, "currency": {EN: "currency", ZH: "币种"},
	"phase": {EN: "phase", ZH: "阶段"}, "resolves": {EN: "hold it ends", ZH: "所解除的冻结"}, "linked": {EN: "row it follows", ZH: "关联行"},
	"key": {EN: "key", ZH: "键"}, "payment": {EN: "payment key", ZH: "交易键"}, "rrn": {EN: "reference number", ZH: "检索参考号"},
	"terminal": {EN: "terminal", ZH: "终端"}, "answer": {EN: "answer", ZH: "应答"}, "note": {EN: "note", ZH: "附注"},
}

// FieldTerm names a field for people.
func FieldTerm(field string) glossary.Term {
	if t, ok := fieldTerms[field]; ok {
		return t
	}
	return verbatim(field)
}

// Words of findings.
var (
	wordNothing   = glossary.Term{EN: "nothing", ZH: "无"}
	wordSomething = glossary.Term{EN: "something", ZH: "有内容"}
	wordNone      = glossary.Term{EN: "none", ZH: "没有"}
	wordReadable  = glossary.Term{EN: "a value that fits", ZH: "有效值"}
	wordUnfit     = glossary.Term{EN: "a value that does not fit", ZH: "无效值"}
)

func verbatim(text string) glossary.Term { return glossary.Term{EN: text, ZH: text} }

func number[T ~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64](n T) glossary.Term {
	return verbatim(fmt.Sprint(n))
}

func quoted(s string) glossary.Term {
	if s == "" {
		return wordNothing
	}
	return verbatim(fmt.Sprintf("%q", s))
}

func fill(en, zh string, args ...any) glossary.Term {
	return glossary.Term{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}
}

// findings keeps the first of what was found and counts the rest.
type findings struct {
	kept  []Wrong
	total int
	most  int
}

// keptTimes is how many more findings than asked for are kept before they are sorted and the latest dropped.
const keptTimes = 2

func (f *findings) add(w Wrong) {
	f.total++
	f.kept = append(f.kept, w)
	if len(f.kept) > keptTimes*f.most {
		f.cut()
	}
}

// cut sorts by instant, member and row, drops repetitions, and keeps the first.
func (f *findings) cut() {
	slices.SortStableFunc(f.kept, func(a, b Wrong) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Member, b.Member), cmp.Compare(a.Row, b.Row))
	})
	f.kept = slices.Compact(f.kept)
	if len(f.kept) > f.most {
		f.kept = f.kept[:f.most]
	}
}

// at turns a row into the place of a finding.
func (m *member) wrong(r *journal.Row, field string, found, expected glossary.Term) Wrong {
	return Wrong{Role: m.Role, Member: m.Name, Row: r.Seq, Kind: r.Kind, Field: field, Found: found, Expected: expected, at: r.At.UnixMicro()}
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
