# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The few tools that the host must have. Everything else is in the root file system.

check_host() {
	local missing=()
	[[ $(uname -s) == Linux && $(host_arch) ]] ||
		die "this is $(uname -s) on $(uname -m), but repoll needs Linux on x86-64 or arm64" "use such a machine"
	have mmdebstrap || missing+=(mmdebstrap)
	have unshare || missing+=(util-linux)
	have flock || missing+=(util-linux)
	((EUID == 0)) || have newuidmap || missing+=(uidmap)
	((${#missing[@]} == 0)) || install_on_host "${missing[@]}"
	((EUID == 0)) || check_user_namespaces
}

have() { command -v "$1" >/dev/null; }

install_on_host() {
	if ((EUID == 0)) && have apt-get; then
		step "install $* on the host" apt_install_on_host "$@"
	elif have apt-get; then
		die "this host lacks: $*" "as root: apt-get install $*"
	else
		die "this host lacks: $*" \
			"it is not based on Debian: install packages of these names from your distribution" \
			"(mmdebstrap makes the Debian $REPOLL_SUITE guest, which contains all other tools)"
	fi
}

apt_install_on_host() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get update
	apt-get install -y --no-install-recommends "$@"
}

check_user_namespaces() {
	unshare --user --map-root-user --map-auto --mount --pid --fork true 2>/dev/null ||
		die "user $(id -un) cannot make a user namespace with mapped ids" \
			"run as root, or let root add a range for this user: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)" \
			"and check that kernel.unprivileged_userns_clone, or its AppArmor equivalent, allows it"
}

# debian_mirror : $REPOLL_MIRROR, or a Debian host's own mirror, or nothing for mmdebstrap's
# default.
debian_mirror() {
	if [[ ${REPOLL_MIRROR-} ]]; then
		printf '%s\n' "$REPOLL_MIRROR"
	elif have apt-get && grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
		# shellcheck disable=SC2016
		apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
			sed -n '/^Debian /{s/^Debian //p;q}'
	fi
}
