# Two commands set everything up: `make demo` needs Rust alone, `make test` installs what it needs.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# sshd and gpg are the servers and the judge of the tests; the packers make archives that we did not;
# Spark needs Java; chaos sets the clock of a process by libfaketime; qemu runs packages for arm64.
PACKAGES := g++ openssh-server openssh-sftp-server gesftpserver proftpd-basic proftpd-mod-crypto gnupg sq \
  openssl python3 python3-venv tar gzip \
  bzip2 xz-utils zstd zip unzip p7zip-full libarchive-tools default-jre-headless faketime \
  qemu-user-static libc6-arm64-cross npm
COMMANDS := g++ /usr/sbin/sshd /usr/sbin/proftpd gpg gpgconf sq openssl ssh-keygen python3 tar gzip bzip2 xz zstd zip \
  unzip 7z bsdtar java faketime prlimit qemu-aarch64-static npm
FILES := /usr/lib/proftpd/mod_sftp.so /usr/lib/openssh/sftp-server /usr/libexec/gesftpserver \
  /usr/aarch64-linux-gnu/lib/libc.so.6
VENV := .venv
# Other engines for the state machine language, for the conformance cases.
ENGINES_VENV := .venv-engines
OPINION_VENV := .venv-localstack
PYTHON_3_13 ?= python3.13
LINTERS := integration/linters/node_modules
# What people use today, for the benchmark; Spark needs Java.
PEERS := rclone time openssl zip unzip default-jre-headless
PEER_COMMANDS := rclone /usr/bin/time openssl zip unzip java ssh sftp
BENCH_VENV := .venv-bench
# The C compiler and linker of packages.
PACKAGE_VENV := .venv-package

# Rust's names of what packages are built for; the Spark job's program is static.
TARGETS := $(foreach machine,aarch64 x86_64,$(machine)-unknown-linux-gnu $(machine)-unknown-linux-musl)
EMULATOR := aws-lambda-rie-$(patsubst aarch64,arm64,$(shell uname -m))

# Seconds that each fuzz target gets.
FUZZ_SECONDS ?= 60
# Whose mutants are tried by their own tests: what decides about limits, counts, keys, host keys, renames,
# verification.
MUTATED := domain records archive openpgp sftp
# Whose mutants are tried by whole runs between servers as well: ledger, lease, and who meets a partner.
MUTATED_STAGES := storage discover download report upload finish
# More for cargo-mutants: MUTANTS="--shard 0/50".
MUTANTS ?=

# How many seeds of chaos are tried, and the first of them.
SEEDS ?= 300
SEED ?= 1

# Groups of the benchmark; without a choice, all but memory, which needs 30 GiB of disk, and spark,
# which needs 16 GiB.
ROWS ?= large,small,far,unpack,count,seal,whole

# What `make audit` looks at; advisories come from GitHub.
AUDITS ?= advisories bans licenses sources

.PHONY: demo test package bench rehearsal second-opinion chaos fuzz sabotage mutants lint audit fmt packages tools \
  peers

demo: ## a whole run on embedded defaults
	$(CARGO) run --package dray -- demo

test: tools ## every test
	$(CARGO) build --locked --workspace --bins
	$(PACKAGE_VENV)/bin/python functions/package plan size --architecture arm64 --profile rehearsal
	$(CARGO) nextest run --locked --workspace
	$(MAKE) --no-print-directory fuzz

package: $(PACKAGE_VENV)/installed ## every function as it is deployed, for both architectures; sizes, glibc, starts
	rustup target add $(TARGETS)
	$(PACKAGE_VENV)/bin/python functions/package

bench: packages peers ## every hop and a whole run beside what people use today; ROWS chooses groups
	$(CARGO) build --locked --release --package dray
	ROWS=$(ROWS) $(CARGO) bench --locked --package integration --bench table

rehearsal: tools ## a member of 3 GiB through invocations of a second and five kills; takes 50 GiB of disk
	$(CARGO) build --locked --release --package dray
	REHEARSAL_MIB=3072 REHEARSAL_SECONDS=1 $(CARGO) nextest run --locked --release --package integration \
	  --success-output final a_giant_member

second-opinion: ## the conformance cases on localstack-core too; needs Python 3.13 and 500 MB of disk
	@if command -v $(PYTHON_3_13) >/dev/null; then \
	  $(MAKE) --no-print-directory $(OPINION_VENV)/installed && \
	  $(OPINION_VENV)/bin/python integration/engines/conformance.py localstack; \
	else \
	  echo "skipped: localstack-core runs on Python 3.13 alone, and there is no $(PYTHON_3_13) here"; \
	fi

chaos: packages ## SEEDS seeds of chaos from SEED on, and a histogram of which fault struck which stage
	$(CARGO) run --locked --package integration --bin chaos -- $(SEED) $(SEEDS)

fuzz: ## every fuzz target for FUZZ_SECONDS, from fresh seeds
	integration/fuzz/run $(FUZZ_SECONDS)

sabotage: tools ## breaks one promise after another and shows that a test notices
	integration/sabotage/run

mutants: tools ## breaks libraries and stages in every small way and prints what no test noticed
	@$(CARGO) mutants --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	@status=0; \
	$(CARGO) mutants $(MUTATED:%=--package %) --output target $(MUTANTS) || status=$$?; \
	$(CARGO) mutants $(MUTATED_STAGES:%=--package %) $(MUTATED_STAGES:%=--test-package %) \
	  --test-package dray --test-package integration --gitignore false --output target/stages $(MUTANTS) \
	  -- -E 'not test(/^(chaos|demo|laws|spark)::/)' || status=$$?; \
	exit $$status

lint: ## formatting, lints and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --lib

audit: ## known vulnerabilities, licences, origin and bans of everything we depend on
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked --config .cargo/deny.toml check $(AUDITS)

fmt: ## formats the code
	$(CARGO) fmt --all

packages:
	@for command in $(COMMANDS); do \
	  command -v $$command >/dev/null || { missing=1; echo "missing: $$command"; }; \
	done; \
	for file in $(FILES); do [ -e $$file ] || { missing=1; echo "missing: $$file"; }; done; \
	if [ -n "$$missing" ]; then \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PACKAGES); \
	fi
	@$(SUDO) mkdir -p /run/sshd

tools: packages
	@$(MAKE) --no-print-directory $(VENV)/installed $(ENGINES_VENV)/installed $(PACKAGE_VENV)/installed \
	  $(LINTERS)/installed
	@rustup target add aarch64-unknown-linux-gnu
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest

peers:
	@for command in $(PEER_COMMANDS); do \
	  command -v $$command >/dev/null || { missing=1; echo "missing: $$command"; }; \
	done; \
	if [ -n "$$missing" ]; then \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PEERS); \
	fi
	@$(MAKE) --no-print-directory $(BENCH_VENV)/installed

$(BENCH_VENV)/installed: integration/benches/requirements.txt
	python3 -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(PACKAGE_VENV)/installed: functions/package/requirements.txt
	python3 -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(VENV)/installed: integration/requirements.txt integration/emulator.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement integration/emulator.txt
	install $(VENV)/lib/python3*/site-packages/samcli/local/rapid/$(EMULATOR) $(VENV)/bin/aws-lambda-rie
	@touch $@

$(ENGINES_VENV)/installed: integration/engines/requirements.txt
	python3 -m venv $(ENGINES_VENV)
	$(ENGINES_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(LINTERS)/installed: integration/linters/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix integration/linters
	@touch $@

$(OPINION_VENV)/installed: integration/engines/requirements-localstack.txt
	$(PYTHON_3_13) -m venv $(OPINION_VENV)
	$(OPINION_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
