package lang

import (
	"slices"

	"tapnet/glossary"
)

// HelpText is the description of a command, a flag or an argument. Its key is what the grammar of the command line refers to.
type HelpText struct {
	Key  string
	Text glossary.Term
}

// Help is the text of `--help` and of the generated reference, by key.
func Help() []HelpText {
	return slices.Concat(help, issueHelp, purseHelp, posHelp, merchantHelp, phoneHelp, elementHelp, hsmHelp, transitHelp, faresHelp, gateHelp)
}

var help = []HelpText{
	{"app", glossary.Term{
		EN: "A contactless payment network in one program: card, terminal, acquirer, switch, issuer. Test keys and made-up cards only.",
		ZH: "一个程序里的完整非接触支付网络：卡片、终端、收单机构、交换中心、发卡行。只使用测试密钥和虚构卡片。"}},
	{"flag_help", glossary.Term{EN: "Show help for the command.", ZH: "显示该命令的帮助。"}},
	{"flag_lang", glossary.Term{EN: "Language of the output: en or zh. Default: LC_ALL, LANG.", ZH: "输出语言：en或zh。默认取LC_ALL、LANG。"}},
	{"flag_json", glossary.Term{EN: "Print one JSON object instead of text.", ZH: "输出一个JSON对象而不是文本。"}},
	{"flag_reveal", glossary.Term{EN: "Show card numbers and tracks in full.", ZH: "完整显示卡号与磁道数据。"}},
	{"flag_data", glossary.Term{EN: "Directory of the running network.", ZH: "运行中的网络的数据目录。"}},

	{"demo", glossary.Term{EN: "Build a test world, tap cards, break things, prove the money adds up.", ZH: "建立测试环境，挥卡、制造故障，并证明账目平衡。"}},
	{"demo_seed", glossary.Term{EN: "The same seed gives the same keys, taps and journal.", ZH: "相同的种子产生相同的密钥、交易与流水。"}},
	{"up", glossary.Term{EN: "Run the network until it is told to stop.", ZH: "持续运行网络，直到收到停止信号。"}},
	{"up_roles", glossary.Term{EN: "Roles to run in this process, separated by commas.", ZH: "本进程运行的角色，以逗号分隔。"}},
	{"tap", glossary.Term{EN: "Tap a card of the test world at a merchant.", ZH: "用测试环境中的卡片在商户处挥卡支付。"}},
	{"tap_card", glossary.Term{EN: "Name of the card, as tapnet card list shows it.", ZH: "卡片名称，见tapnet card list。"}},
	{"tap_at", glossary.Term{EN: "Name of the merchant.", ZH: "商户名称。"}},
	{"tap_amount", glossary.Term{EN: "Amount in yuan, such as 299.00.", ZH: "金额（元），例如299.00。"}},
	{"tap_pin", glossary.Term{EN: "PIN the cardholder enters when asked; - reads it from standard input.", ZH: "持卡人在被要求时输入的密码；-表示从标准输入读取。"}},
	{"tap_ask_pin", glossary.Term{EN: "The cashier asks for the PIN whatever the amount.", ZH: "收银员不论金额都要求输入密码。"}},
	{"tap_reader", glossary.Term{EN: "Use the card at this PC/SC reader: its name, a part of it, or any.", ZH: "使用此PC/SC读卡器上的卡片：名称、名称的一部分，或any。"}},
	{"tap_insert", glossary.Term{EN: "Put the card into the slot instead of the field.", ZH: "插卡，而不是挥卡。"}},
	{"tap_wait", glossary.Term{EN: "How long to wait for a card at the reader.", ZH: "等待卡片出现在读卡器上的时长。"}},
	{"up_listen", glossary.Term{EN: "Where roles listen. Default: acquirer=127.0.0.1:8583,switch=127.0.0.1:8584.", ZH: "各角色的监听地址。默认acquirer=127.0.0.1:8583,switch=127.0.0.1:8584。"}},
	{"verify", glossary.Term{
		EN: "Add everything up again from the journals alone, and name every row that does not hold.",
		ZH: "仅凭日志重新推导全部账目，并指出每一条不成立的记录。"}},
	{"up_store", glossary.Term{
		EN: "PostgreSQL database for the journals, postgres://user@host/database; without it they are SQLite files in the data directory.",
		ZH: "存放日志的PostgreSQL数据库，postgres://用户@主机/数据库；省略时为数据目录中的SQLite文件。",
	}},
	{"up_shards", glossary.Term{
		EN: "Cut each issuer into N shards, shared by all processes that run the role issuer on the same --store. The switch needs the same number.",
		ZH: "将每个发卡行划分为N个分片，由在同一 --store 上运行issuer角色的各进程分担。转接中心须用相同的数目。",
	}},
	{"up_node", glossary.Term{EN: "Name of this process among those that share the shards.", ZH: "本进程在分担分片的各进程中的名称。"}},
	{"verify_store", glossary.Term{
		EN: "PostgreSQL database whose journals to verify; DIR then only tells what the chips say.",
		ZH: "要核对其日志的PostgreSQL数据库；此时DIR仅用于读取芯片数据。",
	}},
	{"verify_dir", glossary.Term{EN: "Data directory of a network, running or not, or a copy of one.", ZH: "网络的数据目录（运行中或已停止），或其副本。"}},
	{"verify_settled", glossary.Term{EN: "Nothing may be under way: what has not ended is a finding.", ZH: "不允许有在途交易：未结束的即为问题。"}},
	{"verify_since", glossary.Term{EN: "An earlier --json report: its rows must be there still, unchanged.", ZH: "此前的--json报告：其中的记录必须仍在且未变。"}},
	{"verify_most", glossary.Term{EN: "How many findings to show; the rest are counted.", ZH: "最多显示的问题数，其余只计数。"}},
	{"up_profile", glossary.Term{
		EN: "World to run: institutions, merchants and cards in a TOML file. Default: the world of tapnet demo.",
		ZH: "要运行的环境：用TOML文件描述机构、商户和卡片。默认与tapnet demo相同。"}},
	{"sim", glossary.Term{
		EN: "Simulate the network from a seed: lossy links, wrong clocks, crashes, torn taps. Nothing may be lost or doubled.",
		ZH: "由种子模拟整个网络：链路丢包、时钟偏差、进程崩溃、中途移卡。交易不得丢失或重复。"}},
	{"sim_seed", glossary.Term{EN: "The same seed gives the same run.", ZH: "相同的种子产生相同的运行。"}},
	{"sim_days", glossary.Term{EN: "Simulated days of each world; a world makes up to 2,000 taps.", ZH: "每个环境模拟的天数；每个环境最多挥卡2,000次。"}},
	{"sim_taps", glossary.Term{EN: "Taps to make in all.", ZH: "挥卡总次数。"}},
	{"bench", glossary.Term{EN: "Measure the hot path, next to its baseline in the same run.", ZH: "测量热路径，并在同一次运行中与基线比较。"}},
	{"bench_what", glossary.Term{EN: "authorize, cards, store, verify, transit, tokens, taps, parse, cryptogram or cloud.", ZH: "authorize、cards、store、verify、transit、tokens、taps、parse、cryptogram或cloud。"}},
	{"bench_dir", glossary.Term{EN: "Where the stores lie; for verify, the data directory to verify.", ZH: "存储所在目录；verify时为要核对的数据目录。"}},
	{"bench_cards", glossary.Term{EN: "Cards enrolled before the measurement.", ZH: "测量前登记的卡片数量。"}},
	{"bench_counts", glossary.Term{EN: "Numbers of cards for bench cards. Default: 10000,1000000,10000000.", ZH: "bench cards的卡片数量。默认10000,1000000,10000000。"}},
	{"bench_clients", glossary.Term{EN: "Requests under way at a time. Default: 1,64,512.", ZH: "同时处理中的请求数。默认1,64,512。"}},
	{"bench_duration", glossary.Term{EN: "How long one measurement takes.", ZH: "每次测量的时长。"}},
	{"bench_rounds", glossary.Term{EN: "Interleaved rounds; the median counts.", ZH: "交错进行的轮数，取中位数。"}},
	{"bench_rate", glossary.Term{EN: "Also measure latency in an open loop at this part of the maximum, such as 0.5.", ZH: "另以最大值的此比例（如0.5）做开环延迟测量。"}},
	{"bench_memory", glossary.Term{EN: "Accept a file system in memory, where nothing is durable.", ZH: "允许内存文件系统（不具持久性）。"}},
	{"bench_pgbench", glossary.Term{EN: "Also run pgbench in the same rounds: on the server in use, or on an installed PostgreSQL.", ZH: "同轮次运行pgbench：在所用服务器或已安装的PostgreSQL上。"}},
	{"bench_store", glossary.Term{EN: "Where the journal lies: sqlite or postgres.", ZH: "日志所在：sqlite或postgres。"}},
	{"bench_dsn", glossary.Term{EN: "PostgreSQL server to measure; without it one is started for the run (Debian package postgresql).", ZH: "要测量的PostgreSQL服务器；省略时为本次测量启动一个（Debian软件包postgresql）。"}},
	{"trace", glossary.Term{EN: "Show every byte of a payment, from APDU to ledger.", ZH: "逐字节显示一笔支付，从APDU到账本。"}},
	{"trace_id", glossary.Term{EN: "Retrieval reference number (RRN) of the payment, or last.", ZH: "支付的检索参考号（RRN），或last。"}},
	{"trace_full", glossary.Term{EN: "Explain every field and bit.", ZH: "解释每个域和每一位。"}},
	{"decode", glossary.Term{EN: "Explain bytes: APDU, TLV, DOL, field 55, ISO 8583, TVR, TTQ and more.", ZH: "解释字节：APDU、TLV、DOL、55域、ISO 8583、TVR、TTQ等。"}},
	{"decode_input", glossary.Term{
		EN: "Hexadecimal digits, blanks and colons allowed, after an optional kind; - reads standard input.",
		ZH: "十六进制数字，允许空格和冒号，前面可写类型；-表示读取标准输入。"}},
	{"decode_dol", glossary.Term{EN: "The object list (DOL) that the data was built for.", ZH: "数据所依据的数据对象列表（DOL）。"}},
	{"decode_of", glossary.Term{EN: "The command that a response answers.", ZH: "响应所对应的命令。"}},
	{"card", glossary.Term{EN: "The cards of the test world.", ZH: "测试环境中的卡片。"}},
	{"card_list", glossary.Term{EN: "List the cards.", ZH: "列出卡片。"}},
	{"card_read", glossary.Term{EN: "Show what any reader can read from a card without a payment.", ZH: "显示任何读卡器不经支付即可读到的内容。"}},
	{"card_serve", glossary.Term{
		EN: "Put a card into the virtual PC/SC reader of vsmartcard, for any smart-card program to use.",
		ZH: "把卡片放入vsmartcard的虚拟PC/SC读卡器，供任何智能卡程序使用。"}},
	{"card_serve_vpcd", glossary.Term{EN: "Where the reader's driver listens.", ZH: "读卡器驱动的监听地址。"}},
	{"card_serve_card", glossary.Term{EN: "Name of the card. Default: the first one.", ZH: "卡片名称，默认第一张。"}},
	{"card_serve_contact", glossary.Term{EN: "As a contact card with T=0.", ZH: "作为接触式卡（T=0）。"}},
	{"card_serve_contactless", glossary.Term{EN: "As a contactless card: the default.", ZH: "作为非接触卡（默认）。"}},
	{"card_serve_t1", glossary.Term{EN: "As a contact card with T=1.", ZH: "作为接触式卡（T=1）。"}},
	{"card_serve_show", glossary.Term{EN: "Show each command by name, with its status word.", ZH: "显示每条命令的名称和状态字。"}},
	{"card_name", glossary.Term{EN: "Name of the card.", ZH: "卡片名称。"}},
	{"oda", glossary.Term{EN: "Verify the certificates and signatures in a dump of a card's data.", ZH: "验证卡片数据记录中的证书和签名。"}},
	{"oda_file", glossary.Term{EN: "File with one key = HEX a line; - reads standard input.", ZH: "每行一个“键 = 十六进制”的文件；-表示读取标准输入。"}},
	{"oda_date", glossary.Term{EN: "Day to verify for, YYYY-MM-DD. Default: the day in the file, else today.", ZH: "验证所用日期，YYYY-MM-DD。默认为文件中的日期，否则为今天。"}},
	{"oda_example", glossary.Term{EN: "Verify the public trace of a real card.", ZH: "验证公开的真实卡片记录。"}},
	{"oda_show", glossary.Term{EN: "Print the dump instead of verifying it.", ZH: "输出该记录而不验证。"}},
	{"doctor", glossary.Term{EN: "Check that this machine can run tapnet, and say what to do if not.", ZH: "检查本机能否运行tapnet，并说明如何解决问题。"}},
	{"doctor_reader", glossary.Term{EN: "Check the card readers too: PC/SC daemon, readers, card, time of a command.", ZH: "同时检查读卡器：PC/SC守护进程、读卡器、卡片、命令时间。"}},
	{"docs", glossary.Term{EN: "Write docs/generated from the tables in the program.", ZH: "根据程序内的表生成docs/generated。"}},
	{"token", glossary.Term{EN: "Tokens: their life cycle, and why one is resolved or refused.", ZH: "令牌：生命周期，以及解析或拒绝的原因。"}},
	{"token_states", glossary.Term{EN: "Print the life cycle of a token.", ZH: "显示令牌生命周期。"}},
	{"token_reasons", glossary.Term{EN: "Print the reasons, in the order of the rules.", ZH: "按规则顺序显示原因。"}},
	{"docs_check", glossary.Term{EN: "Write nothing; fail when the committed files differ.", ZH: "不写文件；与已提交的文件不一致时失败。"}},
	{"docs_dir", glossary.Term{EN: "Root of the source tree.", ZH: "源代码树的根目录。"}},
	{"version", glossary.Term{EN: "Say which build this is.", ZH: "显示版本信息。"}},
}

// Headings of the help pages.
var (
	HelpUsage     = glossary.Term{EN: "Usage: ", ZH: "用法："}
	HelpCommands  = glossary.Term{EN: "Commands:", ZH: "命令："}
	HelpArguments = glossary.Term{EN: "Arguments:", ZH: "参数："}
	HelpFlags     = glossary.Term{EN: "Flags:", ZH: "选项："}
	HelpExamples  = glossary.Term{EN: "Examples:", ZH: "示例："}
	HelpExitCodes = glossary.Term{EN: "Exit codes:", ZH: "退出码："}
	HelpMore      = glossary.Term{EN: "Run %s <command> --help for more about a command.", ZH: "运行 %s <命令> --help 查看命令的详细说明。"}
	HelpCommand   = glossary.Term{EN: "command", ZH: "命令"}
	HelpOptions   = glossary.Term{EN: "flags", ZH: "选项"}
	HelpDefault   = glossary.Term{EN: "(default %s)", ZH: "（默认%s）"}
	HelpRequired  = glossary.Term{EN: "Required.", ZH: "必填。"}
	HelpKinds     = glossary.Term{EN: "Kinds:", ZH: "类型："}
)

// Example is a command line worth copying, and what it does.
type Example struct {
	Line string
	Text glossary.Term
}

var examples = map[string][]Example{
	"": {
		{"tapnet demo", glossary.Term{EN: "start here: everything once, in a few seconds", ZH: "从这里开始：几秒钟看完全部"}},
		{"tapnet doctor", glossary.Term{EN: "when something does not work", ZH: "出问题时"}},
	},
	"demo": {
		{"tapnet demo --seed 7", glossary.Term{EN: "another world, repeatable", ZH: "另一个可重现的环境"}},
		{"tapnet demo --json", glossary.Term{EN: "for a script", ZH: "供脚本使用"}},
	},
	"up": {
		{"tapnet up", glossary.Term{EN: "all roles in one process", ZH: "一个进程运行全部角色"}},
		{"tapnet up --data ./net --roles issuer", glossary.Term{EN: "one box alone", ZH: "单独运行一个角色"}},
	},
	"tap": {
		{"tapnet tap --card lin --at shop-1 --amount 299.00", glossary.Term{EN: "a tap without PIN", ZH: "免密支付"}},
		{"tapnet tap --card lin --at shop-1 --amount 1000.01 --pin -", glossary.Term{EN: "a tap above the limit, PIN typed in", ZH: "超过限额，输入密码"}},
		{"tapnet tap --reader any --at shop-1 --amount 299.00", glossary.Term{EN: "the card at the PC/SC reader", ZH: "PC/SC读卡器上的卡片"}},
	},
	"verify": {
		{"tapnet verify ~/.local/share/tapnet", glossary.Term{EN: "the network of tapnet up", ZH: "tapnet up的网络"}},
		{"tapnet verify ./copy --settled", glossary.Term{EN: "a network that has come to rest", ZH: "已静止的网络"}},
		{"tapnet verify ./copy --since report.json", glossary.Term{EN: "nothing rewritten since that report", ZH: "自该报告以来未被改写"}},
	},
	"sim": {
		{"tapnet sim --seed 7", glossary.Term{EN: "a few seconds of a bad week", ZH: "几秒钟模拟糟糕的几天"}},
		{"tapnet sim --seed 7 --taps 1000000", glossary.Term{EN: "a million taps", ZH: "一百万次挥卡"}},
	},
	"bench": {
		{"tapnet bench authorize", glossary.Term{EN: "authorizations per second, durable", ZH: "每秒持久化授权笔数"}},
		{"tapnet bench authorize --rate 0.5 --pgbench", glossary.Term{EN: "with latency at half load, and pgbench", ZH: "半载延迟，并与pgbench比较"}},
	},
	"trace": {
		{"tapnet trace last", glossary.Term{EN: "the payment before this command", ZH: "最近一笔支付"}},
		{"tapnet trace last --full", glossary.Term{EN: "every field of every message", ZH: "每条报文的每个域"}},
	},
	"decode": {
		{"tapnet decode 9F2608AD03EE811AFAD484", glossary.Term{EN: "the kind is found out", ZH: "自动识别类型"}},
		{"tapnet decode tvr 80:80:04:60:00", glossary.Term{EN: "the kind is said", ZH: "指定类型"}},
		{"tapnet decode dol 9F66049F02069F3704", glossary.Term{EN: "what a card asks for", ZH: "卡片要求的数据"}},
		{"tapnet decode - < message.hex", glossary.Term{EN: "from a file", ZH: "从文件读取"}},
	},
	"card read": {
		{"tapnet card read lin", glossary.Term{EN: "as a stranger's phone would see it", ZH: "如同陌生人的手机所见"}},
		{"tapnet card read --reader any", glossary.Term{EN: "everything that the card at the PC/SC reader tells", ZH: "PC/SC读卡器上的卡片可读出的全部内容"}},
	},
	"card serve": {
		{"tapnet card serve --vpcd 127.0.0.1:35963", glossary.Term{EN: "a contactless card in the reader of Debian's packages", ZH: "Debian软件包读卡器中的非接触卡"}},
		{"tapnet card serve --vpcd 127.0.0.1:35963 --card wang --contact", glossary.Term{EN: "another one, by its contacts", ZH: "另一张卡，接触式"}},
	},
	"doctor": {
		{"tapnet doctor --reader", glossary.Term{EN: "with the card readers", ZH: "包括读卡器"}},
	},
	"oda": {
		{"tapnet oda --example", glossary.Term{EN: "a real card's chain of certificates", ZH: "真实卡片的证书链"}},
		{"tapnet oda --example --show > card.txt", glossary.Term{EN: "the form of such a file", ZH: "此类文件的格式"}},
		{"tapnet oda card.txt --date 2015-03-16", glossary.Term{EN: "what was valid on that day", ZH: "当日是否有效"}},
	},
	"docs": {
		{"tapnet docs --check", glossary.Term{EN: "for continuous integration", ZH: "供持续集成使用"}},
	},
}

// Examples are the example lines of a command, "" for the program.
func Examples(command string) []Example {
	return slices.Concat(
		examples[command], issueExamples[command], purseExamples[command], posExamples[command], phoneExamples[command], elementExamples[command],
		transitExamples[command], faresExamples[command], gateExamples[command],
	)
}
