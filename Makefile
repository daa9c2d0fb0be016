# The one door. `make help` lists the rooms.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
UV := $(BIN)/uv
CACHE := .cache
VERSITYGW_VERSION := v1.8.0
VERSITYGW := $(CACHE)/bin/versitygw
LOCALSTACK := $(CACHE)/localstack
LOCALSTACK_PACKAGES := "localstack-core[base-runtime]==4.12.0" "cbor2<6" "pyopenssl==24.3.0" "cryptography<45" "service_identity<24.3"
SAM_VERSION := 1.170.0
EMULATOR := $(CACHE)/bin/aws-lambda-rie
DYNALITE_VERSION := 4.0.0
DYNALITE := $(CACHE)/dynalite
IGV_VERSION := 3.8.10
STATIC := python/bams3/server/static
IGV := $(STATIC)/igv.min.js
TOOLS := samtools bcftools bwa minimap2 tabix
PAGE_TOOLS := chromium chromedriver nginx
SOURCES := $(shell find rust/src -name '*.rs' 2>/dev/null) rust/Cargo.toml rust/Cargo.lock rust/build.rs

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/cargo/bin:/usr/local/go/bin
export UV_PYTHON_DOWNLOADS := never

# With another home than the one Rust was installed in, rustup needs to be told where its things are.
RUSTUP := $(realpath $(dir $(shell PATH="$(PATH)" command -v cargo))../../.rustup)
ifneq ($(RUSTUP),)
export RUSTUP_HOME ?= $(RUSTUP)
endif

.PHONY: help setup tools localstack dynalite demo test lint format layer bench docs clean

help:  ## list what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) tools $(VERSITYGW) $(IGV)  ## .venv with the package and its commands, tools, test server

# ---- the package ---------------------------------------------------------------------------------
$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: python3 is older than 3.11" >&2; exit 1; }
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): pyproject.toml uv.lock $(SOURCES) | $(UV)
	@command -v cargo >/dev/null || { \
	  echo "error: cargo is missing; the Rust core is built with it" >&2; \
	  echo "hint: get it from https://rustup.rs, or apt-get install rustup && rustup default stable" >&2; \
	  exit 1; }
	@echo "building the Rust core (some minutes, the first time)"
	UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --quiet --locked --inexact --python $(BIN)/python
	@touch $@

# ---- what the tests compare with, and run against ------------------------------------------------
tools:
	@recipes/tools.sh "tests that compare with them are skipped" $(TOOLS)
	@recipes/tools.sh "tests of the page in a browser, and beside nginx, are skipped" $(PAGE_TOOLS)

# Where Go is missing the tests against a real S3 server are skipped, and say so.
$(VERSITYGW):
	@mkdir -p $(@D)
	@if ! command -v go >/dev/null; then \
	  echo "warning: go is missing: tests against a real S3 server are skipped" >&2; \
	  echo "hint: apt-get install golang, or https://go.dev/dl" >&2; \
	else \
	  echo "building versitygw, the S3 server of the tests (a minute or two, once)"; \
	  export HOME=$${HOME:-$(abspath $(CACHE))}; [ -w "$$HOME" ] || HOME=$(abspath $(CACHE)); \
	  GOBIN=$(abspath $(@D)) go install -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION) \
	    >$(CACHE)/versitygw.log 2>&1 || { \
	      echo "warning: versitygw was not built; tests against a real S3 server are skipped:" >&2; \
	      tail -3 $(CACHE)/versitygw.log >&2; }; \
	fi

# The S3 server with SSE-C, in an environment of its own: half a minute, once. Without it the tests
# that need it are skipped, and say so.
localstack: $(LOCALSTACK)/.ready  ## the test server that knows customer keys (SSE-C)

$(LOCALSTACK)/.ready: | $(UV)
	@echo "installing LocalStack, the S3 server of the tests of customer keys"
	@rm -rf $(LOCALSTACK) && mkdir -p $(CACHE)
	@{ $(UV) venv --quiet --python $(BIN)/python $(LOCALSTACK) \
	  && $(UV) pip install --quiet --python $(LOCALSTACK)/bin/python $(LOCALSTACK_PACKAGES) \
	  && touch $@; } >$(CACHE)/localstack.log 2>&1 || { \
	    echo "warning: LocalStack was not installed; tests of customer keys are skipped:" >&2; \
	    tail -3 $(CACHE)/localstack.log >&2; }

# The server of DynamoDB that keeps AWS's limits; without it the tests that need it are skipped.
dynalite: $(DYNALITE)/.ready  ## the test server of DynamoDB

$(DYNALITE)/.ready:
	@mkdir -p $(DYNALITE)
	@if ! command -v npm >/dev/null; then \
	  echo "warning: npm is missing: tests against dynalite are skipped" >&2; \
	  echo "hint: apt-get install npm, and make dynalite" >&2; \
	elif npm install --prefix $(DYNALITE) --ignore-scripts --no-audit --no-fund --silent \
	    dynalite@$(DYNALITE_VERSION) >$(CACHE)/dynalite.log 2>&1; then touch $@; \
	else \
	  echo "warning: dynalite was not installed; tests of DynamoDB against it are skipped:" >&2; \
	  tail -3 $(CACHE)/dynalite.log >&2; \
	fi

# The emulator of AWS Lambda comes in the wheel of AWS's tool; without it one test is skipped.
$(EMULATOR): | $(UV)
	@mkdir -p $(@D)
	@case $$(uname -m) in aarch64|arm64) arch=arm64;; *) arch=x86_64;; esac; \
	if $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(CACHE) \
	    aws-sam-cli==$(SAM_VERSION) && $(BIN)/python -c 'import sys, zipfile; \
	    name = "samcli/local/rapid/aws-lambda-rie-" + sys.argv[2]; \
	    open(sys.argv[3], "wb").write(zipfile.ZipFile(sys.argv[1]).read(name))' \
	    $(CACHE)/aws_sam_cli-$(SAM_VERSION)-py3-none-any.whl $$arch $@.part; then \
	  chmod +x $@.part && mv $@.part $@; rm -f $(CACHE)/aws_sam_cli-*.whl; \
	else echo "warning: no emulator of AWS Lambda; the test that needs it is skipped" >&2; fi

# ---- igv.js, which draws the page of the server ---------------------------------------------------
# From its npm package, by the registry that npm knows; what comes has to have the sums in igv.sha256.
$(IGV): $(STATIC)/igv.sha256
	@if ! command -v npm >/dev/null; then \
	  echo "warning: npm is missing: igv.js is not fetched, and the page of bams3 serve cannot draw" >&2; \
	  echo "hint: apt-get install npm, and make setup again" >&2; \
	else \
	  rm -rf $(CACHE)/igv; mkdir -p $(CACHE)/igv; \
	  if ! npm pack igv@$(IGV_VERSION) --silent --pack-destination $(CACHE)/igv >$(CACHE)/igv/log 2>&1; then \
	    echo "warning: igv.js could not be fetched; the page of bams3 serve cannot draw:" >&2; \
	    tail -3 $(CACHE)/igv/log >&2; \
	  else \
	    tar -xzf $(CACHE)/igv/igv-$(IGV_VERSION).tgz -C $(CACHE)/igv --strip-components=1; \
	    mv $(CACHE)/igv/LICENSE $(CACHE)/igv/igv.LICENSE; mv $(CACHE)/igv/dist/igv.min.js $(CACHE)/igv/; \
	    (cd $(CACHE)/igv && sha256sum --check --quiet $(abspath $<)) || { \
	      echo "error: igv.js $(IGV_VERSION) is not the one that igv.sha256 pins" >&2; exit 1; }; \
	    cp $(CACHE)/igv/igv.LICENSE $(STATIC)/; cp $(CACHE)/igv/igv.min.js $@; \
	  fi; \
	fi

# ---- what one does with it -----------------------------------------------------------------------
demo: setup  ## simulate reads, stream them in, query, stats, get the BAM back, verify it
	@PATH="$(abspath $(BIN)):$$PATH" recipes/demo.sh

test: setup localstack dynalite $(EMULATOR)  ## all tests
	$(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 4 --dist worksteal
	cargo test --quiet --release --manifest-path rust/Cargo.toml

lint: $(STAMP)  ## ruff, mypy, rustfmt, clippy
	$(BIN)/ruff check python tests recipes benchmarks
	$(BIN)/ruff format --check python tests recipes benchmarks
	$(BIN)/mypy
	cargo fmt --check --manifest-path rust/Cargo.toml
	cargo clippy --quiet --all-targets --manifest-path rust/Cargo.toml -- -D warnings

format: $(STAMP)  ## put all sources into shape
	$(BIN)/ruff check --fix python tests recipes benchmarks
	$(BIN)/ruff format python tests recipes benchmarks
	cargo fmt --manifest-path rust/Cargo.toml

layer: $(STAMP)  ## the layer of the function on AWS Lambda, build/layer.zip
	rm -rf build/wheel
	$(BIN)/maturin build --quiet --release --out build/wheel
	$(BIN)/python recipes/layer.py build/wheel/*.whl build/layer.zip

bench: setup  ## measure beside peers, into docs/concepts/performance.md (WHAT=sizes|lossy|requests|speed|transfer|serve|variants)
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/run.py $(or $(WHAT),all) --write

docs: $(STAMP)  ## the manual, into site/
	$(UV) run --quiet --no-sync --with 'mkdocs<2' --with mkdocs-material --with 'mkdocstrings[python]' mkdocs build --strict

clean:  ## remove what was built
	rm -rf $(VENV) $(CACHE) $(IGV) $(STATIC)/igv.LICENSE rust/target build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
