# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Mirrors of stub packages, for selftest, and a cache that has the real root file system but takes
# its kernels from such a mirror.

# make_mirror FOLDER [ABI VERSION]... : makes a mirror with one suite, which has the packages of
# each kernel for two flavours. An ABI that begins with "-" has no source package.
make_mirror() {
	rm -rf "$1"
	mkdir -p "$1"
	# shellcheck disable=SC2016
	enter -- bash -euc '
		cd "$1"
		suite=$2 arch=$3
		shift 3
		lists=dists/$suite/main/binary-$arch
		mkdir -p pool "$lists"
		# package NAME VERSION : packs the files in tree
		package() {
			local file=pool/$1_$2.deb
			mkdir tree/DEBIAN
			printf "%s: %s\n" Package "$1" Version "$2" Architecture "$arch" Maintainer nobody Description stub >tree/DEBIAN/control
			dpkg-deb --build --root-owner-group -Znone tree "$file" >/dev/null
			{
				cat tree/DEBIAN/control
				printf "%s: %s\n" Filename "$file" Size "$(stat -c %s "$file")" SHA256 "$(sha256sum "$file" | cut -d" " -f1)" ""
			} | sed "s/^: $//" >>"$lists/Packages"
			rm -r tree
		}
		: >"$lists/Packages"
		while (($#)); do
			abi=${1#-}
			for flavour in fast slow; do
				for part in modules headers base binary; do
					mkdir -p "tree/usr/lib/modules/$abi-$flavour"
					[[ $part != binary ]] || echo "$abi" >"tree/usr/lib/modules/$abi-$flavour/vmlinuz"
					package "linux-$part-$abi-$flavour" "$2"
				done
			done
			if [[ $1 != -* ]]; then
				series=$(cut -d. -f1,2 <<<"${abi%%+*}")
				mkdir -p "linux-source-$series" tree/usr/src
				echo "$2" >"linux-source-$series/Makefile"
				tar -cJf "tree/usr/src/linux-source-$series.tar.xz" "linux-source-$series"
				rm -r "linux-source-$series"
				package "linux-source-$series" "$2"
			fi
			shift 2
		done
		printf "Suite: %s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nValid-Until: Thu, 08 Jan 2026 00:00:00 UTC\nSHA256:\n %s %s main/binary-%s/Packages\n" \
			"$suite" "$(sha256sum "$lists/Packages" | cut -d" " -f1)" "$(stat -c %s "$lists/Packages")" "$arch" >"dists/$suite/Release"
	' make_mirror "$1" stubs "$REPOLL_ARCH" "${@:2}"
}

# make_stub_table FILE : writes a table of kernels with rows for these mirrors.
make_stub_table() {
	grep "^root $REPOLL_SUITE " "$kernel_table" >"$1"
	cat >>"$1" <<-EOT
		kernel new  $REPOLL_ARCH $REPOLL_SUITE stubs 7.3 7.3.4+deb13  7.3.4-1  fast 2026-11-27 must
		kernel slow $REPOLL_ARCH $REPOLL_SUITE stubs 7.3 7.3.4+deb13  7.3.4-1  slow 2026-11-27 must
		kernel old  $REPOLL_ARCH $REPOLL_SUITE stubs 7.2 7.2.12+deb13 7.2.12-1 fast 2026-11-27 must
		kernel rc   $REPOLL_ARCH $REPOLL_SUITE stubs any 7.4          7.4~rc1  fast 2026-11-27 may
	EOT
}

# stub_kernel FOLDER KERNEL : fetches the kernel of the row KERNEL from FOLDER/mirror into
# FOLDER/cache; prints its release and the version of its source.
stub_kernel() {
	local cache=$1/cache root
	root=$(rootfs_folder)
	mkdir -p "$cache"
	ln -sfn "$root" "$cache/${root##*/}"
	# shellcheck disable=SC2016
	env -u ARCH REPOLL_CACHE="$cache" REPOLL_KERNELS="$1/kernels" REPOLL_KERNEL="$2" REPOLL_MIRROR="file:$1/mirror" \
		bash -euo pipefail -c '
			. "$1/lib/harness.bash"
			ensure_kernel
			[[ -s $(kernel_image stock) ]]
			echo "$(kernel_release) of $(<"$(kernel_folder)/source/Makefile")"
		' "${0##*/}" "$harness"
}
