package lang

import "tapnet/glossary"

// sim.
var (
	SimTitle      = glossary.Term{EN: "tapnet sim · seed %d · %s taps · worlds of %d simulated days · test keys only", ZH: "tapnet sim · 种子%d · %s次挥卡 · 每个环境模拟%d天 · 仅用测试密钥"}
	SimTaps       = glossary.Term{EN: "How the taps ended", ZH: "挥卡结果"}
	SimFaults     = glossary.Term{EN: "What went wrong on the way", ZH: "途中的故障"}
	SimInvariants = glossary.Term{EN: "What must hold all the same", ZH: "必须始终成立的不变量"}
	SimHolds      = glossary.Term{EN: "%d of %d invariants hold, tried %s times", ZH: "%d项不变量成立，共%d项，检验%s次"}
	SimTook       = glossary.Term{EN: "%[1]s taps, %[3]s simulated (worlds: %[2]s), took %[4]s", ZH: "%s次挥卡，%s个环境，模拟%s，用时%s"}
	SimDigest     = glossary.Term{EN: "run digest %s: the same for the same seed", ZH: "运行摘要%s：同一种子结果相同"}
	SimReplay     = glossary.Term{EN: "see it again", ZH: "重现"}
	SimProgress   = glossary.Term{EN: "%s of %s taps, %s simulated, %s crashes", ZH: "已挥卡%s次，共%s次，模拟%s，崩溃%s次"}
	SimDays       = glossary.Term{EN: "%s days", ZH: "%s天"}
	SimFailed     = glossary.Term{EN: "The simulation could not run.", ZH: "无法运行模拟。"}
	SimOptions    = glossary.Term{EN: "These values cannot be simulated.", ZH: "无法按这些数值模拟。"}
	SimOptionsWhy = glossary.Term{EN: "a world lives 1 to %d days, and there is at least one tap", ZH: "每个环境为1至%d天，且至少挥卡一次"}
)

// The names of a run's counts.
var simCounts = map[string]glossary.Term{
	"approved online":  {EN: "approved by the issuer", ZH: "发卡行批准"},
	"approved offline": {EN: "approved by the card", ZH: "卡片脱机批准"},
	"declined online":  {EN: "declined by the network", ZH: "联机拒绝"},
	"declined offline": {EN: "declined by card or terminal", ZH: "卡片或终端拒绝"},
	"taken back":       {EN: "no answer in time, reversed", ZH: "超时，已冲正"},
	"PIN missing":      {EN: "no PIN given", ZH: "未输入密码"},
	"no payment":       {EN: "no payment", ZH: "未支付"},
	"interrupted":      {EN: "the till stopped", ZH: "终端中断"},
	"messages":         {EN: "messages sent", ZH: "发送报文"},
	"lost":             {EN: "lost on the way", ZH: "途中丢失"},
	"duplicated":       {EN: "arrived twice", ZH: "重复到达"},
	"delayed":          {EN: "held up for minutes", ZH: "延误数分钟"},
	"reordered":        {EN: "overtaken by a later one", ZH: "被后发报文超过"},
	"unread":           {EN: "came to a stopped process", ZH: "到达时进程已停止"},
	"commits":          {EN: "durable writes", ZH: "落盘写入"},
	"crashes":          {EN: "crashes", ZH: "崩溃"},
	"restarts":         {EN: "restarts", ZH: "重启"},
	"zombies":          {EN: "processes stopped by the fence", ZH: "被隔离的旧进程"},
	"unanswered":       {EN: "security modules that did not answer", ZH: "加密机无应答"},
	"tears":            {EN: "cards taken away during the tap", ZH: "挥卡中途移开"},
	"replays":          {EN: "stolen chip data sent again", ZH: "重放被盗芯片数据"},
	"changes":          {EN: "cards changed by holder or bank", ZH: "持卡人或银行变更卡片"},
	"cards":            {EN: "cards issued", ZH: "发卡"},
	"days":             {EN: "changes of the business date", ZH: "业务日切换"},
	"resumed":          {EN: "issuers that started from their cells", ZH: "发卡行由存储单元恢复"},
	"loaded":           {EN: "cards found in the store", ZH: "从存储载入的卡"},
	"kept":             {EN: "cells written back", ZH: "写回的存储单元"},
	"recalled":         {EN: "forgotten payments found again", ZH: "找回的已遗忘交易"},
	"spent":            {EN: "keys spent by an early reversal", ZH: "被提前冲正占用的键"},
}

// SimCount is the name of a count of a run, the key itself when it has none.
func SimCount(key string) glossary.Term {
	if t, known := simCounts[key]; known {
		return t
	}
	return Verbatim(key)
}
