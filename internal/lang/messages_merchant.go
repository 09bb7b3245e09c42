package lang

import "tapnet/glossary"

// merchantHelp is the help of the commands about merchants.
var merchantHelp = []HelpText{
	{"merchant", glossary.Term{EN: "Merchants of the acquirer: who may take payments.", ZH: "收单商户：哪些商户可受理支付。"}},
	{"merchant_list", glossary.Term{EN: "List the merchants and how they stand.", ZH: "列出商户及其状态。"}},
	{"merchant_set", glossary.Term{EN: "Approve, suspend or end a merchant. Only terminals of approved merchants sign on and pay.",
		ZH: "审核通过、暂停或解约商户。仅已审核商户的终端可签到和受理。"}},
	{"merchant_name", glossary.Term{EN: "Short name of the merchant.", ZH: "商户简称。"}},
	{"merchant_state", glossary.Term{EN: "approved, suspended or ended.", ZH: "approved（通过）、suspended（暂停）或ended（解约）。"}},
}

// MerchantStands says how a merchant stands.
var MerchantStands = glossary.Term{EN: "%s: %s", ZH: "%s：%s"}
