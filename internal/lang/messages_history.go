package lang

import "tapnet/glossary"

// transit report --history: the decisions about a rider.
var (
	TransitHistoryNext  = glossary.Term{EN: "asked for again at %s", ZH: "下次补扣：%s"}
	TransitHistoryNone  = glossary.Term{EN: "Nothing was decided about this rider yet.", ZH: "尚无有关该乘客的决定。"}
	TransitHistoryAlone = glossary.Term{EN: "--history shows the decisions about one rider.", ZH: "--history显示某位乘客的全部决定。"}
	TransitHistoryRead  = glossary.Term{EN: "looked at %s of %s rows", ZH: "已查看%s行，共%s行"}
)
