# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Configured kernel trees to build the module against.
#   stock      Debian's kernel; only its Rust metadata is rebuilt
#   debug      a small kernel with KASAN, lockdep and other checks
#   debug-rt   the debug kernel with PREEMPT_RT and without KASAN

known_flavours='stock debug debug-rt'

check_flavour() {
	[[ " $known_flavours " == *" $1 "* ]] || die "unknown kernel flavour '$1'" "known: $known_flavours"
}

# kbuild_folder FLAVOUR : the build folder. The debug kernel's key ignores the folder that holds its
# configuration, as that makes no difference to the kernel.
kbuild_folder() {
	local recipe
	case $1 in
	stock) recipe=$(declare -f build_stock) ;;
	debug) recipe=$(declare -f build_debug | sed 's|/config/|/|'; cat "$harness"/config/kernel-config/{base,debug}.config) ;;
	debug-rt) recipe=$(declare -f build_debug_rt; debug_rt_config) ;;
	esac
	printf '%s/kbuild-%s-%s\n' "$REPOLL_CACHE" "$1" \
		"$(key_of "$(kernel_release)" "$(<"$(kernel_root_folder)/etc/repoll-toolchain")" "$recipe")"
}

# source_version : the version in the Makefile of the kernel's source.
source_version() {
	sed -nE '/^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) =/ { s/.*= *//; p }' "$(kernel_folder)/source/Makefile" |
		paste -sd. | sed 's/\.\([^.0-9][^.]*\)$/\1/; s/\.$//'
}

# kbuild_arguments FLAVOUR : the arguments for every make of this flavour, one per line.
kbuild_arguments() {
	local cross='' release
	release=$(kernel_release)
	[[ $REPOLL_ARCH == amd64 ]] || printf '%s\n' "ARCH=$REPOLL_ARCH"
	case $1 in
	stock)
		if is_cross; then
			cross=$(arch_triplet)-
			printf '%s\n' "CROSS_COMPILE=$cross"
		fi
		printf '%s\n' "CC=${cross}gcc-$kernel_gcc" "LOCALVERSION=${release#"${release%%[!0-9.]*}"}"
		# The release of Debian's release candidates does not begin with the source's
		# version.
		[[ $release == "$(source_version)"* ]] || printf '%s\n' "KERNELRELEASE=$release"
		;;
	debug | debug-rt) printf '%s\n' "LLVM=-$kernel_llvm" ;;
	esac
}

# enter_kernel ... : like enter, in the root file system with the compilers of the chosen kernel.
enter_kernel() { REPOLL_ROOTFS=$(kernel_root_folder) enter "$@"; }

kernel_image() {
	case $1 in
	stock) printf '%s/usr/lib/modules/%s/vmlinuz\n' "$(kernel_folder)" "$(kernel_release)" ;;
	debug | debug-rt) printf '%s/%s\n' "$(kbuild_folder "$1")" \
		"$([[ $REPOLL_ARCH == amd64 ]] && echo arch/x86/boot/bzImage || echo "arch/$REPOLL_ARCH/boot/Image")" ;;
	esac
}

ensure_kbuild() {
	ensure_kernel
	local folder
	folder=$(kbuild_folder "$1")
	if [[ -e $folder/.complete ]]; then
		[[ $folder/source -ef $(kernel_folder)/source ]] && return
		rm -f "$folder/.complete" # the source has been unpacked again
	fi
	need_space 1 "the $1 kernel's build"
	check_rust "$(kernel_folder)/usr/lib/modules/$(kernel_release)/config"
	make_in_place "$folder" "make_kbuild_${1//-/_}"
}

# check_rust CONFIG : fails unless the configuration of a stock kernel has Rust.
check_rust() {
	grep -qx CONFIG_RUST=y "$1" ||
		die "Linux $(kernel_release) was built without Rust: its configuration lacks CONFIG_RUST=y" \
			"choose a kernel with Rust: set REPOLL_KERNEL to one of $(kernel_names | paste -sd' ')"
}

make_kbuild_stock() {
	REPOLL_ROOTFS=$(kernel_root_folder) step "rebuild the Rust metadata of Linux $(kernel_release)" build_stock "$1"
}
make_kbuild_debug() { make_own_kernel debug "$1"; }
make_kbuild_debug_rt() { make_own_kernel debug-rt "$1"; }

# make_own_kernel KIND FOLDER
make_own_kernel() {
	[[ $REPOLL_ARCH == amd64 ]] || die "the $1 kernel has no configuration for $REPOLL_ARCH" "use a kernel of amd64"
	REPOLL_ROOTFS=$(kernel_root_folder) step "build the $1 kernel (12 to 15 minutes on 2 idle cores)" "build_${1//-/_}" "$2"
}

build_stock() {
	local arguments kernel release
	kernel=$(kernel_folder) release=$(kernel_release)
	mapfile -t arguments < <(kbuild_arguments stock)
	cp "$kernel/usr/lib/modules/$release/config" "$1/.config"
	enter -- make -s -C "$kernel/source" O="$1" "${arguments[@]}" olddefconfig prepare modules_prepare "-j$(nproc)"
	cp "$kernel/usr/src/linux-headers-$release/"{Module.symvers,vmlinux} "$1/"
}

build_debug() {
	local arguments kernel
	kernel=$(kernel_folder)
	mapfile -t arguments < <(kbuild_arguments debug)
	if [[ ! -e $1/.configured ]]; then
		cat "$harness"/config/kernel-config/{base,debug}.config >"$1/wanted.config"
		enter -- make -s -C "$kernel/source" O="$1" KCONFIG_ALLCONFIG="$1/wanted.config" "${arguments[@]}" allnoconfig
		check_options_stuck "$1/wanted.config" "$1/.config"
		touch "$1/.configured"
	fi
	enter -- make -s -C "$kernel/source" O="$1" "${arguments[@]}" "-j$(nproc)" bzImage modules
}

# debug_rt_config : the options of the debug-rt kernel; the last setting of each option wins.
debug_rt_config() {
	cat "$harness"/config/kernel-config/{base,debug,debug-rt}.config | tac | awk -F= '/^CONFIG_/ && !seen[$1]++' | tac
}

build_debug_rt() {
	local arguments kernel
	kernel=$(kernel_folder)
	mapfile -t arguments < <(kbuild_arguments debug-rt)
	if [[ ! -e $1/.configured ]]; then
		debug_rt_config >"$1/wanted.config"
		enter -- make -s -C "$kernel/source" O="$1" KCONFIG_ALLCONFIG="$1/wanted.config" "${arguments[@]}" allnoconfig
		check_options_stuck "$1/wanted.config" "$1/.config"
		touch "$1/.configured"
	fi
	enter -- make -s -C "$kernel/source" O="$1" "${arguments[@]}" "-j$(nproc)" bzImage modules
}

# check_options_stuck WANTED CONFIG : fails if Kconfig silently dropped an option of WANTED, as it
# does when a dependency is missing.
check_options_stuck() {
	local line name dropped=()
	while read -r line; do
		name=${line%%=*}
		case $line in
		*=n) ! grep -q "^$name=" "$2" || dropped+=("$line") ;;
		*) grep -qxF "$line" "$2" || dropped+=("$line") ;;
		esac
	done < <(grep '^CONFIG_' "$1")
	((${#dropped[@]} == 0)) || { printf 'Kconfig dropped: %s\n' "${dropped[@]}"; return 1; }
}
