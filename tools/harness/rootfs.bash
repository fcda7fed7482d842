# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The root file system: Debian with the toolchain, QEMU and virtme-ng. It is the
# one environment that everything is built and booted in, whatever the host is.

rootfs_packages() { sed -e '/^#/d' -e '/^$/d' -e "s/GCC/$REPOLL_GCC/" -e "s/LLVM/$REPOLL_LLVM/" "$harness/packages"; }

rootfs_folder() {
	printf '%s/rootfs-%s\n' "$REPOLL_CACHE" "$(key_of "$REPOLL_SUITE" "$REPOLL_RUSTC" "$REPOLL_BINDGEN" "$REPOLL_VIRTME_NG" \
		"$(rootfs_packages)" "$(declare -f make_rootfs unpack_suite finish_rootfs)")"
}

ensure_rootfs() {
	[[ -d $(rootfs_folder) ]] && return
	check_host
	need_space 6 "the root file system, the kernel and the builds"
	make_artefact "$(rootfs_folder)" make_rootfs
}

make_rootfs() {
	step "make the root file system (Debian $REPOLL_SUITE, 2.2 GB)" unpack_suite "$1"
	step "install virtme-ng $REPOLL_VIRTME_NG, check the toolchain" finish_rootfs "$1"
}

unpack_suite() {
	local mirror include options
	mirror=$(debian_mirror)
	include=$(rootfs_packages | paste -sd,)
	options=(--variant=apt --include="$include" --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Languages "none"')
	if ((EUID == 0)); then
		mmdebstrap "${options[@]}" "$REPOLL_SUITE" "$1" ${mirror:+"$mirror"}
	else
		mmdebstrap "${options[@]}" --mode=unshare "$REPOLL_SUITE" "$1.tar" ${mirror:+"$mirror"}
		unshare --user --map-root-user --map-auto -- tar -C "$1" -x --exclude='./dev/*' -f "$1.tar"
		rm "$1.tar"
	fi
}

# The kernel comes from the backports of the same mirror.
# shellcheck disable=SC2016
finish_rootfs() {
	REPOLL_ROOTFS=$1 enter --online -- bash -euc '
		sed -n "s/ $1 / $1-backports /p" /etc/apt/sources.list >/etc/apt/sources.list.d/backports.list
		apt-get -q update
		pip install --quiet --break-system-packages --root-user-action=ignore "virtme-ng==$2"
		rustc --version | grep -q "^rustc $3\." || { echo "rustc is $(rustc --version), pinned is $3"; exit 1; }
		bindgen --version | grep -q "^bindgen $4\." || { echo "bindgen is $(bindgen --version), pinned is $4"; exit 1; }
		{ rustc -vV; bindgen --version; "gcc-$5" --version; "clang-$6" --version; } >/etc/repoll-toolchain
	' finish_rootfs "$REPOLL_SUITE" "$REPOLL_VIRTME_NG" "$REPOLL_RUSTC" "$REPOLL_BINDGEN" "$REPOLL_GCC" "$REPOLL_LLVM"
}
