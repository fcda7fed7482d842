# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The build of the userspace, one Cargo workspace, into static binaries. Crates are fetched once;
# all builds are offline.

# programs_folder : the finished programs, under a key of their sources; checkouts share them.
programs_folder() { printf '%s\n' "${REPOLL_PROGRAMS:-$REPOLL_CACHE/programs-$(userspace_key)}"; }

# userspace_sources : the files in the checkout that the programs are built from. Tests, examples
# and scripts are left out, as a change to them does not change a program. make_programs checks that
# no source is missing.
userspace_sources() {
	find tools samples \( -path tools/harness -o -path tools/vm -o -path 'tools/*/tests' -o -path 'tools/*/examples' \
		-o -path tools/tests/misuse -o -path tools/tests/modules -o -path tools/tests/recipes \) -prune -o -type f -print
	echo rust/uapi/repoll.h
	echo Documentation/reference/tracepoints.rst
}

userspace_key() {
	key_of "$REPOLL_ARCH" "$(cd "$checkout" && userspace_sources | LC_ALL=C sort | xargs -d '\n' sha256sum)" \
		"$(<"$(rootfs_folder)/etc/repoll-toolchain")" \
		"$(! is_cross || cross_layer "$(rootfs_folder)")" "$(declare -f build_programs build_host_programs build_preload run_cargo rust_target)"
}

# rust_target : rustc's name of the architecture.
rust_target() { arch_triplet | sed 's/-/-unknown-/'; }

# run_cargo ARGUMENT... : runs cargo in the workspace, in the root file system.
run_cargo() {
	local linker='' target
	mkdir -p "$(build_folder cargo)"
	target=$(rust_target)
	! is_cross || linker="CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER=$(arch_triplet)-gcc-$REPOLL_GCC"
	# shellcheck disable=SC2016
	enter -- bash -c 'cd tools && exec env "$@"' cargo \
		"CARGO_TARGET_DIR=$(build_folder cargo)" "CARGO_BUILD_TARGET=$target" ${linker:+"$linker"} cargo "$@"
}

# run_cargo_for_host ARGUMENT... : the same, for programs that run on the host.
run_cargo_for_host() { (REPOLL_ARCH=$(host_arch) && run_cargo "$@"); }

ensure_crates() {
	ensure_rootfs
	ensure_cross "$(rootfs_folder)"
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

fetch_crates() {
	progress crate "$(grep -c '^source = ' "$checkout/tools/Cargo.lock")" '^ *Downloaded '
	enter --online -- bash -c 'cd tools && cargo fetch --locked'
}

# compiling [PROGRAM...] : declares the progress of a build of these programs, or of all.
compiling() {
	local program packages=()
	for program; do packages+=(--package "$(package_of "$program")"); done
	(($#)) || packages=(--workspace)
	progress crate "$(run_cargo tree --locked --offline --prefix none --edges normal,build --no-dedupe "${packages[@]}" | sort -u | wc -l)" \
		'^ *Compiling '
}

# package_of PROGRAM : the package with the program in its src/bin, or the package of the same name.
package_of() {
	local source
	source=$(cd "$checkout" && find tools samples -path "*/src/bin/$1.rs")
	if [[ $source ]]; then
		sed -n 's/^name = "\(.*\)"/\1/p' "$checkout/${source%/src/bin/*}/Cargo.toml"
	else
		echo "$1"
	fi
}

# build_userspace [PROGRAM...] : builds all programs, or at least these. Sets and exports
# REPOLL_PROGRAMS, their folder: processes in the root file system must not compute the key again,
# as the sources may have changed meanwhile.
build_userspace() {
	local all some=''
	ensure_crates
	all=$REPOLL_CACHE/programs-$(userspace_key)
	[[ $# == 0 || -d $all ]] || printf -v some '+%s' "$@"
	REPOLL_PROGRAMS=$all$some
	export REPOLL_PROGRAMS
	[[ $some ]] || set --
	make_artefact "$REPOLL_PROGRAMS" make_programs "$(build_folder cargo)/$(rust_target)/release" "$@"
	touch "$REPOLL_PROGRAMS"
}

# make_programs FOLDER BUILT [PROGRAM...]
make_programs() {
	local built=$2 show=quietly unknown
	[[ -d $built ]] || show=step
	with_lock "build-$(key_of "$(build_folder cargo)")" "$show" "build the userspace" build_programs "$@"
	[[ ${1%.partial} == "$REPOLL_CACHE/programs-$(userspace_key)"* ]] ||
		die "the sources of the programs changed during the build" "run the command again"
	unknown=$(find "$built" -maxdepth 1 -name '*.d' ! -name 'lib*' -exec cat {} + | tr ' ' '\n' | grep "^$checkout/" | xargs -r realpath | sort -u |
		comm -23 - <(cd "$checkout" && userspace_sources | sed "s|^|$checkout/|" | sort))
	[[ -z $unknown ]] || die "programs are built from files that are missing in their key" "add them to userspace_sources:" "$unknown"
	# Programs that were last used more than a week ago.
	find "$REPOLL_CACHE" -mindepth 1 -maxdepth 1 -name 'programs-*' -mtime +7 -exec rm -rf {} +
}

# build_programs FOLDER BUILT [PROGRAM...] : builds programs and copies them from BUILT, the folder
# of cargo's output, to FOLDER.
build_programs() {
	local folder=$1 built=$2
	shift 2
	! is_cross || build_host_programs "$folder/host"
	if (($#)); then
		compiling "$@"
		run_cargo build --release --locked --offline "${@/#/--bin=}"
		cp -t "$folder" "${@/#/"$built/"}"
		return
	fi
	compiling
	run_cargo build --release --locked --offline
	build_preload "$folder"
	find "$built" -maxdepth 1 -type f -executable -exec cp -t "$folder" {} +
}

# build_host_programs FOLDER : builds the programs that run on the host beside a guest of another
# architecture.
build_host_programs() {
	run_cargo_for_host build --release --locked --offline --package repoll-peer
	mkdir "$1"
	cp -t "$1" "$(build_folder cargo)/$(REPOLL_ARCH=$(host_arch) && rust_target)/release/repoll-peer"
}

# host_programs : the folder of the programs that run on the host.
host_programs() { printf '%s%s\n' "$(programs_folder)" "$(! is_cross || echo /host)"; }

# dynamic_tests : repoll-tests as a dynamically linked program, into which a library can be loaded.
dynamic_tests() { printf '%s/%s/release/repoll-tests\n' "$(build_folder dynamic)" "$(rust_target)"; }

# build_dynamic_tests : builds it, without the flags of tools/.cargo/config.toml.
build_dynamic_tests() {
	ensure_crates
	compiling repoll-tests
	CARGO_ENCODED_RUSTFLAGS='' with_lock "build-$(key_of "$(build_folder dynamic)")" step "build repoll-tests, linked dynamically" \
		run_cargo build --release --locked --offline --package repoll-tests --target-dir "$(build_folder dynamic)"
}

# build_preload FOLDER : builds the library that repoll-exec loads into programs. As it is a shared
# object, it is built without the flags of tools/.cargo/config.toml.
build_preload() {
	local target
	target=$(build_folder preload)
	mkdir -p "$target"
	CARGO_ENCODED_RUSTFLAGS='' run_cargo rustc --profile preload --locked --offline --package repoll-preload \
		--features interpose --crate-type cdylib --target-dir "$target"
	install -m 644 -t "$1" "$target/$(rust_target)/preload/librepoll_preload.so"
}
