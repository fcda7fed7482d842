# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# The table of kernels and the choice of a row: REPOLL_KERNEL=NAME, or the first row of the
# architecture ARCH, or the first row of the host's architecture.

kernel_table=${REPOLL_KERNELS:-$harness/config/kernels}

# table_rows WORD : the rows that begin with WORD, without that word.
table_rows() { sed -n "s/^$1[[:space:]]\+//p" "$kernel_table"; }

kernel_names() { table_rows kernel | awk '{ print $1 }'; }

# kernels_of ARCH : the names of the rows of an architecture.
kernels_of() { table_rows kernel | awk -v "arch=$1" '$2 == arch { print $1 }'; }

# architecture_of NAME : Debian's name of an architecture, given its name in uname or in the kernel.
architecture_of() {
	case $1 in
	amd64 | x86_64 | x86) echo amd64 ;;
	arm64 | aarch64) echo arm64 ;;
	*) return 1 ;;
	esac
}

# host_arch : the host's architecture, or nothing if repoll does not support it.
host_arch() { architecture_of "$(uname -m)" || true; }

# arch_triplet : the GNU triplet of REPOLL_ARCH in the names of Debian's packages.
arch_triplet() {
	case $REPOLL_ARCH in
	amd64) echo x86_64-linux-gnu ;;
	arm64) echo aarch64-linux-gnu ;;
	esac
}

is_cross() { [[ $REPOLL_ARCH != "$(host_arch)" ]]; }

# select_kernel : sets kernel_*; sets and exports REPOLL_KERNEL and REPOLL_ARCH, which commands in
# the root file system inherit.
select_kernel() {
	local arch='' known name
	known=$(kernel_names | paste -sd' ')
	if [[ ${ARCH-} ]]; then
		arch=$(architecture_of "$ARCH") || die "unknown architecture ARCH='$ARCH'" "known: amd64 arm64"
	fi
	REPOLL_KERNEL=${REPOLL_KERNEL:-$(kernels_of "${arch:-$(host_arch)}" | sed 1q)}
	# check_host refuses an unsupported host later, when something is to be built.
	: "${REPOLL_KERNEL:=${known%% *}}"
	read -r name REPOLL_ARCH kernel_root kernel_suite kernel_series kernel_abi kernel_package kernel_flavour \
		kernel_day kernel_must \
		< <(table_rows kernel | awk -v "name=$REPOLL_KERNEL" '$1 == name') ||
		die "unknown kernel REPOLL_KERNEL='$REPOLL_KERNEL'" "known: $known" "see tools/harness/config/kernels"
	[[ $kernel_must == must || $kernel_must == may ]] || die "the row of $name in $kernel_table lacks a column"
	[[ -z $arch || $arch == "$REPOLL_ARCH" ]] ||
		die "the kernel $REPOLL_KERNEL is of $REPOLL_ARCH, but ARCH is '$ARCH'" "set only one of them"
	read -r kernel_rustc kernel_bindgen kernel_gcc kernel_llvm < <(toolchain_of "$kernel_root") ||
		die "$kernel_table has no line 'root $kernel_root'"
	export REPOLL_KERNEL REPOLL_ARCH
}

# toolchain_of SUITE : the versions of rustc, bindgen, gcc and llvm.
toolchain_of() { table_rows root | awk -v "suite=$1" '$1 == suite { print $2, $3, $4, $5 }'; }

# list_kernels : describes each kernel on a line, for tools/vm kernels.
list_kernels() {
	table_rows kernel | while read -r name _ root suite _ abi _ _ _ must; do
		printf '%-16s Linux %s of %s, rustc %s%s\n' "$name" "$abi" "$suite" "$(toolchain_of "$root" | cut -d' ' -f1)" \
			"$([[ $must == must ]] || echo '; may fail')"
	done
}
