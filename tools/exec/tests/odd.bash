# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016,SC2086
# Tests with odd.c, for in-guest: programs that make unusual calls and must print the same with and
# without repoll-exec.

build() { gcc -O1 -pthread -o "$@"; }
build_odd() {
	cat >early.c <<'EOF'
#include <sys/epoll.h>
static int epoll;
__attribute__((constructor)) static void early(void) { epoll = epoll_create1(0); }
int early_epoll(void) { return epoll; }
EOF
	cat >wrapper.c <<'EOF'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/epoll.h>
int epoll_wait(int epoll, struct epoll_event *events, int most, int limit)
{
	int (*next)(int, struct epoll_event *, int, int) = dlsym(RTLD_NEXT, "epoll_wait");
	int number = next(epoll, events, most, limit);
	printf("the wrapper saw %d\n", number);
	return number;
}
EOF
	build odd "$tests/odd.c" && build libearly.so -shared -fPIC early.c && build libwrapper.so -shared -fPIC wrapper.c
}

# same [-OPTION]... ARGUMENT... : fails unless odd's output and status are the same with and without
# repoll-exec. Writes the output of --stats to the file summary.
same() {
	local options=() plain=0 carried=0
	while [[ $1 == -* ]]; do options+=("$1"); shift; done
	timeout 60 ./odd "$@" >plain 2>plain-errors || plain=$?
	timeout 60 repoll-exec --stats "${options[@]}" ./odd "$@" >carried 2>summary || carried=$?
	diff plain carried && ((plain == carried && plain != 99)) && return 0
	echo "statuses $plain and $carried"
	cat plain plain-errors summary
	return 1
}
# says PATTERN... : fails unless the summary has a line for each PATTERN.
says() {
	local pattern
	for pattern; do grep -qE -- "$pattern" summary || { echo "missing: $pattern"; cat summary; return 1; }; done
}
# says_not PATTERN : fails if the summary has a line for PATTERN.
says_not() { ! grep -E -- "$1" summary || return 1; }

rings_are_refused() {
	local pattern
	for pattern in 'no rings: ENOSYS' '^wait: 1$' '^repoll-exec: rings of io_uring refused: 1 \(ENOSYS: .*--io-uring allows them'; do
		expect 0 "$pattern" repoll-exec --stats ./odd ring
	done
	expect 0 '^ring: 0$' ./odd ring
}
rings_are_allowed() { expect 0 '^ring: -22$' repoll-exec --io-uring ./odd ring; }

# The only allowed difference: an epoll from before the filter is an instance, with ioctls as calls.
but_for_those_from_before() {
	! grep '^[<>]' differences | grep -v 'an epoll from before' || { cat differences; return 1; }
}
after_a_filter() {
	local way error
	for way in 0 1; do
		for error in 1 22 38; do
			same --poll --select filter "$error" "$way" >differences || but_for_those_from_before
			says 'left to the C epoll: 5 epoll_create: a seccomp filter was installed there \(1 in all\)' \
				'left to the kernel: 1 select, 1 poll: a seccomp filter' 'odd: it installs a seccomp filter'
		done
		grep -q 'an epoll from before: epoll_ctl ENOSYS, epoll_wait ENOSYS' carried
		same --poll --select filter kill "$way"
	done
}
unseen_filter() {
	local error
	for error in 1 38; do
		same --poll --select filter "$error" 2 >differences || but_for_those_from_before
		says "left to the C epoll: 5 epoll_create: /dev/repoll can't be opened or used there" \
			"odd: calls are not carried: /dev/repoll can't be opened or used there"
	done
}
executed_in_a_sandbox() {
	same --poll filter-and-execute ./odd waits
	says 'left to the C epoll: 5 epoll_create: a seccomp filter was installed there'
}
started_in_a_sandbox() {
	# repoll-exec itself runs under the filter, which allows ioctl: all calls are carried.
	expect 0 'carried by repoll: 5 epoll_create' ./odd allow-and-execute repoll-exec --stats ./odd waits
	expect 125 'a seccomp filter or Landlock refuses ioctl' ./odd landlock "$(command -v repoll-exec)" ./odd waits
}
in_landlock() {
	same landlock
	says 'carried by repoll: 5 epoll_create' "left to the C epoll: 5 epoll_create: /dev/repoll can't be opened or used there: Permission denied"
}
a_plain_file() {
	mkdir -p jail/dev
	: >jail/dev/repoll
	chmod 666 jail/dev/repoll
	same --poll plain-file "$PWD/jail"
	says "left to the C epoll: 3 epoll_create: /dev/repoll can't be opened or used there: Inappropriate ioctl" \
		"^repoll-exec: odd: calls are not carried: /dev/repoll can't be opened or used there \(ENOTTY\)$"
}
cancelled() { same cancel && same --select --poll cancel && says 'carried by repoll: .* epoll_wait'; }
own_stack() {
	same clone
	[[ $(head -n 2 carried) == $'the child runs\nended by status 7' ]] || { cat carried; return 1; }
}
same_table() { same table && same --select table && same --select --poll table && says 'carried by repoll: 4 select'; }
odd_times() { same --select --poll times && says 'carried by repoll: '; }
an_early_epoll() {
	build odd-early "$tests/odd.c" -Wl,--no-as-needed -L. -learly -Wl,-rpath,.
	./odd-early early >plain
	# One more descriptor: the template.
	expect 0 "^an early epoll: 0, descriptors $(($(grep -o '[0-9]*$' plain) + 1))\$" repoll-exec ./odd-early early
	expect 0 'carried by repoll: 1 epoll_create, 1 epoll_wait' repoll-exec --stats ./odd-early early
}
a_wrapper() {
	LD_PRELOAD=./libwrapper.so expect 0 'the wrapper saw 1' repoll-exec ./odd waits
	LD_PRELOAD=./libwrapper.so expect 0 'carried by repoll: 5 epoll_create, 5 epoll_ctl, 5 epoll_wait' repoll-exec --stats ./odd waits
}
with_asan() {
	build odd-asan "$tests/odd.c" -fsanitize=address || ktap_skip "no AddressSanitizer"
	expect 0 'carried by repoll: 5 epoll_create' repoll-exec --stats ./odd-asan waits
	expect 0 '^detect_leaks=0:verify_asan_link_order=0$' env ASAN_OPTIONS=detect_leaks=0 repoll-exec sh -c 'echo $ASAN_OPTIONS'
}
deep_binding() {
	same library plain ./libearly.so
	says_not 'it loads'
	same library deep ./libearly.so
	says '^repoll-exec: odd: it loads ./libearly.so with RTLD_DEEPBIND: its calls are not carried$'
	same library dlmopen ./libearly.so
	says '^repoll-exec: odd: it loads ./libearly.so by dlmopen\(\): its calls are not carried$'
	same -q library deep ./libearly.so
	says_not 'it loads'
}
own_calls() {
	cat >own.c <<'EOF'
int main(void)
{
#ifdef __aarch64__
	register long result asm("x0") = 0;
	asm volatile("mov x8, #20; svc #0" : "+r"(result) : : "x8", "memory");
#else
	long result = 291;
	asm volatile("syscall" : "+a"(result) : "D"(0L) : "rcx", "r11", "memory");
#endif
	return result < 0;
}
EOF
	build own own.c
	expect 0 'own: it has code that makes an epoll without the C library' repoll-exec ./own
	expect 0 '^$' repoll-exec -q ./own
	cat >go.s <<'EOF'
	.section .note.go.buildid, "a", @note
	.long 4, 4, 4
	.ascii "Go\0\0abcd"
	.section .note.GNU-stack, "", @progbits
EOF
	echo 'int main(void) { return 0; }' >go.c
	build go go.c go.s
	expect 0 'go: it is written in Go' repoll-exec ./go
}
notices_go_nowhere_else() {
	# Descriptor 2 is a file of the program.
	repoll-exec python3 -c 'import os, sys, ctypes
os.dup2(os.open("data", os.O_CREAT | os.O_WRONLY), 2)
ctypes.CDLL(None).dlopen(b"./libearly.so", 2 | 8)'
	[[ ! -s data ]] || { cat data; return 1; }
}
notices_end_no_program() {
	local status=0
	# No reader is left, and no file may be written.
	{ repoll-exec ./odd library deep ./libearly.so 2>&1 >out; echo $? >status; } | :
	sleep 0.2
	[[ $(<status) == 0 ]] || { echo "status $(<status)"; return 1; }
	repoll-exec python3 -c 'import ctypes, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
ctypes.CDLL(None).dlopen(b"./libearly.so", 2 | 8)' 2>errors || status=$?
	[[ $status == 0 && ! -s errors ]] || { echo "status $status"; cat errors; return 1; }
}
static_child() {
	# The child inherits the environment, but neither the library nor the template.
	sh -c 'busybox ls /proc/self/fd; echo x | busybox cat' >without
	repoll-exec sh -c 'busybox ls /proc/self/fd; echo x | busybox cat' >with
	diff without with
}

# ready LOG : waits until the program has printed that it is ready.
ready() {
	for _ in {1..300}; do ! grep -q ready "$1" || return 0; sleep 0.1; done
	cat "$1"
	return 1
}
signals_of_supervisors() {
	local signal status=0 names=(INT QUIT HUP USR1 ABRT WINCH RTMIN)
	setsid repoll-exec --stats python3 -uc 'import signal, sys
got = []
for name in sys.argv[1:] + ["TERM"]:
    signal.signal(getattr(signal, "SIG" + name), lambda number, _: got.append(signal.Signals(number).name[3:]))
print("ready")
while "TERM" not in got: signal.pause()
print("got", *got)
sys.exit(9)' "${names[@]}" >log 2>&1 &
	ready log
	for signal in "${names[@]}" TERM; do kill -s "$signal" $!; sleep 0.3; done
	wait $! || status=$?
	grep -qx "got ${names[*]} TERM" log && ((status == 9)) || { echo "status $status"; cat log; return 1; }
}
queued_values() {
	repoll-exec --stats python3 -uc 'import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready")
info = signal.sigwaitinfo([signal.SIGUSR1])
print("code", info.si_code)' >log 2>&1 &
	ready log
	/usr/bin/kill -q 5 -s USR1 $!
	wait $!
	grep -qx 'code -1' log || { cat log; return 1; }
}
from_a_terminal() { python3 "$tests/terminal.py" interrupt; }
stops() { python3 "$tests/terminal.py" stop; }
same_state() {
	local options
	python3 "$tests/terminal.py" state cat /proc/self/status >plain
	for options in '' --stats; do
		python3 "$tests/terminal.py" state repoll-exec $options cat /proc/self/status >carried
		diff <(grep -E '^Sig(Blk|Ign|Cgt)' plain) <(grep -E '^Sig(Blk|Ign|Cgt)' carried)
		./odd descriptors <&- >without
		repoll-exec $options ./odd descriptors <&- >with
		diff without with
	done
}

odd_tests() {
	build_odd
	ktap_test "io_uring: rings are refused, so libuv makes its epoll calls through the C library" rings_are_refused
	ktap_test "io_uring: --io-uring allows them" rings_are_allowed
	ktap_test "seccomp: after a filter, no new call is carried, no descriptor leaks, errno is passed on" after_a_filter
	ktap_test "seccomp: after an unnoticed filter, the kernel's own calls" unseen_filter
	ktap_test "seccomp: a program that is executed under a killing filter" executed_in_a_sandbox
	ktap_test "seccomp, Landlock: repoll-exec itself in a sandbox" started_in_a_sandbox
	ktap_test "Landlock: the template still works, a new one can't be opened" in_landlock
	ktap_test "a plain file instead of the device: the kernel's own calls, no descriptor leaks" a_plain_file
	ktap_test "pthread_cancel ends waiting calls" cancelled
	ktap_test "clone by syscall() with its own stack" own_stack
	ktap_test "the table of descriptors does not grow" same_table
	ktap_test "time limits that overflow or can't be written" odd_times
	ktap_test "a constructor that runs before the library's: one template" an_early_epoll
	ktap_test "a preloaded wrapper is not bypassed" a_wrapper
	ktap_test "AddressSanitizer" with_asan
	ktap_test "reported once: RTLD_DEEPBIND and dlmopen" deep_binding
	ktap_test "reported: Go, and code with direct system calls" own_calls
	ktap_test "reports go only to repoll-exec's standard error" notices_go_nowhere_else
	ktap_test "reports do not end the program by SIGPIPE or SIGXFSZ" notices_end_no_program
	ktap_test "a static child" static_child
	ktap_test "--stats: all signals by kill are forwarded" signals_of_supervisors
	ktap_test "--stats: queued signals are forwarded with their values" queued_values
	ktap_test "--stats: signals of the terminal arrive once" from_a_terminal
	ktap_test "--stats: stopped and continued with the program" stops
	ktap_test "the program inherits signal actions, mask and closed descriptors unchanged" same_state
}
