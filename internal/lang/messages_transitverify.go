package lang

import "tapnet/glossary"

// verify of a transit operator: what is beside its taps and bills.
var (
	VerifyTransitList = glossary.Term{EN: "deny list: epoch %s, delta %s, %s entries, %s changes to be told", ZH: "黑名单：第%s期密钥，第%s号增量，%s条，待下发变更%s项"}
	VerifyTransitKept = glossary.Term{EN: "kept state as of row %s: %s bytes held against the rows", ZH: "截至第%s行保存的状态：%s字节已与日志核对"}
	VerifyTransitBare = glossary.Term{EN: "signatures of the deny list were not checked: the operator's secret is not in this directory",
		ZH: "未核对黑名单签名：该目录中没有运营方密钥文件"}
)
