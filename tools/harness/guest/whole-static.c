// SPDX-License-Identifier: GPL-2.0
// An echo server on epoll, for a static program: no preload reaches it.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 8085
#define EVENTS 64

static void fail(const char *call)
{
	perror(call);
	exit(1);
}

// Connections are blocking: one client at a time can hold up the others, but only as long as it
// does not read.
static void echo(int fd)
{
	char buffer[65536];
	ssize_t length = read(fd, buffer, sizeof(buffer));

	for (ssize_t done = 0, part; done < length; done += part) {
		part = write(fd, buffer + done, length - done);
		if (part < 0)
			break;
	}
	if (length <= 0)
		close(fd);
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct epoll_event events[EVENTS];
	int yes = 1, epoll = epoll_create1(EPOLL_CLOEXEC), listener = socket(AF_INET, SOCK_STREAM, 0);

	if (epoll < 0)
		fail("epoll_create1");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128))
		fail("listen");
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				watch(epoll, fd);
		}
	}
}
