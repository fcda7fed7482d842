# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by every script of the harness: where things are, and what there is.

harness=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=${harness%/tools/harness}

. "$harness/versions"
. "$harness/messages.bash"
. "$harness/cache.bash"
. "$harness/kernels.bash"
select_kernel
. "$harness/host.bash"
. "$harness/rootfs.bash"
. "$harness/cross.bash"
. "$harness/kernel.bash"
. "$harness/kbuild.bash"
. "$harness/module.bash"
. "$harness/userspace.bash"
. "$harness/accel.bash"

enter() { "$harness/enter" "$@"; }
