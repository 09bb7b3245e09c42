package lang

import "tapnet/glossary"

// transitHelp is the help of the commands of a transit operator.
var transitHelp = []HelpText{
	{"transit", glossary.Term{EN: "The back office of a transit operator: taps in, charges, debts and the deny list out.", ZH: "公交地铁后台：接收刷卡记录，产生扣款、欠费与黑名单。"}},
	{"verify_network", glossary.Term{EN: "With the directory of a transit operator: the data directory of the network whose acquirer pays it.", ZH: "核对公交运营方目录时：向其付款的收单行所在网络的数据目录。"}},
	{"transit_serve", glossary.Term{EN: "Run the office until it is told to stop.", ZH: "持续运行后台，直到收到停止信号。"}},
	{"transit_config", glossary.Term{EN: "Description of the operator, a TOML file. Default: the city that comes with the program.", ZH: "运营方描述（TOML文件），默认为程序自带的城市。"}},
	{"transit_listen", glossary.Term{EN: "Where the interface listens. Default: what the description says.", ZH: "接口监听地址，默认按描述文件。"}},
	{"transit_data", glossary.Term{EN: "Directory of the operator: journal, secret, token.", ZH: "运营方数据目录：日志、密钥、令牌。"}},
	{"transit_close", glossary.Term{EN: "Close a service day that is over: everything up to its end is billed.", ZH: "日结：对截至该运营日结束的全部行程计费。"}},
	{"transit_day", glossary.Term{EN: "Service day, like 2026-11-23.", ZH: "运营日，例如2026-11-23。"}},
	{"transit_debt", glossary.Term{EN: "List what is owed; ask for a bill again, book a payment at the counter, or give it up.", ZH: "列出欠费；对账单再次补扣、登记柜台补缴或核销。"}},
	{"transit_debt_bill", glossary.Term{EN: "Number of the bill. Without it the debts are listed.", ZH: "账单编号，省略时列出欠费。"}},
	{"transit_debt_retry", glossary.Term{EN: "Ask for it again now.", ZH: "立即再次补扣。"}},
	{"transit_debt_paid", glossary.Term{EN: "The rider of this account has paid it at the counter.", ZH: "该账户的乘客已在柜台补缴。"}},
	{"transit_debt_write_off", glossary.Term{EN: "Give it up; the card stays denied.", ZH: "核销；该卡仍在黑名单中。"}},
	{"transit_debt_refund", glossary.Term{EN: "Give this much of a paid bill back, like 2.00; all is the rest of it.", ZH: "退还已支付账单中的金额，例如2.00；all表示全部。"}},
	{"transit_deny", glossary.Term{EN: "Say how far the deny list is; stop a card or let it ride again.", ZH: "显示黑名单状态；停用卡片或解除停用。"}},
	{"transit_deny_block", glossary.Term{EN: "Stop this credential, by its number.", ZH: "停用该凭证（编号）。"}},
	{"transit_deny_release", glossary.Term{EN: "Let this credential ride again.", ZH: "解除对该凭证的停用。"}},
	{"transit_deny_reason", glossary.Term{EN: "counterfeit, stolen, lost, closed or operator.", ZH: "counterfeit、stolen、lost、closed或operator。"}},
	{"transit_report", glossary.Term{EN: "What has become of everything; with --day one day, with --account one rider, with --devices every gate.", ZH: "总体情况；--day为某日，--account为某位乘客，--devices为全部闸机。"}},
	{"transit_account", glossary.Term{EN: "Number of an account.", ZH: "账户编号。"}},
	{"bench_riders", glossary.Term{EN: "Riders of bench transit, four taps each.", ZH: "bench transit的乘客数，每人四次刷卡。"}},
	{"transit_devices", glossary.Term{EN: "Show every device.", ZH: "显示全部设备。"}},
}

// transitExamples are the example lines of the commands.
var transitExamples = map[string][]Example{
	"transit serve": {
		{"tapnet transit serve --data ./metro", glossary.Term{EN: "the city that comes with the program", ZH: "程序自带的城市"}},
	},
	"transit day-close": {
		{"tapnet transit day-close 2026-11-23", glossary.Term{EN: "after the day's end", ZH: "运营日结束后"}},
	},
	"transit debt": {
		{"tapnet transit debt", glossary.Term{EN: "what is owed", ZH: "列出欠费"}},
		{"tapnet transit debt 812 --retry", glossary.Term{EN: "ask again now", ZH: "立即补扣"}},
	},
	"transit deny": {
		{"tapnet transit deny --block 7 --reason lost", glossary.Term{EN: "stop a lost card", ZH: "停用挂失卡"}},
	},
	"transit report": {
		{"tapnet transit report --account 7", glossary.Term{EN: "journeys and bills of a rider", ZH: "某位乘客的行程与账单"}},
	},
}

// What the commands of a transit operator say.
var (
	TransitUp          = glossary.Term{EN: "Transit office at %s", ZH: "公交地铁后台：%s"}
	TransitUpToken     = glossary.Term{EN: "The operator's token is in %s; the interface is described at %s.", ZH: "运营方令牌见 %s；接口说明见 %s。"}
	TransitFails       = glossary.Term{EN: "The office cannot start.", ZH: "后台无法启动。"}
	TransitBroke       = glossary.Term{EN: "The office stopped: its journal cannot be written.", ZH: "后台已停止：无法写入日志。"}
	TransitNotRunning  = glossary.Term{EN: "No transit office runs on %s.", ZH: "%s 上没有运行中的后台。"}
	TransitStart       = glossary.Term{EN: "start one: tapnet transit serve --data %s", ZH: "启动：tapnet transit serve --data %s"}
	TransitRefused     = glossary.Term{EN: "The office refuses.", ZH: "后台拒绝。"}
	TransitUnreachable = glossary.Term{EN: "The office does not answer.", ZH: "后台无应答。"}
	TransitClosing     = glossary.Term{EN: "Closing %s: %d of %d accounts.", ZH: "正在日结 %s：%d / %d 个账户。"}
	TransitClosed      = glossary.Term{EN: "%s is closed.", ZH: "%s 已日结。"}
	TransitDone        = glossary.Term{EN: "Done.", ZH: "完成。"}
	TransitNothingOwed = glossary.Term{EN: "Nothing is owed.", ZH: "没有欠费。"}
	TransitList        = glossary.Term{EN: "Deny list number %d: %d entries, %d accounts change with the next delta.", ZH: "黑名单序号 %d：%d 条，下次增量将变更 %d 个账户。"}
	TransitBill        = glossary.Term{EN: "bill", ZH: "账单"}
	TransitAccount     = glossary.Term{EN: "account", ZH: "账户"}
	TransitDay         = glossary.Term{EN: "day", ZH: "运营日"}
	TransitAmount      = glossary.Term{EN: "amount", ZH: "金额"}
	TransitState       = glossary.Term{EN: "state", ZH: "状态"}
	TransitAnswer      = glossary.Term{EN: "last answer", ZH: "最近应答"}
	TransitDevice      = glossary.Term{EN: "device", ZH: "设备"}
	TransitRecords     = glossary.Term{EN: "records", ZH: "记录"}
	TransitMissing     = glossary.Term{EN: "missing", ZH: "缺失"}
	TransitListAge     = glossary.Term{EN: "list age", ZH: "名单时效"}
	TransitTrouble     = glossary.Term{EN: "trouble", ZH: "故障"}
	TransitTaps        = glossary.Term{EN: "taps", ZH: "刷卡"}
	TransitOpened      = glossary.Term{EN: "opened", ZH: "开闸"}
	TransitCharged     = glossary.Term{EN: "charged", ZH: "已计费"}
	TransitCredited    = glossary.Term{EN: "given back by correction", ZH: "更正退还"}
	TransitPaid        = glossary.Term{EN: "paid through the acquirer", ZH: "收单支付"}
	TransitSettled     = glossary.Term{EN: "paid by riders", ZH: "乘客补缴"}
	TransitOwed        = glossary.Term{EN: "owed", ZH: "欠费"}
	TransitLost        = glossary.Term{EN: "written off", ZH: "已核销"}
	TransitRefunded    = glossary.Term{EN: "refunded", ZH: "已退款"}
	TransitLoss        = glossary.Term{EN: "owed or lost per million taps", ZH: "每百万次刷卡的欠费与损失"}
	TransitListed      = glossary.Term{EN: "on the deny list", ZH: "黑名单条数"}
	TransitOpen        = glossary.Term{EN: "under way", ZH: "处理中"}
	TransitJourneys    = glossary.Term{EN: "journeys", ZH: "行程"}
	TransitBills       = glossary.Term{EN: "bills", ZH: "账单数"}
	TransitTwo         = glossary.Term{EN: "Only one of --retry, --paid-by, --write-off and --refund goes with a bill.", ZH: "--retry、--paid-by、--write-off、--refund 只能选一个，并须指定账单。"}
	TransitNoReason    = glossary.Term{EN: "a reason is needed: --reason lost", ZH: "需要原因：--reason lost"}

	BenchTransit = glossary.Term{
		EN: "%s taps of %s riders durable at %s a second; the day closed in %s, %s bills; started again in %s, the same to the last byte: %t.",
		ZH: "%s 次刷卡（%s 位乘客）持久化，每秒 %s 次；日结 %s，%s 张账单；重启 %s，状态逐字节一致：%t。",
	}
)

// verify of a transit operator.
var (
	VerifyTransitAll = glossary.Term{EN: "%s taps of %s credentials at %s devices, %s bills, %s requests; %s of them held against the acquirer's journal",
		ZH: "%[3]s台设备、%[2]s个凭证共%[1]s次刷卡，%[4]s张账单，%[5]s笔请求；其中%[6]s笔已与收单行日志核对"}
	VerifyTransitClean = glossary.Term{EN: "Nothing is wrong: %s rows.", ZH: "全部正确：%s行。"}
	VerifyTransitFound = glossary.Term{EN: "Findings: %s, in %s rows.", ZH: "发现%s处问题，共%s行。"}
)
