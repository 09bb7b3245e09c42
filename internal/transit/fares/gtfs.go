package fares

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tapnet/money"
)

// GTFSOptions says what GTFS has no field for.
type GTFSOptions struct {
	Name string
	From string // first service day
	// Medium chooses among fare products by fare_media_id, besides those for every medium.
	Medium string
	// Maximum is the fare of a journey with a missing tap; "" is the dearest fare of the service.
	Maximum string
}

// Refusal is something in a feed that a tariff cannot say. Names are stable.
type Refusal struct {
	File string `json:"file"`
	Row  int    `json:"row"` // from 1 after the header; 0 is the file as a whole
	Name string `json:"name"`
	Text string `json:"text"`
}

// RefusedError lists everything in a feed that a tariff cannot say, so that nobody is charged by half of the rules.
type RefusedError struct{ Refusals []Refusal }

func (e *RefusedError) Error() string {
	lines := make([]string, 0, len(e.Refusals))
	for _, r := range e.Refusals {
		lines = append(lines, r.String())
	}
	return "the feed says what a tariff cannot: " + strings.Join(lines, "; ")
}

// The files of GTFS Fares v2 that are read.
const (
	fileAreas      = "areas.txt"
	fileStopAreas  = "stop_areas.txt"
	fileNetworks   = "networks.txt"
	fileProducts   = "fare_products.txt"
	fileLegRules   = "fare_leg_rules.txt"
	fileTransfers  = "fare_transfer_rules.txt"
	fileTimeframes = "timeframes.txt"
	fileCategories = "rider_categories.txt"
	fileCalendar   = "calendar.txt"
	fileDates      = "calendar_dates.txt"
	fileLegJoins   = "fare_leg_join_rules.txt"
)

// GTFSFiles names the files of a feed that ImportGTFS reads. The others say nothing about fares.
func GTFSFiles() []string {
	return []string{fileAreas, fileStopAreas, fileNetworks, fileProducts, fileLegRules, fileTransfers, fileTimeframes, fileCategories, fileCalendar, fileDates,
		fileLegJoins}
}

const (
	// maxRefusals bounds the list: who has so many mends the first ones first.
	maxRefusals = 50
	// maxLegs bounds the legs that rules with empty cells stand for.
	maxLegs = 4 * maxRows
)

// rowLimits bounds the files whose rows are compared with each other; the others have the limit of every file.
var rowLimits = map[string]int{fileNetworks: maxRules, fileLegRules: 10 * maxRules, fileTransfers: maxTransfers, fileTimeframes: maxTimeframes,
	fileCategories: maxCategories, fileAreas: maxPlaces}

// feed is what the files say, before it becomes a tariff.
type feed struct {
	options    GTFSOptions
	files      map[string][]byte
	refusals   []Refusal
	currency   money.Currency
	products   map[string]map[string]money.Amount // by product and category
	categories []string                           // "" is the default
	aliases    map[string]string                  // category as written to category of the tariff
	calendar   map[string]string                  // weekdays of a service
	frames     []TimeframeSpec
	zones      map[string]string // area of a stop
	networks   []string
	rules      []legRule
	legs       int // that rules have been expanded to
}

type legRule struct {
	row                                      int
	group, network, from, to, frame, product string
}

// ImportGTFS reads the fare files of a feed by name, such as "fare_leg_rules.txt". Each network becomes a service: with areas one of zones,
// without areas a flat one. The result is a description that New takes, so that rules beyond GTFS, such as caps, can be added. What a tariff
// cannot say is a *RefusedError that lists every such rule; files that cannot be read wrap ErrFile.
func ImportGTFS(files map[string][]byte, options GTFSOptions) (*Spec, error) {
	f := &feed{options: options, files: files, products: map[string]map[string]money.Amount{}, aliases: map[string]string{"": ""},
		categories: []string{""}, calendar: map[string]string{}, zones: map[string]string{}}
	for _, read := range []func() error{
		f.readCategories, f.readProducts, f.readCalendar, f.readTimeframes, f.readStopAreas, f.readNetworks, f.readLegRules,
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	spec := &Spec{Name: options.Name, Currency: f.currency.Code(), From: options.From, Timeframes: f.frames}
	for _, c := range f.categories[1:] {
		spec.Categories = append(spec.Categories, CategorySpec{Name: c, Percent: wholePercent})
	}
	f.services(spec)
	if err := f.transfers(spec); err != nil {
		return nil, err
	}
	if len(f.refusals) > 0 {
		return nil, &RefusedError{Refusals: f.refusals}
	}
	return spec, nil
}

func (f *feed) refuse(file string, row int, name, format string, args ...any) {
	if len(f.refusals) < maxRefusals {
		f.refusals = append(f.refusals, Refusal{File: file, Row: row, Name: name, Text: fmt.Sprintf(format, args...)})
	}
}

// each calls back for every row of a file. A file that is not there has no rows, unless it is required.
func (f *feed) each(file string, required bool, row func(*sheet)) error {
	text, ok := f.files[file]
	if !ok || len(text) == 0 {
		if required {
			return fmt.Errorf("%w: there is no %s", ErrFile, file)
		}
		return nil
	}
	s, err := openSheet(file, text)
	if err != nil {
		return err
	}
	for {
		more, err := s.next()
		if err != nil || !more {
			return err
		}
		if most, ok := rowLimits[file]; ok && s.line > most {
			return fmt.Errorf("%w: %s has more than %d rows", ErrFile, file, most)
		}
		row(s)
	}
}

func (f *feed) readCategories() error {
	defaults := 0
	return f.each(fileCategories, false, func(s *sheet) {
		id := s.cell("rider_category_id")
		_, twice := f.aliases[id]
		switch {
		case twice:
			f.refuse(fileCategories, s.line, "twice", "category %q", clip(id))
		case s.cell("is_default_fare_category") == "1":
			if defaults++; defaults > 1 {
				f.refuse(fileCategories, s.line, "several-defaults", "category %q", clip(id))
			}
			f.aliases[id] = ""
		default:
			f.aliases[id] = id
			f.categories = append(f.categories, id)
		}
	})
}

func (f *feed) readProducts() error {
	return f.each(fileProducts, true, func(s *sheet) {
		id, medium := s.cell("fare_product_id"), s.cell("fare_media_id")
		if medium != "" && medium != f.options.Medium {
			return
		}
		category, known := f.aliases[s.cell("rider_category_id")]
		if !known {
			f.refuse(fileProducts, s.line, "unknown-category", "category %q", clip(s.cell("rider_category_id")))
			return
		}
		c, err := money.ParseCurrency(s.cell("currency"))
		if err != nil || !f.currency.IsZero() && c != f.currency {
			f.refuse(fileProducts, s.line, "currency", "%q is unknown or not the one currency of the feed", clip(s.cell("currency")))
			return
		}
		f.currency = c
		amount, err := money.Parse(s.cell("amount"), c)
		if err != nil {
			f.refuse(fileProducts, s.line, "amount", "%v", err)
			return
		}
		if f.products[id] == nil {
			f.products[id] = map[string]money.Amount{}
		}
		if old, twice := f.products[id][category]; twice && old != amount {
			f.refuse(fileProducts, s.line, "several-amounts", "product %q costs %s and %s for one category and medium", clip(id), old, amount)
			return
		}
		f.products[id][category] = amount
	})
}

func (f *feed) readCalendar() error {
	err := f.each(fileCalendar, false, func(s *sheet) {
		days := ""
		for i, day := range [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
			if s.cell(day) == "1" {
				days += string(rune('1' + i))
			}
		}
		f.calendar[s.cell("service_id")] = days
	})
	if err != nil {
		return err
	}
	return f.each(fileDates, false, func(s *sheet) {
		// Only what a timeframe uses matters; the mark makes its row say so.
		f.calendar[s.cell("service_id")] = "dates"
	})
}

func (f *feed) readTimeframes() error {
	err := f.each(fileTimeframes, false, func(s *sheet) {
		tf := TimeframeSpec{Name: s.cell("timeframe_group_id"), Percent: wholePercent}
		tf.Start, tf.End = padTime(s.cell("start_time"), "00:00"), padTime(s.cell("end_time"), "24:00")
		days, ok := f.calendar[s.cell("service_id")]
		switch {
		case !ok || days == "":
			f.refuse(fileTimeframes, s.line, "no-weekdays", "service %q has no weekdays in %s", clip(s.cell("service_id")), fileCalendar)
		case days == "dates":
			f.refuse(fileTimeframes, s.line, "calendar-dates", "service %q has single dates; state them as holidays", clip(s.cell("service_id")))
		default:
			tf.Days = days
			f.frames = append(f.frames, tf)
		}
	})
	for i, a := range f.frames {
		for _, b := range f.frames[:i] {
			if a.Name != b.Name && strings.ContainsAny(a.Days, b.Days) && a.Start < b.End && b.Start < a.End {
				f.refuse(fileTimeframes, i+1, "overlap", "%q and %q are at one time", clip(a.Name), clip(b.Name))
			}
		}
	}
	return err
}

// padTime writes 7:00:00 as 07:00:00, so that times compare as texts.
func padTime(s, absent string) string {
	if s == "" {
		return absent
	}
	if strings.IndexByte(s, ':') == 1 {
		return "0" + s
	}
	return s
}

func (f *feed) readStopAreas() error {
	areas := map[string]bool{}
	if err := f.each(fileAreas, false, func(s *sheet) { areas[s.cell("area_id")] = true }); err != nil {
		return err
	}
	return f.each(fileStopAreas, false, func(s *sheet) {
		area, stop := s.cell("area_id"), s.cell("stop_id")
		old, twice := f.zones[stop]
		switch {
		case !areas[area]:
			f.refuse(fileStopAreas, s.line, "unknown-area", "area %q", clip(area))
		case twice && old != area:
			f.refuse(fileStopAreas, s.line, "stop-in-several-areas", "stop %q is in %q and %q", clip(stop), clip(old), clip(area))
		default:
			f.zones[stop] = area
		}
	})
}

func (f *feed) readNetworks() error {
	return f.each(fileNetworks, false, func(s *sheet) { f.networks = append(f.networks, s.cell("network_id")) })
}

func (f *feed) readLegRules() error {
	if err := f.each(fileLegJoins, false, func(s *sheet) {
		f.refuse(fileLegJoins, s.line, "leg-joins", "legs are joined by taps, not by rules")
	}); err != nil {
		return err
	}
	err := f.each(fileLegRules, true, func(s *sheet) {
		r := legRule{row: s.line, group: s.cell("leg_group_id"), network: s.cell("network_id"), from: s.cell("from_area_id"), to: s.cell("to_area_id"),
			frame: s.cell("from_timeframe_group_id"), product: s.cell("fare_product_id")}
		switch {
		case s.cell("rule_priority") != "":
			f.refuse(fileLegRules, s.line, "rule-priority", "rules are matched by what they name, not by priority")
		case s.cell("to_timeframe_group_id") != "":
			f.refuse(fileLegRules, s.line, "end-timeframe", "a fare depends on when the journey begins, not on when it ends")
		case r.frame != "" && !slices.ContainsFunc(f.frames, func(t TimeframeSpec) bool { return t.Name == r.frame }):
			f.refuse(fileLegRules, s.line, "unknown-timeframe", "timeframe %q", clip(r.frame))
		case len(f.products[r.product]) == 0:
			f.refuse(fileLegRules, s.line, "unknown-product", "product %q is not in %s for this medium", clip(r.product), fileProducts)
		default:
			f.rules = append(f.rules, r)
		}
	})
	return err
}

// unlisted expands an empty cell: everything that no rule lists by name.
func unlisted(all []string, listed map[string]bool) []string {
	var rest []string
	for _, name := range all {
		if !listed[name] {
			rest = append(rest, name)
		}
	}
	return rest
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
