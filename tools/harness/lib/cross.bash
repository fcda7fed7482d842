# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Guests of another architecture than the host's. Their compilers, C library, QEMU and busybox are
# in a layer over a root file system; only builds and guests of that architecture see the layer. A
# host of that architecture needs no layer.

# cross_layer ROOT : the layer over the root file system ROOT.
cross_layer() {
	printf '%s/cross-%s-%s\n' "$REPOLL_CACHE" "$REPOLL_ARCH" "$(key_of "$1" "$(cross_gcc "$1")" "$(declare -f cross_packages install_cross)")"
}

# cross_gcc ROOT : the version of gcc in the layer over ROOT.
cross_gcc() { [[ $1 == "$(rootfs_folder)" ]] && echo "$REPOLL_GCC" || echo "$kernel_gcc"; }

# cross_packages GCC : the layer's packages, of the host's architecture unless the name says
# otherwise.
cross_packages() {
	printf '%s\n' "gcc-$1-$(arch_triplet | tr _ -)" "libc6-dev-$REPOLL_ARCH-cross" "libstd-rust-dev:$REPOLL_ARCH"
	case $REPOLL_ARCH in
	amd64) echo qemu-system-x86 ;;
	arm64) echo qemu-system-arm ;;
	esac
}

# ensure_cross ROOT : builds the layer over ROOT if one is needed and missing.
ensure_cross() {
	is_cross || return 0
	[[ -d $(cross_layer "$1") ]] || make_artefact "$(cross_layer "$1")" make_cross "$1"
}

make_cross() {
	REPOLL_ROOTFS=$2 step "install the compilers and QEMU for $REPOLL_ARCH in a layer of their own (850 MB)" install_cross "$1" "$(cross_gcc "$2")"
}

# Busybox is unpacked but not installed, as the package of the host's architecture is installed.
# shellcheck disable=SC2016
install_cross() {
	local packages
	mapfile -t packages < <(cross_packages "$2")
	enter --online --layer "$1" -- bash -euc '
		export DEBIAN_FRONTEND=noninteractive
		arch=$1 folder=$2
		shift 2
		dpkg --add-architecture "$arch"
		apt-get -q update
		apt-get -q -y --no-install-recommends install "$@"
		cd /tmp
		apt-get -q -o APT::Sandbox::User=root download "busybox-static:$arch"
		dpkg-deb -x busybox-static_*.deb "$folder"
		apt-get clean
	' install_cross "$REPOLL_ARCH" "$(cross_busybox)" "${packages[@]}"
}

cross_busybox() { printf '/opt/busybox-%s\n' "$REPOLL_ARCH"; }

# ---- differences between guests by architecture

# guest_cc : the compiler of the guest's programs.
guest_cc() { printf '%sgcc-%s\n' "$(! is_cross || printf '%s-' "$(arch_triplet)")" "$REPOLL_GCC"; }

guest_busybox() { printf '%s/usr/bin/busybox\n' "$(! is_cross || cross_busybox)"; }

guest_console() {
	case $REPOLL_ARCH in
	amd64) echo ttyS0 ;;
	arm64) echo ttyAMA0 ;;
	esac
}

# guest_machine [icount] : QEMU's command, machine and processor, one word per line. An amd64
# processor lacks la57 for the reason given for no5lvl in guest-rootfs. REPOLL_CPU overrides the
# processor.
guest_machine() {
	local cpu=max model=''
	[[ $REPOLL_ACCEL == tcg ]] || cpu=host
	case $REPOLL_ARCH in
	amd64)
		printf '%s\n' qemu-system-x86_64
		cpu+=,la57=off
		;;
	arm64)
		[[ $REPOLL_ACCEL == tcg ]] && model=,gic-version=3 || model=,gic-version=host
		printf '%s\n' qemu-system-aarch64 -M "virt$model"
		;;
	esac
	cpu=${REPOLL_CPU:-$cpu}
	case $REPOLL_ACCEL in
	kvm) printf '%s\n' -accel kvm -cpu "$cpu" ;;
	tcg) printf '%s\n' -accel "tcg,thread=$([[ ${1-} ]] && echo single || echo multi)" -cpu "$cpu" ;;
	esac
	[[ -z ${1-} ]] || printf '%s\n' -icount 'shift=0,sleep=off'
}
