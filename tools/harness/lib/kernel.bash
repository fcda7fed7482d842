# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The stock kernel of the chosen row of the table: Debian's packages, unpacked but not installed,
# and the source, which all flavours of a version share. Each kernel has its own configuration of
# apt, so suites, architectures and concurrent runs do not mix.

kernel_folder() {
	printf '%s/kernel-%s-%s\n' "$REPOLL_CACHE" "$REPOLL_KERNEL" "$(key_of "$REPOLL_ARCH" "$kernel_suite" "$kernel_series" \
		"$kernel_abi" "$kernel_package" "$kernel_flavour" "$(declare -f fetch_kernel unpack_kernel)")"
}

# source_folder VERSION : the folder of the unpacked source package.
source_folder() { printf '%s/source-%s\n' "$REPOLL_CACHE" "$(key_of "$1" "$(declare -f unpack_source)")"; }

# kernel_release : the release (uname -r) of the kernel that was found.
kernel_release() { cat "$(kernel_folder)/release"; }

ensure_kernel() {
	ensure_rootfs
	ensure_kernel_root
	ensure_cross "$(rootfs_folder)"
	ensure_cross "$(kernel_root_folder)"
	[[ -d $(kernel_folder) && -d $(kernel_folder)/source ]] && return
	need_space 3 "the kernel and its source"
	with_lock kernel-without-source remove_without_source
	make_artefact "$(kernel_folder)" make_kernel
}

# remove_without_source : removes a kernel whose source has been removed; it cannot be used.
remove_without_source() { [[ -d $(kernel_folder)/source ]] || remove_tree "$(kernel_folder)"; }

# make_kernel FOLDER : finds, fetches and unpacks the kernel.
make_kernel() {
	local abi package series source
	find_kernel "$1/apt"
	step "download Linux $abi for $kernel_flavour" fetch_kernel "$1" "$abi" "$package"
	step "unpack Linux $abi for $kernel_flavour" unpack_kernel "$1" "$abi-$kernel_flavour"
	source=$(source_folder "$package")
	make_artefact "$source" make_source "$1/apt" "$series" "$package"
	ln -s "$source" "$1/source"
	rm -r "$1/apt"
}

# make_source FOLDER APT SERIES VERSION
make_source() {
	step "download and unpack the source of Linux $4 (2 GB)" unpack_source "$@"
}

# find_kernel APT : sets abi, package and series; prints a message if they are not the pinned ones.
# APT is the folder for apt's configuration and lists.
find_kernel() {
	local mirror
	mirror=$(kernel_mirror)
	step "read the mirror's package lists for $REPOLL_KERNEL" read_lists "$1" "deb $(trust_in "$mirror")$mirror $kernel_suite main"
	read -r abi package series < <(choose_kernel "$1" pinned) || true
	[[ ! ${abi-} ]] || return 0
	# shellcheck disable=SC2046
	read -r abi package series < <(choose_kernel "$1" newest $(supported_series)) || true
	if [[ ${abi-} ]]; then
		say "  the mirror no longer has Linux $kernel_abi ($kernel_package); taking $abi ($package), the newest supported kernel there for $kernel_flavour"
		return
	fi
	if [[ ${REPOLL_ARCHIVE-} ]]; then
		mirror=$REPOLL_ARCHIVE
		step "read the archive's package lists for $REPOLL_KERNEL" read_lists "$1" "deb $(trust_in "$mirror")$mirror $kernel_suite main"
		read -r abi package series < <(choose_kernel "$1" pinned) || true
		[[ ${abi-} ]] || die "neither the mirror nor the archive $mirror has Linux $kernel_abi ($kernel_package) for $kernel_flavour" \
			"set REPOLL_ARCHIVE to the archive's tree of $kernel_day"
		say "  the mirror has no supported Linux for $kernel_flavour; taking $abi ($package) from the archive $mirror"
		return
	fi
	die "the mirror $mirror has no supported Linux for $kernel_flavour in $kernel_suite, with its source" \
		"set REPOLL_ARCHIVE to an archive's tree of $kernel_day, which has the pinned $kernel_abi" \
		"or add a row for a newer kernel to tools/harness/config/kernels, or set REPOLL_MIRROR to another mirror"
}

# kernel_mirror : $REPOLL_MIRROR, or the mirror that the root file system was made from.
kernel_mirror() {
	if [[ ${REPOLL_MIRROR-} ]]; then
		printf '%s\n' "$REPOLL_MIRROR"
	else
		awk '$1 == "deb" { print $2; exit }' "$(rootfs_folder)/etc/apt/sources.list"
	fi
}

# trust_in MIRROR : apt's option for a mirror that needs no signature: a local folder.
trust_in() { [[ $1 != file:* ]] || printf '[trusted=yes] '; }

# supported_series : the series that may replace the pinned kernel's. Its own series comes first, as
# a row of an older series exists to test that series. The others follow, newest first: those of
# rows with "must" and the same architecture, flavour and suite, so that the same compilers built
# them.
supported_series() {
	table_rows kernel | awk -v "name=$REPOLL_KERNEL" -v "arch=$REPOLL_ARCH" -v "suite=$kernel_suite" -v "flavour=$kernel_flavour" \
		'$1 == name { print 1, $5 } $2 == arch && $4 == suite && $8 == flavour && $10 == "must" { print 0, $5 }' |
		sort -k1,1nr -k2,2Vr | awk '!seen[$2]++ { print $2 }'
}

# read_lists APT SOURCE-LINE : configures apt and updates its lists. Expired lists, of an archive or
# of a mirror that lags, are accepted: the pinned kernel is an old one.
read_lists() {
	rm -rf "$1"
	mkdir -p "$1"/{lists,cache}/partial
	echo "$2" >"$1/sources.list"
	cat >"$1/apt.conf" <<-EOT
		Dir::Etc::sourcelist "$1/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State::lists "$1/lists";
		Dir::Cache "$1/cache";
		APT::Architecture "$REPOLL_ARCH";
		APT::Architectures { "$REPOLL_ARCH"; };
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
		Acquire::Check-Valid-Until "false";
		Acquire::Languages "none";
		Acquire::Retries "3";
	EOT
	enter --online -- env "APT_CONFIG=$1/apt.conf" apt-get -q update
}

# choose_kernel APT pinned | APT newest SERIES... : prints ABI, package version and series of the
# pinned kernel, or of the newest kernel in the first series that has one. The series "any" stands
# for all series. A kernel is chosen only if the source of exactly the same version is available.
# shellcheck disable=SC2016
choose_kernel() {
	enter -- env "APT_CONFIG=$1/apt.conf" bash -c '
		flavour=$1 pinned_abi=$2 pinned_package=$3 which=$4
		shift 4
		names() { apt-cache pkgnames "$1" | sed -n "s/^$1//p"; }
		versions() { apt-cache madison "$1" 2>/dev/null | tr -d " " | cut -d"|" -f2 | sort -u; }
		sources=$(names linux-source- | sort -rV)
		# both ABI SERIES : the versions that have both the image and the source
		both() { comm -12 <(versions "linux-binary-$1-$flavour") <(versions "linux-source-$2"); }
		if [[ $which == pinned ]]; then
			for series in $sources; do
				[[ $pinned_abi == "$series" || $pinned_abi == "$series".* ]] || continue
				! both "$pinned_abi" "$series" | grep -qxF "$pinned_package" || echo "$pinned_abi $pinned_package $series"
			done
			exit
		fi
		[[ " $* " != *" any "* ]] || set -- $sources
		for series; do
			names "linux-binary-$series" | sed -n "s/^\(.*\)-$flavour\$/\1/p" | grep -E "^(\.|\$)" | grep -v -- - | sort -rV |
				while read -r rest; do
					package=$(both "$series$rest" "$series" | sort -V | tail -n 1)
					[[ -z $package ]] || { echo "$series$rest $package $series"; break; }
				done
		done | head -n 1
	' choose_kernel "$kernel_flavour" "$kernel_abi" "$kernel_package" "${@:2}"
}

# fetch_kernel FOLDER ABI VERSION
fetch_kernel() {
	local packages=() package
	for package in binary modules headers base; do
		packages+=("linux-$package-$2-$kernel_flavour=$3")
	done
	mkdir "$1/packages"
	# shellcheck disable=SC2016
	enter --online -- env "APT_CONFIG=$1/apt/apt.conf" bash -c 'cd "$1" && shift && apt-get -q download "$@"' fetch_kernel \
		"$1/packages" "${packages[@]}"
}

# unpack_kernel FOLDER RELEASE
# shellcheck disable=SC2016
unpack_kernel() {
	enter -- bash -euc '
		cd "$1"
		for package in packages/*.deb; do dpkg-deb -x "$package" .; done
		rm -r packages
		depmod -b usr "$2"
		echo "$2" >release
	' unpack_kernel "$1" "$2"
}

# unpack_source FOLDER APT SERIES VERSION
# shellcheck disable=SC2016
unpack_source() {
	enter --online -- env "APT_CONFIG=$2/apt.conf" bash -euc '
		cd "$1"
		mkdir .package
		(cd .package && apt-get -q download "linux-source-$2=$3" && dpkg-deb -x ./*.deb .)
		tar --strip-components=1 -xf .package/usr/src/linux-source-*.tar.xz
		rm -r .package
	' unpack_source "$1" "$3" "$4"
}
