# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# repoll.ko for one kernel flavour, built outside the checkout.

module_file() { printf '%s/repoll.ko\n' "$(build_folder "module-$1")"; }

# build_module FLAVOUR [MAKE-ARGUMENT...]
build_module() {
	local flavour=$1 out
	shift
	ensure_kbuild "$flavour"
	out=$(build_folder "module-$flavour")
	mkdir -p "$out/tests"
	with_lock "build-$(key_of "$out")" quietly "build repoll.ko for the $flavour kernel" \
		make_module "$flavour" "$out" "$@"
}

# make_module FLAVOUR OUT [MAKE-ARGUMENT...]
make_module() {
	local arguments flavour=$1 out=$2
	shift 2
	mapfile -t arguments < <(kbuild_arguments "$flavour")
	enter -- make -s -C "$(kbuild_folder "$flavour")" M="$checkout/rust" MO="$out" CONFIG_REPOLL=m \
		"${arguments[@]}" "-j$(nproc)" "$@" modules
	# Further modules, for the tests.
	enter -- make -s -C "$(kbuild_folder "$flavour")" M="$checkout/tools/tests/modules" MO="$out/tests" "${arguments[@]}" modules
}
