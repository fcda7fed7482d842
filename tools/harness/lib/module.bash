# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The build of repoll.ko for one kernel, outside the checkout.

# module_folder FLAVOUR : the build folder; each kernel has its own, so builds can run concurrently.
# REPOLL_WIDEN=1 chooses the module with widened windows: Documentation/reference/testing.rst.
module_folder() { build_folder "module-$1-$(kernel_release)${REPOLL_WIDEN:+-widened}"; }

module_file() { printf '%s/repoll.ko\n' "$(module_folder "$1")"; }

# build_module FLAVOUR [MAKE-ARGUMENT...]
build_module() {
	local flavour=$1 out
	shift
	ensure_kbuild "$flavour"
	out=$(module_folder "$flavour")
	mkdir -p "$out/tests"
	with_lock "build-$(key_of "$out")" quietly "build repoll.ko for the $flavour kernel, Linux $(kernel_release)" \
		make_module "$flavour" "$out" "$@"
}

# make_module FLAVOUR OUT [MAKE-ARGUMENT...]
make_module() {
	local arguments flavour=$1 out=$2
	shift 2
	mapfile -t arguments < <(kbuild_arguments "$flavour")
	enter_kernel -- make -s -C "$(kbuild_folder "$flavour")" M="$checkout/rust" MO="$out" CONFIG_REPOLL=m \
		"${arguments[@]}" "-j$(nproc)" "$@" modules
	# Modules that only the tests use.
	enter_kernel -- make -s -C "$(kbuild_folder "$flavour")" M="$checkout/tools/tests/modules" MO="$out/tests" "${arguments[@]}" modules
}
