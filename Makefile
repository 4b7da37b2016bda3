# `make help` lists the targets. scripts/setup.sh does the set-up, also for all others.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-guest test-cluster test-full lint type bpf proto bench guests cluster image clean

PYTHON := .venv/bin/python
# Repetition counts of the tests: 1 = all of them. Every kind of case runs at any scale.
TEST_SCALE ?= 0.1
PYTEST_ARGS ?=
TIERS ?=

# libbpf names an architecture in __TARGET_ARCH_* as the kernel's arch/ does
MACHINE := $(shell uname -m)
BPF_ARCH := $(or $(patsubst x86_64,x86,$(filter x86_64,$(MACHINE))),\
	$(patsubst aarch64,arm64,$(filter aarch64,$(MACHINE))),\
	$(patsubst arm%,arm,$(filter arm%,$(MACHINE))),$(MACHINE))
# no-unused-parameter: every program made with libbpf's BPF_PROG has a ctx that it does not use
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) \
	-Wall -Wextra -Werror -Wno-unused-parameter \
	-I/usr/include/$(MACHINE)-linux-gnu
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,recorder/kernel/objects/%.bpf.o,$(wildcard bpf/*.bpf.c))
# What bcc compiles on the node is installed as it is.
BCC_SOURCES := $(patsubst bpf/%,recorder/kernel/objects/bcc/%,$(wildcard bpf/*.bcc.* bpf/*_bcc.h) bpf/recorder.h bpf/syscall_abi.h)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## system packages (Debian 12, root), .venv, .venv/bin/recorder
	@scripts/setup.sh

demo: ## record a real server under load, then run it under the profile made from that
	@scripts/setup.sh demo
	@$(MAKE) --no-print-directory bpf
	@scripts/demo.sh

test: setup bpf ## the tests, with counts scaled by TEST_SCALE (0.1); root for most of them
	TEST_SCALE=$(TEST_SCALE) scripts/test.sh $(PYTEST_ARGS)

test-full: setup bpf ## all tests with full counts, or those of TIERS="test guest cluster"; writes docs/last-full-test.txt
	@scripts/test-full.sh $(TIERS)

guests: ## build what test guests need, outside the checkout (x86-64, root); REFRESH=1: newer kernels; VERIFY=1: read all
	@scripts/setup.sh guest
	@$(PYTHON) -m tests.guest build $(if $(REFRESH),--refresh) $(if $(VERIFY),--verify)

test-guest: guests bpf ## the tests that run in guests with Debian's kernels
	TEST_SCALE=$(TEST_SCALE) scripts/test.sh tests/guest $(PYTEST_ARGS)

cluster: ## build what tests of a cluster need: API server, image, tools; outside the checkout (x86-64, root); VERIFY=1: read all
	@scripts/setup.sh cluster
	@$(PYTHON) -m tests.cluster build $(if $(VERIFY),--verify)
	@$(PYTHON) -m tests.deploy build

test-cluster: cluster bpf ## the tests against a real API server, and those of the image and the manifests
	TEST_SCALE=$(TEST_SCALE) scripts/test.sh tests/cluster tests/deploy $(PYTEST_ARGS)

lint: setup ## ruff, formatting, who may import whom
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

type: setup ## mypy --strict
	.venv/bin/mypy

bpf: $(BPF_OBJECTS) $(BCC_SOURCES) ## compile bpf/*.bpf.c

recorder/kernel/objects/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) Makefile
	@mkdir -p $(@D)
	clang $(BPF_CFLAGS) -c $< -o $@.new
	llvm-strip -g $@.new
	@mv $@.new $@

recorder/kernel/objects/bcc/%: bpf/%
	@mkdir -p $(@D)
	@cp $< $@

proto: setup ## generate the Python stubs from proto/
	$(PYTHON) scripts/generate_stubs.py

bench: setup bpf ## what a recorded system call costs, an idle agent, and a collector of some agents (root)
	$(PYTHON) -m benchmarks.syscall_cost
	$(PYTHON) -m benchmarks.start_cost
	$(PYTHON) -m benchmarks.agent_idle
	$(PYTHON) -m benchmarks.collector_load --agents 100 200 --seconds 10

image: ## the container image, localhost/profile-recorder or IMAGE; TARGET=bcc: for nodes without BTF
	@scripts/setup.sh image
	@TARGET=$(or $(TARGET),runtime) scripts/build_image.sh $(IMAGE)

clean: ## remove what was built; .venv stays
	rm -rf build recorder/kernel/objects/bcc recorder/kernel/objects/*.o recorder/kernel/objects/*.new .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find recorder tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +
