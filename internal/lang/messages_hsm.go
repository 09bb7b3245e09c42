package lang

import "tapnet/glossary"

// hsmHelp is the help of the commands for keys.
var hsmHelp = []HelpText{
	{"hsm", glossary.Term{EN: "Keys of a security module: ceremony, import, export, list, audit.", ZH: "加密机密钥管理：密钥仪式、导入、导出、列表、审计。"}},
	{"hsm_file", glossary.Term{EN: "The key file. Its audit log lies beside it, with .audit behind the name.", ZH: "密钥文件。审计日志在同一目录，文件名后加.audit。"}},
	{"hsm_ceremony", glossary.Term{
		EN: "Make a key file for custodians, or a key from components. Secrets are asked for, one a line.",
		ZH: "由保管人建立密钥文件，或用分量合成密钥。秘密信息逐行询问。"}},
	{"hsm_custodian", glossary.Term{EN: "Custodian of a new key file; give it for each.", ZH: "新密钥文件的保管人；每人给出一次。"}},
	{"hsm_threshold", glossary.Term{EN: "How many custodians' shares open the key file.", ZH: "打开密钥文件所需的保管人份额数。"}},
	{"hsm_key", glossary.Term{EN: "Name of the key.", ZH: "密钥名称。"}},
	{"hsm_usage", glossary.Term{EN: "Key usage, two characters, such as K1 or E0.", ZH: "密钥用途，两个字符，例如K1或E0。"}},
	{"hsm_mode", glossary.Term{EN: "Mode of use, one letter: B, E, D, C, G, V or X.", ZH: "使用方式，一个字母：B、E、D、C、G、V或X。"}},
	{"hsm_algorithm", glossary.Term{EN: "TDES, AES-128, AES-256, SM4 or HMAC-SHA-256.", ZH: "TDES、AES-128、AES-256、SM4或HMAC-SHA-256。"}},
	{"hsm_exportable", glossary.Term{EN: "N: never; E: in key blocks only; S: also in other forms.", ZH: "N：不可导出；E：仅以密钥块导出；S：也可用其他形式。"}},
	{"hsm_components", glossary.Term{EN: "How many components make the key.", ZH: "合成密钥的分量数。"}},
	{"hsm_draw", glossary.Term{EN: "Draw the components here and show each once.", ZH: "在此生成各分量，每个只显示一次。"}},
	{"hsm_by", glossary.Term{EN: "Who does it, for the audit log; give it for each.", ZH: "操作人，记入审计日志；每人给出一次。"}},
	{"hsm_import", glossary.Term{EN: "Take a key from a key block, with exactly the attributes it binds.", ZH: "从密钥块导入密钥，属性与密钥块绑定的完全一致。"}},
	{"hsm_export", glossary.Term{EN: "Give a key as a key block; two custodians approve.", ZH: "以密钥块导出密钥，需两名保管人授权。"}},
	{"hsm_under", glossary.Term{EN: "Name of the key block protection key.", ZH: "密钥块保护密钥的名称。"}},
	{"hsm_block", glossary.Term{EN: "File with the key block; - reads it from standard input after the shares.", ZH: "密钥块所在文件；-表示在份额之后从标准输入读取。"}},
	{"hsm_list", glossary.Term{EN: "List keys with usage, mode, algorithm and check value.", ZH: "列出密钥及其用途、方式、算法和校验值。"}},
	{"hsm_audit", glossary.Term{EN: "Check the audit log line by line and show it.", ZH: "逐行校验并显示审计日志。"}},
	{"hsm_root", glossary.Term{EN: "Root in a PKCS#11 token instead of shares: path of the module.", ZH: "以PKCS#11令牌代替份额保管根密钥：模块路径。"}},
	{"hsm_label", glossary.Term{EN: "Label of the PKCS#11 token.", ZH: "PKCS#11令牌标签。"}},
}

// What the commands for keys say.
var (
	HSMFailed     = glossary.Term{EN: "The security module refuses.", ZH: "加密机拒绝该操作。"}
	HSMUnopened   = glossary.Term{EN: "The key file does not open.", ZH: "密钥文件无法打开。"}
	HSMEnough     = glossary.Term{EN: "Give the shares of enough custodians, and nobody else's.", ZH: "请提供足够数量且正确的保管人份额。"}
	HSMAltered    = glossary.Term{EN: "The audit log is not what was written.", ZH: "审计日志已被改动。"}
	HSMNoCustody  = glossary.Term{EN: "A new key file needs at least two custodians.", ZH: "新密钥文件至少需要两名保管人。"}
	HSMNothing    = glossary.Term{EN: "There is nothing to do: the key file exists, and no key is named.", ZH: "无事可做：密钥文件已存在，且未指定密钥。"}
	HSMNoRoot     = glossary.Term{EN: "This program was built without PKCS#11.", ZH: "本程序未编译PKCS#11支持。"}
	HSMBuildRoot  = glossary.Term{EN: "go build -tags pkcs11 ./cmd/tapnet", ZH: "go build -tags pkcs11 ./cmd/tapnet"}
	HSMInputEnded = glossary.Term{EN: "The input ended before everything was said.", ZH: "输入提前结束。"}

	HSMAskPassphrase = glossary.Term{EN: "Passphrase of %s: ", ZH: "%s的口令："}
	HSMAskShare      = glossary.Term{EN: "Share %d: ", ZH: "第%d份："}
	HSMAskComponent  = glossary.Term{EN: "Component %d: ", ZH: "第%d个分量："}
	HSMShare         = glossary.Term{EN: "Share of %s: %s", ZH: "%s的份额：%s"}
	HSMComponent     = glossary.Term{EN: "Component %d: %s", ZH: "第%d个分量：%s"}
	HSMComponentKCV  = glossary.Term{EN: "Check value of component %d: %s", ZH: "第%d个分量的校验值：%s"}
	HSMMade          = glossary.Term{EN: "Key file %s made: %d of %d shares open it.", ZH: "密钥文件%s已建立：%d/%d份即可打开。"}
	HSMMadeRoot      = glossary.Term{EN: "Key file %s made: its root is wrapped in token %s.", ZH: "密钥文件%s已建立：根密钥由令牌%s包装。"}
	HSMKept          = glossary.Term{EN: "Key %s: usage %s, mode %s, %s, exportability %s, check value %s.", ZH: "密钥%s：用途%s，方式%s，%s，可导出性%s，校验值%s。"}
	HSMAuditSound    = glossary.Term{EN: "The audit log is sound: %d records. Head: %s", ZH: "审计日志完整：%d条。链头：%s"}
	HSMAuditUnsaved  = glossary.Term{EN: "%d records are newer than the key file.", ZH: "有%d条记录晚于密钥文件。"}

	HSMColumnKey       = glossary.Term{EN: "KEY", ZH: "密钥"}
	HSMColumnUsage     = glossary.Term{EN: "USAGE", ZH: "用途"}
	HSMColumnMode      = glossary.Term{EN: "MODE", ZH: "方式"}
	HSMColumnAlgorithm = glossary.Term{EN: "ALGORITHM", ZH: "算法"}
	HSMColumnExport    = glossary.Term{EN: "EXPORT", ZH: "可导出"}
	HSMColumnKCV       = glossary.Term{EN: "CHECK", ZH: "校验值"}
	HSMColumnSerial    = glossary.Term{EN: "NO", ZH: "序号"}
	HSMColumnAt        = glossary.Term{EN: "AT", ZH: "时间"}
	HSMColumnActors    = glossary.Term{EN: "BY", ZH: "操作人"}
	HSMColumnOperation = glossary.Term{EN: "OPERATION", ZH: "操作"}
	HSMColumnRefused   = glossary.Term{EN: "REFUSED", ZH: "拒绝原因"}
)

// Why the security module refuses.
var (
	HSMWhyApproval   = glossary.Term{EN: "the export is not approved by two custodians", ZH: "导出未获两名保管人授权"}
	HSMWhyMisuse     = glossary.Term{EN: "the key's usage, mode or exportability does not allow it", ZH: "密钥的用途、方式或可导出性不允许此操作"}
	HSMWhyBlock      = glossary.Term{EN: "the key block's attributes do not fit", ZH: "密钥块属性不符，或保护密钥强度不足"}
	HSMWhyExists     = glossary.Term{EN: "a key of that name exists", ZH: "同名密钥已存在"}
	HSMWhyNoKey      = glossary.Term{EN: "there is no such key", ZH: "没有该密钥"}
	HSMWhyWeak       = glossary.Term{EN: "weak key", ZH: "弱密钥"}
	HSMWhyComponent  = glossary.Term{EN: "a component has 32, 48 or 64 hexadecimal digits and is not zero", ZH: "分量应为32、48或64个十六进制数字，且不为零"}
	HSMWhyPassphrase = glossary.Term{EN: "a passphrase has at least 8 characters", ZH: "口令至少8个字符"}
)
