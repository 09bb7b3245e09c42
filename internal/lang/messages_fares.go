package lang

import "tapnet/glossary"

// faresHelp is the help of the commands that move fare data in and out.
var faresHelp = []HelpText{
	{"transit_import", glossary.Term{EN: "Make a tariff out of the fare files of others.", ZH: "由外部票价文件生成票价表。"}},
	{"import_gtfs", glossary.Term{EN: "Out of the fare files (Fares v2) of a GTFS feed. What a tariff cannot say is listed, and nothing is written then.", ZH: "由GTFS数据中的票价文件（Fares v2）生成。票价表无法表达的规则会逐条列出，此时不写文件。"}},
	{"import_gtfs_path", glossary.Term{EN: "Feed: a directory or a ZIP file.", ZH: "GTFS数据：目录或ZIP文件。"}},
	{"import_gtfs_medium", glossary.Term{EN: "Take the fare products of this fare_media_id, besides those for every medium.", ZH: "除适用于所有介质的票种外，选用此fare_media_id的票种。"}},
	{"import_od", glossary.Term{EN: "Out of a plain table of fares from place to place: CSV with the columns from, to and fare, or a square.", ZH: "由起讫站票价表生成：CSV，列为from、to、fare，或方阵。"}},
	{"import_od_table", glossary.Term{EN: "Table, a CSV file.", ZH: "票价表CSV文件。"}},
	{"import_service", glossary.Term{EN: "Name of the service.", ZH: "服务名称。"}},
	{"import_currency", glossary.Term{EN: "Currency of the amounts, such as CNY.", ZH: "金额币种，例如CNY。"}},
	{"import_name", glossary.Term{EN: "Name of the tariff.", ZH: "票价表名称。"}},
	{"import_from", glossary.Term{EN: "First service day, like 2026-01-01.", ZH: "首个运营日，例如2026-01-01。"}},
	{"import_maximum", glossary.Term{EN: "Fare of a journey with a missing tap. Default: the dearest fare.", ZH: "缺少刷卡记录时的票价，默认为最高票价。"}},
	{"import_out", glossary.Term{EN: "Where the tariff is written, - is standard output. A table is written beside it.", ZH: "票价表写入位置，-为标准输出。起讫站票价表写在同一目录。"}},
	{"transit_export", glossary.Term{EN: "Write what a running office knows, for the programs of others.", ZH: "导出运行中后台的数据，供其他程序使用。"}},
	{"export_tides", glossary.Term{EN: "Write the journeys as TIDES fare transactions, CSV.", ZH: "将行程导出为TIDES票款交易（CSV）。"}},
	{"export_day", glossary.Term{EN: "Only the journeys of this service day. Default: all that are kept.", ZH: "仅导出该运营日的行程，默认导出全部保留的行程。"}},
	{"export_out", glossary.Term{EN: "Where it is written, - is standard output.", ZH: "写入位置，-为标准输出。"}},
	{"transit_rate", glossary.Term{EN: "Rate files of taps under a tariff, without an office: what would the riders have paid?", ZH: "不启动后台，按票价表对刷卡文件计费：乘客应付多少？"}},
	{"rate_files", glossary.Term{EN: "Files in the columns of the Hangzhou metro data set, in the order of days; - is standard input.", ZH: "杭州地铁数据集格式的文件，按日期先后；-为标准输入。"}},
	{"rate_tariff", glossary.Term{EN: "Tariff, a TOML file; tables it names lie beside it.", ZH: "票价表（TOML文件），其引用的票价表文件位于同一目录。"}},
	{"rate_service", glossary.Term{EN: "Service of the tariff that the taps belong to. Default: the only one.", ZH: "刷卡所属的服务，默认为票价表中唯一的服务。"}},
	{"rate_zone", glossary.Term{EN: "Time zone of the file and of the service day.", ZH: "文件与运营日所用时区。"}},
	{"rate_day_start", glossary.Term{EN: "How long after midnight the service day begins.", ZH: "运营日在零点后多久开始。"}},
	{"rate_tides", glossary.Term{EN: "Also write TIDES fare transactions here.", ZH: "同时将TIDES票款交易写入此文件。"}},
	{"transit_generate", glossary.Term{EN: "Make up a day of riders in the columns of the Hangzhou metro data set. The same flags give the same bytes.", ZH: "按杭州地铁数据集格式生成一天的虚构乘客。相同参数产生相同内容。"}},
	{"generate_riders", glossary.Term{EN: "Riders; most make two journeys.", ZH: "乘客数，多数乘客有两次行程。"}},
	{"generate_stations", glossary.Term{EN: "Stations, named 0 and up.", ZH: "车站数，自0起编号。"}},
	{"generate_missing", glossary.Term{EN: "Of 1000 taps, so many are left out.", ZH: "每1000次刷卡中缺失的次数。"}},
	{"generate_day", glossary.Term{EN: "Day of the taps, like 2019-01-07.", ZH: "刷卡日期，例如2019-01-07。"}},
	{"generate_seed", glossary.Term{EN: "Another seed gives other riders.", ZH: "不同的种子产生不同的乘客。"}},
	{"generate_fares", glossary.Term{EN: "Also write a table of fares between the stations here, CSV.", ZH: "同时将各站间的票价表（CSV）写入此文件。"}},
}

// faresExamples are the example lines of those commands.
var faresExamples = map[string][]Example{
	"transit import gtfs": {
		{"tapnet transit import gtfs feed.zip --from 2026-01-01 --out tariff.toml", glossary.Term{EN: "a feed as agencies publish it", ZH: "机构发布的GTFS数据"}},
	},
	"transit import od": {
		{"tapnet transit import od metro.csv --from 2026-01-01 --out tariff.toml", glossary.Term{EN: "a metro that charges by distance", ZH: "按里程计费的地铁"}},
	},
	"transit export tides": {
		{"tapnet transit export tides --day 2026-11-23 --out taps.csv", glossary.Term{EN: "one day of the office in ./metro", ZH: "后台某一日的数据"}},
	},
	"transit rate": {
		{"tapnet transit rate day.csv --tariff tariff.toml", glossary.Term{EN: "what a day would have come to", ZH: "当日应收票款"}},
	},
	"transit generate": {
		{"tapnet transit generate --riders 100000 --out day.csv --fares metro.csv", glossary.Term{EN: "a day, and fares between its stations", ZH: "一天的刷卡与各站间票价"}},
	},
}

// What those commands say.
var (
	FaresFeedRefused = glossary.Term{EN: "The feed says what a tariff cannot: %d rules. Nothing was written.", ZH: "GTFS数据中有%d条规则无法用票价表表达，未写文件。"}
	FaresFeedMend    = glossary.Term{EN: "change or leave out these rows, and add caps and passes to the tariff by hand", ZH: "修改或去掉这些行；封顶与通票请在票价表中手工添加"}
	FaresFileBad     = glossary.Term{EN: "%s cannot be used.", ZH: "%s 无法使用。"}
	FaresFlagBad     = glossary.Term{EN: "A value cannot be used.", ZH: "参数值无法使用。"}
	FaresNoFeed      = glossary.Term{EN: "a feed has fare_products.txt and fare_leg_rules.txt", ZH: "GTFS数据须含fare_products.txt与fare_leg_rules.txt"}
	FaresTableForm   = glossary.Term{EN: "a line is from,to,fare with a decimal fare; the first line says so", ZH: "每行为from,to,fare，票价为小数；首行为列名"}
	FaresRecordForm  = glossary.Term{EN: "the columns are time,lineID,stationID,deviceID,status,userID,payType", ZH: "列为time,lineID,stationID,deviceID,status,userID,payType"}
	FaresTariffNext  = glossary.Term{EN: "name it in the operator's configuration: tariffs = [\"%s\"]", ZH: "在运营方配置中引用：tariffs = [\"%s\"]"}
	FaresWritten     = glossary.Term{EN: "%s: tariff %s from %s, %s, services: %s.", ZH: "%s：票价表 %s，自 %s 起，币种 %s，服务：%s。"}
	FaresTable       = glossary.Term{EN: "%s places, %s fares, the dearest %s; %s differ on the way back.", ZH: "%s个站点，%s个票价，最高%s；%s个与返程不同。"}
	FaresTwoOutputs  = glossary.Term{EN: "Two things would be written to standard output.", ZH: "不能将两项内容同时写入标准输出。"}
	FaresNameFile    = glossary.Term{EN: "name a file with --out", ZH: "用 --out 指定文件"}
	FaresNameService = glossary.Term{EN: "the tariff has the services %s", ZH: "票价表中的服务有：%s"}
	FaresReading     = glossary.Term{EN: "Reading %s: %s taps.", ZH: "正在读取 %s：%s 次刷卡。"}
	FaresRating      = glossary.Term{EN: "Rating: %s of %s riders.", ZH: "正在计费：%s / %s 位乘客。"}
	FaresMaking      = glossary.Term{EN: "Making up %s riders.", ZH: "正在生成 %s 位乘客。"}
	FaresExporting   = glossary.Term{EN: "Exporting: %s transactions.", ZH: "正在导出：%s 条交易。"}
	FaresExported    = glossary.Term{EN: "%s: %s transactions of %s riders, %s %s.", ZH: "%s：%s条交易，%s位乘客，%s %s。"}
	FaresMade        = glossary.Term{EN: "%s: %s riders and %s stations on %s.", ZH: "%s：%s位乘客、%s个车站，日期 %s。"}
	FaresRiders      = glossary.Term{EN: "riders", ZH: "乘客"}
	FaresIgnored     = glossary.Term{EN: "repeated taps, ignored", ZH: "重复刷卡，已忽略"}
	FaresRefused     = glossary.Term{EN: "riders whose taps cannot be rated", ZH: "无法计费的乘客"}
	FaresIncomplete  = glossary.Term{EN: "journeys with a missing tap", ZH: "缺少刷卡的行程"}
	FaresBefore      = glossary.Term{EN: "fares before transfers and caps", ZH: "换乘与封顶前票款"}
	FaresTotal       = glossary.Term{EN: "charged", ZH: "应收"}
	FaresSpeed       = glossary.Term{EN: "%s journeys a second; read in %s, rated in %s.", ZH: "每秒 %s 次行程；读取 %s，计费 %s。"}
	FaresOfJourneys  = glossary.Term{EN: "%s in %s journeys", ZH: "%s，涉及 %s 次行程"}
)

// faresTerms are names that package fares gives to states of journeys and to reasons of amounts, as rows of a report.
var faresTerms = map[string]glossary.Term{
	"transfer":  {EN: "transfers", ZH: "换乘优惠"},
	"day-cap":   {EN: "day caps", ZH: "单日封顶"},
	"week-cap":  {EN: "week caps", ZH: "单周封顶"},
	"timeframe": {EN: "times of day", ZH: "时段优惠"},
	"category":  {EN: "rider categories", ZH: "乘客类别优惠"},
	"overtime":  {EN: "overtime", ZH: "超时加收"},
	"complete":  {EN: "both taps there", ZH: "进出齐全"},
	"completed": {EN: "completed from other journeys", ZH: "按其他行程自动补全"},
	"corrected": {EN: "stated by the rider", ZH: "乘客申报补全"},
	"partial":   {EN: "bus without one of the taps", ZH: "公交缺一次刷卡"},
	"open":      {EN: "under way", ZH: "进行中"},
	"held":      {EN: "held for a correction", ZH: "保留待更正"},
	"maximum":   {EN: "charged the maximum", ZH: "按最高票价计费"},
	"unpriced":  {EN: "without a fare in the tariff", ZH: "票价表无对应票价"},
}

// FaresTerm is a state of a journey, or a reason of an amount, as a row of a report. A name that nobody knows is shown as it is.
func FaresTerm(name string) glossary.Term {
	if t, ok := faresTerms[name]; ok {
		return t
	}
	return Verbatim(name)
}
