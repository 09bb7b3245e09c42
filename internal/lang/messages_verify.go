package lang

import "tapnet/glossary"

// verify.
var (
	VerifyTitle     = glossary.Term{EN: "tapnet verify · %s", ZH: "tapnet verify · %s"}
	VerifyRows      = glossary.Term{EN: "rows", ZH: "行数"}
	VerifyApproved  = glossary.Term{EN: "approved", ZH: "批准"}
	VerifyReversed  = glossary.Term{EN: "reversed", ZH: "冲正"}
	VerifyPosted    = glossary.Term{EN: "posted", ZH: "已入账"}
	VerifyHeld      = glossary.Term{EN: "held", ZH: "冻结"}
	VerifyUnderway  = glossary.Term{EN: "payments under way: %s", ZH: "在途交易：%s笔"}
	VerifyClean     = glossary.Term{EN: "Nothing is wrong: %s rows, %s payments.", ZH: "全部正确：%s行，%s笔交易。"}
	VerifyFound     = glossary.Term{EN: "Findings: %s, in %s rows and %s payments.", ZH: "发现%s处问题，共%s行、%s笔交易。"}
	VerifyTook      = glossary.Term{EN: "took %s, %s rows a second", ZH: "用时%s，每秒%s行"}
	VerifyFirst     = glossary.Term{EN: "← first", ZH: "← 首个"}
	VerifyField     = glossary.Term{EN: "what", ZH: "内容"}
	VerifyFoundIs   = glossary.Term{EN: "found", ZH: "实为"}
	VerifyExpected  = glossary.Term{EN: "expected", ZH: "应为"}
	VerifyWitness   = glossary.Term{EN: "by", ZH: "依据"}
	VerifyMore      = glossary.Term{EN: "%s more; --most shows more of them.", ZH: "另有%s处；--most可显示更多。"}
	VerifyProgress  = glossary.Term{EN: "%s of %s rows", ZH: "已核对%s行，共%s行"}
	VerifyMostWhy   = glossary.Term{EN: "at least one finding is shown", ZH: "至少显示一处"}
	VerifyNoDir     = glossary.Term{EN: "There are no journals to verify in %s.", ZH: "%s中没有可核对的日志。"}
	VerifyNoDirNext = glossary.Term{EN: "name a data directory of tapnet up: tapnet verify DIR", ZH: "指定tapnet up的数据目录：tapnet verify 目录"}
	VerifyFailed    = glossary.Term{EN: "The journals in %s cannot be read.", ZH: "无法读取%s中的日志。"}
	VerifyCopyNext  = glossary.Term{EN: "copy the directory to where it can be written, and verify the copy", ZH: "把目录复制到可写的位置，再核对副本"}
	VerifySinceBad  = glossary.Term{EN: "The file %s is no report of tapnet verify --json.", ZH: "文件%s不是tapnet verify --json的报告。"}
)
