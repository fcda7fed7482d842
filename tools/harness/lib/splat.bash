# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Kernel messages that make a guest fail, whatever its exit status.

splat_words='BUG:|WARNING:|Oops[: ]|general protection fault|Kernel panic|KASAN:|KCSAN:|UBSAN:|kmemleak: [1-9]'
splat_words+='|Unable to handle|unable to handle|Internal error:|Call [Tt]race:|rust_kernel: panicked|cut here'
splat_words+='|possible circular locking|possible recursive locking|possible irq lock inversion|inconsistent lock state'
splat_words+='|suspicious RCU usage|sleeping function called|scheduling while atomic|bad unlock balance|held lock freed'
splat_words+='|INFO: task .* blocked|INFO: lockdep|detected stall|self-detected stall|soft lockup|hard LOCKUP|refcount_t:'
splat_words+='|list_(add|del) corruption|ODEBUG:|Object .* leaked|Objects remaining|double free|Bad page state'
# The message for a guest that failed by a fault of QEMU. A suite of tests that finds it repeats the
# run.
emulator_failed='QEMU ran code that the kernel had replaced'

# show_splat LOG : prints the first splat with its context; fails if there is none.
show_splat() {
	local line
	line=$(grep -anE -m 1 "$splat_words" "$1" | cut -d: -f1) || return 1
	[[ $line ]] || return 1
	sed -n "$((line > 3 ? line - 3 : 1)),$((line + 60))p" "$1" | tr -d '\r' | sed 's/^/    | /'
}

# emulator_fault LOG : succeeds if QEMU, not the guest, is at fault: the first splat is a breakpoint
# trap, but the byte in memory is not a breakpoint (int3, cc). The kernel patches its code with a
# temporary breakpoint. QEMU discards its translation of the old code before it stores the new byte;
# a virtual CPU that translates in between, in another thread, keeps the breakpoint for ever.
emulator_fault() {
	[[ $(grep -aE -m 1 "$splat_words" "$1") == *'Oops: int3: '* ]] || return 1
	local before
	before=$(sed -n '/Oops: int3: /,$ {s/.*\] Code: .* \([0-9a-f][0-9a-f]\) <.*/\1/p;T;q}' "$1")
	[[ $before && $before != cc ]]
}
