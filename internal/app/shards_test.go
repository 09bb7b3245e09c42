package app

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/internal/journal/journalpg"
	"tapnet/internal/personalization"
)

func leasesOf(holders ...string) []journalpg.Lease {
	var all []journalpg.Lease
	for i, holder := range holders {
		all = append(all, journalpg.Lease{Name: string(rune('a' + i)), Holder: holder, Beat: int64(i)})
	}
	return all
}

func namesOf(leases []journalpg.Lease) []string {
	var names []string
	for _, lease := range leases {
		names = append(names, lease.Name)
	}
	return names
}

// TestPlan goes through the life of two nodes and four shards, by one node's clock.
func TestPlan(t *testing.T) {
	const term = 5 * time.Second
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	w := newLeaseWatch("A", term)
	step := func(name string, after time.Duration, s journalpg.Standing, take, give, gone []string) {
		t.Helper()
		now = now.Add(after)
		p := w.plan(now, s)
		if !slices.Equal(namesOf(p.take), take) || !slices.Equal(p.give, give) || !slices.Equal(p.gone, gone) {
			t.Errorf("%s: take %v, give %v, gone %v; want %v, %v, %v", name, namesOf(p.take), p.give, p.gone, take, give, gone)
		}
	}
	step("alone, everything free", 0, journalpg.Standing{Leases: leasesOf("", "", "", ""), Nodes: map[string]int64{"A": 1}},
		[]string{"a", "b", "c", "d"}, nil, nil)
	full := leasesOf("A", "A", "A", "A")
	step("alone, everything mine", time.Second, journalpg.Standing{Leases: full, Nodes: map[string]int64{"A": 2}}, nil, nil, nil)
	step("a second node: one goes", time.Second, journalpg.Standing{Leases: full, Nodes: map[string]int64{"A": 3, "B": 1}}, nil, []string{"d"}, nil)
	step("then the other", time.Second, journalpg.Standing{Leases: leasesOf("A", "A", "A", "B"), Nodes: map[string]int64{"A": 4, "B": 2}},
		nil, []string{"c"}, nil)
	even := leasesOf("A", "A", "B", "B")
	step("even", time.Second, journalpg.Standing{Leases: even, Nodes: map[string]int64{"A": 5, "B": 3}}, nil, nil, nil)
	step("B is silent, not long enough", term-time.Millisecond, journalpg.Standing{Leases: even, Nodes: map[string]int64{"A": 6, "B": 3}}, nil, nil, nil)
	step("B is silent for a term", time.Millisecond, journalpg.Standing{Leases: even, Nodes: map[string]int64{"A": 7, "B": 3}},
		[]string{"c", "d"}, nil, []string{"B"})
	beaten := leasesOf("A", "A", "B", "B")
	beaten[2].Beat, beaten[3].Beat = 9, 9
	step("B counts again", time.Second, journalpg.Standing{Leases: beaten, Nodes: map[string]int64{"A": 8, "B": 4}}, nil, nil, nil)
	step("three nodes, four shards", time.Second, journalpg.Standing{Leases: beaten, Nodes: map[string]int64{"A": 9, "B": 5, "C": 1}}, nil, nil, nil)
	step("B left", time.Second, journalpg.Standing{Leases: leasesOf("A", "A", "", ""), Nodes: map[string]int64{"A": 10, "C": 2}}, nil, nil, nil)
	step("nobody else", time.Second, journalpg.Standing{Leases: leasesOf("A", "A", "", ""), Nodes: map[string]int64{"A": 11}}, []string{"c", "d"}, nil, nil)
	if p := w.plan(now, journalpg.Standing{Leases: leasesOf("B", "A", "A", "A"), Nodes: map[string]int64{"A": 12}}); p.mine["a"] || !p.mine["b"] {
		t.Errorf("mine is %v", p.mine)
	}
}

func TestShardsRefused(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	odd, taken := *profile, *profile
	odd.Issuers = append(slices.Clone(profile.Issuers), personalization.Issuer{Institution: "10030001"})
	taken.Acquirer.Institution = "10010002"
	for name, c := range map[string]struct {
		profile *personalization.Profile
		shards  int
	}{"negative": {profile, -1}, "too many": {profile, 100}, "number without room": {&odd, 2}, "number taken": {&taken, 2}} {
		if _, err := Start(t.Context(), Options{Profile: c.profile, Dir: t.TempDir(), Shards: c.shards, Store: "postgres://127.0.0.1:1/x"}); !errors.Is(err, ErrShards) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkShards(&odd, 0); err != nil {
		t.Errorf("whole issuers need no room: %v", err)
	}
	for name, o := range map[string]Options{
		"files": {Shards: 2}, "no URL": {Store: "host=secret"}, "nobody there": {Store: "postgres://u:hunter2-Secret@127.0.0.1:1/x?sslmode=disable"},
	} {
		o.Profile, o.Dir = profile, t.TempDir()
		_, err := Start(t.Context(), o)
		if !errors.Is(err, ErrStore) {
			t.Errorf("%s: %v", name, err)
		}
		if text := err.Error(); containsAny(text, "secret", "hunter2") {
			t.Errorf("%s: the error shows the connection string: %s", name, text)
		}
	}
}

// TestShardsAreFixedWithTheKeys: a world made for one number of shards is not opened with another.
func TestShardsAreFixedWithTheKeys(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := openVaults(dir, profile, 2, randomness{}); err != nil {
		t.Fatal(err)
	}
	for _, shards := range []int{0, 1, 2, 3} {
		if _, err := openVaults(dir, profile, shards, randomness{}); (err == nil) != (shards == 2) {
			t.Errorf("%d shards: %v", shards, err)
		}
	}
}

func containsAny(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}
