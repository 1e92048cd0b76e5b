# Two commands set everything up: `make demo` needs Rust alone, `make test` installs what it needs.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# sshd and gpg are the servers and the judge of the tests; the packers make archives that we did not.
PACKAGES := openssh-server gnupg python3 tar gzip bzip2 xz-utils zstd zip unzip
COMMANDS := /usr/sbin/sshd gpg gpgconf ssh-keygen python3 tar gzip bzip2 xz zstd zip unzip

.PHONY: demo test lint fmt tools

demo: ## a whole run on embedded defaults
	$(CARGO) run --package dray -- demo

test: tools ## every test
	$(CARGO) build --locked --package dray
	$(CARGO) nextest run --locked --workspace

lint: ## formatting, lints and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --lib

fmt: ## formats the code
	$(CARGO) fmt --all

tools:
	@for command in $(COMMANDS); do \
	  command -v $$command >/dev/null || { missing=1; echo "missing: $$command"; }; \
	done; \
	if [ -n "$$missing" ]; then \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PACKAGES); \
	fi
	@$(SUDO) mkdir -p /run/sshd
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest
