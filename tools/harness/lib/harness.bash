# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by every script of the harness: sets the folders and sources the common libraries.

harness=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
checkout=${harness%/tools/harness}

. "$harness/config/versions"
. "$harness/lib/messages.bash"
. "$harness/lib/cache.bash"
. "$harness/lib/kernels.bash"
select_kernel
. "$harness/lib/host.bash"
. "$harness/lib/rootfs.bash"
. "$harness/lib/cross.bash"
. "$harness/lib/kernel.bash"
. "$harness/lib/kbuild.bash"
. "$harness/lib/module.bash"
. "$harness/lib/userspace.bash"
. "$harness/lib/accel.bash"

enter() { "$harness/cmd/enter" "$@"; }
