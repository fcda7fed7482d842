# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The userspace: one Cargo workspace, static binaries. Crates are fetched once;
# everything after that is offline.

programs_folder() { printf '%s/x86_64-unknown-linux-gnu/release\n' "$(build_folder cargo)"; }

# run_cargo ARGUMENT... : in the workspace, in the root file system.
run_cargo() {
	mkdir -p "$(build_folder cargo)"
	# shellcheck disable=SC2016
	enter -- bash -c 'cd tools && CARGO_TARGET_DIR=$1 && export CARGO_TARGET_DIR && shift && exec cargo "$@"' cargo \
		"$(build_folder cargo)" "$@"
}

ensure_crates() {
	ensure_rootfs
	local fetched
	fetched=$REPOLL_CACHE/cargo/fetched-$(key_of "$(<"$checkout/tools/Cargo.lock")")
	[[ -e $fetched ]] || with_lock cargo make_crates "$fetched"
}

make_crates() {
	[[ ! -e $1 ]] || return 0
	mkdir -p "$REPOLL_CACHE/cargo"
	step "fetch the crates that tools/Cargo.lock names" fetch_crates
	touch "$1"
}

fetch_crates() { enter --online -- bash -c 'cd tools && cargo fetch --locked'; }

build_userspace() {
	ensure_crates
	local show=quietly
	[[ -d $(programs_folder) ]] || show=step
	with_lock "build-$(key_of "$(build_folder cargo)")" "$show" "build the userspace" build_programs
}

build_programs() {
	run_cargo build --release --locked --offline
	build_preload
}

# What repoll-exec loads into programs, beside it. Alone of all it is a shared
# object, so it is built without the flags of tools/.cargo/config.toml.
build_preload() {
	local target
	target=$(build_folder preload)
	mkdir -p "$target"
	CARGO_ENCODED_RUSTFLAGS='' run_cargo rustc --profile preload --locked --offline --package repoll-preload \
		--features interpose --crate-type cdylib --target-dir "$target"
	install -m 644 -t "$(programs_folder)" "$target/x86_64-unknown-linux-gnu/preload/librepoll_preload.so"
}
