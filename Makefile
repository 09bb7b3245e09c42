# Thin on purpose: the work is in scripts/, which also runs without make.
.PHONY: test check fuzz bench thirdparty kill

test:
	@scripts/test

check:
	@scripts/check

# FUZZTIME=30s make fuzz
fuzz:
	@scripts/fuzz

# BENCH=OneTap make bench
bench:
	@CGO_ENABLED=0 go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./... | grep -Ev '^(ok|PASS|\?)|no test files' || true

thirdparty:
	@scripts/thirdparty

# KILLS=1000 make kill
kill:
	@scripts/kill
