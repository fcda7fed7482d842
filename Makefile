# SPDX-License-Identifier: GPL-2.0
#
# Dropped into a kernel tree this is a Kbuild file; on its own it is the front
# door: plain `make` lists what it can do.

ifneq ($(KERNELRELEASE),)
obj-$(CONFIG_REPOLL) += rust/
else

HARNESS := $(CURDIR)/tools/harness

.DEFAULT_GOAL := help
.PHONY: help setup run lab exercise modules test test-debug test-long test-matrix bench check docs shell rust-analyzer clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target what; do \
		printf '  make %-14s %s\n' "$$target" "$$what"; done; \
	echo '  ARCH=arm64 (or amd64) before it: with a guest of that architecture'

setup: ## get and build everything that the rest needs, into the cache (once, at most 10 minutes)
	@tools/vm setup

run: ## boot a guest, send it packets from outside, show the path of one through the module
	@$(HARNESS)/cmd/run

lab: ## try what is said of select, poll and epoll, and say what holds (a minute; CLAIMS='word...' picks some, HTML=FILE makes a page)
	@$(HARNESS)/cmd/lab $(if $(HTML),--html $(HTML)) $(CLAIMS)

exercise: ## list the exercises; E=NAME sets one up in the checkout and prints its task, with CHECK=1 tries its solution in a copy
	@$(HARNESS)/cmd/exercise $(if $(CHECK),--check) $(E)

ifdef KDIR
modules: ## build repoll.ko; with KDIR=/path against any configured kernel tree, without the cache
	@grep -qsx CONFIG_RUST=y $(or $(wildcard $(KDIR)/include/config/auto.conf),$(KDIR)/.config) || \
		{ echo "$(KDIR) is not a kernel tree configured with Rust: set CONFIG_RUST=y there, then make prepare modules_prepare" >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR)/rust $(if $(MO),MO=$(MO)) CONFIG_REPOLL=m modules
else
modules:
	@$(HARNESS)/cmd/make-module $(KERNEL)
endif

test: ## all everyday tests, on the host and in the guest (KTAP)
	@$(HARNESS)/cmd/test everyday

test-debug: ## the guest tests on a kernel with KASAN and lockdep (the first time it is built: 15 minutes)
	@$(HARNESS)/cmd/test debug

test-long: ## what takes longer: stress and loops, also with slab poisoning
	@$(HARNESS)/cmd/test long

test-matrix: ## the guest tests on each supported kernel (KERNELS='name...' picks some, MATRIX=short runs some tests only)
	@$(HARNESS)/cmd/matrix $(if $(filter short,$(MATRIX)),--short) $(KERNELS)

bench: ## count instructions: the C epoll and repoll, and select and poll beside them (4 minutes; JSON=FILE SVG=FILE)
	@$(HARNESS)/cmd/bench $(if $(JSON),--json $(JSON)) $(if $(SVG),--svg $(SVG))

check: ## formatting, lints, licence lines
	@$(HARNESS)/cmd/check

docs: ## build Documentation as HTML
	@$(HARNESS)/cmd/docs

shell: ## an interactive shell in a guest with the module loaded
	@tools/vm shell

rust-analyzer: ## write rust-project.json, for editing the module
	@$(HARNESS)/cmd/rust-analyzer

clean: ## remove what was built from this checkout
	@$(HARNESS)/cmd/clean

distclean: ## remove the whole cache too
	@$(HARNESS)/cmd/clean --all

endif
