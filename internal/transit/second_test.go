package transit

import (
	"path/filepath"

	"tapnet/internal/verify/verifytest"
)

// opinions counts, by test: a file for each of a thousand random stories would be slow.
var opinions = map[string]int{}

const mostOpinions = 2

// second asks package verify for its opinion of the journal so far, and of the state that the office would keep beside it.
func (c *city) second() {
	c.Helper()
	if opinions[c.Name()]++; opinions[c.Name()] > mostOpinions {
		return
	}
	s := c.packed(func(*state) {})
	report, err := verifytest.VerifyTransit(c.Context(), filepath.Join(c.TempDir(), "metro"), s)
	if err != nil {
		c.Fatal(err)
	}
	for _, w := range report.Findings {
		c.Errorf("second opinion: %s", w)
	}
	if !report.Kept.Compared {
		c.Errorf("the state as of row %d of %d was not compared", s.Watermark, len(s.Rows))
	}
}
