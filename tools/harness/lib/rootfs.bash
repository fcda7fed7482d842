# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The root file system: Debian with the toolchain, QEMU and virtme-ng. Everything is built and
# booted in it, on any host. The one exception is a kernel of another suite with its module, which
# is built in a root file system of that suite that contains only the compilers.

read -r REPOLL_RUSTC REPOLL_BINDGEN REPOLL_GCC REPOLL_LLVM < <(toolchain_of "$REPOLL_SUITE") ||
	die "$kernel_table has no line 'root $REPOLL_SUITE'" "known: $(table_rows root | awk '{ print $1 }' | paste -sd' ')"

# name_versions GCC LLVM : replaces GCC, LLVM and QEMU in the list of packages on standard input.
name_versions() {
	sed -e '/^#/d' -e '/^$/d' -e "s/GCC/$1/" -e "s/LLVM/$2/" -e "s/QEMU/$([[ $(host_arch) == arm64 ]] && echo arm || echo x86)/"
}

rootfs_packages() { name_versions "$REPOLL_GCC" "$REPOLL_LLVM" <"$harness/config/packages"; }
kernel_root_packages() { sed '/^# =====/q' "$harness/config/packages" | name_versions "$kernel_gcc" "$kernel_llvm"; }

rootfs_folder() {
	printf '%s/rootfs-%s\n' "$REPOLL_CACHE" "$(key_of "$REPOLL_SUITE" "$REPOLL_RUSTC" "$REPOLL_BINDGEN" "$REPOLL_VIRTME_NG" \
		"$(rootfs_packages)" "$(declare -f make_rootfs unpack_suite finish_rootfs check_toolchain)")"
}

# kernel_root_folder : the root file system with the compilers that built the chosen kernel.
kernel_root_folder() {
	if [[ $kernel_root == "$REPOLL_SUITE" ]]; then
		rootfs_folder
	else
		printf '%s/rootfs-%s-%s\n' "$REPOLL_CACHE" "$kernel_root" "$(key_of "$kernel_rustc" "$kernel_bindgen" \
			"$(kernel_root_packages)" "$(declare -f unpack_suite check_toolchain)")"
	fi
}

ensure_rootfs() {
	[[ -d $(rootfs_folder) ]] && return
	check_host
	need_space 6 "the root file system, the kernel and the builds"
	make_artefact "$(rootfs_folder)" make_rootfs
}

ensure_kernel_root() {
	[[ -d $(kernel_root_folder) ]] && return
	check_host
	need_space 5 "the root file system of $kernel_root, a kernel and its build"
	make_artefact "$(kernel_root_folder)" make_kernel_root
}

make_rootfs() {
	step "make the root file system (Debian $REPOLL_SUITE, 2.2 GB)" unpack_suite "$1" "$REPOLL_SUITE" "$(rootfs_packages | paste -sd,)"
	step "install virtme-ng $REPOLL_VIRTME_NG, check the toolchain" finish_rootfs "$1"
}

make_kernel_root() {
	step "make the root file system of $kernel_root, for its compilers (2.3 GB)" \
		unpack_suite "$1" "$kernel_root" "$(kernel_root_packages | paste -sd,)"
	step "check the toolchain of $kernel_root" check_toolchain "$1" "$kernel_rustc" "$kernel_bindgen" "$kernel_gcc" "$kernel_llvm"
}

# unpack_suite FOLDER SUITE PACKAGE,... : makes a root file system. Expired package lists are
# accepted, as in read_lists.
unpack_suite() {
	local mirror options
	mirror=$(debian_mirror)
	options=(--variant=apt --include="$3" --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Languages "none"'
		--aptopt='Acquire::Check-Valid-Until "false"')
	if ((EUID == 0)); then
		mmdebstrap "${options[@]}" "$2" "$1" ${mirror:+"$mirror"}
	else
		mmdebstrap "${options[@]}" --mode=unshare "$2" "$1.tar" ${mirror:+"$mirror"}
		unshare --user --map-root-user --map-auto -- tar -C "$1" -x --exclude='./dev/*' -f "$1.tar"
		rm "$1.tar"
	fi
}

# finish_rootfs FOLDER : installs virtme-ng; adds the backports of the suite, for --install.
# shellcheck disable=SC2016
finish_rootfs() {
	REPOLL_ROOTFS=$1 enter --online -- bash -euc '
		sed -n "s/ $1 / $1-backports /p" /etc/apt/sources.list >/etc/apt/sources.list.d/backports.list
		apt-get -q update
		pip install --quiet --break-system-packages --root-user-action=ignore "virtme-ng==$2"
	' finish_rootfs "$REPOLL_SUITE" "$REPOLL_VIRTME_NG"
	check_toolchain "$1" "$REPOLL_RUSTC" "$REPOLL_BINDGEN" "$REPOLL_GCC" "$REPOLL_LLVM"
}

# check_toolchain FOLDER RUSTC BINDGEN GCC LLVM : fails unless the compilers have the pinned
# versions; writes etc/repoll-toolchain. The kernel's Rust symbols match only the compiler that
# built it.
# shellcheck disable=SC2016
check_toolchain() {
	REPOLL_ROOTFS=$1 enter -- bash -euc '
		rustc --version | grep -q "^rustc $1\." || { echo "rustc is $(rustc --version), pinned is $1"; exit 1; }
		bindgen --version | grep -q "^bindgen $2\." || { echo "bindgen is $(bindgen --version), pinned is $2"; exit 1; }
		{ rustc -vV; bindgen --version; "gcc-$3" --version; "clang-$4" --version; } >/etc/repoll-toolchain
	' check_toolchain "${@:2}"
}
