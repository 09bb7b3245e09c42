package lang

import "tapnet/glossary"

// posHelp is the help of the commands of a till.
var posHelp = []HelpText{
	{"pos", glossary.Term{EN: "A till: sales and everything that may follow them. Without a verb: the menu.", ZH: "终端收银：消费及其后续交易。不带动作时显示菜单。"}},
	{"pos_menu", glossary.Term{EN: "Ask for one verb after another, in one world.", ZH: "在同一环境中逐项选择交易。"}},
	{"pos_sale", glossary.Term{EN: "Take a payment: the card is tapped, inserted with --insert, or swiped with --swipe.", ZH: "消费：挥卡，或用--insert插卡、--swipe刷卡。"}},
	{"pos_void", glossary.Term{EN: "Take a sale back in its batch.", ZH: "在本批次内撤销消费。"}},
	{"pos_refund", glossary.Term{EN: "Give back all of a sale, or --amount of it.", ZH: "退货：全部或--amount部分。"}},
	{"pos_preauth", glossary.Term{EN: "Hold money.", ZH: "预授权。"}},
	{"pos_cancel", glossary.Term{EN: "Let held money go.", ZH: "预授权撤销。"}},
	{"pos_complete", glossary.Term{EN: "Take held money: all of it, or --amount up to 115 per cent.", ZH: "预授权完成：全额，或以--amount指定（最多115%）。"}},
	{"pos_void_completion", glossary.Term{EN: "Give taken money back in its batch.", ZH: "在本批次内撤销预授权完成。"}},
	{"pos_balance", glossary.Term{EN: "Ask for the account's balance, with the PIN.", ZH: "余额查询（需密码）。"}},
	{"pos_cash", glossary.Term{EN: "Read the purse of the card; nobody is asked.", ZH: "读取卡内电子现金余额，不联机。"}},
	{"pos_load", glossary.Term{EN: "Load the purse of the card in the slot.", ZH: "电子现金圈存（插卡）。"}},
	{"pos_void_load", glossary.Term{EN: "Take a cash load back in its batch.", ZH: "在本批次内撤销现金充值。"}},
	{"pos_unload", glossary.Term{EN: "Take everything out of the purse, for closing the card.", ZH: "电子现金圈提（销卡）。"}},
	{"pos_settle", glossary.Term{EN: "Settle the batch with the acquirer; the next one begins.", ZH: "批结算，随后开始新批次。"}},
	{"pos_reprint", glossary.Term{EN: "Print a slip again: of a trace number, or the last one.", ZH: "重打印签购单：指定凭证号或最后一笔。"}},
	{"pos_download", glossary.Term{EN: "Fetch parameters, applications or CA keys from the acquirer, and use them.", ZH: "从收单机构下载并启用参数、应用或公钥。"}},
	{"pos_rollback", glossary.Term{EN: "Go back to the list that was in use before.", ZH: "回退到之前使用的参数。"}},
	{"pos_machine", glossary.Term{EN: "Serve yourself: buy from a machine, fill a purse at one with --load, or --collect what one was paid.",
		ZH: "自助终端：购买；--load为圈存；--collect为采集已收款项。"}},
	{"pos_machine_at", glossary.Term{EN: "Name of the machine. Default: vending, with --load atm.", ZH: "终端名称，默认vending，--load时为atm。"}},
	{"pos_machine_amount", glossary.Term{EN: "Amount in yuan. Default: the machine's price.", ZH: "金额（元），默认为该终端的售价。"}},
	{"pos_machine_load", glossary.Term{EN: "Fill the purse of the card in the slot from its account, with the PIN.", ZH: "插卡，从指定账户圈存（需密码）。"}},
	{"pos_machine_collect", glossary.Term{EN: "Go to the machine, deliver what it was paid and settle its batch.", ZH: "到终端采集所收交易、上送并批结算。"}},
	{"pos_at", glossary.Term{EN: "Name of the merchant whose till it is.", ZH: "终端所属商户名称。"}},
	{"pos_insert", glossary.Term{EN: "Put the card into the slot instead of the field.", ZH: "插卡，而不是挥卡。"}},
	{"pos_swipe", glossary.Term{EN: "Swipe the card's stripe. A card with a chip is refused, and the PIN is always needed.", ZH: "刷磁条。芯片卡不予受理，且须输入密码。"}},
	{"pos_dead_chip", glossary.Term{EN: "The chip is broken: it is inserted first, gives no answer, and the stripe is swiped.", ZH: "芯片已损坏：先插卡无应答，再刷磁条。"}},
	{"pos_trace", glossary.Term{EN: "Trace number of the slip.", ZH: "签购单上的凭证号。"}},
	{"pos_batch", glossary.Term{EN: "Batch number of the slip, when it is an earlier one.", ZH: "以前批次的批次号。"}},
	{"pos_rrn", glossary.Term{EN: "Reference number of the slip of an earlier batch.", ZH: "以前批次签购单上的参考号。"}},
	{"pos_auth", glossary.Term{EN: "Authorization code of the slip of an earlier batch.", ZH: "以前批次签购单上的授权码。"}},
	{"pos_amount", glossary.Term{EN: "Amount in yuan. Default: all of the original.", ZH: "金额（元），默认为原交易全额。"}},
	{"pos_notice", glossary.Term{EN: "Send it as a notice, without waiting for the bank's word.", ZH: "以通知方式发送，不等待银行应答。"}},
	{"pos_from", glossary.Term{EN: "Who pays: account (of the card), cash, or the name of another card.", ZH: "资金来源：account（本卡账户）、cash（现金）或另一张卡的名称。"}},
	{"pos_list", glossary.Term{EN: "parameters, applications or keys.", ZH: "parameters、applications或keys。"}},
	{"pos_copy", glossary.Term{EN: "Print the merchant's copy, with the signature line.", ZH: "打印商户存根（含签名栏）。"}},
	{"pos_slip", glossary.Term{EN: "Language of the slip: en, zh or both. Default: that of the output.", ZH: "签购单语言：en、zh或both，默认与输出相同。"}},
	{"pos_html", glossary.Term{EN: "Write the slip to this file as a page that prints.", ZH: "将签购单写成可打印的网页文件。"}},
}

// posExamples are the example lines of the commands.
var posExamples = map[string][]Example{
	"pos": {
		{"tapnet pos", glossary.Term{EN: "the menu", ZH: "菜单"}},
		{"tapnet pos sale --card lin --amount 29.90", glossary.Term{EN: "one verb", ZH: "单个交易"}},
	},
	"pos sale": {
		{"tapnet pos sale --card lin --amount 29.90", glossary.Term{EN: "a tap, with its slip", ZH: "挥卡并打印签购单"}},
		{"tapnet pos sale --swipe --card old --amount 29.90 --pin -", glossary.Term{EN: "a card without a chip", ZH: "刷纯磁条卡"}},
		{"tapnet pos sale --reader any --insert --amount 1500.00 --pin -", glossary.Term{EN: "the card in the slot of a PC/SC reader", ZH: "PC/SC读卡器中的卡片，插卡"}},
	},
	"pos machine": {
		{"tapnet pos machine --card chen", glossary.Term{EN: "a can out of the purse, without a network", ZH: "脱机用电子现金购买"}},
		{"tapnet pos machine --collect", glossary.Term{EN: "what it was paid reaches the banks", ZH: "采集并上送所收交易"}},
	},
	"pos refund": {
		{"tapnet pos refund --trace 3 --amount 10.00", glossary.Term{EN: "a part of a sale of this batch", ZH: "本批次消费的部分退货"}},
		{"tapnet pos refund --batch 1 --trace 3 --rrn 632517000001", glossary.Term{EN: "of an earlier batch, from its slip", ZH: "按以前批次的签购单退货"}},
	},
	"pos load":     {{"tapnet pos load --card he --amount 50.00 --pin -", glossary.Term{EN: "from the card's own account", ZH: "从本卡账户圈存"}}},
	"pos reprint":  {{"tapnet pos reprint --html slip.html", glossary.Term{EN: "the last slip as a page", ZH: "最后一张签购单的网页"}}},
	"pos download": {{"tapnet pos download keys", glossary.Term{EN: "the CA keys", ZH: "认证中心公钥"}}},
}

// pos.
var (
	PosDone        = glossary.Term{EN: "%s: done.", ZH: "%s：成功。"}
	PosApproved    = glossary.Term{EN: "%s: approved, %s.", ZH: "%s：批准，%s。"}
	PosNo          = glossary.Term{EN: "%s: not done: %s.", ZH: "%s：未成功：%s。"}
	PosCode        = glossary.Term{EN: "%s: declined (field 39: %s): %s.", ZH: "%s：拒绝（39域：%s）：%s。"}
	PosTrace       = glossary.Term{EN: "trace number", ZH: "凭证号"}
	PosTraceIs     = glossary.Term{EN: "%06d, batch %06d", ZH: "%06d，批次%06d"}
	PosBalance     = glossary.Term{EN: "available", ZH: "可用余额"}
	PosPurse       = glossary.Term{EN: "purse", ZH: "电子现金"}
	PosPurseIs     = glossary.Term{EN: "%s, at most %s", ZH: "%s，上限%s"}
	PosNoPurse     = glossary.Term{EN: "The card tells of no purse.", ZH: "卡片未显示电子现金。"}
	PosSheet       = glossary.Term{EN: "batch %06d", ZH: "批次%06d"}
	PosSheetIs     = glossary.Term{EN: "%d debits %s, %d credits %s", ZH: "借记%d笔%s，贷记%d笔%s"}
	PosAgreed      = glossary.Term{EN: "the totals agree", ZH: "对账平"}
	PosDiffer      = glossary.Term{EN: "the totals differ: see the acquirer", ZH: "对账不平，请联系收单机构"}
	PosListIs      = glossary.Term{EN: "%s: version %d, before %d, in %d parts", ZH: "%s：版本%d，此前%d，共%d段"}
	PosListSame    = glossary.Term{EN: "%s: version %d is in use, and the newest", ZH: "%s：正在使用最新版本%d"}
	PosListBack    = glossary.Term{EN: "%s: back to version %d from %d", ZH: "%s：已回退至版本%d（原为版本%d）"}
	PosListBuiltIn = glossary.Term{EN: "%s: back to what the terminal was made with, from version %d", ZH: "%s：已由版本%d回退至终端出厂参数"}
	PosListNone    = glossary.Term{EN: "%s: the acquirer has none", ZH: "%s：收单机构未发布"}
	PosThrowaway   = glossary.Term{EN: "No network runs on %s: this happens in a world made for it and then thrown away.", ZH: "%s上没有运行中的网络：在临时环境中进行，之后即丢弃。"}
	PosPage        = glossary.Term{EN: "Slip written to %s.", ZH: "签购单已写入%s。"}
	PosAmount      = glossary.Term{EN: "The amount cannot be read.", ZH: "无法解析金额。"}
	PosAmountWhy   = glossary.Term{EN: "want a positive amount in yuan such as 299.00", ZH: "应为正数金额（元），例如299.00"}
	PosWhich       = glossary.Term{EN: "One of --card and --reader says which card.", ZH: "请用--card或--reader之一指定卡片。"}
	PosMenuTitle   = glossary.Term{EN: "Till of %s", ZH: "%s的终端"}
	PosMenuChoose  = glossary.Term{EN: "Choose (0 leaves): ", ZH: "请选择（0退出）："}
	PosMenuWrong   = glossary.Term{EN: "There is no such line.", ZH: "无此选项。"}
	PosMenuLeave   = glossary.Term{EN: "leave", ZH: "退出"}
	PosAskCard     = glossary.Term{EN: "Card: ", ZH: "卡片："}
	PosAskEntry    = glossary.Term{EN: "Tap (Enter), insert (i) or swipe (s): ", ZH: "挥卡（回车）、插卡（i）或刷卡（s）："}
	PosAskInsert   = glossary.Term{EN: "Insert it? (y/N) ", ZH: "插卡？(y/N) "}
	PosAskAmount   = glossary.Term{EN: "Amount: ", ZH: "金额："}
	PosAskAll      = glossary.Term{EN: "Amount (empty: all): ", ZH: "金额（空：全额）："}
	PosAskPIN      = glossary.Term{EN: "PIN (empty: none): ", ZH: "密码（空：不输入）："}
	PosAskNewPIN   = glossary.Term{EN: "New PIN: ", ZH: "新密码："}
	PosHeld        = glossary.Term{EN: "held", ZH: "待采集"}
	PosCollected   = glossary.Term{EN: "collected", ZH: "已采集"}
	PosAskTrace    = glossary.Term{EN: "Trace number: ", ZH: "凭证号："}
	PosAskLast     = glossary.Term{EN: "Trace number (empty: last): ", ZH: "凭证号（空：最后一笔）："}
	PosAskFrom     = glossary.Term{EN: "From account, cash or card: ", ZH: "资金来源account、cash或卡名："}
	PosAskList     = glossary.Term{EN: "List (parameters, applications, keys): ", ZH: "列表（parameters、applications、keys）："}
	PosHelpNext    = glossary.Term{EN: "tapnet pos --help", ZH: "tapnet pos --help"}
	PosMenuContent = []glossary.Term{
		{EN: "sale", ZH: "消费"}, {EN: "void of a sale", ZH: "消费撤销"}, {EN: "refund", ZH: "退货"}, {EN: "pre-authorization", ZH: "预授权"},
		{EN: "pre-authorization void", ZH: "预授权撤销"}, {EN: "completion", ZH: "预授权完成"}, {EN: "completion void", ZH: "预授权完成撤销"},
		{EN: "balance", ZH: "余额查询"}, {EN: "purse of the card", ZH: "电子现金余额"}, {EN: "load of the purse", ZH: "电子现金圈存"},
		{EN: "void of a cash load", ZH: "现金充值撤销"}, {EN: "unload", ZH: "圈提"}, {EN: "settlement", ZH: "批结算"}, {EN: "reprint", ZH: "重打印"},
		{EN: "download", ZH: "参数下载"}, {EN: "rollback", ZH: "参数回退"}, {EN: "PIN change", ZH: "修改密码"}, {EN: "PIN unblock", ZH: "密码解锁"},
		{EN: "collection from a machine", ZH: "自助终端采集"},
	}
)
