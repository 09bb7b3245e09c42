package lang

import "tapnet/glossary"

// What `tapnet bench` says.
var (
	BenchOn       = glossary.Term{EN: "Measured on %s", ZH: "测量环境：%s"}
	BenchClients  = glossary.Term{EN: "clients", ZH: "并发"}
	BenchRate     = glossary.Term{EN: "per second", ZH: "每秒"}
	BenchHalf     = glossary.Term{EN: "p50", ZH: "p50"}
	BenchTail     = glossary.Term{EN: "p99", ZH: "p99"}
	BenchCPU      = glossary.Term{EN: "CPU each", ZH: "单笔CPU"}
	BenchBaseline = glossary.Term{EN: "baseline/s", ZH: "基线/秒"}
	BenchRatio    = glossary.Term{EN: "ratio", ZH: "比值"}
	BenchStep     = glossary.Term{EN: "step", ZH: "步骤"}
	BenchTime     = glossary.Term{EN: "time", ZH: "耗时"}
	BenchAllocs   = glossary.Term{EN: "allocations", ZH: "内存分配"}
	BenchAgainst  = glossary.Term{EN: "baseline", ZH: "基线"}
	BenchMeaning  = glossary.Term{
		EN: "Baseline: one SQL transaction per request, same rows, same file system, synchronous FULL, one writer, 512 clients. " +
			"The load generator shares the processors.",
		ZH: "基线：每笔请求一个SQL事务，相同数据、相同文件系统、synchronous FULL、单写者、512并发。负载发生器与被测程序共用处理器。",
	}
	BenchOpen = glossary.Term{
		EN: "Open loop at %s of the maximum, %s/s offered: answered %s/s, p50 %s, p99 %s, worst %s",
		ZH: "开环负载，最大值的%s，每秒%s笔：应答%s笔/秒，p50 %s，p99 %s，最长%s",
	}
	BenchPg = glossary.Term{
		EN: "pgbench TPC-B prepared (-c 32 -j 2, scale 50) in the same rounds, %s: %s/s; with %d clients the rate is %s times that",
		ZH: "同轮次的pgbench TPC-B prepared（-c 32 -j 2，scale 50），%s：%s/秒；%d并发时的速率为其%s倍",
	}
	BenchVerify    = glossary.Term{EN: "%s rows verified, %s rows/s, %d findings", ZH: "已核对%s行，%s行/秒，%d项发现"}
	BenchCards     = glossary.Term{EN: "cards", ZH: "卡片数"}
	BenchEnrol     = glossary.Term{EN: "enrolled in", ZH: "登记用时"}
	BenchStart     = glossary.Term{EN: "started in", ZH: "启动用时"}
	BenchEnrolling = glossary.Term{EN: "enrolling %s cards …", ZH: "正在登记%s张卡……"}
	BenchFailed    = glossary.Term{EN: "The measurement could not be made.", ZH: "无法完成测量。"}
	BenchMemory    = glossary.Term{EN: "use --dir on a disk, or --allow-memory to measure without durability", ZH: "用 --dir 指定磁盘目录，或用 --allow-memory 测量无持久化的情形"}
	BenchNoDir     = glossary.Term{EN: "tapnet bench verify --dir DIR, the data directory of a network", ZH: "tapnet bench verify --dir DIR，指定网络的数据目录"}
)
