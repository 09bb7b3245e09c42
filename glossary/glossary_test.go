package glossary

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseLang(t *testing.T) {
	for name, want := range map[string]Lang{
		"en": English, "EN": English, "en-GB": English, "en_US.UTF-8": English, "C": English, "C.UTF-8": English, "POSIX": English,
		"zh": Chinese, "ZH": Chinese, "zh-CN": Chinese, "zh_CN.UTF-8": Chinese, "zh-Hans-CN": Chinese, "zh_CN@pinyin": Chinese,
	} {
		if got, err := ParseLang(name); err != nil || got != want {
			t.Errorf("ParseLang(%q) = %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "e", "eng", "de", "fr_FR.UTF-8", "zhx", " en", "english", "中文", "-en", "_", strings.Repeat("z", 10000)} {
		got, err := ParseLang(name)
		if err == nil || got != English {
			t.Errorf("accepted %.20q as %v", name, got)
			continue
		}
		if len(err.Error()) > 200 {
			t.Errorf("the error repeats %d bytes", len(err.Error()))
		}
	}
}

func TestLangText(t *testing.T) {
	for _, l := range []Lang{English, Chinese} {
		text, err := json.Marshal(l)
		var back Lang
		if err != nil || json.Unmarshal(text, &back) != nil || back != l {
			t.Errorf("%s does not come back from %s", l, text)
		}
	}
	l := Chinese
	if err := l.UnmarshalText([]byte("fr")); err == nil || l != Chinese {
		t.Error("a refused name changes the language")
	}
}

func TestTerm(t *testing.T) {
	term := Term{EN: "paid %[1]s at %[2]s", ZH: "在%[2]s支付%[1]s"}
	if got := term.Format(English, "CNY 5.00", "Shop"); got != "paid CNY 5.00 at Shop" {
		t.Error(got)
	}
	if got := term.Format(Chinese, "CNY 5.00", "商店"); got != "在商店支付CNY 5.00" {
		t.Error(got)
	}
	if term.In(English) != term.EN || term.In(Chinese) != term.ZH || term.String() != term.EN {
		t.Error("In gives the wrong language")
	}
	if got := (Term{EN: "only"}).In(Chinese); got != "only" {
		t.Errorf("a missing translation gives %q", got)
	}
	if got := (Term{EN: "100%"}).Format(English); got != "100%" {
		t.Errorf("a text without arguments is formatted: %q", got)
	}
	if got := term.In(Lang(7)); got != term.EN {
		t.Errorf("an unknown language gives %q", got)
	}
}
