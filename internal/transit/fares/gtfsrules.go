package fares

import (
	"cmp"
	"slices"

	"tapnet/money"
)

// wholeFeed names the service of a feed that has no networks.
const wholeFeed = "network"

// variant is one of the tables a service may have.
type variant struct{ category, frame string }

// services turns leg rules into one service for each network.
func (f *feed) services(spec *Spec) {
	byNetwork := map[string][]legRule{}
	listed := map[string]bool{}
	for _, r := range f.rules {
		listed[r.network] = true
	}
	for _, r := range f.rules {
		names := []string{r.network}
		if r.network == "" && len(listed) > 1 {
			if names = unlisted(f.networks, listed); len(names) == 0 {
				f.refuse(fileLegRules, r.row, "no-network", "a rule for every other network, but %s names none", fileNetworks)
			}
		}
		for _, name := range names {
			if name == "" {
				name = wholeFeed
			}
			byNetwork[name] = append(byNetwork[name], r)
		}
	}
	for _, name := range sortedKeys(byNetwork) {
		f.service(spec, name, byNetwork[name])
	}
}

func (f *feed) service(spec *Spec, name string, rules []legRule) {
	zoned := slices.ContainsFunc(rules, func(r legRule) bool { return r.from != "" || r.to != "" })
	cells := map[variant]map[[2]string]int64{}
	dearest := int64(0)
	for _, r := range rules {
		for _, from := range f.side(rules, r.from, func(x legRule) string { return x.from }, zoned) {
			for _, to := range f.side(rules, r.to, func(x legRule) string { return x.to }, zoned) {
				if f.legs++; f.legs > maxLegs {
					f.refuse(fileLegRules, r.row, "too-many-legs", "rules stand for more than %d legs", maxLegs)
					return
				}
				for category, amount := range f.products[r.product] {
					v := variant{category, r.frame}
					if cells[v] == nil {
						cells[v] = map[[2]string]int64{}
					}
					old, twice := cells[v][[2]string{from, to}]
					if twice && old != amount.Minor() || amount.Sign() < 0 {
						f.refuse(fileLegRules, r.row, "several-products", "the leg from %q to %q has products of different amounts or one below zero; "+
							"add passes as caps", clip(from), clip(to))
						continue
					}
					cells[v][[2]string{from, to}] = amount.Minor()
					dearest = max(dearest, amount.Minor())
				}
			}
		}
	}
	f.complete(name, cells)
	if len(f.refusals) > 0 {
		return
	}
	s := ServiceSpec{Name: name, Kind: "flat"}
	if zoned {
		s.Kind, s.Maximum = "zone", f.options.Maximum
		if s.Maximum == "" {
			s.Maximum = money.New(dearest, f.currency).Decimal()
		}
		s.Zones = f.zoneSpecs()
	}
	for _, v := range sortedVariants(cells) {
		s.Fares = append(s.Fares, f.fareSpec(v, cells[v], zoned))
	}
	spec.Services = append(spec.Services, s)
}

// side expands one end of a rule into areas.
func (f *feed) side(rules []legRule, area string, end func(legRule) string, zoned bool) []string {
	if area != "" || !zoned {
		return []string{area}
	}
	listed, all := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		listed[end(r)] = true
	}
	for _, a := range f.zones {
		all[a] = true
	}
	return unlisted(sortedKeys(all), listed)
}

// complete makes every variant whole where GTFS would fall back to a more general rule, and refuses where the two would differ.
func (f *feed) complete(name string, cells map[variant]map[[2]string]int64) {
	general := cells[variant{}]
	if general == nil {
		f.refuse(fileLegRules, 0, "no-general-fare", "network %q has no fare for everybody at any time", clip(name))
		return
	}
	for _, v := range sortedVariants(cells) {
		if v.category != "" && v.frame == "" {
			for _, w := range sortedVariants(cells) {
				if _, ok := cells[variant{v.category, w.frame}]; w.frame != "" && !ok {
					f.refuse(fileLegRules, 0, "category-without-timeframe", "network %q: category %q has no fare in %q", clip(name), v.category, w.frame)
				}
			}
		}
		wider := cells[variant{v.category, ""}]
		if wider == nil {
			wider = general
		}
		for pair, fare := range wider {
			own, ok := cells[v][pair]
			switch {
			case !ok:
				cells[v][pair] = fare
			case own > fare && v.frame != "":
				// In the feed both rules match, and a rider takes the cheaper one.
				f.refuse(fileLegRules, 0, "dearer-timeframe", "network %q: in %q the leg from %q to %q is dearer than at any time", clip(name), v.frame, pair[0], pair[1])
			}
		}
	}
}

func sortedVariants(cells map[variant]map[[2]string]int64) []variant {
	var out []variant
	for v := range cells {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b variant) int {
		return cmp.Or(cmp.Compare(a.category, b.category), cmp.Compare(a.frame, b.frame))
	})
	return out
}

func (f *feed) fareSpec(v variant, cells map[[2]string]int64, zoned bool) FareSpec {
	out := FareSpec{Category: v.category, Timeframe: v.frame}
	for pair, fare := range cells {
		text := money.New(fare, f.currency).Decimal()
		if !zoned {
			out.Flat = text
			continue
		}
		out.Rows = append(out.Rows, []string{pair[0], pair[1], text})
	}
	slices.SortFunc(out.Rows, slices.Compare)
	return out
}

func (f *feed) zoneSpecs() []ZoneSpec {
	byArea := map[string][]string{}
	for stop, area := range f.zones {
		byArea[area] = append(byArea[area], stop)
	}
	var out []ZoneSpec
	for _, area := range sortedKeys(byArea) {
		slices.Sort(byArea[area])
		out = append(out, ZoneSpec{Name: area, Places: byArea[area]})
	}
	return out
}

// transfers turns transfer rules into chains, where the two cost the same.
func (f *feed) transfers(spec *Spec) error {
	groups, all := map[string][]string{}, map[string]bool{}
	listedFrom, listedTo := map[string]bool{}, map[string]bool{}
	for _, r := range f.rules {
		if r.group != "" {
			all[r.group] = true
			name := r.network
			if name == "" {
				name = wholeFeed
			}
			if !slices.Contains(groups[r.group], name) {
				groups[r.group] = append(groups[r.group], name)
			}
		}
	}
	collect := func(s *sheet) {
		listedFrom[s.cell("from_leg_group_id")], listedTo[s.cell("to_leg_group_id")] = true, true
	}
	if err := f.each(fileTransfers, false, collect); err != nil {
		return err
	}
	return f.each(fileTransfers, false, func(s *sheet) {
		x := TransferSpec{Name: "transfer " + s.cell("from_leg_group_id") + " " + s.cell("to_leg_group_id")}
		var legs [2][]string
		for i, end := range [...]struct {
			column string
			listed map[string]bool
		}{{"from_leg_group_id", listedFrom}, {"to_leg_group_id", listedTo}} {
			legs[i] = []string{s.cell(end.column)}
			if legs[i][0] == "" {
				legs[i] = unlisted(sortedKeys(all), end.listed)
			}
		}
		x.From, x.To = f.networksOf(s, groups, legs[0]), f.networksOf(s, groups, legs[1])
		if f.window(s, &x) && f.saving(s, &x, legs) && len(x.From) > 0 && len(x.To) > 0 {
			spec.Transfers = append(spec.Transfers, x)
		}
	})
}

// networksOf gives the services of leg groups. A chain is made of services, so a group must be all rules of its networks.
func (f *feed) networksOf(s *sheet, groups map[string][]string, names []string) []string {
	var out []string
	for _, group := range names {
		if len(groups[group]) == 0 {
			f.refuse(fileTransfers, s.line, "unknown-leg-group", "group %q", clip(group))
		}
		for _, network := range groups[group] {
			for _, r := range f.rules {
				if (r.network == network || r.network == "" && network == wholeFeed) && r.group != group {
					f.refuse(fileTransfers, s.line, "leg-group-within-network", "network %q has the groups %q and %q", clip(network), clip(group), clip(r.group))
					return nil
				}
			}
			if len(out) == maxTransfers {
				f.refuse(fileTransfers, s.line, "too-many-networks", "a transfer between more than %d networks", maxTransfers)
				return nil
			}
			out = append(out, network)
		}
	}
	return out
}

// window reads how long a transfer may take and how often it may be made.
func (f *feed) window(s *sheet, x *TransferSpec) bool {
	seconds := s.cell("duration_limit")
	if seconds == "" || len(seconds) > 6 {
		f.refuse(fileTransfers, s.line, "no-duration-limit", "a chain needs a window of time")
		return false
	}
	x.Window = seconds + "s"
	switch s.cell("duration_limit_type") {
	case "1":
	case "2":
		x.AfterExit = true
	default:
		f.refuse(fileTransfers, s.line, "duration-until-arrival", "a transfer is granted when the next journey begins, before its end is known")
		return false
	}
	switch count := s.cell("transfer_count"); {
	case count == "" || count == "1":
		x.Most = 1
	case count == "-1":
	case len(count) == 1 && count[0] >= '2' && count[0] <= '9':
		x.Most = int(count[0] - '0')
	default:
		f.refuse(fileTransfers, s.line, "transfer-count", "%q is not -1 or 1 to 9", clip(count))
		return false
	}
	if s.cell("filter_fare_product_id") != "" {
		f.refuse(fileTransfers, s.line, "filter-product", "a chain depends on services, not on products")
		return false
	}
	return true
}

// saving reads what a transfer costs. A chain pays its dearest journey in full, the feed the first one: where the second may be dearer, the
// two differ.
func (f *feed) saving(s *sheet, x *TransferSpec, legs [2][]string) bool {
	fee := money.New(0, f.currency)
	if id := s.cell("fare_product_id"); id != "" {
		prices := f.products[id]
		if len(prices) != 1 {
			f.refuse(fileTransfers, s.line, "transfer-product", "product %q has %d amounts for this medium", clip(id), len(prices))
			return false
		}
		for _, fee = range prices {
		}
	}
	lowFirst, _ := f.extent(legs[0])
	lowNext, highNext := f.extent(legs[1])
	switch kind := s.cell("fare_transfer_type"); {
	case kind == "0" && highNext > lowFirst:
		f.refuse(fileTransfers, s.line, "dearer-next-leg", "the next leg may cost more than the first, which alone would be paid")
	case kind == "0" && fee.IsZero():
		x.Free = true
		return true
	case kind == "0" && fee.Minor() > 0 && fee.Minor() <= lowNext:
		x.Fee = fee.Decimal()
		return true
	case kind == "1" && fee.Sign() < 0 && -fee.Minor() <= min(lowFirst, lowNext):
		x.Off = money.New(-fee.Minor(), f.currency).Decimal()
		return true
	case kind == "1" && fee.IsZero():
		return false // both legs are paid: no transfer at all
	default:
		f.refuse(fileTransfers, s.line, "transfer-type", "type %q with %s is no saving on the second leg", clip(kind), fee)
	}
	return false
}

// extent gives the lowest and the highest fare of the groups.
func (f *feed) extent(groups []string) (low, high int64) {
	low = maxFare
	for _, r := range f.rules {
		if !slices.Contains(groups, r.group) {
			continue
		}
		for _, a := range f.products[r.product] {
			low, high = min(low, a.Minor()), max(high, a.Minor())
		}
	}
	return low, high
}
