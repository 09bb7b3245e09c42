package lang

import "tapnet/glossary"

// What is said about a file that describes a world.
var (
	UpProfileUnread = glossary.Term{EN: "The profile %s cannot be read.", ZH: "无法读取环境文件%s。"}
	UpProfileBad    = glossary.Term{EN: "The profile %s describes no world that can be run.", ZH: "环境文件%s的内容无法使用。"}
	UpProfileNext   = glossary.Term{
		EN: "start from internal/personalization/profiles/demo.toml",
		ZH: "可从internal/personalization/profiles/demo.toml开始修改",
	}
)
