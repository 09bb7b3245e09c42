//go:build thirdparty

package thirdparty

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// job and result are the lines that iso_8583/bridge.js reads and writes.
type job struct {
	Pack   map[string]string `json:"pack,omitempty"`
	Unpack string            `json:"unpack,omitempty"`
}

type result struct {
	Hex    string            `json:"hex"`
	Fields map[string]string `json:"fields"`
	Error  string            `json:"error"`
}

// bridge runs the jobs in one process. TAPNET_NODE_MODULES says where scripts/thirdparty installed the package.
func bridge(t testing.TB, jobs []job) []result {
	t.Helper()
	if os.Getenv("TAPNET_NODE_MODULES") == "" {
		t.Fatal("TAPNET_NODE_MODULES is not set: run scripts/thirdparty")
	}
	input, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "node", "iso_8583/bridge.js")
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var results []result
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(jobs) {
		t.Fatalf("bridge answered %q: %v", out, err)
	}
	return results
}

// messages are switch messages as the package writes them down: field number to text, binary fields in hexadecimal.
// Field 55 is missing: the package treats it as text.
func messages() map[string]map[string]string {
	sale := map[string]string{
		"0": "0200", "2": "6299990000000017", "3": "000000", "4": "000000029900", "7": "1121153330", "11": "156710", "12": "233330", "13": "1121",
		"14": "3012", "18": "5411", "22": "021", "25": "00", "26": "06", "32": "10000001", "33": "10000001", "35": "6299990000000017=30122010000",
		"37": "632517000001", "41": "T0000001", "42": "M00000000000001", "43": padded("SHOP ONE", 40), "49": "156", "52": "60D2B73093F23F22",
		"53": "2600000000000000", "128": "849B4F14B6CA1A10",
	}
	short := maps.Clone(sale) // nothing beyond field 64: the secondary bitmap is sent empty
	delete(short, "128")
	reversal := maps.Clone(sale)
	delete(reversal, "35")
	delete(reversal, "52")
	reversal["0"], reversal["39"] = "0420", "98"
	reversal["90"] = "0200" + "156710" + "1121153330" + "00010000001" + "00010000001"
	return map[string]map[string]string{
		"sale":      sale,
		"short":     short,
		"reversal":  reversal,
		"echo":      {"0": "0820", "7": "1121153330", "11": "156711", "33": "10000001", "70": "301"},
		"sign-on":   {"0": "0820", "7": "1121153330", "11": "156712", "33": "10000001", "70": "001"},
		"key reset": {"0": "0800", "7": "1123115333", "11": "156710", "33": "10000001", "53": "2000000000000000", "70": "101", "96": "6A5D90C152DF2778", "128": "25D7E3EBF28280CD"},
	}
}

func padded(s string, length int) string { return s + strings.Repeat(" ", length-len(s)) }

// fieldsOf writes a message of ours down as the package does.
func fieldsOf(m *iso8583.Message) map[string]string {
	fields := map[string]string{"0": string(m.MTI[:])}
	for n := m.Next(1); n != 0; n = m.Next(n) {
		fields[strconv.Itoa(n)] = string(m.Get(n))
		if binary := []int{52, 96, 128}; slices.Contains(binary, n) {
			fields[strconv.Itoa(n)] = strings.ToUpper(hex.EncodeToString(m.Get(n)))
		}
	}
	return fields
}

// TestNPMPacksWeUnpack reads what the package packed, field by field, and writes the same bytes again.
func TestNPMPacksWeUnpack(t *testing.T) {
	all := messages()
	names := slices.Sorted(maps.Keys(all))
	spec := unionpay.SpecOf(unionpay.Switch)
	for i, r := range bridge(t, packJobs(all, names)) {
		t.Run(names[i], func(t *testing.T) {
			packed, err := hex.DecodeString(r.Hex)
			if err != nil || r.Error != "" {
				t.Fatalf("the package refused the message: %s %v", r.Error, err)
			}
			var m iso8583.Message
			if err := spec.Unpack(packed, &m); err != nil {
				t.Fatalf("%v\n%X", err, packed)
			}
			if diff := cmp.Diff(all[names[i]], fieldsOf(&m)); diff != "" {
				t.Errorf("packed by the package (-), read by us (+):\n%s", diff)
			}
			again, err := spec.Append(nil, &m)
			if err != nil || !bytes.Equal(again, packed) {
				t.Errorf("written again: %v\n  ours   %X\n  theirs %X", err, again, packed)
			}
			if _, err := unionpay.Decode(unionpay.Switch, packed); err != nil {
				t.Errorf("the typed message was refused: %v", err)
			}
		})
	}
}

// TestNPMUnpacksOurs has the package read what we encode.
func TestNPMUnpacksOurs(t *testing.T) {
	all := messages()
	names := slices.Sorted(maps.Keys(all))
	var jobs []job
	for _, r := range bridge(t, packJobs(all, names)) {
		packed, err := hex.DecodeString(r.Hex)
		if err != nil {
			t.Fatal(err)
		}
		typed, err := unionpay.Decode(unionpay.Switch, packed)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := unionpay.Encode(unionpay.Switch, nil, typed, macOfVector)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job{Unpack: hex.EncodeToString(ours)})
	}
	for i, r := range bridge(t, jobs) {
		t.Run(names[i], func(t *testing.T) {
			if r.Error != "" {
				t.Fatalf("the package refused ours: %s", r.Error)
			}
			want := maps.Clone(all[names[i]])
			want["128"] = strings.ToUpper(hex.EncodeToString(vectorMAC[:]))
			for _, n := range []string{"52", "96", "128"} {
				if text, ok := r.Fields[n]; ok {
					r.Fields[n] = strings.ToUpper(text)
				}
			}
			if diff := cmp.Diff(want, r.Fields); diff != "" {
				t.Errorf("meant by us (-), read by the package (+):\n%s", diff)
			}
		})
	}
}

func packJobs(all map[string]map[string]string, names []string) []job {
	var jobs []job
	for _, name := range names {
		jobs = append(jobs, job{Pack: all[name]})
	}
	return jobs
}

// vectorMAC stands for a code; this suite is about where it lies, the OpenSSL suite about its value.
var vectorMAC = [8]byte{0x57, 0xB9, 0xC6, 0x11, 0xD1, 0x7B, 0x70, 0xDB}

func macOfVector([]byte) ([8]byte, error) { return vectorMAC, nil }
