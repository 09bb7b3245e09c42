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
	{"transit_deny_import", glossary.Term{EN: "Take somebody else's stop list: CSV lines of kind,number,sequence,expiry,reason,until; of an account (par) the reference in the place of the expiry. - is standard input.", ZH: "导入外部止付名单：CSV各行为kind,number,sequence,expiry,reason,until；账户（par）在expiry处填写参考号。-为标准输入。"}},
	{"transit_deny_end", glossary.Term{EN: "End the entries of such a file; reason and last day do not matter.", ZH: "撤销此类文件中的条目；不看原因与截止日。"}},
	{"transit_keys", glossary.Term{EN: "Say how far the keys of the deny list are; go to a new key, or forget the former.", ZH: "显示黑名单密钥状态；轮换至新密钥，或停用旧密钥。"}},
	{"transit_keys_rotate", glossary.Term{EN: "Begin to go to a new key: gates get it with their next report, and it comes into force by itself.", ZH: "开始轮换：闸机随下次上报取得新密钥，之后自动生效。"}},
	{"transit_keys_retire", glossary.Term{EN: "Forget the former key. The day's close does it after four weeks.", ZH: "停用旧密钥；四周后日结也会自动停用。"}},
	{"transit_keys_force", glossary.Term{EN: "Do not wait for devices, or for what could not be opened.", ZH: "不等待尚未就绪的设备或无法解密的数据。"}},
	{"transit_report", glossary.Term{EN: "What has become of everything; with --day one day, with --account one rider, with --devices every gate.", ZH: "总体情况；--day为某日，--account为某位乘客，--devices为全部闸机。"}},
	{"transit_account", glossary.Term{EN: "Number of an account.", ZH: "账户编号。"}},
	{"bench_riders", glossary.Term{EN: "Riders of bench transit, four taps each.", ZH: "bench transit的乘客数，每人四次刷卡。"}},
	{"transit_history", glossary.Term{EN: "With --account: every decision about the rider, with its reason and time.", ZH: "与--account同用：有关该乘客的全部决定及其原因与时间。"}},
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
		{"tapnet transit deny --import stops.csv", glossary.Term{EN: "a bank's stop list, of cards that never tapped", ZH: "银行止付名单，卡片无须刷过"}},
	},
	"transit keys": {
		{"tapnet transit keys", glossary.Term{EN: "which key is in force, and who holds it", ZH: "当前密钥及持有情况"}},
		{"tapnet transit keys --rotate", glossary.Term{EN: "somebody may have the key of a gate", ZH: "闸机密钥可能已泄露"}},
	},
	"transit report": {
		{"tapnet transit report --account 7", glossary.Term{EN: "journeys and bills of a rider", ZH: "某位乘客的行程与账单"}},
		{"tapnet transit report --account 7 --history", glossary.Term{EN: "what was decided about it, when and why", ZH: "有关决定、时间与原因"}},
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
	TransitList        = glossary.Term{EN: "Deny list number %d: %d entries, %d accounts and entries change with the next delta.", ZH: "黑名单序号 %d：%d 条，下次增量将变更 %d 个账户与条目。"}
	TransitListOutside = glossary.Term{EN: "Of somebody else's stop lists: %d entries.", ZH: "其中外部止付名单：%d 条。"}
	TransitListFormer  = glossary.Term{EN: "Key epoch %d is in force; epoch %d is still understood.", ZH: "第 %d 期密钥生效；第 %d 期仍可识别。"}

	TransitKeyEpochs   = glossary.Term{EN: "keys", ZH: "密钥期"}
	TransitForceWhat   = glossary.Term{EN: "--force goes with --rotate or --retire.", ZH: "--force 须与 --rotate 或 --retire 同用。"}
	TransitKeysOne     = glossary.Term{EN: "Key epoch %d is in force.", ZH: "第 %d 期密钥生效。"}
	TransitKeysRunning = glossary.Term{EN: "A rotation to key epoch %d is under way; epoch %d is in force.", ZH: "正在轮换至第 %d 期密钥；当前第 %d 期生效。"}
	TransitKeysFormer  = glossary.Term{EN: "Key epoch %d is in force; epoch %d is still understood, until a day's close after %s.", ZH: "第 %d 期密钥生效；第 %d 期仍可识别，%s 之后的日结将停用。"}
	TransitKeysDevices = glossary.Term{EN: "devices heard of within a day", ZH: "一日内有上报的设备"}
	TransitKeysHolding = glossary.Term{EN: "hold the key of epoch %s", ZH: "持有第 %s 期密钥"}
	TransitKeysLists   = glossary.Term{EN: "have a list of epoch %s", ZH: "名单为第 %s 期"}
	TransitKeysMoved   = glossary.Term{EN: "cards and entries under the newest key", ZH: "已按最新密钥标识"}
	TransitKeysLeft    = glossary.Term{EN: "could not be opened, tried again", ZH: "暂时无法解密，将重试"}
	TransitKeysCannot  = glossary.Term{EN: "cannot be moved: no data, named by the next tap", ZH: "无数据可用，待下次刷卡标识"}
	TransitKeysMissing = glossary.Term{EN: "of these, gone from the deny list", ZH: "其中从黑名单缺失"}
	TransitKeysWaits   = glossary.Term{EN: "Waits for devices without the new key: %s. Or: tapnet transit keys --rotate --force", ZH: "等待尚无新密钥的设备：%s。亦可：tapnet transit keys --rotate --force"}
	TransitKeysMoves   = glossary.Term{EN: "Cards and entries are being named under the new key.", ZH: "正在按新密钥重新标识。"}
	TransitKeysBehind  = glossary.Term{EN: "Devices whose list is still of epoch %d: %s.", ZH: "名单仍为第 %d 期的设备：%s。"}
	TransitImporting   = glossary.Term{EN: "%s lines.", ZH: "%s 行。"}
	TransitImported    = glossary.Term{EN: "%s new entries, %s changed, %s listed already. Gates hear of them with the next deltas.", ZH: "新增 %s 条，变更 %s 条，已列 %s 条。将随后续增量下发闸机。"}
	TransitEnded       = glossary.Term{EN: "%s entries ended, %s were not listed.", ZH: "撤销 %s 条，未列 %s 条。"}
	TransitEntryBad    = glossary.Term{EN: "Line %d of %s is no entry of a stop list.", ZH: "%[2]s 第 %[1]d 行不是止付名单条目。"}
	TransitEntryShape  = glossary.Term{EN: "a line has the columns kind,number,sequence,expiry,reason,until", ZH: "每行各列为 kind,number,sequence,expiry,reason,until"}
	TransitEntryPAR    = glossary.Term{EN: "an account (par) has its reference in the fourth column and no number", ZH: "账户（par）第四列为参考号，且无卡号"}
	TransitEntryNumber = glossary.Term{EN: "the number is no card number", ZH: "卡号无效"}
	TransitEntryExpiry = glossary.Term{EN: "a card has an expiry, year and month, like 3012", ZH: "卡片须有有效期（年月），例如3012"}
	TransitEntryKind   = glossary.Term{EN: "the kind is credential, token or par", ZH: "kind 为 credential、token 或 par"}
	TransitEntryUntil  = glossary.Term{EN: "the last day looks like 2026-12-31, or is empty", ZH: "截止日形如2026-12-31，或留空"}
	TransitEntryReason = glossary.Term{EN: "the reason is counterfeit, stolen, lost, closed, operator or debt; of an account operator or debt", ZH: "原因为counterfeit、stolen、lost、closed、operator或debt；账户仅operator或debt"}
	TransitEntryNext   = glossary.Term{EN: "the %d entries before it are taken: correct the line and run it again, what is listed already is passed over", ZH: "此前 %d 条已处理：更正该行后重新运行，已列条目会略过"}
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
	TransitInspected   = glossary.Term{EN: "inspected %s at %s: a journey was under way", ZH: "%s 于 %s 稽查：有进行中的行程"}
	TransitInspectedNo = glossary.Term{EN: "inspected %s at %s: no journey was under way", ZH: "%s 于 %s 稽查：无进行中的行程"}
	TransitPurseLost   = glossary.Term{EN: "payments by cards that the acquirer refused", ZH: "收单行拒绝的卡内支付"}
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
