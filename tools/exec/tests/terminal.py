# SPDX-License-Identifier: GPL-2.0
"""Tests repoll-exec --stats between its parent and the program: signals, stops, inherited state."""

import os
import pty
import signal
import sys
import time


def interrupt():
    """The terminal signals the whole group; the program receives the signal once."""
    program = """if True:
        import signal, time
        got = []
        signal.signal(signal.SIGINT, lambda *_: got.append(1))
        print("ready")
        end = time.monotonic() + 3
        while time.monotonic() < end: time.sleep(0.1)
        print("got", len(got))"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execlp("repoll-exec", "repoll-exec", "--stats", "python3", "-uc", program)
    output = b""
    sent = False
    while True:
        try:
            output += os.read(terminal, 1000) or b"\0"
        except OSError:
            break
        if b"ready" in output and not sent:
            os.write(terminal, b"\x03")
            sent = True
    assert b"got 1\r\n" in output, output
    assert os.waitpid(pid, 0)[1] == 0


def stop():
    """Both processes stop and continue together; repoll-exec ends as the program does."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(w, 1)
        os.execlp("repoll-exec", "repoll-exec", "--stats", "sh", "-c", "echo $$; while :; do sleep 0.1; done")
    program = int(os.read(r, 20))

    def until(stopped):
        for _ in range(100):
            with open(f"/proc/{program}/stat") as file:
                state = file.read().rsplit(")")[1].split()[0]
            if (state == "T") == stopped:
                return
            time.sleep(0.1)
        raise AssertionError(state)

    for target, number in (pid, signal.SIGSTOP), (program, signal.SIGSTOP):
        os.kill(program if target == pid else target, number)
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        until(True)
        os.kill(pid, signal.SIGCONT)
        until(False)
    os.kill(pid, signal.SIGTERM)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM, status


def state():
    """Executes a command with ignored signals, SIGPIPE among them, and a blocked one."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    os.execvp(sys.argv[2], sys.argv[2:])


{"interrupt": interrupt, "stop": stop, "state": state}[sys.argv[1]]()
