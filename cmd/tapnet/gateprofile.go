package main

import (
	"time"

	"tapnet/gate"
	"tapnet/glossary"
	"tapnet/internal/app/validator"
	"tapnet/money"
)

// laneProfile is what a kind of device does otherwise than the gate of a metro, whose limits are the package's.
type laneProfile struct {
	does      glossary.Term  // for docs/transit-devices.md
	name      string         // shown to the card
	direction gate.Direction // unless it is told; 0: it must be
	amount    string         // unless it is told
	doubleTap time.Duration
	passBack  time.Duration
	listAge   time.Duration
	stale     gate.StalePolicy
	claim     bool // a first ride waits until it is granted
}

const laneMetro = "metro"

const (
	// outside is how old the deny list may be where a device is not always in reach of its office: on a bus, a boat or in a taxi, three days.
	outside = 72 * time.Hour
	// crossing is how soon a rider of a ferry can be back at the pier where it began.
	crossing = 5 * time.Minute
	// visit is how long a card that went into an attraction stays used there: until the next day's opening, whenever it came.
	visit = 12 * time.Hour
)

// laneProfiles are the kinds of devices. Those with a flat fare take one tap for a ride, and the same card again for the next rider or the next ride;
// an entrance takes each card once. docs/transit-devices.md is their table.
var laneProfiles = map[string]laneProfile{
	laneMetro: {does: glossary.Term{EN: "entrance and exit of a metro: the journey is priced by the office, the gate opens", ZH: "地铁进出站闸机：先放行，由后台按行程计费"},
		name: "METRO", amount: "7.00"},
	// A journey on the railway costs more than a card is worth that nobody knows: the first one is asked for.
	"rail": {does: glossary.Term{EN: "fast gate of a railway: entrance and exit; a first ride waits until the office grants it, and not without a line", ZH: "铁路快速进出站闸机：首次乘车须经后台许可，无网络时不放行"},
		name: "RAIL", amount: "60.00", claim: true},
	"bus": {does: glossary.Term{EN: "flat fare on a bus, one tap; with `--dir in` and `out` a segmented fare", ZH: "公交一票制，一次刷卡；配合`--dir in`和`out`为分段计费"},
		name: "BUS", direction: gate.Ride, amount: "7.00", passBack: time.Minute, listAge: outside},
	"ferry": {does: glossary.Term{EN: "flat fare at a pier or on board, one tap", ZH: "轮渡一票制，码头或船上一次刷卡"},
		name: "FERRY", direction: gate.Ride, amount: "3.00", passBack: crossing, listAge: outside},
	"taxi": {does: glossary.Term{EN: "what the meter says, one tap at the end of the ride; a minute later the card may pay again", ZH: "出租车：行程结束按计价器金额刷卡一次，一分钟后可再次支付"},
		name: "TAXI", direction: gate.Ride, amount: "7.00", doubleTap: time.Minute, passBack: gate.Never, listAge: outside},
	"machine": {does: glossary.Term{EN: "self-service: a locker, a top-up, a bill; the card may pay again after a moment", ZH: "自助机：寄存、充值、缴费，片刻后同卡可再次支付"},
		name: "MACHINE", direction: gate.Ride, amount: "7.00", passBack: gate.Never},
	// Goods do not come back, and nobody waits in front of a machine that is closed: without a list it sells nothing.
	"vending": {does: glossary.Term{EN: "goods: nothing is sold with a deny list older than three days, or with none", ZH: "售货机：黑名单超过三天或没有名单时停售"},
		name: "VENDING", direction: gate.Ride, amount: "5.00", passBack: gate.Never, listAge: outside, stale: gate.StaleShuts},
	"attraction": {does: glossary.Term{EN: "paid entrance: a card goes in once in twelve hours at this gate", ZH: "景点付费入口：同一卡在本闸机十二小时内一次"},
		name: "ATTRACTION", direction: gate.Ride, amount: "50.00", passBack: visit},
	// A check of tickets that were sold before: nothing is charged, and a card goes in once.
	"event": {does: glossary.Term{EN: "check of tickets that were sold before: nothing is charged, a card goes in once in 24 hours at this gate", ZH: "活动检票（票款已付）：不扣费，同一卡在本闸机二十四小时内一次"},
		name: "EVENT", direction: gate.Ride, amount: "0.00", passBack: 24 * time.Hour},
}

// direction is what a tap means at this device, 0 when nobody has said.
func (c laneFlags) direction() gate.Direction {
	if c.Dir == "" {
		return laneProfiles[c.Profile].direction
	}
	return gateDirections[c.Dir]
}

// gate is the gate of this kind.
func (p laneProfile) gate(c laneFlags, amount money.Amount) gate.Config {
	claim := p.claim || c.Claim
	return gate.Config{
		Station: c.Station, Amount: amount, Country: countryChina, DoubleTap: p.doubleTap, PassBack: p.passBack, ListAge: p.listAge, Stale: p.stale,
		Rules: []gate.Rule{{Claim: claim}, {Prefix: validator.CloudPrefix, WithoutODA: true, Claim: claim}, {Prefix: validator.ElementPrefix, Claim: claim}},
	}
}
