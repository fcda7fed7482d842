# SPDX-License-Identifier: GPL-2.0
#
# Serves as the Kbuild file when the checkout is part of a kernel tree. Otherwise, plain `make`
# lists the targets.

ifneq ($(KERNELRELEASE),)
obj-$(CONFIG_REPOLL) += rust/
else

HARNESS := $(CURDIR)/tools/harness

.DEFAULT_GOAL := help
.PHONY: help setup run lab exercise modules test test-debug test-long test-matrix whole programs bench check docs shell rust-analyzer clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done; \
	echo '  ARCH=arm64 or ARCH=amd64 chooses the architecture of the guest'

setup: ## download and build everything that the other targets need, once (4 minutes on an idle machine)
	@tools/vm setup

run: ## boot a guest, send it packets, show the path of one packet through the module
	@$(HARNESS)/cmd/run

lab: ## test claims about select, poll and epoll (2 minutes; CLAIMS='WORD...' selects, HTML=FILE writes a page)
	@$(HARNESS)/cmd/lab $(if $(HTML),--html $(HTML)) $(CLAIMS)

exercise: ## list the exercises (E=NAME prints a task; CHECK=mine tests your change, CHECK=1 the solution)
	@$(HARNESS)/cmd/exercise $(if $(filter mine,$(CHECK)),--mine,$(if $(CHECK),--check)) $(E)

ifdef KDIR
modules: ## build repoll.ko (KDIR=/path: against any configured kernel tree, without the cache)
	@grep -qsx CONFIG_RUST=y $(or $(wildcard $(KDIR)/include/config/auto.conf),$(KDIR)/.config) || \
		{ echo "$(KDIR) is not a kernel tree configured with Rust: set CONFIG_RUST=y there, then make prepare modules_prepare" >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR)/rust $(if $(MO),MO=$(MO)) CONFIG_REPOLL=m modules
else
modules:
	@$(HARNESS)/cmd/make-module $(KERNEL)
endif

test: ## run the everyday tests, on the host and in guests
	@$(HARNESS)/cmd/test everyday

test-debug: ## run the guest tests on a kernel with KASAN and lockdep (first build of the kernel: 12 to 15 minutes)
	@$(HARNESS)/cmd/test debug

test-long: ## run the tests that take longer: stress, slab poisoning, browsers
	@$(HARNESS)/cmd/test long

test-matrix: ## run the guest tests on each supported kernel (KERNELS='NAME...' selects, MATRIX=short runs few tests)
	@$(HARNESS)/cmd/matrix $(if $(filter short,$(MATRIX)),--short) $(KERNELS)

bench: ## count the instructions of epoll, repoll, select and poll (4 minutes; JSON=FILE and SVG=FILE write the results)
	@$(HARNESS)/cmd/bench $(if $(JSON),--json $(JSON)) $(if $(SVG),--svg $(SVG))

whole: ## boot a Debian where systemd and all servers run on repoll (4 minutes; TAKEOVER=0: on the C epoll)
	@$(HARNESS)/cmd/whole $(if $(TAKEOVER),--takeover $(TAKEOVER))

programs: ## compare servers on the C epoll, by preload and by takeover (20 minutes; PROGRAMS='NAME...' selects)
	@$(HARNESS)/cmd/programs $(PROGRAMS)

check: ## check formatting, lints, licences, documentation (STEP='WORD...' selects steps)
	@$(HARNESS)/cmd/check $(STEP)

docs: ## build Documentation as HTML
	@$(HARNESS)/cmd/docs

shell: ## open an interactive shell in a guest with the module loaded
	@tools/vm shell

rust-analyzer: ## write rust-project.json, for editing the module
	@$(HARNESS)/cmd/rust-analyzer

clean: ## remove everything that was built from this checkout
	@$(HARNESS)/cmd/clean

distclean: ## remove the whole cache, too
	@$(HARNESS)/cmd/clean --all

endif
