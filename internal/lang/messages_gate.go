package lang

import "tapnet/glossary"

// gateHelp is the help of gate.
var gateHelp = []HelpText{
	{"gate", glossary.Term{EN: "A transit gate: offline, with its tap log, deny list and line to the back office.", ZH: "公交地铁闸机：脱机判定、刷卡日志、黑名单及后台通信。"}},
	{"gate_tap", glossary.Term{EN: "Hold a card or phone to a gate.", ZH: "在闸机上刷一张卡或一部手机。"}},
	{"gate_run", glossary.Term{EN: "Run a gate until it is told to stop: its line to the back office, and its reader when it has one.", ZH: "持续运行一台闸机：与后台的联络，以及读卡器（如有）。"}},
	{"gate_reader", glossary.Term{EN: "Reader that cards are held to: its name, a part of it, or any. Default: none, the line alone.", ZH: "读卡器：名称、名称的一部分或any。默认没有，仅与后台联络。"}},
	{"gate_network", glossary.Term{EN: "Data directory of a running network: the card is one of its banks'.", ZH: "正在运行的网络的数据目录：卡片由其银行发行。"}},
	{"gate_station", glossary.Term{EN: "Number of the station.", ZH: "车站编号。"}},
	{"gate_dir", glossary.Term{EN: "in, out, ride (one tap for a ride) or inspect. Default: ride where the fare is flat.", ZH: "in（进站）、out（出站）、ride（一票制）或inspect（稽查）；一票制设备默认ride。"}},
	{"gate_profile", glossary.Term{
		EN: "Kind of device. In and out: metro, rail (a first ride waits). One tap: bus, ferry, taxi, machine (self-service), " +
			"vending (closed with an old deny list), " +
			"attraction (a card once in 12 h), event (nothing is charged, a card once in 24 h).",
		ZH: "设备类型。进出站：metro、rail（首乘待批）；一次刷卡：bus、ferry（轮渡）、taxi、machine（自助机）、vending（售货机，名单过旧即停售）、" +
			"attraction（景点，同卡12小时一次）、event（活动检票，不扣费，同卡24小时一次）。",
	}},
	{"gate_card", glossary.Term{EN: "Who taps: lin, wang (SM2), phone, cloud (online only), purse or journey (a purse with the operator's record).",
		ZH: "刷卡人：lin、wang（国密）、phone、cloud（仅联机）、purse（电子现金）或journey（带行程记录的电子现金）。"}},
	{"gate_amount", glossary.Term{EN: "What the card signs: the highest fare, or the flat one. Default: by profile.", ZH: "卡片签名的金额：最高票价或一票制票价，默认取决于设备类型。"}},
	{"gate_segmented", glossary.Term{EN: "Like --purse, and a purse with the operator's record pays the journey where it ends, by the tariff. --amount is the highest fare.", ZH: "同--purse，且带行程记录的卡片在行程结束处按票价扣款（分段扣费）；--amount为最高票价。"}},
	{"gate_config", glossary.Term{EN: "Configuration of the operator: its zone, and with --segmented its tariff. Default: the one its office runs with, or the city that comes with the program.", ZH: "运营方配置文件：取其时区；使用--segmented时取其票价。默认为其后台所用的配置，或内置城市。"}},
	{"gate_purse", glossary.Term{EN: "The gate takes electronic cash in place of an authorization later.", ZH: "闸机收取电子现金，而不是事后授权。"}},
	{"gate_claim", glossary.Term{EN: "A first ride waits until the back office grants it.", ZH: "首次乘车须等待后台许可。"}},
	{"gate_office", glossary.Term{EN: "Address of the back office, such as http://127.0.0.1:8590. Default: as provisioned, or none.", ZH: "后台地址，例如http://127.0.0.1:8590。默认取设备配置，或无。"}},
	{"gate_device", glossary.Term{EN: "Name of the device. Default: by station.", ZH: "设备名称，默认按车站。"}},
	{"gate_bench", glossary.Term{EN: "Measure the deny list and the gate's own time.", ZH: "测量黑名单与闸机自身耗时。"}},
	{"gate_entries", glossary.Term{EN: "Entries on the deny list.", ZH: "黑名单条目数。"}},
	{"gate_taps", glossary.Term{EN: "Taps of each kind.", ZH: "每类刷卡次数。"}},
	{"gate_bench_dir", glossary.Term{EN: "Where the tap log is written. Default: a temporary directory.", ZH: "刷卡日志所在目录，默认临时目录。"}},
	{"gate_sim", glossary.Term{EN: "A thousand gates with lossy lines in simulated time, and what bad cards cost.", ZH: "千台闸机弱网仿真，以及坏卡造成的损失。"}},
	{"gate_sim_gates", glossary.Term{EN: "Number of gates.", ZH: "闸机数量。"}},
	{"gate_sim_taps", glossary.Term{EN: "Taps of each run, about.", ZH: "每次运行的大致刷卡次数。"}},
	{"gate_sim_rotate", glossary.Term{EN: "One run in which the deny list goes to a new key: how long the gates take, and who is stopped meanwhile.", ZH: "单次运行：黑名单轮换至新密钥，报告各闸机用时及期间的拦截情况。"}},
	{"gate_sim_force", glossary.Term{EN: "Like --rotate, and the new key is put in force before the gates hold it.", ZH: "同--rotate，但不等各闸机持有新密钥即令其生效。"}},
	{"gate_sim_write", glossary.Term{EN: "Write transit-loss.md and transit-loss.svg into this directory.", ZH: "将transit-loss.md与transit-loss.svg写入该目录。"}},
}

// gateExamples are the example lines of gate.
var gateExamples = map[string][]Example{
	"gate": {
		{"tapnet gate tap --station 12 --dir in", glossary.Term{EN: "a card opens a gate without network", ZH: "卡片脱机开门"}},
	},
	"gate tap": {
		{"tapnet gate tap --station 12 --dir in --card wang", glossary.Term{EN: "a card with SM2 certificates", ZH: "国密卡进站"}},
		{"tapnet gate tap --station 3 --dir ride --card purse --purse --amount 2.00", glossary.Term{EN: "electronic cash on a bus", ZH: "公交电子现金"}},
		{"tapnet gate tap --station 1 --dir in --card journey --segmented", glossary.Term{EN: "a journey that a purse pays at its end", ZH: "行程结束处扣款（分段扣费）"}},
		{"tapnet gate tap --profile ferry --station 31", glossary.Term{EN: "a ferry with a flat fare", ZH: "一票制轮渡"}},
	},
	"gate run": {
		{"tapnet gate run --profile taxi --station 21 --reader any", glossary.Term{EN: "a taxi with a real reader", ZH: "带真实读卡器的出租车"}},
		{"tapnet gate run --station 1 --dir in --reader any", glossary.Term{EN: "a gate with a real reader", ZH: "带真实读卡器的闸机"}},
	},
	"gate bench": {
		{"tapnet gate bench --entries 1000000", glossary.Term{EN: "a smaller list", ZH: "较小的名单"}},
	},
	"gate sim": {
		{"tapnet gate sim --gates 200 --taps 20000", glossary.Term{EN: "a small city", ZH: "小规模仿真"}},
		{"tapnet gate sim --rotate", glossary.Term{EN: "a new key for the deny list of a thousand gates", ZH: "千台闸机的黑名单换用新密钥"}},
	},
}

// gate.
var (
	GateOpens     = glossary.Term{EN: "the gate opens: %s, station %d", ZH: "闸机开门：%s，%d站"}
	GateLooked    = glossary.Term{EN: "inspected: %s is good", ZH: "稽查：%s有效"}
	GateShut      = glossary.Term{EN: "The gate stays shut: %s.", ZH: "闸机不开：%s。"}
	GateRuns      = glossary.Term{EN: "The gate %s runs.", ZH: "闸机%s运行中。"}
	GateStopped   = glossary.Term{EN: "The gate has stopped.", ZH: "闸机已停止。"}
	GateNoNetwork = glossary.Term{EN: "No network runs on %s.", ZH: "%s上没有正在运行的网络。"}
	GateRider     = glossary.Term{EN: "The rider %s is not known.", ZH: "没有名为%s的乘客。"}
	GateRiders    = glossary.Term{EN: "there are %s", ZH: "可选：%s"}
	GateAmount    = glossary.Term{EN: "The amount is not one a gate can ask for.", ZH: "金额无效。"}
	GateFails     = glossary.Term{EN: "The gate could not be started or used.", ZH: "闸机无法启动或使用。"}
	GateStation   = glossary.Term{EN: "The station is a number from 1.", ZH: "车站编号从1开始。"}
	GateLabelLog  = glossary.Term{EN: "tap log", ZH: "刷卡日志"}
	GateRecord    = glossary.Term{EN: "record %d of %s, durable", ZH: "%[2]s第%[1]d条，已落盘"}
	GateLabelList = glossary.Term{EN: "deny list", ZH: "黑名单"}
	GateNoList    = glossary.Term{EN: "none yet: the tap is marked", ZH: "尚无名单：已标记本次刷卡"}
	GateList      = glossary.Term{EN: "number %d, %s old", ZH: "第%d号，已%s"}
	GateLabelODA  = glossary.Term{EN: "genuine", ZH: "真伪"}
	GateODA       = glossary.Term{EN: "proven offline, fDDA %02d; the issuer is asked later", ZH: "脱机认证通过（fDDA %02d），事后授权"}
	GatePaid      = glossary.Term{EN: "proven offline, fDDA %02d; %s paid from the purse", ZH: "脱机认证通过（fDDA %02d），已从电子现金扣款%s"}
	GateTrust     = glossary.Term{EN: "not proven: one ride on trust", ZH: "未认证：信任放行一次"}
	GateLabelTime = glossary.Term{EN: "time", ZH: "耗时"}
	GateTime      = glossary.Term{EN: "%s with the card, %s to decide and write", ZH: "读卡%s，判定与落盘%s"}
	GateLabelWait = glossary.Term{EN: "to upload", ZH: "待上传"}
	GateWaiting   = glossary.Term{EN: "%s records", ZH: "%s条"}
	GateTorn      = glossary.Term{EN: "a loss of power tore %s bytes off the log: no gate had opened for them", ZH: "断电截断日志%s字节：对应的闸机未曾开门"}
	GateBench     = glossary.Term{EN: "%s entries: built in %.2f s, opened in %.2f s, filter %.1f MB, image %.1f MB",
		ZH: "%s条：构建%.2f秒，打开%.2f秒，过滤器%.1f MB，镜像%.1f MB"}
	GateLookup = glossary.Term{EN: "look-up: absent %.0f ns, listed %.0f ns; %s probes each, %d false negatives, %d false stops",
		ZH: "查找：未列入%.0f纳秒，已列入%.0f纳秒；各%s次，漏报%d，误拦%d"}
	GateHeadKind = glossary.Term{EN: "tap", ZH: "刷卡"}
	GateHeadSync = glossary.Term{EN: "sync p50 / p99", ZH: "落盘p50 / p99"}
	GateHeadSoft = glossary.Term{EN: "gate p50 / p99", ZH: "闸机p50 / p99"}
	GateMeaning  = glossary.Term{EN: "One processor. The gate's own time is without the card's and without the disk's sync, which stands beside it.",
		ZH: "单核。闸机耗时不含卡片耗时与磁盘落盘（另列）。"}
	GateSimTitle = glossary.Term{
		EN: "%s gates, %s taps, seed %d: an entry reaches %.2f%% of the gates within 120 s (p99 %s), a removal %.2f%% within 5 min (p99 %s)",
		ZH: "%s台闸机，%s次刷卡，种子%d：新增条目120秒内到达%.2f%%的闸机（p99 %s），移除5分钟内到达%.2f%%（p99 %s）",
	}
	GateSimBad    = glossary.Term{EN: "bad cards", ZH: "坏卡"}
	GateSimLoss   = glossary.Term{EN: "loss per 10⁶ taps", ZH: "每百万次损失"}
	GateSimWait   = glossary.Term{EN: "first ride waits", ZH: "首乘待批"}
	GateSimMost   = glossary.Term{EN: "most rides of one", ZH: "单卡最多"}
	GateSimRun    = glossary.Term{EN: "Run %d of %d", ZH: "第%d次，共%d次"}
	GateTurnTitle = glossary.Term{
		EN: "%s gates, %s taps, seed %d: the deny list goes to a new key %d min after the first rider. Times are from then.",
		ZH: "%s台闸机，%s次刷卡，种子%d：首位乘客之后%d分钟黑名单开始换用新密钥，以下时间自此起算。",
	}
	GateTurnKey     = glossary.Term{EN: "gates hold the key", ZH: "闸机持有新密钥"}
	GateTurnForce   = glossary.Term{EN: "key in force", ZH: "新密钥生效"}
	GateTurnList    = glossary.Term{EN: "gates have the new list", ZH: "闸机使用新名单"}
	GateTurnHalf    = glossary.Term{EN: "half after %s, all after %s", ZH: "半数%s，全部%s"}
	GateTurnChanges = glossary.Term{EN: "changes of the list (p99)", ZH: "名单变更（p99）"}
	GateTurnPace    = glossary.Term{EN: "an entry %s, a removal %s", ZH: "新增%s，移除%s"}
	GateTurnStopped = glossary.Term{EN: "stopped by the new list", ZH: "被新名单拦截"}
	GateTurnCarried = glossary.Term{EN: "%s taps, %s of them for entries from before", ZH: "%s次，其中%s次为此前的条目"}
	GateTurnUnsent  = glossary.Term{EN: "records not uploaded", ZH: "未上传记录"}
	GateTurnNever   = glossary.Term{EN: "never", ZH: "未达成"}
	GateSimBroke    = glossary.Term{EN: "A law of the simulation broke.", ZH: "仿真中有不变量被破坏。"}
)
