# SPDX-License-Identifier: GPL-2.0
"""The program that the recipes trace. It uses all parts of repoll.

Two threads wait for datagrams on one level-triggered epoll, so one of them is often woken in vain.
Other threads use poll and select. A timer and an event source are watched, too.
"""

import os
import select
import socket
import threading

ROUNDS = 40
END = b"end"

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
server.setblocking(False)
stop = os.eventfd(0, os.EFD_NONBLOCK)
ep = select.epoll()
ep.register(server, select.EPOLLIN)
ep.register(stop, select.EPOLLIN)


def serve():
    """Echoes datagrams until `stop` is readable."""
    while True:
        for fd, _ in ep.poll():
            if fd == stop:
                return
            try:
                data, address = server.recvfrom(100)
                server.sendto(data, address)
            except BlockingIOError:
                pass


def ask_with_poll(idle):
    """Sends requests and waits for the answers with poll, together with idle files."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(server.getsockname())
    poll = select.poll()
    for fd in [client.fileno(), *idle]:
        poll.register(fd, select.POLLIN)
    for number in range(ROUNDS):
        client.send(b"%d" % number)
        assert poll.poll() == [(client.fileno(), select.POLLIN)]
        assert client.recv(100) == b"%d" % number


def ask_with_select(idle):
    """The same with select."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(server.getsockname())
    for number in range(ROUNDS):
        client.send(b"%d" % number)
        assert select.select([client, *idle], [], [])[0] == [client]
        assert client.recv(100) == b"%d" % number


def tick():
    """Waits for a timer with an epoll, and reads it."""
    timer = os.timerfd_create(1)
    os.timerfd_settime(timer, initial=0.01, interval=0.01)
    own = select.epoll()
    own.register(timer, select.EPOLLIN | select.EPOLLET)
    for _ in range(ROUNDS):
        own.poll()
        os.read(timer, 8)


def feed(source):
    """Reads from an event source what another thread writes."""
    writer = threading.Thread(
        target=lambda: [os.write(source, b"%d" % n) for n in range(ROUNDS)]
    )
    writer.start()
    own = select.epoll()
    own.register(source, select.EPOLLIN)
    for number in range(ROUNDS):
        own.poll()
        assert os.read(source, 2048) == b"%d" % number
    writer.join()


servers = [threading.Thread(target=serve) for _ in range(2)]
idle = [os.eventfd(0) for _ in range(10)]
others = [
    threading.Thread(target=ask_with_poll, args=(idle,)),
    threading.Thread(target=ask_with_select, args=(idle,)),
    threading.Thread(target=tick),
    threading.Thread(target=feed, args=(os.open("/dev/repoll-source", os.O_RDWR),)),
]
for thread in servers + others:
    thread.start()
for thread in others:
    thread.join()
os.eventfd_write(stop, 1)
for thread in servers:
    thread.join()
