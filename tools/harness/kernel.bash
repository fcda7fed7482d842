# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The stock kernel: Debian's packages and source, unpacked but not installed.

kernel_folder() {
	printf '%s/kernel-%s\n' "$REPOLL_CACHE" "$(key_of "$REPOLL_SUITE" "$REPOLL_KERNEL_SERIES" "$REPOLL_KERNEL_ABI" \
		"$REPOLL_KERNEL_PACKAGE" "$REPOLL_KERNEL_FLAVOUR" "$(declare -f fetch_kernel unpack_kernel)")"
}

# The release (uname -r) of the kernel that was found.
kernel_release() { cat "$(kernel_folder)/release"; }

ensure_kernel() {
	ensure_rootfs
	[[ -d $(kernel_folder) ]] && return
	need_space 3 "the kernel and its source"
	make_artefact "$(kernel_folder)" make_kernel
}

make_kernel() {
	local abi version
	step "read the mirror's package lists" enter --online -- apt-get -q update
	find_kernel
	step "download Linux $abi (210 MB)" fetch_kernel "$1" "$abi" "$version"
	step "unpack Linux $abi (2 GB)" unpack_kernel "$1" "$abi-$REPOLL_KERNEL_FLAVOUR"
}

# Sets abi and version, and says what it had to choose.
find_kernel() {
	read -r abi version < <(choose_kernel) || true
	[[ ${abi-} ]] ||
		die "the mirror has no Linux $REPOLL_KERNEL_SERIES for $REPOLL_SUITE, flavour $REPOLL_KERNEL_FLAVOUR, with its source" \
			"choose a series that it has: REPOLL_KERNEL_SERIES, _ABI, _PACKAGE in tools/harness/versions or the environment" \
			"or another mirror: REPOLL_MIRROR (and remove $(rootfs_folder), which holds the present one)"
	[[ $abi == "$REPOLL_KERNEL_ABI" ]] ||
		say "  the mirror no longer has Linux $REPOLL_KERNEL_ABI; taking $abi, the newest of series $REPOLL_KERNEL_SERIES"
}

# Prints ABI and package version: the pinned ones, or else the newest of the
# series. The image counts only if the source of the very same version is there.
# shellcheck disable=SC2016
choose_kernel() {
	enter -- bash -c '
		flavour=$1 series=$2 pinned_abi=$3 pinned_version=$4
		sources=$(apt-cache madison "linux-source-$series" | tr -d " " | cut -d"|" -f2)
		versions() { apt-cache madison "linux-binary-$1-$flavour" 2>/dev/null | tr -d " " | cut -d"|" -f2; }
		both() { comm -12 <(versions "$1" | sort -u) <(sort -u <<<"$sources"); }
		if both "$pinned_abi" | grep -qxF "$pinned_version"; then
			echo "$pinned_abi $pinned_version"
			exit
		fi
		apt-cache pkgnames "linux-binary-$series." | sed -n "s/^linux-binary-\(.*\)-$flavour\$/\1/p" |
			grep -v -- "-" | sort -rV | while read -r abi; do
				version=$(both "$abi" | sort -V | tail -n 1)
				[[ -z $version ]] || { echo "$abi $version"; break; }
			done
	' choose_kernel "$REPOLL_KERNEL_FLAVOUR" "$REPOLL_KERNEL_SERIES" "$REPOLL_KERNEL_ABI" "$REPOLL_KERNEL_PACKAGE"
}

fetch_kernel() {
	local release=$2-$REPOLL_KERNEL_FLAVOUR packages=() package
	for package in {binary,modules,headers,base}-"$release" "source-$REPOLL_KERNEL_SERIES"; do
		packages+=("linux-$package=$3")
	done
	mkdir "$1/packages"
	# shellcheck disable=SC2016
	enter --online -- bash -c 'cd "$1" && shift && apt-get -q -o APT::Sandbox::User=root download "$@"' fetch_kernel \
		"$1/packages" "${packages[@]}"
}

# shellcheck disable=SC2016
unpack_kernel() {
	enter -- bash -euc '
		cd "$1"
		for package in packages/*.deb; do dpkg-deb -x "$package" .; done
		tar -xf usr/src/linux-source-*.tar.xz
		mv linux-source-* source
		rm -r packages usr/src/linux-source-*.tar.xz
		depmod -b usr "$2"
		echo "$2" >release
	' unpack_kernel "$1" "$2"
}
