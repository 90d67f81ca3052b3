# `make` alone lists the targets. Each does first what it needs: none must be run before another.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

# Debian packages, installed only if missing.
# iproute2: `ip`, for network namespaces. python3-bpfcc: bcc, which compiles and loads the BPF
# programs. python3-venv: the virtual environment for what Debian has not.
PACKAGES := iproute2 python3-bpfcc python3-venv
# chromium: opens the HTML report. e2fsprogs: a disk that fails. procps: `sysctl`. tcpdump: an
# independent witness of what went over the wire. tmux: a terminal for `live --top`, to press keys
# in and to resize.
TEST_PACKAGES := chromium e2fsprogs procps tcpdump tmux
# What reads the Vagrantfile; and what runs it here, with a box made by debootstrap.
VAGRANT_PACKAGES := vagrant vagrant-libvirt
HYPERVISOR_PACKAGES := $(VAGRANT_PACKAGES) debootstrap dnsmasq-base fdisk grub-common iptables \
	libvirt-clients libvirt-daemon-system qemu-system-x86 qemu-utils rsync
# Other kernels: an emulator, and what makes their disks.
VM_PACKAGES := cpio debootstrap e2fsprogs kmod $(if $(filter arm64,$(ARCH)),qemu-system-arm,qemu-system-x86)

# Not the `python3` on PATH, which may be any: only the distribution's own sees its bcc.
PYTHON := /usr/bin/python3
BIN := .venv/bin

# `make install` puts the command into $(PREFIX)/bin, which is on root's and on sudo's PATH.
PREFIX := /usr/local
INSTALLED := $(PREFIX)/lib/tcptrace

# A file of tests makes its connections once and waits once for their TIME_WAITs to end, so files
# run side by side, each whole. They mostly sleep: many fit on few cores.
TEST_JOBS := 6

# Root needs no sudo, and containers often have none. What runs with it must not leave files
# of root's among the user's.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
AS_ROOT := $(if $(SUDO),$(SUDO) env PYTHONDONTWRITEBYTECODE=1 \
	HYPOTHESIS_STORAGE_DIRECTORY=/root/.cache/hypothesis)

.PHONY: help setup demo test test-kernels test-userspaces lint fuzz bench soak test-vagrant \
	validate-vagrant install uninstall packages test-packages vm-packages

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

setup: .venv/run-stamp  ## Debian packages if missing, and a virtual environment in .venv

# In a network namespace of its own: port 9000 may be in use, and nobody else's connections are
# wanted. It lives as long as the recorder, so the kernel keeps its TIME_WAIT.
demo: setup  ## record a server that closes first, follow its TIME_WAIT to the end, report
	@echo "Recording a server that closes first; its TIME_WAIT takes about a minute"
	@$(AS_ROOT) unshare --net bash -c 'ip link set lo up; exec "$$@"' - \
		$(BIN)/tcptrace record --netns /proc/self/ns/net --settle 75 --force -o demo.arrows -- \
		tests/demo/server_closes_first.py
	@$(BIN)/tcptrace report demo.arrows

test: .venv/test-stamp  ## all tests, a few minutes; TESTS=tests/unit for some
	@$(AS_ROOT) $(if $(SUDO),TCPTRACE_REQUIRE_KERNEL=$(TCPTRACE_REQUIRE_KERNEL)) \
		$(BIN)/python tests/run.py --numprocesses=$(TEST_JOBS) --dist=loadfile $(TESTS)

# Under sudo only what needs root is run: it asks by itself.
test-kernels: .venv/test-stamp | vm-packages  ## kernel tests on other kernels in QEMU; KERNELS="5.10 6.1", CPUS=2, ARCH=arm64, ALL=1, FRESH=1
	@$(BIN)/python tests/vm/run.py $(KERNELS:%=--kernel=%) $(ARCH:%=--arch=%) \
		$(if $(ALL),--all) $(if $(FRESH),--fresh) $(CPUS:%=--cpus=%)

# As root, for debootstrap, mounts and the tests in them.
test-userspaces:  ## the tests with other versions of bcc, LLVM, Python, pandas; NAMES=trixie for one
	@.ci/debian-packages debootstrap git python3
	@$(AS_ROOT) $(PYTHON) tests/userspaces/run.py $(if $(TESTS),--tests=$(TESTS)) $(NAMES)

lint: .venv/test-stamp  ## style (ruff) and types (mypy --strict)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@# An installed copy: mypy cannot follow the mapping of our folders to tcptrace.*
	@rm -rf build/lib build/types
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --target=build/types .
	@cd build/types && ../../$(BIN)/mypy --config-file=../../pyproject.toml \
		--cache-dir=../../.mypy_cache --package=tcptrace

fuzz: .venv/test-stamp  ## 50,000 hostile recordings (20 minutes on one core)
	@TCPTRACE_FUZZ_CASES=50000 $(BIN)/pytest -p no:cacheprovider tests/unit/analysis/test_hostile.py

soak: setup  ## record mixed load for long: memory and descriptors flat, nothing missing; MINUTES=3
	@.ci/debian-packages gcc libc6-dev
	@$(AS_ROOT) $(BIN)/python tests/soak/run.py --minutes $(or $(MINUTES),20)

bench: setup  ## measure tcptrace beside its peers (20 minutes on an idle machine)
	@$(AS_ROOT) $(BIN)/python tests/bench/run.py

# Without a box, a hypervisor or a network.
validate-vagrant:  ## does Vagrant understand the Vagrantfile, for libvirt and for VirtualBox?
	@.ci/debian-packages $(VAGRANT_PACKAGES)
	@tests/vagrant/validate.sh

test-vagrant: setup  ## `vagrant up`, every demo, `vagrant destroy` in emulated machines (20 minutes)
	@.ci/debian-packages $(HYPERVISOR_PACKAGES)
	@$(AS_ROOT) $(BIN)/python tests/vagrant/run.py

# A copy of its own that only root can write: `sudo tcptrace` must not run what somebody else
# can change, and it goes on working when this folder is moved or removed.
install: packages  ## put `tcptrace` on root's PATH, for `sudo tcptrace record`
	@echo "Installing $(PREFIX)/bin/tcptrace and $(INSTALLED)"
	@umask 022; $(SUDO) $(PYTHON) -m venv --clear --system-site-packages $(INSTALLED)
	@rm -rf build/lib build/wheel
	@$(INSTALLED)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir=build/wheel .
	@umask 022; $(SUDO) $(INSTALLED)/bin/pip install --quiet --disable-pip-version-check build/wheel/*.whl
	@$(SUDO) mkdir -p $(PREFIX)/bin
	@$(SUDO) ln -sfn $(INSTALLED)/bin/tcptrace $(PREFIX)/bin/tcptrace
	@$(PREFIX)/bin/tcptrace --version

uninstall:  ## undo `make install`
	@$(SUDO) rm -rf $(INSTALLED) $(PREFIX)/bin/tcptrace /run/tcptrace

# Ubuntu 22.04's python3 is too old.
packages:
	@.ci/debian-packages $(PACKAGES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing, or older than Python 3.11. Say which other to use:" \
		"make PYTHON=/usr/bin/python3.11 (docs/install.md)" >&2; exit 1; }

test-packages:
	@.ci/debian-packages $(TEST_PACKAGES)

vm-packages:
	@.ci/debian-packages $(VM_PACKAGES)

# Stamps make a second run quick; a changed pyproject.toml installs anew.
.venv/run-stamp: pyproject.toml | packages
	@echo "Making the virtual environment .venv"
	@$(PYTHON) -m venv --system-site-packages .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test-stamp: .venv/run-stamp | test-packages
	@echo "Adding to .venv what the tests need"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
