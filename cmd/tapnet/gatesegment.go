package main

import (
	"cmp"
	"time"

	"tapnet/internal/app/operator"
	"tapnet/internal/app/validator"
	"tapnet/internal/transit/fares"
	"tapnet/money"
)

// configure takes out of the operator's configuration what a gate needs: the zone of the day when the file is named, and with Segmented the tariff, because a
// purse is paid off where nobody can be asked.
// The office that runs says where its configuration is.
func (c laneFlags) configure(o *validator.Options, office operator.Where) error {
	if c.Config == "" && !c.Segmented {
		return nil
	}
	config, book, calendar, err := operator.LoadConfig(cmp.Or(c.Config, office.File))
	if err != nil {
		return err
	}
	if c.Config != "" {
		o.Zone = calendar.Zone
	}
	if c.Segmented {
		o.Segmented = validator.NewSegmented(validator.Journeys{Station: c.Station, Highest: o.Gate.Amount, Fare: pricer(config, book, c.Station)})
	}
	return nil
}

// pricer prices a journey that ends at a station. It knows the one journey only: transfers and caps need the account, and a purse has none.
func pricer(config operator.Config, book *fares.Book, here uint32) func(from uint32, entered, left time.Time) (money.Amount, bool) {
	stations := make(map[uint32]operator.Station, len(config.Stations))
	for _, s := range config.Stations {
		stations[s.Number] = s
	}
	end, ends := stations[here]
	return func(from uint32, entered, left time.Time) (money.Amount, bool) {
		start, starts := stations[from]
		if !starts || !ends {
			return money.Amount{}, false
		}
		if !left.After(entered) { // records have seconds, and clocks are set back
			left = entered.Add(time.Second)
		}
		statement, err := book.Rate(fares.Rider{Account: "purse"}, []fares.Tap{
			fareTap(start, entered, 1, fares.Entry, fares.Board), fareTap(end, left, 2, fares.Exit, fares.Alight)}, left)
		if err != nil || len(statement.Journeys) != 1 || statement.Journeys[0].State != fares.Complete {
			return money.Amount{}, false
		}
		return statement.Total, true
	}
}

// fareTap is a tap as package fares takes it: of a station, or of a stop on a route.
func fareTap(s operator.Station, at time.Time, number uint64, station, stop fares.Kind) fares.Tap {
	t := fares.Tap{ID: fares.TapID{Device: "purse", Sequence: number}, At: at, Kind: station, Service: s.Service, Medium: "purse", Place: s.Place}
	if s.Route != "" {
		t.Kind, t.Route, t.Direction, t.Stop = stop, s.Route, s.Direction, s.Stop
	}
	return t
}
