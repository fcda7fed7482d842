# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Debian packages in a layer over the root file system, for tools/vm run --install.

layer_folder() { printf '%s/layer-%s\n' "$REPOLL_CACHE" "$(key_of "$(rootfs_folder)" "$1")"; }

ensure_layer() {
	[[ -d $(layer_folder "$1") ]] && return
	make_artefact "$(layer_folder "$1")" make_layer "$1"
}

make_layer() { step "install $2 in a layer over the root file system" install_in_layer "$1" "$2"; }

# shellcheck disable=SC2016
install_in_layer() {
	enter --online --layer "$1" -- bash -euc '
		export DEBIAN_FRONTEND=noninteractive
		apt-get -q update
		apt-get -q -y --no-install-recommends install ${1//,/ }
		apt-get clean
	' install_in_layer "$2"
}
