package receipt

import "tapnet/glossary"

var kindTerms = [...]glossary.Term{
	Sale:                 {EN: "SALE", ZH: "消费"},
	SaleVoid:             {EN: "VOID", ZH: "消费撤销"},
	Refund:               {EN: "REFUND", ZH: "退货"},
	Preauthorization:     {EN: "PRE-AUTHORIZATION", ZH: "预授权"},
	PreauthorizationVoid: {EN: "PRE-AUTHORIZATION VOID", ZH: "预授权撤销"},
	Completion:           {EN: "COMPLETION", ZH: "预授权完成"},
	CompletionVoid:       {EN: "COMPLETION VOID", ZH: "预授权完成撤销"},
	Balance:              {EN: "BALANCE", ZH: "余额查询"},
	CashSale:             {EN: "E-CASH SALE", ZH: "电子现金消费"},
	CashLoad:             {EN: "E-CASH LOAD", ZH: "电子现金圈存"},
	CashLoadFromNotes:    {EN: "E-CASH LOAD, CASH", ZH: "电子现金现金充值"},
	CashLoadVoid:         {EN: "E-CASH LOAD VOID", ZH: "电子现金充值撤销"},
	CashUnload:           {EN: "E-CASH UNLOAD", ZH: "电子现金圈提"},
	Settlement:           {EN: "SETTLEMENT", ZH: "批结算"},
	PINChange:            {EN: "PIN CHANGE", ZH: "修改密码"},
	PINUnblock:           {EN: "PIN UNBLOCK", ZH: "密码解锁"},
}

var resultTerms = [...]glossary.Term{
	Declined:  {EN: "*** DECLINED ***", ZH: "*** 交易失败 ***"},
	Reversed:  {EN: "*** REVERSED ***", ZH: "*** 已冲正 ***"},
	Cancelled: {EN: "*** CANCELLED ***", ZH: "*** 已取消 ***"},
	Pending:   {EN: "*** NOT YET ANSWERED ***", ZH: "*** 尚未应答 ***"},
	Uncertain: {EN: "*** UNKNOWN: INSERT THE CARD ***", ZH: "*** 结果未知，请插卡查询 ***"},
}

// Term is the name of the kind in both languages.
func (k Kind) Term() glossary.Term {
	if k < Sale || k > PINUnblock {
		return glossary.Term{EN: "unknown", ZH: "未知"}
	}
	return kindTerms[k]
}

var copyTerms = [...]glossary.Term{
	CardholderCopy: {EN: "CARDHOLDER COPY", ZH: "持卡人存根"},
	MerchantCopy:   {EN: "MERCHANT COPY", ZH: "商户存根"},
}

var entryTerms = [...]glossary.Term{
	Contactless: {EN: "contactless", ZH: "非接触"},
	Contact:     {EN: "chip", ZH: "插卡"},
	Stripe:      {EN: "stripe", ZH: "刷卡"},
	Keyed:       {EN: "keyed", ZH: "手工输入"},
	QRCode:      {EN: "code", ZH: "扫码"},
}

var verificationTerms = [...]glossary.Term{
	NoVerification:  {EN: "No PIN or signature needed", ZH: "免密免签"},
	Signature:       {EN: "Signature", ZH: "签名"},
	OnlinePIN:       {EN: "PIN", ZH: "联机密码"},
	OfflinePIN:      {EN: "PIN checked by the card", ZH: "脱机密码"},
	PINAndSignature: {EN: "PIN and signature", ZH: "密码和签名"},
	Document:        {EN: "Identity document", ZH: "证件核对"},
	OnDevice:        {EN: "On the cardholder's device", ZH: "设备验证"},
}

// Labels and sentences.
var (
	titleTerm     = glossary.Term{EN: "CARD RECEIPT", ZH: "银行卡签购单"}
	reprintTerm   = glossary.Term{EN: "** REPRINT **", ZH: "** 重打印 **"}
	signTerm      = glossary.Term{EN: "Cardholder signature", ZH: "持卡人签名"}
	agreeTerm     = glossary.Term{EN: "I acknowledge the transaction above", ZH: "本人确认以上交易，同意将其计入本卡账户"}
	noSignTerm    = glossary.Term{EN: "No signature needed", ZH: "交易无需签名"}
	merchantTerm  = glossary.Term{EN: "Merchant", ZH: "商户名称"}
	merchantNoTrm = glossary.Term{EN: "Merchant no.", ZH: "商户编号"}
	addressTerm   = glossary.Term{EN: "Address", ZH: "地址"}
	terminalTerm  = glossary.Term{EN: "Terminal no.", ZH: "终端编号"}
	cashierTerm   = glossary.Term{EN: "Cashier", ZH: "操作员"}
	acquirerTerm  = glossary.Term{EN: "Acquirer", ZH: "收单机构"}
	issuerTerm    = glossary.Term{EN: "Issuer", ZH: "发卡机构"}
	cardTerm      = glossary.Term{EN: "Card no.", ZH: "卡号"}
	entryTerm     = glossary.Term{EN: "Read by", ZH: "读卡方式"}
	kindTerm      = glossary.Term{EN: "Transaction", ZH: "交易类型"}
	dateTerm      = glossary.Term{EN: "Date", ZH: "日期时间"}
	traceTerm     = glossary.Term{EN: "Trace no.", ZH: "凭证号"}
	batchTerm     = glossary.Term{EN: "Batch no.", ZH: "批次号"}
	referenceTerm = glossary.Term{EN: "Reference no.", ZH: "参考号"}
	authTerm      = glossary.Term{EN: "Auth. code", ZH: "授权码"}
	amountTerm    = glossary.Term{EN: "Amount", ZH: "金额"}
	tipTerm       = glossary.Term{EN: "Tip", ZH: "小费"}
	totalTerm     = glossary.Term{EN: "Total", ZH: "合计"}
	purseTerm     = glossary.Term{EN: "E-cash balance", ZH: "电子现金余额"}
	availableTerm = glossary.Term{EN: "Available", ZH: "可用余额"}
	verifiedTerm  = glossary.Term{EN: "Verified by", ZH: "验证方式"}
	originalTerm  = glossary.Term{EN: "Original", ZH: "原交易"}
	labelTerm     = glossary.Term{EN: "Application", ZH: "应用标签"}
	notPaidTerm   = glossary.Term{EN: "Nothing was charged", ZH: "未扣款"}
	debitsTerm    = glossary.Term{EN: "Debits", ZH: "借记"}
	creditsTerm   = glossary.Term{EN: "Credits", ZH: "贷记"}
	countTerm     = glossary.Term{EN: "%d, %s", ZH: "%d笔，%s"}
	agreedTerm    = glossary.Term{EN: "The totals agree", ZH: "对账平"}
	differTerm    = glossary.Term{EN: "THE TOTALS DIFFER", ZH: "对账不平"}
	codeTerm      = glossary.Term{EN: "Code", ZH: "二维码内容"}
)

// Term names the method in both languages.
func (v Verification) Term() glossary.Term {
	if int(v) >= len(verificationTerms) {
		return glossary.Term{}
	}
	return verificationTerms[v]
}
