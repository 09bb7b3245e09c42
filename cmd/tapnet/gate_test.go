package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/app/operator"
	"tapnet/internal/app/validator"
)

var updateDevices = flag.Bool("update-devices", false, "write docs/transit-devices.md anew")

// TestDevices keeps docs/transit-devices.md what the profiles say.
func TestDevices(t *testing.T) {
	text := &strings.Builder{}
	text.WriteString("# Kinds of devices · 设备类型\n\nWritten by a test from the profiles of `tapnet gate`; do not edit.\n\n" +
		"| profile · 类型 | what it does · 用途 | tap · 刷卡 | amount · 金额 | same card again · 同卡再刷 | deny list may be · 名单时限 | first ride · 首次 |\n" +
		"|---|---|---|---|---|---|---|\n")
	var names []string
	for name := range laneProfiles {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text.WriteString(deviceRow(name, laneProfiles[name]))
	}
	text.WriteString("\nThe amount is the default of `--amount`: the highest fare where riders go in and out, the price elsewhere. What is charged is the tariff's, but for a purse," +
		" which pays the amount, or with `--segmented` the fare.\n" +
		"A gate remembers its own taps: whether a card went in at another gate of the place is the office's to know. `--claim` asks it for a first ride, once over all gates.\n" +
		"An office holds no tickets: an event takes any card that is genuine and not stopped. An operator with a list of tickets answers the claims itself.\n\n" +
		"金额为`--amount`的默认值：进出站为最高票价，其余为单价。实际扣款以票价表为准；电子现金按该金额扣，使用`--segmented`时按行程票价扣。\n" +
		"闸机只记得本机的刷卡；是否已在其他闸机进入由后台判断，`--claim`使首次放行须经后台许可，全部闸机合计一次。\n" +
		"后台不保存门票：活动检票放行任何真卡且未被停用者；有门票名单的运营方自行应答许可请求。\n")
	path := filepath.Join("..", "..", "docs", "transit-devices.md")
	if *updateDevices {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.ReadFile(path)
	if err != nil || string(found) != text.String() {
		t.Errorf("%s is not what the profiles say; run the test with -update-devices", path)
	}
}

func deviceRow(name string, p laneProfile) string {
	orElse := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	short := func(d time.Duration) string {
		return strings.NewReplacer("h0m0s", " h", "m0s", " min", "5s", "5 s").Replace(d.String())
	}
	tap := "in, out · 进出站"
	if p.direction != 0 {
		tap = "one · 一次"
	}
	again := "after " + short(orElse(p.passBack, gate.DefaultPassBack))
	if p.passBack == gate.Never {
		again = "after " + short(orElse(p.doubleTap, gate.DefaultDoubleTap))
	}
	list := short(orElse(p.listAge, gate.DefaultListAge)) + ", opens · 放行"
	if p.stale == gate.StaleShuts {
		list = short(orElse(p.listAge, gate.DefaultListAge)) + ", shut · 停用"
	}
	first := "opens · 放行"
	if p.claim {
		first = "waits · 待批"
	}
	return fmt.Sprintf("| `%s` | %s · %s | %s | %s | %s | %s | %s |\n", name, p.does.EN, p.does.ZH, tap, p.amount, again, list, first)
}

// TestProfilesAreUsable: each kind is a gate with the limits it says.
func TestProfilesAreUsable(t *testing.T) {
	secret, err := operator.ParseSecret(strings.Repeat("5a", 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range laneProfiles {
		c := laneFlags{Station: 1, Profile: name, Dir: "in"}
		amount, err := c.amount()
		if err != nil {
			t.Fatal(err)
		}
		o := validator.Options{Gate: p.gate(c, amount)}
		if err := fillFromOperator(&o, secret, "gate-a", operator.Where{}); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := gate.Replay(o.Gate, gate.Ports{IDs: o.IDs, Sealer: o.Sealer, Log: nowhere{}}, nil, gate.Head{}, time.Time{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p.does.EN == "" || p.does.ZH == "" || p.name != strings.ToUpper(name) {
			t.Errorf("%s is not described", name)
		}
	}
}

type nowhere struct{}

func (nowhere) Append([]byte) error { return nil }

// TestOperatorsZone: a gate of an operator counts days as its office does, from the running office or from the configuration that is named; nothing else of the
// configuration becomes the gate's.
func TestOperatorsZone(t *testing.T) {
	secret, err := operator.ParseSecret(strings.Repeat("5a", 32))
	if err != nil {
		t.Fatal(err)
	}
	instant := time.Date(2026, 11, 21, 23, 30, 0, 0, time.UTC)
	day := func(o validator.Options) denylist.Day {
		if o.Zone == nil {
			return 0
		}
		return denylist.DayOf(instant.In(o.Zone))
	}
	var o validator.Options
	if err := fillFromOperator(&o, secret, "gate-a", operator.Where{}); err != nil || o.Zone != nil {
		t.Errorf("without a running office: %v, %v", o.Zone, err)
	}
	if err := fillFromOperator(&o, secret, "gate-a", operator.Where{Zone: "Pacific/Honolulu"}); err != nil || day(o) != denylist.DayOf(instant) {
		t.Errorf("Honolulu: %v, %v", o.Zone, err)
	}
	if fillFromOperator(&o, secret, "gate-a", operator.Where{Zone: "Mars/Olympus"}) == nil {
		t.Error("a zone that does not exist")
	}
	file := filepath.Join(t.TempDir(), "city.toml")
	before := o.Gate
	if err := os.WriteFile(file, []byte("operator = \"x\"\ncurrency = \"CNY\"\nzone = \"Pacific/Kiritimati\"\nepoch = 9\ntariffs = [\"t.toml\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tariff := "name = \"t\"\ncurrency = \"CNY\"\nfrom = \"2026-01-01\"\n[[service]]\nname = \"s\"\nkind = \"flat\"\n[[service.fares]]\nflat = \"1.00\"\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "t.toml"), []byte(tariff), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (laneFlags{Config: file}).configure(&o, operator.Where{}); err != nil || day(o) != denylist.DayOf(instant)+1 {
		t.Errorf("Kiritimati: %v, %v", o.Zone, err)
	}
	if o.Segmented != nil || o.IDs[0].Epoch() != 1 || o.Gate.Station != before.Station || o.Gate.Amount != before.Amount || o.Gate.Device != before.Device {
		t.Error("something else of the configuration became the gate's")
	}
}
