# Thin on purpose: the work is in scripts/, which also runs without make.
.PHONY: test check fuzz bench thirdparty kill

test:
	@scripts/test

check:
	@scripts/check

# FUZZTIME=30s make fuzz; FUZZTIME=2h FUZZ=Stream PKG="./card ./terminal" make fuzz
fuzz:
	@scripts/fuzz $(PKG)

# BENCH=Chain PKG=./emv/oda make bench: certificates and signature of a card, RSA (at most 100 µs, no allocation) and SM2 (at most 600 µs).
bench:
	@CGO_ENABLED=0 go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem $(or $(PKG),./...) | grep -Ev '^(ok|PASS|\?)|no test files' || true

thirdparty:
	@scripts/thirdparty

# KILLS=1000 make kill
kill:
	@scripts/kill
