package lang

import "tapnet/glossary"

// Labels of an error: what happened stands first, without a label.
var (
	LabelWhy  = glossary.Term{EN: "Why", ZH: "原因"}
	LabelNext = glossary.Term{EN: "Next", ZH: "下一步"}
)

// What the exit codes mean.
var (
	ExitDone        = glossary.Term{EN: "done, and the answer is yes", ZH: "完成，结果为“是”"}
	ExitNo          = glossary.Term{EN: "done, and the answer is no: declined, not authentic, an invariant broken", ZH: "完成，结果为“否”：被拒绝、认证失败、不变量被破坏"}
	ExitUsage       = glossary.Term{EN: "wrong use: a flag, an argument or the input", ZH: "用法错误：选项、参数或输入有误"}
	ExitEnvironment = glossary.Term{EN: "the environment: a file, a port, a network that does not run", ZH: "环境问题：文件、端口、网络未运行等"}
)

// Wrong use of the command line.
var (
	UsageUnknownFlag     = glossary.Term{EN: "There is no flag %s here.", ZH: "这里没有选项%s。"}
	UsageUnexpected      = glossary.Term{EN: "%s is not expected here.", ZH: "这里不应出现%s。"}
	UsageUnknownCommand  = glossary.Term{EN: "There is no command %s.", ZH: "没有命令%s。"}
	UsageCommandMissing  = glossary.Term{EN: "A command is missing.", ZH: "缺少命令。"}
	UsageArgumentMissing = glossary.Term{EN: "An argument is missing: %s.", ZH: "缺少参数：%s。"}
	UsageFlagsMissing    = glossary.Term{EN: "Flags are missing: %s.", ZH: "缺少选项：%s。"}
	UsageFlagValue       = glossary.Term{EN: "The value of %s is not acceptable.", ZH: "%s的值无效。"}
	UsageValueMissing    = glossary.Term{EN: "%s needs a value.", ZH: "%s需要一个值。"}
	UsageOther           = glossary.Term{EN: "The command line cannot be read.", ZH: "无法解析命令行。"}
	UsageDidYouMean      = glossary.Term{EN: "did you mean %s?", ZH: "是否想用%s？"}
	UsageNumber          = glossary.Term{EN: "a whole number is expected", ZH: "应为整数"}
	UsageLang            = glossary.Term{EN: "the output speaks en and zh", ZH: "输出语言只有en和zh"}
	UsageExclusive       = glossary.Term{EN: "%s and %s exclude each other.", ZH: "%s与%s不能同时使用。"}
)

// Trouble with files and the system.
var (
	FileUnreadable  = glossary.Term{EN: "The file %s cannot be read.", ZH: "无法读取文件%s。"}
	FileUnwritable  = glossary.Term{EN: "The file %s cannot be written.", ZH: "无法写入文件%s。"}
	FileTooLong     = glossary.Term{EN: "The file %s is too long.", ZH: "文件%s过长。"}
	InputTooLong    = glossary.Term{EN: "The input is too long.", ZH: "输入过长。"}
	InputUnreadable = glossary.Term{EN: "Standard input cannot be read.", ZH: "无法读取标准输入。"}
	LimitBytes      = glossary.Term{EN: "at most %d bytes are read", ZH: "最多读取%d字节"}
	CheckPath       = glossary.Term{EN: "check the name and the permissions: ls -l %s", ZH: "检查文件名和权限：ls -l %s"}
	Interrupted     = glossary.Term{EN: "Interrupted.", ZH: "已中断。"}
	RunAgain        = glossary.Term{EN: "run the command again; nothing was lost", ZH: "重新运行命令；没有丢失任何数据"}
	Unexpected      = glossary.Term{EN: "Something unexpected happened.", ZH: "发生意外情况。"}
	SeeDoctor       = glossary.Term{EN: "tapnet doctor", ZH: "tapnet doctor"}
)

// Reasons of the operating system.
var (
	ReasonMissing    = glossary.Term{EN: "it does not exist", ZH: "文件不存在"}
	ReasonPermission = glossary.Term{EN: "no permission", ZH: "没有权限"}
)
