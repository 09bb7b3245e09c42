package journal

import "tapnet/glossary"

// Kind says what a row records. One vocabulary serves every role; each uses the part that concerns it. The numbers are
// stored and hashed: they are never reused or moved, new ones go at the end.
type Kind uint8

// The kinds.
const (
	Approved         Kind = iota + 1 // a payment request was approved
	Declined                         // a payment request was declined
	Reversed                         // a payment was undone
	Completed                        // a held payment was posted
	Loaded                           // value was put on a card or account
	PINTried                         // a PIN was checked
	CardChanged                      // a card's status, counter or data changed
	Requested                        // a request was sent onward
	Answered                         // an answer came and was passed on
	TimedOut                         // no answer came in time
	Acknowledged                     // the peer acknowledged an advice or reversal
	Opened                           // an account, merchant, terminal or card was opened
	SignedOn                         // a session was opened
	SignedOff                        // a session was closed
	Uploaded                         // an offline transaction arrived
	KeysChanged                      // new session keys are in use
	Refused                          // a message was refused before any decision
	Expired                          // a hold ran out and was released
	Refunded                         // money was given back for an earlier payment
	Held                             // money was held
	Posted                           // money was moved
	Voided                           // a payment was cancelled by the merchant
	Advised                          // the peer told of something already done
	Queued                           // a message waits to be sent again
	BatchOpened                      // a terminal batch began
	BatchClosed                      // a terminal batch was settled
	DayClosed                        // a business date ended
	Cleared                          // a clearing record was exchanged
	Settled                          // a position was settled
	Adjusted                         // an operator corrected something
	Converted                        // a leg of a currency conversion
	Charged                          // a fee
	ScriptSent                       // an issuer script left
	ScriptReported                   // a script's result came back
	TapRecorded                      // a tap was recorded at the terminal
	FindingRecorded                  // what a parallel check found
	MerchantChanged                  // a merchant's terms or status changed
	TerminalChanged                  // a terminal's parameters or status changed
	ParameterChanged                 // a parameter of the role changed
	Noted                            // anything else a role wants durable
	lastKind         = Noted
)

type kindText struct {
	name string
	term glossary.Term
}

var kinds = [...]kindText{
	Approved:         {"approved", glossary.Term{EN: "approved", ZH: "已批准"}},
	Declined:         {"declined", glossary.Term{EN: "declined", ZH: "已拒绝"}},
	Reversed:         {"reversed", glossary.Term{EN: "reversed", ZH: "已冲正"}},
	Completed:        {"completed", glossary.Term{EN: "completed", ZH: "已完成"}},
	Loaded:           {"loaded", glossary.Term{EN: "loaded", ZH: "已圈存"}},
	PINTried:         {"pin_tried", glossary.Term{EN: "PIN tried", ZH: "已验证密码"}},
	CardChanged:      {"card_changed", glossary.Term{EN: "card changed", ZH: "卡片状态变更"}},
	Requested:        {"requested", glossary.Term{EN: "requested", ZH: "已发出请求"}},
	Answered:         {"answered", glossary.Term{EN: "answered", ZH: "已应答"}},
	TimedOut:         {"timed_out", glossary.Term{EN: "timed out", ZH: "已超时"}},
	Acknowledged:     {"acknowledged", glossary.Term{EN: "acknowledged", ZH: "已确认"}},
	Opened:           {"opened", glossary.Term{EN: "opened", ZH: "已开立"}},
	SignedOn:         {"signed_on", glossary.Term{EN: "signed on", ZH: "已签到"}},
	SignedOff:        {"signed_off", glossary.Term{EN: "signed off", ZH: "已签退"}},
	Uploaded:         {"uploaded", glossary.Term{EN: "uploaded", ZH: "已上送"}},
	KeysChanged:      {"keys_changed", glossary.Term{EN: "keys changed", ZH: "密钥已更换"}},
	Refused:          {"refused", glossary.Term{EN: "refused", ZH: "报文被拒"}},
	Expired:          {"expired", glossary.Term{EN: "expired", ZH: "冻结到期"}},
	Refunded:         {"refunded", glossary.Term{EN: "refunded", ZH: "已退货"}},
	Held:             {"held", glossary.Term{EN: "held", ZH: "已冻结"}},
	Posted:           {"posted", glossary.Term{EN: "posted", ZH: "已入账"}},
	Voided:           {"voided", glossary.Term{EN: "voided", ZH: "已撤销"}},
	Advised:          {"advised", glossary.Term{EN: "advised", ZH: "已通知"}},
	Queued:           {"queued", glossary.Term{EN: "queued", ZH: "待重发"}},
	BatchOpened:      {"batch_opened", glossary.Term{EN: "batch opened", ZH: "批次已开"}},
	BatchClosed:      {"batch_closed", glossary.Term{EN: "batch closed", ZH: "批次已结"}},
	DayClosed:        {"day_closed", glossary.Term{EN: "day closed", ZH: "已日切"}},
	Cleared:          {"cleared", glossary.Term{EN: "cleared", ZH: "已清分"}},
	Settled:          {"settled", glossary.Term{EN: "settled", ZH: "已结算"}},
	Adjusted:         {"adjusted", glossary.Term{EN: "adjusted", ZH: "已调账"}},
	Converted:        {"converted", glossary.Term{EN: "converted", ZH: "已兑换"}},
	Charged:          {"charged", glossary.Term{EN: "charged", ZH: "已收费"}},
	ScriptSent:       {"script_sent", glossary.Term{EN: "script sent", ZH: "脚本已下发"}},
	ScriptReported:   {"script_reported", glossary.Term{EN: "script reported", ZH: "脚本结果已上送"}},
	TapRecorded:      {"tap_recorded", glossary.Term{EN: "tap recorded", ZH: "挥卡已记录"}},
	FindingRecorded:  {"finding_recorded", glossary.Term{EN: "finding recorded", ZH: "检查结果已记录"}},
	MerchantChanged:  {"merchant_changed", glossary.Term{EN: "merchant changed", ZH: "商户变更"}},
	TerminalChanged:  {"terminal_changed", glossary.Term{EN: "terminal changed", ZH: "终端变更"}},
	ParameterChanged: {"parameter_changed", glossary.Term{EN: "parameter changed", ZH: "参数变更"}},
	Noted:            {"noted", glossary.Term{EN: "noted", ZH: "备注"}},
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k >= Approved && k <= lastKind }

// Term is the kind's name in both languages.
func (k Kind) Term() glossary.Term {
	if !k.Valid() {
		return glossary.Term{EN: "unknown kind", ZH: "未知类型"}
	}
	return kinds[k].term
}

// String is a short fixed name, for logs and tests.
func (k Kind) String() string {
	if !k.Valid() {
		return "unknown"
	}
	return kinds[k].name
}
