package lang

import "tapnet/glossary"

// Status words of doctor.
var (
	DoctorOK      = glossary.Term{EN: "ok", ZH: "正常"}
	DoctorWarning = glossary.Term{EN: "note", ZH: "注意"}
	DoctorFailed  = glossary.Term{EN: "failed", ZH: "失败"}
	DoctorFine    = glossary.Term{EN: "This machine can run tapnet.", ZH: "本机可以运行tapnet。"}
	DoctorNotes   = glossary.Term{EN: "This machine can run tapnet; see the notes above.", ZH: "本机可以运行tapnet；请看上面的注意事项。"}
	DoctorNotFine = glossary.Term{EN: "This machine cannot run tapnet yet: see above.", ZH: "本机还不能运行tapnet：见上。"}
)

// Names of the checks.
var (
	CheckProgram  = glossary.Term{EN: "program", ZH: "程序"}
	CheckLoopback = glossary.Term{EN: "loopback", ZH: "回环地址"}
	CheckPorts    = glossary.Term{EN: "ports", ZH: "端口"}
	CheckTemp     = glossary.Term{EN: "temporary files", ZH: "临时文件"}
	CheckData     = glossary.Term{EN: "data directory", ZH: "数据目录"}
	CheckFsync    = glossary.Term{EN: "durable writes", ZH: "持久写入"}
	CheckClock    = glossary.Term{EN: "clock", ZH: "时钟"}
	CheckTerminal = glossary.Term{EN: "terminal", ZH: "终端"}
	CheckVectors  = glossary.Term{EN: "cryptography", ZH: "密码算法"}
)

// What the checks found, why it matters, what to do.
var (
	ProgramIs       = glossary.Term{EN: "built with %s for %s", ZH: "由%s构建，平台%s"}
	ProgramCGO      = glossary.Term{EN: "built with %s and C code", ZH: "由%s构建，含C代码"}
	ProgramCGOWhy   = glossary.Term{EN: "a program with C code depends on libraries of the machine it was built on", ZH: "含C代码的程序依赖构建机器上的库"}
	ProgramCGONext  = glossary.Term{EN: "build it with CGO_ENABLED=0", ZH: "用CGO_ENABLED=0构建"}
	ProgramOld      = glossary.Term{EN: "built with %s, older than %s", ZH: "由%s构建，低于%s"}
	ProgramOldWhy   = glossary.Term{EN: "the tests run with the newer one", ZH: "测试使用更新的版本"}
	ProgramOldNext  = glossary.Term{EN: "install Go from https://go.dev/doc/install", ZH: "从 https://go.dev/doc/install 安装Go"}
	LoopbackOK      = glossary.Term{EN: "a connection to 127.0.0.1 answers in %s", ZH: "到127.0.0.1的连接在%s内应答"}
	LoopbackFails   = glossary.Term{EN: "no connection to 127.0.0.1", ZH: "无法连接127.0.0.1"}
	LoopbackNext    = glossary.Term{EN: "allow local connections in the firewall or sandbox", ZH: "在防火墙或沙箱中允许本地连接"}
	PortsFree       = glossary.Term{EN: "%d ports of tapnet up are free", ZH: "tapnet up所用的%d个端口空闲"}
	PortsTaken      = glossary.Term{EN: "taken: %s", ZH: "已被占用：%s"}
	PortsWhy        = glossary.Term{EN: "another program listens there, perhaps another tapnet up", ZH: "其他程序正在监听，也许是另一个tapnet up"}
	PortsNext       = glossary.Term{EN: "stop the other program; tapnet demo needs no ports", ZH: "停止该程序；tapnet demo不需要端口"}
	DirWritable     = glossary.Term{EN: "%s is writable", ZH: "%s可写"}
	DirNew          = glossary.Term{EN: "%s will be made when it is needed", ZH: "%s将在需要时创建"}
	DirFails        = glossary.Term{EN: "%s is not writable", ZH: "%s不可写"}
	DirNext         = glossary.Term{EN: "choose another directory: TMPDIR=/path tapnet doctor", ZH: "换一个目录：TMPDIR=/路径 tapnet doctor"}
	DirDataNext     = glossary.Term{EN: "choose another directory: tapnet up --data DIR", ZH: "换一个目录：tapnet up --data 目录"}
	DirMemory       = glossary.Term{EN: "%s is a file system in memory", ZH: "%s是内存文件系统"}
	DirMemoryWhy    = glossary.Term{EN: "the journal would not survive a restart of the machine", ZH: "机器重启后流水日志会丢失"}
	FsyncTakes      = glossary.Term{EN: "a durable write takes %s", ZH: "一次持久写入需%s"}
	FsyncSlow       = glossary.Term{EN: "a durable write takes %s, which is slow", ZH: "一次持久写入需%s，较慢"}
	FsyncSlowWhy    = glossary.Term{EN: "every payment waits for one", ZH: "每笔支付都要等待一次"}
	FsyncSlowNext   = glossary.Term{EN: "put the data directory on a local disk", ZH: "把数据目录放到本地磁盘"}
	FsyncFast       = glossary.Term{EN: "a durable write takes %s, faster than a disk can be", ZH: "一次持久写入需%s，快于任何磁盘"}
	FsyncFastWhy    = glossary.Term{EN: "the system may answer before the data is safe; a power cut could lose payments", ZH: "系统可能在数据落盘前就应答；断电可能丢失交易"}
	FsyncFastNext   = glossary.Term{EN: "for tests this is fine; for real data use a local disk", ZH: "测试无妨；真实数据请使用本地磁盘"}
	FsyncFails      = glossary.Term{EN: "the system cannot write durably", ZH: "系统无法持久写入"}
	ClockIs         = glossary.Term{EN: "%s UTC", ZH: "%s UTC"}
	ClockWrong      = glossary.Term{EN: "the clock says %s", ZH: "时钟显示%s"}
	ClockWhy        = glossary.Term{EN: "cards and certificates would look expired, or not yet valid", ZH: "卡片和证书会显得已过期或尚未生效"}
	ClockNext       = glossary.Term{EN: "set the clock of the machine", ZH: "校准机器时钟"}
	TerminalIs      = glossary.Term{EN: "%d columns, language %s, %s, %s", ZH: "%d列，语言%s，%s，%s"}
	TerminalSymbols = glossary.Term{EN: "symbols", ZH: "可显示符号"}
	TerminalPlain   = glossary.Term{EN: "plain ASCII", ZH: "纯ASCII"}
	TerminalColours = glossary.Term{EN: "colours", ZH: "有颜色"}
	TerminalMono    = glossary.Term{EN: "no colours", ZH: "无颜色"}
	TerminalNarrow  = glossary.Term{EN: "only %d columns", ZH: "只有%d列"}
	TerminalNWhy    = glossary.Term{EN: "lines are laid out for %d columns and will wrap", ZH: "版面按%d列设计，会折行"}
	TerminalNNext   = glossary.Term{EN: "make the window wider", ZH: "加宽窗口"}
	TerminalPWhy    = glossary.Term{EN: "neither LC_ALL nor LANG names UTF-8, or NO_COLOR is set", ZH: "LC_ALL和LANG都未指明UTF-8，或设置了NO_COLOR"}
	TerminalPNext   = glossary.Term{EN: "for symbols: LANG=C.UTF-8; for Chinese: --lang zh", ZH: "显示符号：LANG=C.UTF-8；中文：--lang zh"}
	VectorsOK       = glossary.Term{EN: "%d published values reproduced, %d CA keys intact", ZH: "%d个公开向量一致，%d个认证中心公钥完好"}
	VectorsBad      = glossary.Term{EN: "a published value is not reproduced: %s", ZH: "公开向量不一致：%s"}
	VectorsWhy      = glossary.Term{EN: "the program is damaged or was built by a faulty compiler", ZH: "程序损坏，或由有缺陷的编译器构建"}
	VectorsNext     = glossary.Term{EN: "build it again: go clean -cache && go build ./cmd/tapnet", ZH: "重新构建：go clean -cache && go build ./cmd/tapnet"}
)
