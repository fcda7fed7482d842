# SPDX-License-Identifier: GPL-2.0
"""Prints the results of calls, line by line; they must be the same with and without repoll-exec."""

import ctypes
import errno
import os
import select
import signal
import socket
import struct
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
SYS, LAYOUT = {
    "x86_64": ({"epoll_create": 213, "epoll_wait": 232, "epoll_ctl": 233, "epoll_pwait": 281,
                "epoll_create1": 291, "epoll_pwait2": 441, "getppid": 110, "close": 3}, "<IQ"),
    "aarch64": ({"epoll_ctl": 21, "epoll_pwait": 22, "epoll_create1": 20, "epoll_pwait2": 441,
                 "getppid": 173, "close": 57}, "<I4xQ"),
}[os.uname().machine]
PAGE = os.sysconf("SC_PAGESIZE")
ADD, DEL, MOD = 1, 2, 3
EVENT = struct.pack(LAYOUT, select.EPOLLIN, 7)
SIZE = len(EVENT)
event = ctypes.create_string_buffer(EVENT, SIZE)
room = ctypes.create_string_buffer(SIZE * 8)
mmap = libc.mmap
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
pages = mmap(None, 2 * PAGE, 3, 0x22, -1, 0)
ctypes.memmove(pages, EVENT, SIZE)
libc.mprotect(ctypes.c_void_p(pages + PAGE), PAGE, 0)
ctypes.memmove(pages + PAGE - SIZE, EVENT, SIZE)


def pointer(value):
    return ctypes.c_void_p(value)


def call(name, *arguments):
    """Calls the function of libc, or for `syscall:NAME` the system call; returns the result."""
    ctypes.set_errno(0)
    if name.startswith("syscall:"):
        libc.syscall.restype = ctypes.c_long
        result = libc.syscall(ctypes.c_long(SYS[name[8:]]), *arguments)
    else:
        result = getattr(libc, name)(*arguments)
    code = ctypes.get_errno()
    return errno.errorcode.get(code, code) if result < 0 else result


def say(what, *results):
    print(f"{what}: {' '.join(map(str, results))}", flush=True)


def timespec(seconds, nanoseconds):
    return ctypes.create_string_buffer(struct.pack("<qq", seconds, nanoseconds), 16)


closed = 900
r, w = os.pipe()
os.write(w, b"x")
idle, idle_w = os.pipe()
regular = os.open("/etc/hostname", os.O_RDONLY) if os.path.exists("/etc/hostname") else os.open("/proc/version", 0)
directory = os.open("/", os.O_RDONLY)
path = os.open("/dev/null", os.O_PATH)
master, slave = os.openpty()
pair = socket.socketpair()
others = {"closed": closed, "negative": -1, "pipe": r, "regular": regular, "directory": directory, "path": path,
          "tty": slave, "socket": pair[0].fileno(), "null": os.open("/dev/null", os.O_RDWR),
          "random": os.open("/dev/urandom", os.O_RDONLY), "eventfd": os.eventfd(0)}
bad = {"null": None, "low": 8, "kernel": 1 << 63, "noncanonical": 0xdead_0000_0000_0000, "last": 2**64 - 4,
       "unmapped": pages + PAGE, "half": pages + PAGE - 6}

for size in (-1, 0, 1, 2**31 - 1):
    for name in ("epoll_create", "syscall:epoll_create"):
        if name.startswith("syscall:") and name[8:] not in SYS:
            continue
        result = call(name, size)
        say(f"{name} {size}", result if isinstance(result, str) else "a descriptor")
for flags in (0, os.O_CLOEXEC, 1, os.O_NONBLOCK | os.O_CLOEXEC, -1):
    for name in ("epoll_create1", "syscall:epoll_create1"):
        result = call(name, flags)
        if isinstance(result, int):
            result = f"a descriptor, inheritable: {os.get_inheritable(result)}"
        say(f"{name} {flags:#x}", result)

ep = libc.epoll_create1(os.O_CLOEXEC)
say("number", ep > 2, libc.epoll_create1(0) == ep + 1)

for where, address in {**bad, "mapped": pages, "end of the page": pages + PAGE - SIZE}.items():
    for op in (ADD, MOD, DEL, 0, 77, -1):
        for target, fd in {"closed": closed, "idle": idle}.items():
            for epfd, kind in ((ep, "instance"), (r, "pipe"), (closed, "closed")):
                result = [call(name, epfd, op, fd, pointer(address)) for name in ("epoll_ctl", "syscall:epoll_ctl")]
                say(f"ctl event {where} op {op} fd {target} on {kind}", *result)
for kind, epfd in {"instance": ep, **others}.items():
    for target, fd in {**others, "itself": epfd}.items():
        for op in (MOD, DEL, ADD, ADD, 5, MOD, DEL):
            say(f"ctl {op} {target} on {kind}", call("epoll_ctl", epfd, op, fd, event))
    for count in (-1, 0, 1, 8, (2**31 - 1) // SIZE, (2**31 - 1) // SIZE + 1, 2**31 - 1):
        for where, address in {**bad, "good": ctypes.addressof(room)}.items():
            say(f"wait {count} into {where} on {kind}", call("epoll_wait", epfd, pointer(address), count, 0),
                call("epoll_pwait2", epfd, pointer(address), count, timespec(0, 0), None))

call("epoll_ctl", ep, ADD, r, event)
full = ctypes.create_string_buffer(b"\xff" * 128, 128)
empty = ctypes.create_string_buffer(b"\0" * 128, 128)
for kind, epfd in {"instance": ep, **others}.items():
    for what, mask in {"none": None, "empty": ctypes.addressof(empty), "full": ctypes.addressof(full), **bad}.items():
        for name, limits in {"epoll_pwait": {"0": 0, "7": 7}, "epoll_pwait2": {
                "0": timespec(0, 0), "7": timespec(0, 7_000_000), "none": None, "long": timespec(2**62, 999_999_999),
                "negative": timespec(-1, 0), "ns": timespec(0, 10**9), "-ns": timespec(0, -1), **bad}}.items():
            for limit, value in limits.items():
                if isinstance(value, int) and name == "epoll_pwait2":
                    value = pointer(value)
                results = [call(name, epfd, room, 1, value, pointer(mask))]
                results += [call("syscall:" + name, epfd, room, 1, value, pointer(mask), ctypes.c_size_t(size))
                            for size in (8, 0, 4, 16, 128)]
                say(f"{name} limit {limit} mask {what} on {kind}", *results)
call("epoll_ctl", ep, DEL, r, event)


def took(name, *arguments):
    start = time.monotonic()
    result = call(name, *arguments)
    taken = time.monotonic() - start
    # A busy machine makes a wait longer, but less than a wrong unit would.
    return result, "early" if taken < 0.19 else "late" if taken > 20 else "in time"


say("wait 200 ms", *took("epoll_wait", ep, room, 1, 200))
say("wait 200 ms, 2", *took("epoll_pwait2", ep, room, 1, timespec(0, 200_000_000), None))
signal.signal(signal.SIGALRM, lambda *_: None)
for name, limit in (("epoll_wait", -1), ("epoll_wait", -2**31), ("epoll_wait", 2**31 - 1), ("epoll_pwait2", None)):
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    extra = (None,) if name == "epoll_pwait2" else ()
    say(f"{name} {limit} and a signal", call(name, ep, room, 1, limit, *extra))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
os.kill(os.getpid(), signal.SIGALRM)
say("blocked signal", call("epoll_wait", ep, room, 1, 10), call("epoll_pwait", ep, room, 1, 1000, empty))
say("mask", sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
threading.Timer(0.2, lambda: os.write(idle_w, b"y")).start()
call("epoll_ctl", ep, ADD, idle, event)
say("woken", call("epoll_wait", ep, room, 8, -1), room.raw[:SIZE].hex())
copy = os.dup(ep)
os.close(ep)
say("dup", call("epoll_wait", copy, room, 8, 0))
child = os.fork()
if child == 0:
    say("child", call("epoll_wait", copy, room, 8, 0))
    os._exit(0)
os.waitpid(child, 0)
os.close(copy)
say("closed", call("epoll_wait", copy, room, 8, 0))
say("others", call("syscall:close", -1), call("syscall:getppid") == os.getppid())
