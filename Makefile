SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
FUZZTIME ?= 20s
QUICK    ?=

LINT_VERSION := 2.15.0
TOOLS        ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/brazecdc/bin
LINT         := $(TOOLS)/golangci-lint-$(LINT_VERSION)/golangci-lint

.PHONY: help
help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## show it: a throw-away Postgres, a stand-in for Braze, changes that arrive; Ctrl-C ends it
	@$(GO) build -o bin/ ./cmd/brazecdc
	@exec bin/brazecdc demo

.PHONY: demo-kafka
demo-kafka: ## the same over Kafka: a broker and Debezium, or without Java brokers in memory
	@$(GO) build -o bin/ ./cmd/brazecdc
	@exec bin/brazecdc demo --kafka

.PHONY: test
test: ## all tests, against a real Postgres, Kafka and Debezium that they fetch and start themselves
	$(GO) test -timeout 30m ./...

.PHONY: race
race: ## the connector's tests under the race detector
	$(GO) test -race -timeout 30m ./connector/...

.PHONY: lint
lint: $(LINT) ## gofmt, go vet and golangci-lint (installed on first use)
	@unformatted=$$(gofmt -l $(wildcard cmd connector schemas)); \
	if [ -n "$$unformatted" ]; then printf 'gofmt would change:\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(LINT) run ./...

$(LINT):
	@echo "installing golangci-lint $(LINT_VERSION) into $(@D) (about a minute)"
	@GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(LINT_VERSION)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 20s) each
	@found=$$(grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' cmd connector || true); \
	if [ -z "$$found" ]; then echo "no fuzz targets"; fi; \
	while IFS=: read -r file func; do \
		[ -n "$$file" ] || continue; \
		name=$${func#func }; \
		echo "== $$name in $$(dirname "$$file"), $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"; \
	done <<< "$$found"

.PHONY: bench
bench: ## the figures, one a line: figure NAME VALUE UNIT; QUICK=1 takes about a minute
	@QUICK=$(QUICK) $(GO) test ./cmd/brazecdc -count=1 -run '^TestFigures(Kafka)?$$' -timeout 90m -v -args -figures 2>&1 | awk ' \
		/^ *[a-z0-9_]+_test\.go:[0-9]+: / && !/: figure / { said = said $$0 "\n"; next } \
		match($$0, /figure [a-z0-9_]+ [^ ]+.*/) { print substr($$0, RSTART); fflush(); next } \
		/^ *--- FAIL/ { printf "%s", said; said = "" } \
		/^ *--- (FAIL|SKIP)/ || /^(FAIL|panic:|# )/ || /\.go:[0-9]+:[0-9]+: / || /no tests to run|no required module|flag provided/ { print; fflush() }'

.PHONY: build
build: ## both programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

.PHONY: up
up: ## Postgres, Kafka, Debezium, brazesim and brazecdc in containers
	docker compose up --build --detach --wait

.PHONY: down
down: ## stop the containers and remove their data
	docker compose --profile direct down --volumes
