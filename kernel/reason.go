package kernel

import "tapnet/glossary"

// Reason says why a tap ended as it did. It answers the question at the counter: why did my tap fail, and what now.
type Reason uint8

// Reasons, in the order of the dialogue. The last group belongs to the entry point and to recovery after a torn tap.
const (
	ReasonNone Reason = iota
	ReasonApproved
	ReasonIssuerDecides
	ReasonDeferred

	ReasonCardAnswerMalformed
	ReasonNotThisKernel
	ReasonSeePhone
	ReasonPINBlocked
	ReasonCardRefused
	ReasonFullDialogue
	ReasonMissingData
	ReasonDuplicateData
	ReasonContradictoryData
	ReasonTooManyRecords
	ReasonRecordRefused
	ReasonCardDeclined
	ReasonOnlineNotPossible
	ReasonUnaskedApproval
	ReasonExpired
	ReasonExpiredOnline
	ReasonExceptionFile
	ReasonNoCVM
	ReasonODAFailed
	ReasonODAFailedOnline
	ReasonODAFailedSwitch
	ReasonPINOnline
	ReasonCardRemoved
	ReasonTorn

	ReasonAmountTooHigh
	ReasonZeroAmount
	ReasonNoDirectory
	ReasonCardBlocked
	ReasonNoCommonApplication
	ReasonApplicationBlocked
	ReasonOtherCard
	ReasonRecovered
	ReasonRecoveredByBalance
	ReasonRecoveredByLog
	ReasonInterrupted
	ReasonDialogueHeld
	reasonCount
)

// What to do next, where many reasons share it.
var (
	nextNothing  = glossary.Term{EN: "Nothing more to do.", ZH: "无需其他操作。"}
	nextOther    = glossary.Term{EN: "Insert the card, or pay with another card.", ZH: "请插卡，或换卡支付。"}
	nextAnother  = glossary.Term{EN: "Pay with another card, and ask the issuer about this one.", ZH: "请换卡支付，并就此卡联系发卡行。"}
	nextTapAgain = glossary.Term{EN: "Hold the card to the reader again until it beeps.", ZH: "请再次将卡片贴近读卡区，直到听到提示音。"}
	nextSameCard = glossary.Term{EN: "Hold the same card to the reader again at once: it does not pay twice.",
		ZH: "请立即用同一张卡再次挥卡：不会重复扣款。"}
	nextWait = glossary.Term{EN: "Wait for the issuer's answer.", ZH: "请等待发卡行应答。"}
)

var reasonTable = [reasonCount]ReasonText{
	ReasonNone:                {Why: glossary.Term{EN: "no reason given", ZH: "无原因"}, Next: nextNothing},
	ReasonApproved:            {Why: glossary.Term{EN: "the card paid and proved to be genuine", ZH: "卡片已支付，真伪验证通过"}, Next: nextNothing},
	ReasonIssuerDecides:       {Why: glossary.Term{EN: "the card asks its issuer", ZH: "卡片请求发卡行授权"}, Next: nextWait},
	ReasonDeferred:            {Why: glossary.Term{EN: "the card proved to be genuine; the issuer is asked later", ZH: "卡片真伪验证通过，稍后联机授权"}, Next: nextNothing},
	ReasonCardAnswerMalformed: {Why: glossary.Term{EN: "the card's answer cannot be read", ZH: "卡片应答无法解析"}, Next: nextOther},
	ReasonNotThisKernel:       {Why: glossary.Term{EN: "the application is not made for QuickPass", ZH: "该应用不支持闪付"}, Next: nextOther},
	ReasonSeePhone: {Why: glossary.Term{EN: "the phone wants to be unlocked first", ZH: "手机要求先解锁验证"},
		Next: glossary.Term{EN: "Confirm on the phone, then hold it to the reader again.", ZH: "请在手机上完成验证，然后再次挥卡。"}},
	ReasonPINBlocked: {Why: glossary.Term{EN: "the card's PIN is blocked", ZH: "卡片密码已锁定"},
		Next: glossary.Term{EN: "Insert the card, or ask the issuer to unblock the PIN.", ZH: "请插卡，或联系发卡行解锁密码。"}},
	ReasonCardRefused: {Why: glossary.Term{EN: "the card refuses this transaction without contact", ZH: "卡片拒绝本次非接触交易"}, Next: nextOther},
	ReasonFullDialogue: {Why: glossary.Term{EN: "the card asks for the full dialogue, which this reader holds by contact only", ZH: "卡片要求完整借贷记流程，本终端仅在接触界面支持"},
		Next: glossary.Term{EN: "Insert the card.", ZH: "请插卡。"}},
	ReasonMissingData:       {Why: glossary.Term{EN: "the card does not send data it has to send", ZH: "卡片缺少必备数据"}, Next: nextAnother},
	ReasonDuplicateData:     {Why: glossary.Term{EN: "the card sends the same data twice", ZH: "卡片重复发送数据"}, Next: nextAnother},
	ReasonContradictoryData: {Why: glossary.Term{EN: "the card's data contradict each other", ZH: "卡片数据自相矛盾"}, Next: nextAnother},
	ReasonTooManyRecords:    {Why: glossary.Term{EN: "the card lists more records than a payment needs", ZH: "卡片列出的记录过多"}, Next: nextAnother},
	ReasonRecordRefused:     {Why: glossary.Term{EN: "the card does not give a record it lists", ZH: "卡片拒绝读取其列出的记录"}, Next: nextOther},
	ReasonCardDeclined:      {Why: glossary.Term{EN: "the card declines", ZH: "卡片拒绝交易"}, Next: nextAnother},
	ReasonOnlineNotPossible: {Why: glossary.Term{EN: "the card asks its issuer, and this terminal has no connection", ZH: "卡片请求联机，但终端仅脱机"},
		Next: glossary.Term{EN: "Pay with a card that holds electronic cash, or at an online terminal.", ZH: "请使用有电子现金余额的卡片，或换联机终端。"}},
	ReasonUnaskedApproval: {Why: glossary.Term{EN: "the card approves offline although the terminal asked for an online decision", ZH: "终端要求联机，卡片却脱机批准"}, Next: nextAnother},
	ReasonExpired: {Why: glossary.Term{EN: "the card has expired", ZH: "卡片已过期"},
		Next: glossary.Term{EN: "Use the replacement card.", ZH: "请使用换发的新卡。"}},
	ReasonExpiredOnline: {Why: glossary.Term{EN: "the card has expired, so the issuer decides", ZH: "卡片已过期，由发卡行决定"}, Next: nextWait},
	ReasonExceptionFile: {Why: glossary.Term{EN: "the card is on the stop list", ZH: "卡片在止付名单中"}, Next: nextAnother},
	ReasonNoCVM: {Why: glossary.Term{EN: "this amount needs a verification of the cardholder that card and terminal do not share", ZH: "该金额需验证持卡人，但卡片与终端无共同的验证方式"},
		Next: nextOther},
	ReasonODAFailed: {Why: glossary.Term{EN: "the card could not prove that it is genuine", ZH: "卡片脱机真伪验证失败"}, Next: nextAnother},
	ReasonODAFailedOnline: {Why: glossary.Term{EN: "the card could not prove that it is genuine, so the issuer decides", ZH: "卡片脱机真伪验证失败，由发卡行决定"},
		Next: nextWait},
	ReasonODAFailedSwitch: {Why: glossary.Term{EN: "the card could not prove that it is genuine and asks to be inserted", ZH: "卡片脱机真伪验证失败，要求插卡"},
		Next: glossary.Term{EN: "Insert the card.", ZH: "请插卡。"}},
	ReasonPINOnline:   {Why: glossary.Term{EN: "the card asks for the PIN, which the issuer checks", ZH: "卡片要求输入密码，由发卡行验证"}, Next: nextWait},
	ReasonCardRemoved: {Why: glossary.Term{EN: "the card left the field too early; nothing was paid", ZH: "卡片过早移开，未扣款"}, Next: nextTapAgain},
	ReasonTorn:        {Why: glossary.Term{EN: "the card left the field before the payment was certain", ZH: "卡片过早移开，支付结果未知"}, Next: nextSameCard},

	ReasonAmountTooHigh: {Why: glossary.Term{EN: "the amount is above the limit for payments without contact", ZH: "金额超过非接触交易限额"}, Next: nextOther},
	ReasonZeroAmount:    {Why: glossary.Term{EN: "this reader takes no payment of nothing", ZH: "终端不受理零金额交易"}, Next: nextNothing},
	ReasonNoDirectory: {Why: glossary.Term{EN: "no payment application answers: the holder may have switched contactless off", ZH: "未发现支付应用：持卡人可能已关闭非接触功能"},
		Next: glossary.Term{EN: "Switch NFC payment on or insert the card.", ZH: "请开启闪付功能，或插卡。"}},
	ReasonCardBlocked:         {Why: glossary.Term{EN: "the card is blocked", ZH: "卡片已锁定"}, Next: nextAnother},
	ReasonNoCommonApplication: {Why: glossary.Term{EN: "this terminal takes none of the card's applications", ZH: "终端不支持卡片上的应用"}, Next: nextOther},
	ReasonApplicationBlocked: {Why: glossary.Term{EN: "the card's payment application is blocked", ZH: "卡片支付应用已锁定"},
		Next: nextAnother},
	ReasonOtherCard: {Why: glossary.Term{EN: "this is another card than the one whose payment was interrupted", ZH: "与中断交易的卡片不是同一张"},
		Next: nextSameCard},
	ReasonRecovered: {Why: glossary.Term{EN: "the interrupted payment had been made: the card shows the proof", ZH: "中断的交易已扣款：卡片出示了凭证"},
		Next: nextNothing},
	ReasonRecoveredByBalance: {Why: glossary.Term{EN: "the interrupted payment had been made: the balance has gone down by the amount", ZH: "中断的交易已扣款：余额已减少相应金额"},
		Next: nextNothing},
	ReasonRecoveredByLog: {Why: glossary.Term{EN: "the interrupted payment had been made: it stands in the card's log", ZH: "中断的交易已扣款：卡片日志中有记录"},
		Next: nextNothing},
	ReasonInterrupted: {Why: glossary.Term{EN: "the interrupted payment was not completed in time", ZH: "中断的交易未能在时限内完成"},
		Next: glossary.Term{EN: "Start a new sale; if the card was charged, the log on the card shows it.", ZH: "请重新发起交易；如卡片已扣款，卡内日志可查。"}},
	ReasonDialogueHeld: {Why: glossary.Term{EN: "card and terminal held the full dialogue without contact", ZH: "卡片与终端以非接触方式完成借贷记流程"},
		Next: nextNothing},
}

var reasonTexts = ReasonTexts[Reason](reasonTable[:])

// Text is what Term and Next say.
func (r Reason) Text() ReasonText { return reasonTexts.Of(r) }

// Term is why, as a sentence without a full stop.
func (r Reason) Term() glossary.Term { return reasonTexts.Of(r).Why }

// Next is what to do now.
func (r Reason) Next() glossary.Term { return reasonTexts.Of(r).Next }

// String is the reason in English.
func (r Reason) String() string { return r.Term().EN }

// Reasons lists every reason, for documentation.
func Reasons() []Reason { return reasonTexts.All() }
