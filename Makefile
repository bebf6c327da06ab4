# pycontainer: `make` alone lists what there is. Everything that is needed is installed by the target that needs it:
# Debian packages when you are root on Debian (else you are told which), Python packages in .venv.

VENV   := .venv
PY     := $(VENV)/bin/python
TOOLS  := $(CURDIR)/$(VENV)/build-tools
BUILD  := PYTHONPATH=$(TOOLS) $(PY)
CORE   := $(filter-out %/_core.c %/_seccomp.c,$(wildcard pycontainer/core/*.[ch] pycontainer/core/build_*.py pycontainer/core/calls.py))
C      := $(filter-out %/_core.c %/_seccomp.c,$(wildcard pycontainer/core/*.[ch] bench/*.c))
FREE   := -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -fno-pie -no-pie -fno-stack-protector
PYTEST := $(VENV)/bin/pytest
DEBIAN ?= bookworm

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-nightly fuzz test-vm test-vm-quick vagrant-test check images registry bench bench-quick clean
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.installed $(VENV)/.core $(VENV)/.compiled ## install what is missing and build: leaves .venv/bin/pyc
	@:

run: setup ## build an image, serve it from a local registry, and `pyc run` it from there
	@.ci/packages demo
	@$(PY) -m images.demo

test: setup ## run every test against the real kernel, registry and peers
	@.ci/packages test
	@$(PYTEST)

test-nightly: setup ## races of the history of escapes 2,000 times, every wrong config.json, other bundles beside runc, minutes of fuzzing
	@.ci/packages test
	@PYC_TRIES=2000 $(PYTEST) -q tests/root/test_escapes.py tests/root/test_cp_attacks.py tests/root/test_volumes_attacks.py
	@PYC_TRIES=100000 $(PYTEST) -q tests/root/test_oci_mutations.py
	@PYC_SEED=$$(date +%s) $(PYTEST) -q tests/peers/test_like_runc.py
	@$(MAKE) fuzz SECONDS=300

test-fast: setup ## run the tests that take milliseconds (under two minutes in all)
	@.ci/packages demo
	@$(PYTEST) -q -m "not slow and not peers" tests/unit tests/root

test-vm: setup ## run the root tests in VMs with systemd and cgroup v2, reboot one, cut its power (DEBIAN=trixie: another)
	@.ci/packages vm
	@PYC_VM=$(DEBIAN) $(PYTEST) -q tests/vm/test_suite.py tests/vm/test_power.py

test-vm-quick: setup ## the same without those tests that neither cgroup v2 nor systemd nor another kernel can break
	@.ci/packages vm
	@PYC_VM=$(DEBIAN) PYC_VM_TESTS=quick $(PYTEST) -q tests/vm/test_suite.py tests/vm/test_power.py

vagrant-test: setup ## `vagrant up` with libvirt, in namespaces of its own, on a box made here: pyc must be ready in it
	@.ci/packages vm vagrant
	@PYC_VM=$(DEBIAN) $(PYTEST) -q tests/vm/test_vagrant.py

fuzz: setup ## feed what reads plans, layers and a registry's words what nobody would write, for SECONDS=60 each
	@.ci/packages check
	@$(PY) -m tests.fuzz $(or $(SECONDS),60)

check: setup ## lint, types, format, warnings as errors, sanitizers: no test is run
	@.ci/packages check
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/clang-format --dry-run -Werror $(C)
	@mkdir -p build
	gcc $(FREE) -o build/performer-gcc $(filter %/performer.c %/monitor.c %/init.c,$(C))
	gcc -std=c11 -O2 -Wall -Wextra -Werror -o build/plain bench/plain.c
	clang $(FREE) -Wno-unused-command-line-argument -fsanitize=undefined -fsanitize-trap=undefined -o build/performer-ubsan $(filter %/performer.c %/monitor.c %/init.c,$(C))
	clang -std=c11 -g -Wall -Wextra -Werror -fsanitize=address,undefined -o build/plain-asan bench/plain.c

images: setup ## build every test image as an OCI layout under images/out
	@.ci/packages demo test
	@$(PY) -m images.build

registry: setup ## serve the images at 127.0.0.1:5000 until Ctrl-C
	@.ci/packages demo
	@$(PY) -m images.registry --port 5000

bench: setup ## measure beside podman, docker, containerd, runc, crun, bwrap and plain C (a quarter of an hour)
	@.ci/packages bench
	@$(PY) -m bench

bench-quick: setup ## the same with few rounds, to see that it works and about how much it is
	@.ci/packages bench
	@$(PY) -m bench --rounds 3

clean: ## remove what was built here, the virtual environment too
	rm -rf $(VENV) build dist *.egg-info images/out .pytest_cache .mypy_cache .ruff_cache
	rm -f pycontainer/core/performer pycontainer/*/*.so pycontainer/core/_core.c pycontainer/core/_seccomp.c
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment. /usr/bin/python3 first: what else is called python3 may be a slow wrapper around one.
$(VENV)/.python:
	@.ci/packages build
	@for python in /usr/bin/python3 python3; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "make: a virtual environment in $(VENV) with $$python"; exec $$python -m venv $(VENV); \
	  fi; \
	done; echo "make: no Python 3.11 or later here" >&2; exit 1
	@touch $@

# What builds the C stays out of the environment's own site-packages: setuptools costs each start of `pyc` 1.7 ms there,
# and an editable install by import hook 6 ms; a line with a path costs nothing (editable_mode=compat).
$(VENV)/.installed: $(VENV)/.python pyproject.toml setup.py pycontainer/cli/pyc pycontainer/oci/pyc-oci
	@echo "make: installing Python packages and building the C core"
	@$(PY) -m pip install --quiet --upgrade --target $(TOOLS) "setuptools>=77"
	@$(PY) -m pip install --quiet cffi
	@$(BUILD) -m pip install --quiet --no-build-isolation --use-pep517 --config-settings editable_mode=compat --editable ".[dev]"
	@$(PY) -m pip uninstall -qq --yes setuptools
	@touch $@ $(VENV)/.core

$(VENV)/.core: $(CORE) | $(VENV)/.installed
	@echo "make: building the C core"
	@$(BUILD) setup.py --quiet build_ext --inplace
	@touch $@

# Bytecode, as a wheel's installation leaves it: where the environment forbids writing it (PYTHONDONTWRITEBYTECODE), each
# start of `pyc` would compile sixty modules anew, 50 ms.
$(VENV)/.compiled: $(wildcard pycontainer/*.py pycontainer/*/*.py pycontainer/*/*/*.py) | $(VENV)/.core
	@$(PY) -m compileall -q pycontainer
	@touch $@
