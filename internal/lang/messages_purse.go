package lang

import "tapnet/glossary"

// purseHelp is the help of the commands about a card's purse.
var purseHelp = []HelpText{
	{"card_load", glossary.Term{EN: "Load the purse of a card: at a till, with the bank's script.", ZH: "电子现金圈存：在终端插卡，由发卡行脚本写卡。"}},
	{"card_unload", glossary.Term{EN: "Take everything out of the purse, for closing the card.", ZH: "电子现金圈提（销卡前）。"}},
	{"card_log", glossary.Term{EN: "Show what the chip remembers: its last payments and loads.", ZH: "显示卡内记录：最近的交易与圈存。"}},
	{"card_switch", glossary.Term{EN: "Switch a function or an application of a card off or on, as its holder wants.", ZH: "按持卡人意愿停用或启用卡片的一项功能或一个应用。"}},
	{"card_switch_what", glossary.Term{EN: "contactless, no-pin, or the identifier of an application in hexadecimal.", ZH: "contactless（非接触）、no-pin（小额免密）或十六进制应用标识。"}},
	{"card_switch_state", glossary.Term{EN: "on or off.", ZH: "on（启用）或off（停用）。"}},
	{"card_lost", glossary.Term{EN: "Report a card lost: the account is blocked, the purse cannot be.", ZH: "挂失：账户止付，电子现金不可挂失。"}},
	{"card_lost_stolen", glossary.Term{EN: "It was stolen.", ZH: "卡片被盗。"}},
	{"card_load_cash", glossary.Term{EN: "From notes and coins, at a bank's counter. The same as --from cash.", ZH: "现金充值，在银行柜台办理，等同--from cash。"}},
	{"card_pin", glossary.Term{EN: "Change or unblock the PIN of the card in the slot, at a bank's counter or cash machine.", ZH: "在银行柜台或自助设备插卡修改或解锁密码。"}},
	{"card_pin_change", glossary.Term{EN: "Put the PIN of --new-pin on the chip and on the account.", ZH: "将--new-pin写入芯片和账户。"}},
	{"card_pin_unblock", glossary.Term{EN: "Give the chip its PIN tries back.", ZH: "恢复芯片的密码重试次数。"}},
	{"card_pin_new", glossary.Term{EN: "The new PIN: 4 to 12 digits, or - to read it from the input.", ZH: "新密码：4至12位数字，-表示从输入读取。"}},
	{"card_payout", glossary.Term{EN: "Pay out a purse that was unloaded, and close the card.", ZH: "返还已圈提的余额并销卡。"}},
}

// purseExamples are the example lines of these commands.
var purseExamples = map[string][]Example{
	"card load": {
		{"tapnet card load --card he --amount 50.00 --pin -", glossary.Term{EN: "from the card's own account", ZH: "从本卡账户圈存"}},
		{"tapnet card load --card he --amount 50.00 --from wang --pin -", glossary.Term{EN: "from another card's account", ZH: "从另一张卡的账户圈存"}},
	},
	"card pin": {{"tapnet card pin --change --card he --pin 556677 --new-pin 908172", glossary.Term{EN: "the chip has it first, then the bank", ZH: "先写芯片，后更新账户"}}},
	"card log": {{"tapnet card log he", glossary.Term{EN: "ten payments and ten loads at most", ZH: "各不超过十笔"}}},
	"card switch": {
		{"tapnet card switch lin no-pin off", glossary.Term{EN: "every payment needs the PIN", ZH: "每笔交易均须密码"}},
		{"tapnet card switch ride F07461706E657401 off", glossary.Term{EN: "the operator's application; the rest of the card stays", ZH: "停用合作方应用，其余不变"}},
	},
	"card lost": {{"tapnet card lost he", glossary.Term{EN: "says what is safe and what is not", ZH: "说明哪些资金安全、哪些不安全"}}},
}

// The words of these commands.
var (
	PurseHolds    = glossary.Term{EN: "purse of %s: %s", ZH: "%s的电子现金：%s"}
	PurseNone     = glossary.Term{EN: "%s has no electronic cash", ZH: "%s没有电子现金"}
	PurseLoads    = glossary.Term{EN: "loads", ZH: "圈存记录"}
	PursePayments = glossary.Term{EN: "payments", ZH: "交易记录"}
	PurseNothing  = glossary.Term{EN: "none", ZH: "无"}
	SwitchIsOn    = glossary.Term{EN: "%s: %s is on", ZH: "%s：%s已启用"}
	SwitchIsOff   = glossary.Term{EN: "%s: %s is off", ZH: "%s：%s已停用"}
	SwitchNot     = glossary.Term{EN: "%s: nothing was switched", ZH: "%s：未作更改"}
	SwitchNext    = glossary.Term{EN: "tapnet card switch --help", ZH: "tapnet card switch --help"}
	LossBlocked   = glossary.Term{EN: "%s %s: the account is blocked", ZH: "%s %s：账户已止付"}
	LossRefused   = glossary.Term{EN: "%s was not reported", ZH: "%s未能挂失"}
	LossAtRisk    = glossary.Term{EN: "at most %s can still be spent from the chip", ZH: "卡内最多仍有%s可被使用"}
	LossPurse     = glossary.Term{EN: "Purse", ZH: "电子现金"}
	LossRisk      = glossary.Term{EN: "At risk", ZH: "风险"}
	CardPINNew    = glossary.Term{EN: "The new PIN cannot be read.", ZH: "无法解析新密码。"}
	CardPINNext   = glossary.Term{EN: "tapnet card pin --help", ZH: "tapnet card pin --help"}
	PaidOut       = glossary.Term{EN: "%s: paid out and closed, %s on the account", ZH: "%s：已返还并销卡，账户余额%s"}
	PayOutNot     = glossary.Term{EN: "%s: nothing was paid out", ZH: "%s：未返还"}
	PayOutNext    = glossary.Term{EN: "tapnet card unload --card NAME, then wait", ZH: "先执行tapnet card unload --card NAME，再等待"}
)
