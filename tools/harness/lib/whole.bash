# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The disk of the guest that make whole and make programs boot: Debian with systemd as process 1
# and servers. A guest writes to a copy that ends with it, so each boot is the first one. The disk
# has only packages; the guest's initramfs adds the files of guest/whole.

# Packages that the host's side needs, in a layer over the root file system.
whole_tools=e2fsprogs,musl-tools,openssh-client

whole_packages() { sed -e '/^#/d' -e '/^$/d' "$harness/config/whole-packages"; }

whole_folder() {
	printf '%s/whole-%s-%s\n' "$REPOLL_CACHE" "$REPOLL_ARCH" \
		"$(key_of "$REPOLL_SUITE" "$(whole_packages)" "$(declare -f make_whole unpack_suite make_disk)")"
}

whole_disk() { printf '%s/disk\n' "$(whole_folder)"; }

# machine_option WORD... : takes the option at the front, if it is one of the machine's; sets the
# variable of its name and $taken, the number of words.
machine_option() {
	local name
	taken=0
	case $1 in
	--requests | --kernel | --smp | --memory | --append | --boot-limit | --inside) ;;
	*) return 0 ;;
	esac
	(($# > 1)) || die "$1 needs a value"
	case $1 in
	--kernel | --append | --inside) ;;
	--memory) [[ $2 =~ ^[1-9][0-9]*[MG]?$ ]] || die "--memory must be a size such as 512M or 2G, not '$2'" ;;
	*) [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || die "$1 must be a number, not '$2'" ;;
	esac
	name=${1#--}
	printf -v "${name//-/_}" %s "$2"
	taken=2
}

# machine_defaults : checks the options and sets those that were not given.
machine_defaults() {
	check_flavour "$kernel"
	: "${memory:=$([[ $kernel == debug* ]] && echo 4G || echo 2G)}"
	: "${boot_limit:=$([[ $kernel == debug* ]] && echo 300 || echo 120)}"
}

# program_rows : the rows of config/programs.
program_rows() { sed -e '/^#/d' -e '/^$/d' "$harness/config/programs"; }

unit_of() { program_rows | awk -v "name=$1" '$1 == name { print $3 }'; }

# ensure_whole : builds the disk and the layer with the tools of the host's side.
ensure_whole() {
	! is_cross || die "make whole supports only guests of the host's architecture, $(host_arch)" "unset ARCH and REPOLL_KERNEL"
	ensure_rootfs
	ensure_layer "$whole_tools"
	[[ ! -d $(whole_folder) ]] || return 0
	need_space 4 "the disk of the whole machine"
	make_artefact "$(whole_folder)" make_whole
}

make_whole() {
	mkdir "$1/root"
	step "make a Debian $REPOLL_SUITE with systemd and servers (1 GB)" \
		unpack_suite "$1/root" "$REPOLL_SUITE" "$(whole_packages | paste -sd,)"
	step "make its disk" make_disk "$1"
}

# make_disk FOLDER : makes FOLDER/disk of the files in FOLDER/root, which it removes.
make_disk() {
	enter --layer "$(layer_folder "$whole_tools")" -- \
		mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -d "$1/root" "$1/disk" 4G
	remove_tree "$1/root"
}
