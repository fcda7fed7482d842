# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# guest-rootfs for another architecture: boots as guest-initramfs does, then changes to a root file
# system of Debian packages. They are unpacked but not configured, as their programs cannot run on
# the host. The guest mounts the root by virtiofs, with the checkout and the cache at their usual
# paths.

# foreign_packages [PACKAGE,...] : the packages that the tests need, and those given.
foreign_packages() {
	printf '%s\n' base-files bash busybox-static coreutils dash diffutils findutils gcc grep gzip hostname kmod libc6-dev mawk mount \
		procps python3 sed tar util-linux
	[[ -z ${1-} ]] || tr , '\n' <<<"$1"
}

# foreign_root [PACKAGE,...] : the folder of the root file system.
foreign_root() {
	printf '%s/layer-%s-%s\n' "$REPOLL_CACHE" "$REPOLL_ARCH" \
		"$(key_of "$(rootfs_folder)" "$(foreign_packages "${1-}")" "$(declare -f unpack_foreign_root)")"
}

ensure_foreign_root() {
	[[ -d $(foreign_root "${1-}") ]] || make_artefact "$(foreign_root "${1-}")" make_foreign_root "${1-}"
}

make_foreign_root() { step "unpack a root file system of $REPOLL_ARCH (500 MB)" unpack_foreign_root "$1" "$2"; }

# unpack_foreign_root FOLDER [PACKAGE,...] : takes users, groups and the mirrors' lists from the
# host's root file system.
# shellcheck disable=SC2016
unpack_foreign_root() {
	local packages
	mapfile -t packages < <(foreign_packages "$2")
	enter --online -- bash -euc '
		cd "$1"
		arch=$2
		shift 2
		mkdir -p .apt/{lists,cache}/partial
		: >.apt/status
		cat >.apt/apt.conf <<-EOT
			APT::Architecture "$arch";
			APT::Architectures { "$arch"; };
			APT::Sandbox::User "root";
			Acquire::Languages "none";
			Acquire::Retries "3";
			Dir::State::lists "$PWD/.apt/lists";
			Dir::State::status "$PWD/.apt/status";
			Dir::Cache "$PWD/.apt/cache";
		EOT
		export APT_CONFIG=$PWD/.apt/apt.conf
		apt-get -q update
		apt-get -q -y --no-install-recommends --download-only install "$@"
		for package in .apt/cache/archives/*.deb; do dpkg-deb -x "$package" .; done
		rm -r .apt
		mkdir -p proc sys dev tmp run root var/tmp etc
		cp /etc/passwd /etc/group /etc/nsswitch.conf etc/
		# Links that the scripts of the packages would make.
		[[ -e usr/bin/sh ]] || ln -s dash usr/bin/sh
		[[ -e usr/bin/awk ]] || ln -s mawk usr/bin/awk
	' unpack_foreign_root "$1" "$REPOLL_ARCH" "${packages[@]}"
}

# ---- inside the root file system of the host

# share_foreign_root FOREIGN-ROOT MEMORY : starts virtiofsd and adds the file system to $qemu.
share_foreign_root() {
	local folder=/run/foreign
	mkdir -p "$folder"/{upper,work,root}
	mount -t overlay -o "lowerdir=$1,upperdir=$folder/upper,workdir=$folder/work" repoll "$folder/root"
	for place in "$checkout" "$REPOLL_CACHE"; do
		mkdir -p "$folder/root$place"
		mount --rbind "$place" "$folder/root$place"
	done
	/usr/libexec/virtiofsd --socket-path "$folder/socket" --shared-dir "$folder/root" --sandbox none --cache auto \
		>"$run/virtiofsd.log" 2>&1 &
	for _ in {1..100}; do
		[[ ! -S $folder/socket ]] || break
		sleep 0.05
	done
	[[ -S $folder/socket ]] || die "virtiofsd does not start" "$(<"$run/virtiofsd.log")"
	qemu+=(-object "memory-backend-memfd,id=memory,size=$2,share=on" -machine memory-backend=memory
		-chardev "socket,id=root,path=$folder/socket" -device vhost-user-fs-pci,chardev=root,tag=root)
}
