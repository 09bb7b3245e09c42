package main

import (
	"fmt"
	"strings"

	"tapnet/internal/acquirer"
	"tapnet/internal/issuer"
)

// ridesPage says what a world file may say of rides that are paid later, and what holds when it says nothing.
func ridesPage() *page {
	p := newPage("Rides that are paid later, in a world file · 环境文件中的乘车后付设置",
		"What `tapnet up --profile FILE` reads about operators of transport: tables of the banks, and one key of a merchant. What is left out is the default.\n"+
			"`tapnet up --profile FILE`读取的公共交通设置：发卡行与收单行各一张表，商户一个键；未写明者取默认值。")
	at, desk := issuer.DefaultTransit(), acquirer.DefaultTransit()
	amount := func(minor int64) string { return code(fmt.Sprintf("%q", fmt.Sprintf("%d.%02d", minor/100, minor%100))) }
	list := func(categories []string) string { return code(`["` + strings.Join(categories, `", "`) + `"]`) }
	p.table([]string{"Table", "Key", "Meaning", "含义", "Default", "Bounds"}, [][]string{
		{code("[issuer.transit]"), code("off"), "nobody pays so", "不支持后付", code("false"), ""},
		{"", code("categories"), "merchants that may, field 18", "适用商户类别（18域）", list(at.Categories), "1 to 16, four digits"},
		{"", code("gate"), "the most that a gate's cryptogram may be about", "闸机密文所签金额上限", amount(at.NominalMinor), "up to request"},
		{"", code("request"), "the most that one request asks for", "单笔请求上限", amount(at.CumulativeMinor), "up to proof"},
		{"", code("proof"), "the most that all requests come to which rest on one cryptogram, less what was given back", "同一密文累计上限（扣除已退）",
			amount(at.ProofMinor), "up to `\"1000.00\"`"},
		{"", code("gather_days"), "rides are asked for within so many days", "乘车后可合并请款的天数", code(fmt.Sprint(at.GatherDays)), "1 up to recover_days"},
		{"", code("recover_days"), "and debts, as long as the cryptogram proves the ride", "欠费可追缴天数，即密文有效期", code(fmt.Sprint(at.RecoverDays)), "up to 92"},
		{code("[acquirer.transit]"), code("categories"), "merchants whose cryptograms are followed", "追踪密文的商户类别", list(desk.Categories), "1 to 16, four digits"},
		{"", code("request"), "the most of one request for rides when nothing is agreed", "未约定时单笔乘车请求上限", amount(desk.MostMinor), "up to `\"1000.00\"`"},
		{code("[[merchant]]"), code("ride_limit"), "the most of one request, agreed with this merchant", "与该商户约定的单笔上限", "none", ""},
	})
	fmt.Fprintf(p, `
An example · 示例:

%[1]stoml
[[issuer]]
institution = "10010000"
name = "Lantern Bank"
prefix = "62999910"
key = 0

[issuer.transit]
request = "45.00"
proof = "90.00"
%[1]s
`, "```")
	return p
}
