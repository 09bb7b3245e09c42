package lang

import "tapnet/glossary"

// issueHelp is the help of card issue and card products.
var issueHelp = []HelpText{
	{"card_products", glossary.Term{EN: "List what cards can be issued: products, carriers, algorithms.", ZH: "列出可发行的卡片：产品、载体、算法。"}},
	{"card_issue", glossary.Term{EN: "Issue a new card into the running network, or into a world of its own.", ZH: "在运行中的网络（或临时环境）中发行一张新卡。"}},
	{"card_issue_profile", glossary.Term{EN: "Product, as tapnet card products lists it.", ZH: "产品名称，见tapnet card products。"}},
	{"card_issue_carrier", glossary.Term{EN: "What the card is made of. Default: dual-interface.", ZH: "卡片载体，默认dual-interface。"}},
	{"card_issue_crypto", glossary.Term{EN: "Algorithms: rsa-3des, sm, rsa-aes. Default: those of the product.", ZH: "算法：rsa-3des、sm、rsa-aes，默认由产品决定。"}},
	{"card_issue_bank", glossary.Term{EN: "Institution of the bank. Default: the first one.", ZH: "发卡行机构代码，默认第一家。"}},
	{"card_issue_name", glossary.Term{EN: "Name of the card for other commands. Default: made from the product.", ZH: "供其他命令使用的卡片名称，默认由产品名生成。"}},
	{"card_issue_dgi", glossary.Term{EN: "Give the data groupings of EMV CPS and the STORE DATA commands too, secrets under the public TEST key.", ZH: "同时输出EMV CPS数据分组及STORE DATA命令，机密数据以公开的测试密钥加密。"}},
	{"card_issue_out", glossary.Term{EN: "Write the description of the card to this file as JSON.", ZH: "将卡片描述以JSON写入该文件。"}},
}

// issueExamples are the example lines of the two commands.
var issueExamples = map[string][]Example{
	"card issue": {
		{"tapnet card issue --profile co-brand", glossary.Term{EN: "a card with a second application", ZH: "带第二应用的卡片"}},
		{"tapnet card issue --profile debit --carrier sim --dgi --out card.json", glossary.Term{EN: "with what a personalization machine sends", ZH: "含个人化设备发送的数据"}},
	},
	"card products": {
		{"tapnet card products", glossary.Term{EN: "before tapnet card issue", ZH: "在tapnet card issue之前"}},
	},
}

// card issue and card products.
var (
	IssueTitle       = glossary.Term{EN: "Issued: the card %s, a %s on a %s", ZH: "已发卡：%s，%s，载体为%s"}
	IssueNumber      = glossary.Term{EN: "number", ZH: "卡号"}
	IssueExpiry      = glossary.Term{EN: "expires (YYMM)", ZH: "有效期（年月）"}
	IssueBank        = glossary.Term{EN: "bank", ZH: "发卡行"}
	IssuePIN         = glossary.Term{EN: "PIN, told this once", ZH: "密码，仅显示一次"}
	IssueCrypto      = glossary.Term{EN: "algorithms", ZH: "算法"}
	IssueATR         = glossary.Term{EN: "answer to reset", ZH: "复位应答"}
	IssueATS         = glossary.Term{EN: "answer to select", ZH: "选择应答"}
	IssueApplication = glossary.Term{EN: "application", ZH: "应用"}
	IssueBoth        = glossary.Term{EN: "contact and contactless", ZH: "接触式与非接触"}
	IssueContact     = glossary.Term{EN: "contact", ZH: "接触式"}
	IssueContactless = glossary.Term{EN: "contactless", ZH: "非接触"}
	IssueOptional    = glossary.Term{EN: "optional", ZH: "可关闭"}
	IssueGroupings   = glossary.Term{EN: "Data groupings of %s, %d commands", ZH: "%s的数据分组，共%d条命令"}
	IssueSealed      = glossary.Term{EN: "enciphered under the TEST key", ZH: "以测试密钥加密"}
	IssueNext        = glossary.Term{EN: "Next: tapnet tap --card %s --at shop-1 --amount 12.50", ZH: "下一步：tapnet tap --card %s --at shop-1 --amount 12.50"}
	IssueThrown      = glossary.Term{EN: "No network runs on %s: the card belongs to a world that is gone when this command ends.", ZH: "%s上没有运行中的网络：此卡属于临时环境，命令结束后即消失。"}
	IssueWritten     = glossary.Term{EN: "Described in %s.", ZH: "卡片描述已写入%s。"}
	IssueRefused     = glossary.Term{EN: "The network does not issue the card.", ZH: "网络未能发卡。"}
	IssueRefusedNext = glossary.Term{EN: "tapnet up, with all roles in one process", ZH: "以单进程运行全部角色：tapnet up"}
	ProductsTitle    = glossary.Term{EN: "Products, for --profile", ZH: "产品（--profile）"}
	CarriersTitle    = glossary.Term{EN: "Carriers, for --carrier", ZH: "载体（--carrier）"}
	CryptosTitle     = glossary.Term{EN: "Algorithms, for --crypto", ZH: "算法（--crypto）"}
)
