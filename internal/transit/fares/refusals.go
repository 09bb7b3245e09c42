package fares

import (
	"fmt"

	"tapnet/glossary"
)

// refusalTerms says in Chinese why a row of a feed cannot be used; the English text of a Refusal has the values besides.
var refusalTerms = map[string]string{
	"stop-in-several-areas":      "同一站点属于多个区域",
	"unknown-area":               "区域未定义",
	"several-defaults":           "存在多个默认乘客类别",
	"twice":                      "重复定义",
	"unknown-category":           "乘客类别未定义",
	"currency":                   "币种未知，或与其他票种不同",
	"amount":                     "金额无效",
	"several-amounts":            "同一票种、类别与介质有多个金额",
	"no-weekdays":                "该时段的服务日历没有星期",
	"calendar-dates":             "该时段使用单独日期，请改为节假日",
	"overlap":                    "不同时段相互重叠",
	"rule-priority":              "不支持规则优先级：按所列条件匹配",
	"end-timeframe":              "票价按行程开始的时段确定，不按结束时段",
	"unknown-timeframe":          "时段未定义",
	"unknown-product":            "该介质没有此票种",
	"several-products":           "同一行程段有多个不同金额的票种，或金额为负；通票请改为封顶",
	"no-general-fare":            "该线网没有适用于所有人与所有时间的票价",
	"category-without-timeframe": "该乘客类别在此时段没有票价",
	"dearer-timeframe":           "该时段的票价高于通用票价",
	"leg-joins":                  "行程段由刷卡连接，不由规则连接",
	"unknown-leg-group":          "行程段组未定义",
	"leg-group-within-network":   "同一线网含有多个行程段组",
	"no-duration-limit":          "换乘没有时限",
	"duration-until-arrival":     "换乘在下一行程开始时确定，不能按到达时间计时",
	"transfer-count":             "换乘次数无效",
	"dearer-next-leg":            "后一行程可能比前一行程贵",
	"transfer-type":              "该换乘类型不是对后一行程的优惠",
	"transfer-product":           "换乘票种在该介质下的金额不唯一",
	"no-network":                 "规则适用于其余线网，但没有列出线网",
	"too-many-legs":              "规则展开后的行程段过多",
	"too-many-networks":          "换乘涉及的线网过多",
	"filter-product":             "换乘按服务确定，不按票种",
}

// Term is the reason in both languages.
func (r Refusal) Term() glossary.Term {
	text, ok := refusalTerms[r.Name]
	if !ok {
		text = r.Text
	}
	return glossary.Term{EN: r.Text, ZH: text}
}

func (r Refusal) String() string {
	return fmt.Sprintf("%s, row %d: %s: %s", r.File, r.Row, r.Name, r.Text)
}
