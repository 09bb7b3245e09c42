package lang

import "tapnet/glossary"

// card serve.
var (
	ServeForms    = glossary.Term{EN: "--contact and --contactless exclude each other.", ZH: "--contact与--contactless不能同时使用。"}
	ServeTitle    = glossary.Term{EN: "The card %s waits for the virtual reader at %s. Stop with Ctrl-C.", ZH: "卡片%s等待%s处的虚拟读卡器。按Ctrl-C停止。"}
	ServeWaits    = glossary.Term{EN: "no reader listens at %s yet: %s", ZH: "%s处还没有读卡器在监听：%s"}
	ServeHint     = glossary.Term{EN: "start pcscd with the driver of vsmartcard (Debian: apt install pcscd vsmartcard-vpcd); the card appears by itself", ZH: "启动pcscd及vsmartcard驱动（Debian：apt install pcscd vsmartcard-vpcd），卡片随后自动出现"}
	ServeInserted = glossary.Term{EN: "in the reader, ATR %s", ZH: "已插入读卡器，ATR %s"}
	ServeRemoved  = glossary.Term{EN: "out of the reader", ZH: "已离开读卡器"}
	ServeStopped  = glossary.Term{EN: "The card is taken out.", ZH: "卡片已取出。"}
	ServeGone     = glossary.Term{EN: "The network has stopped, and its card with it.", ZH: "网络已停止，卡片也随之取出。"}
	ServeGoneNext = glossary.Term{EN: "tapnet up, then the same command", ZH: "运行tapnet up，然后重试此命令"}
	ServeAddress  = glossary.Term{EN: "The address of the reader cannot be read.", ZH: "无法解析读卡器地址。"}
	ServeAddrWhy  = glossary.Term{EN: "an address is HOST:PORT", ZH: "地址格式为 主机:端口"}
	ServeAddrNext = glossary.Term{EN: "tapnet card serve --vpcd 127.0.0.1:%d", ZH: "tapnet card serve --vpcd 127.0.0.1:%d"}
	ServeThrown   = glossary.Term{EN: "No network runs on %s: this card belongs to a world of its own, and nobody else can approve its payments.", ZH: "%s上没有运行中的网络：此卡属于临时环境，其他环境无法批准它的交易。"}
)

// Cards at a reader.
var (
	TapWhich      = glossary.Term{EN: "Say which card: --card NAME, or --reader NAME for the card at a reader.", ZH: "请指定卡片：--card 名称，或用--reader 名称使用读卡器上的卡片。"}
	TapWhichNext  = glossary.Term{EN: "tapnet tap --help", ZH: "tapnet tap --help"}
	TapPresent    = glossary.Term{EN: "Hold a card to the reader.", ZH: "请把卡片放到读卡器上。"}
	ReadWhich     = glossary.Term{EN: "Say which card: its name, or --reader NAME for the card at a reader.", ZH: "请指定卡片名称，或用--reader 名称使用读卡器上的卡片。"}
	ReadWhichNext = glossary.Term{EN: "tapnet card read --help", ZH: "tapnet card read --help"}
	DumpTitle     = glossary.Term{EN: "Everything that the card in %s tells without a payment", ZH: "%s中的卡片不经支付即可读出的全部内容"}
	DumpATR       = glossary.Term{EN: "answer to reset", ZH: "复位应答"}
	DumpProtocol  = glossary.Term{EN: "protocol", ZH: "传输协议"}
	DumpNoPayment = glossary.Term{EN: "No payment application answered.", ZH: "没有支付应用应答。"}
	ReaderAmount  = glossary.Term{EN: "tapnet tap --reader %s --at %s --amount 299.00", ZH: "tapnet tap --reader %s --at %s --amount 299.00"}
	ReaderPIN     = glossary.Term{EN: "tapnet tap --reader %s --at %s --amount %s --pin …", ZH: "tapnet tap --reader %s --at %s --amount %s --pin …"}
)

// doctor --reader.
var (
	DoctorDeaf      = glossary.Term{EN: "This machine can run tapnet, but not use a card reader: see above.", ZH: "本机可以运行tapnet，但不能使用读卡器：见上。"}
	CheckPCSC       = glossary.Term{EN: "PC/SC daemon", ZH: "PC/SC守护进程"}
	CheckReaders    = glossary.Term{EN: "card readers", ZH: "读卡器"}
	CheckReaderCard = glossary.Term{EN: "card", ZH: "卡片"}
	CheckRoundTrip  = glossary.Term{EN: "command time", ZH: "命令时间"}
	PCSCRuns        = glossary.Term{EN: "answers at %s", ZH: "%s处有应答"}
	ReadersAre      = glossary.Term{EN: "%s", ZH: "%s"}
	ReadersNone     = glossary.Term{EN: "no card reader is connected", ZH: "没有连接读卡器"}
	ReadersNoneNext = glossary.Term{EN: "plug one in, or make a virtual one: tapnet card serve --help", ZH: "插上读卡器，或使用虚拟读卡器：tapnet card serve --help"}
	ReaderCardIs    = glossary.Term{EN: "%s: %s, ATR %s", ZH: "%s：%s，ATR %s"}
	ReaderCardNone  = glossary.Term{EN: "no card is in a reader", ZH: "读卡器中没有卡片"}
	ReaderCardNext  = glossary.Term{EN: "put a card on or into the reader, then tapnet doctor --reader", ZH: "把卡片放到或插入读卡器，再运行tapnet doctor --reader"}
	RoundTripIs     = glossary.Term{EN: "median %s for a SELECT, %d tries", ZH: "SELECT命令中位数%s，共%d次"}
	RoundTripSlow   = glossary.Term{EN: "median %s for a SELECT, %d tries: slow", ZH: "SELECT命令中位数%s，共%d次：较慢"}
	RoundTripWhy    = glossary.Term{EN: "a payment needs about ten commands, and the holder waits for all of them", ZH: "一笔支付约需十条命令，持卡人要全程等待"}
	RoundTripNext   = glossary.Term{EN: "try another USB port or reader; a virtual card must acknowledge at once", ZH: "换一个USB口或读卡器；虚拟卡片必须立即确认收到的数据"}
)
