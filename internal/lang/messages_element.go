package lang

import "tapnet/glossary"

// elementHelp is the help of phones with a secure element.
var elementHelp = []HelpText{
	{"element", glossary.Term{EN: "A simulated phone with a secure element: keys on its chip, put there through the service manager.", ZH: "带安全单元的模拟手机：密钥在芯片内，由可信服务管理平台写入。"}},
	{"element_list", glossary.Term{EN: "Show the applications on the secure element.", ZH: "显示安全单元上的应用。"}},
	{"element_provision", glossary.Term{EN: "Put a token on the secure element. It becomes the default one.", ZH: "向安全单元写入令牌，并设为默认。"}},
	{"element_label", glossary.Term{EN: "Name of the card, up to 16 characters.", ZH: "卡片名称，最多16个字符。"}},
	{"element_card", glossary.Term{EN: "Card of the running network that the token stands for.", ZH: "令牌对应的卡（运行中的网络里的卡）。"}},
	{"element_sm", glossary.Term{EN: "SM2, SM3 and SM4 in place of RSA and triple DES.", ZH: "使用国密算法SM2、SM3、SM4，而非RSA与三重DES。"}},
	{"element_wallet", glossary.Term{EN: "Wallet profile of a new phone: phone or wearable.", ZH: "新手机的钱包配置：phone（手机）或wearable（可穿戴）。"}},
	{"element_tap", glossary.Term{EN: "Hold the phone to a till of the running network.", ZH: "将手机靠近运行中网络的收款终端。"}},
	{"element_pin", glossary.Term{EN: "PIN of the card, where the till asks for it; - reads it from standard input.", ZH: "终端要求时输入的卡密码；-表示从标准输入读取。"}},
	{"element_default", glossary.Term{EN: "Make a token the default one.", ZH: "将令牌设为默认。"}},
	{"element_lock", glossary.Term{EN: "Stop a token: at the token service at once, and on the secure element.", ZH: "锁定令牌：令牌服务立即停用，并锁定安全单元上的应用。"}},
	{"element_unlock", glossary.Term{EN: "Let a locked token work again.", ZH: "解锁令牌。"}},
	{"element_delete", glossary.Term{EN: "Delete a token with its keys.", ZH: "删除令牌及其密钥。"}},
	{"element_token", glossary.Term{EN: "Reference of the token, as tapnet element list shows it; needed when there are several.", ZH: "令牌编号，见tapnet element list；有多个令牌时必填。"}},
}

// elementExamples are the example lines.
var elementExamples = map[string][]Example{
	"element": {
		{"tapnet element provision DEBIT --card lin", glossary.Term{EN: "a new phone with a token in its secure element", ZH: "新手机，向安全单元写入令牌"}},
		{"tapnet element tap --amount 12.50", glossary.Term{EN: "pay with it", ZH: "用它支付"}},
		{"tapnet gate tap --network DIR --station 3 --dir in --card element:phone", glossary.Term{EN: "open a gate with it, offline", ZH: "脱机通过闸机"}},
	},
}

// Phones with a secure element.
var (
	ElementTitle       = glossary.Term{EN: "Secure element of phone %s: %s", ZH: "手机%s的安全单元：%s"}
	ElementEmpty       = glossary.Term{EN: "There is no token on the secure element.", ZH: "安全单元上没有令牌。"}
	ElementEmptyNext   = glossary.Term{EN: "tapnet element provision DEBIT --card lin", ZH: "tapnet element provision DEBIT --card lin"}
	ElementHeadToken   = glossary.Term{EN: "TOKEN", ZH: "令牌"}
	ElementHeadLabel   = glossary.Term{EN: "NAME", ZH: "名称"}
	ElementHeadLast    = glossary.Term{EN: "NUMBER", ZH: "尾号"}
	ElementHeadName    = glossary.Term{EN: "APPLICATION", ZH: "应用"}
	ElementHeadState   = glossary.Term{EN: "STATE", ZH: "状态"}
	ElementProvisioned = glossary.Term{EN: "Token %s is on the secure element.", ZH: "令牌%s已写入安全单元。"}
	ElementDefaulted   = glossary.Term{EN: "Token %s is the default one.", ZH: "令牌%s已设为默认。"}
	ElementLocked      = glossary.Term{EN: "Token %s is locked.", ZH: "令牌%s已锁定。"}
	ElementUnlocked    = glossary.Term{EN: "Token %s works again.", ZH: "令牌%s已恢复。"}
	ElementDeleted     = glossary.Term{EN: "Token %s is deleted.", ZH: "令牌%s已删除。"}
	ElementTapNext     = glossary.Term{EN: "tapnet element tap --amount 12.50", ZH: "tapnet element tap --amount 12.50"}
	ElementNoNetwork   = glossary.Term{EN: "A secure element needs a running network with its service manager", ZH: "安全单元需要运行中的网络及可信服务管理平台"}
	ElementTorn        = glossary.Term{EN: "The connection with the secure element was lost: nothing half done is left that could pay", ZH: "与安全单元的连接中断：没有可支付的半成品"}
	ElementUnknown     = glossary.Term{EN: "There is no token %s on the secure element", ZH: "安全单元上没有令牌%s"}
	ElementWhich       = glossary.Term{EN: "Say which token: there is none, or more than one", ZH: "请指明令牌：没有令牌，或不止一个"}
	ElementExists      = glossary.Term{EN: "This card is on the secure element already", ZH: "该卡已在安全单元上"}
	ElementRefused     = glossary.Term{EN: "The secure element was not changed", ZH: "安全单元未变更"}
	ElementListNext    = glossary.Term{EN: "tapnet element list", ZH: "tapnet element list"}
)
