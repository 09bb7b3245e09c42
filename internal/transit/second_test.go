package transit

import (
	"path/filepath"

	"tapnet/internal/verify/verifytest"
)

// opinions counts, by test: a file for each of a thousand random stories would be slow.
var opinions = map[string]int{}

const mostOpinions = 2

// second asks package verify for its opinion of the journal so far.
func (c *city) second() {
	c.Helper()
	if opinions[c.Name()]++; opinions[c.Name()] > mostOpinions {
		return
	}
	findings, err := verifytest.Transit(c.Context(), filepath.Join(c.TempDir(), "metro"), c.deps.Terminal, c.Rows())
	if err != nil {
		c.Fatal(err)
	}
	for _, f := range findings {
		c.Errorf("second opinion: %s", f)
	}
}
