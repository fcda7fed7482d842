// SPDX-License-Identifier: GPL-2.0
/*
 * odd TEST [ARGUMENT]... : programs that make unusual calls. Each must print the same with and
 * without repoll-exec, unless in-guest says otherwise.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_wait /* arm64 has only the calls with a mask */
#define SYS_epoll_wait SYS_epoll_pwait
#endif

static void must(int good, const char *what)
{
	if (good)
		return;
	printf("cannot %s: %s\n", what, strerror(errno));
	exit(99);
}

#define MUST(x) must(!!(x), #x)

/* A result, as a number or the name of its error. */
static const char *result(long value)
{
	static _Thread_local char text[4][32];
	static _Thread_local int next;
	char *out = text[next = (next + 1) % 4];

	if (value < 0)
		snprintf(out, sizeof(text[0]), "%s", strerrorname_np(errno));
	else
		snprintf(out, sizeof(text[0]), "%ld", value);
	return out;
}

static int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int number = -3;

	MUST(folder);
	while (readdir(folder))
		number++;
	closedir(folder);
	return number;
}

static int readable(void)
{
	int fd = eventfd(1, 0);

	MUST(fd >= 0);
	return fd;
}

static int watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* As libuv does: ADD through a ring if there are rings, else by epoll_ctl. */
static int test_ring(void)
{
	struct io_uring_params params = { 0 };
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd = readable();
	int ring = syscall(SYS_io_uring_setup, 4, &params);
	struct epoll_event event = { .events = EPOLLIN }, found;

	if (ring < 0) {
		printf("no rings: %s\n", result(ring));
		MUST(watch(epoll, fd) == 0);
	} else {
		int access = PROT_READ | PROT_WRITE;
		char *queue = mmap(NULL, params.sq_off.array + params.sq_entries * 4, access, MAP_SHARED, ring,
				   IORING_OFF_SQ_RING);
		char *done = mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), access,
				  MAP_SHARED, ring, IORING_OFF_CQ_RING);
		struct io_uring_sqe *entry = mmap(NULL, params.sq_entries * sizeof(*entry), access, MAP_SHARED, ring,
						  IORING_OFF_SQES);

		MUST(queue != MAP_FAILED && done != MAP_FAILED && entry != MAP_FAILED);
		*entry = (struct io_uring_sqe){ .opcode = IORING_OP_EPOLL_CTL, .fd = epoll, .len = EPOLL_CTL_ADD,
						.off = fd, .addr = (uintptr_t)&event };
		*(uint32_t *)(queue + params.sq_off.array) = 0;
		__atomic_store_n((uint32_t *)(queue + params.sq_off.tail), 1, __ATOMIC_RELEASE);
		MUST(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
		printf("ring: %d\n", ((struct io_uring_cqe *)(done + params.cq_off.cqes))->res);
	}
	printf("wait: %s\n", result(epoll_wait(epoll, &found, 1, 0)));
	return 0;
}

/* prctl without the C library. */
static long own_prctl(long a, long b, void *c)
{
#ifdef __aarch64__
	register long number asm("x8") = SYS_prctl;
	register long first asm("x0") = a;
	register long second asm("x1") = b;
	register void *third asm("x2") = c;

	asm volatile("svc #0" : "+r"(first) : "r"(number), "r"(second), "r"(third) : "memory");
	return first;
#else
	long done;

	asm volatile("syscall" : "=a"(done) : "0"(SYS_prctl), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return done;
#endif
}

/* Installs a filter that answers ioctl with `action`; `way` selects the call. */
static void refuse_ioctl(uint32_t action, int way)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { 4, code };
	long done = -1;

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	switch (way) {
	case 0:
		done = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
		break;
	case 1: /* as libseccomp does */
		done = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
		break;
	case 2: /* unnoticed */
		done = own_prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
		break;
	}
	MUST(done == 0);
}

/* Makes each waiting call, on new files. */
static void all_that_waits(void)
{
	struct epoll_event event;
	struct timeval none = { 0 };
	int before = descriptors(), fd = readable();
	struct pollfd entry = { fd, POLLIN };
	fd_set set;

	for (int i = 0; i < 5; i++) {
		int epoll = epoll_create1(0);

		printf("epoll_create1 %s", epoll < 0 ? result(epoll) : "ok");
		printf(", epoll_ctl %s", result(watch(epoll, fd)));
		printf(", epoll_wait %s\n", result(epoll_wait(epoll, &event, 1, 0)));
		close(epoll);
	}
	FD_ZERO(&set);
	FD_SET(fd, &set);
	printf("poll %s\n", result(poll(&entry, 1, 0)));
	printf("select %s\n", result(select(fd + 1, &set, NULL, NULL, &none)));
	close(fd);
	printf("descriptors lost: %d\n", descriptors() - before);
}

static int test_filter(const char *action, const char *way)
{
	uint32_t number = !strcmp(action, "kill") ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | atoi(action);
	struct epoll_event event;
	int epoll = epoll_create1(0), fd = readable(), pipes[2];

	MUST(pipe(pipes) == 0);
	/* Tests for support of filters. */
	printf("a null filter: %s\n", result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL)));
	refuse_ioctl(number, atoi(way));
	all_that_waits();
	if (strcmp(action, "kill")) {
		printf("an epoll from before: epoll_ctl %s", result(watch(epoll, fd)));
		printf(", epoll_wait %s\n", result(epoll_wait(epoll, &event, 1, 0)));
		printf("a pipe: epoll_wait %s\n", result(epoll_wait(pipes[0], &event, 1, 0)));
	}
	return 0;
}

static int test_filter_and_execute(uint32_t action, char **words)
{
	refuse_ioctl(action, 0);
	execvp(words[0], words);
	return 99;
}

static int test_waits(void)
{
	all_that_waits();
	return 0;
}

/* Landlock: forbids ioctl on devices that are opened from now on. */
static int test_landlock(char **words)
{
	struct landlock_ruleset_attr rules = { .handled_access_fs = LANDLOCK_ACCESS_FS_IOCTL_DEV };
	int fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

	MUST(fd >= 0);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	MUST(syscall(SYS_landlock_restrict_self, fd, 0) == 0);
	close(fd);
	if (words[0]) {
		execvp(words[0], words);
		return 99;
	}
	all_that_waits();
	MUST(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	all_that_waits();
	return 0;
}

/* Runs without the template, in a root where the device is a plain file. */
static int test_plain_file(const char *folder)
{
	MUST(chroot(folder) == 0 && chdir("/") == 0);
	MUST(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	for (int i = 0; i < 3; i++) {
		struct pollfd none = { -1, 0 };
		int epoll = epoll_create1(0), next = dup(0);

		printf("epoll_create1 %d, poll %s, next %d\n", epoll, result(poll(&none, 1, 0)), next);
		close(next);
	}
	return 0;
}

static int epoll_of_all;
static atomic_int thread;
static int cleaned;

static void clean(void *unused)
{
	cleaned++;
}

static void *wait_long(void *way)
{
	struct timespec time = { 5, 0 };
	struct timeval val = { 5, 0 };
	struct epoll_event event;
	sigset_t mask;

	sigemptyset(&mask);
	pthread_cleanup_push(clean, NULL);
	thread = gettid();
	switch ((intptr_t)way) {
	case 0: epoll_wait(epoll_of_all, &event, 1, 5000); break;
	case 1: epoll_pwait(epoll_of_all, &event, 1, 5000, &mask); break;
	case 2: epoll_pwait2(epoll_of_all, &event, 1, &time, &mask); break;
	case 3: poll(NULL, 0, 5000); break;
	case 4: ppoll(NULL, 0, &time, &mask); break;
	case 5: select(0, NULL, NULL, NULL, &val); break;
	case 6: pselect(0, NULL, NULL, NULL, &time, &mask); break;
	case 7: /* cancelled before the call; the event stays */
		pthread_cancel(pthread_self());
		epoll_wait(epoll_of_all, &event, 1, 0);
		break;
	case 8: /* not cancelled while cancellation is disabled */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		pthread_cancel(pthread_self());
		epoll_wait(epoll_of_all, &event, 1, 10);
		way = NULL;
		break;
	case 9: /* not cancelled in syscall() */
		pthread_cancel(pthread_self());
		syscall(SYS_epoll_wait, epoll_of_all, &event, 1, 10, NULL, 0);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		break;
	case 10: { /* cancellation is deferred again after the call */
		int kind;

		epoll_wait(epoll_of_all, &event, 1, 0);
		pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &kind);
		printf("kind is %s; ", kind == PTHREAD_CANCEL_DEFERRED ? "deferred" : "asynchronous");
		break;
	}
	}
	pthread_cleanup_pop(0);
	return NULL;
}

static void wait_asleep(int tid)
{
	char path[64], line[512], *end = NULL;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	for (int i = 0; i < 1000 && !(end && end[2] == 'S'); i++) {
		FILE *file = fopen(path, "r");

		usleep(5000);
		if (!file)
			return;
		end = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
		fclose(file);
	}
}

static int test_cancel(void)
{
	epoll_of_all = epoll_create1(0);
	for (intptr_t way = 0; way < 11; way++) {
		pthread_t waiter;
		struct timespec begin, end;
		void *value;

		thread = cleaned = 0;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		MUST(pthread_create(&waiter, NULL, wait_long, (void *)way) == 0);
		while (!thread)
			sched_yield();
		if (way < 7) {
			wait_asleep(thread);
			pthread_cancel(waiter);
		}
		pthread_join(waiter, &value);
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%ld: %s, cleaned %d, %s\n", (long)way, value == PTHREAD_CANCELED ? "cancelled" : "returned", cleaned,
		       end.tv_sec - begin.tv_sec < 4 ? "soon" : "late");
	}
	return 0;
}

static int childs_child;

static _Noreturn void child(void)
{
	static const char text[] = "the child runs\n";

	childs_child = write(1, text, sizeof(text) - 1);
	for (;;)
		syscall(SYS_exit, 7);
}

/* A child that begins at the address on its stack, or (arm64) where the call returns to. */
static int test_clone(void)
{
	const long size = 65536;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Leaves room above, where the compiler may save registers, as in the caller's frame. */
	long *top = (long *)(stack + size - 4096);
	int pid, status;

	MUST(stack != MAP_FAILED);
	setvbuf(stdout, NULL, _IONBF, 0);
	/* A multiple of 16, as arm64 processors check. */
	top -= 2;
	*top = (long)child;
	pid = syscall(SYS_clone, (long)(CLONE_VM | CLONE_VFORK | SIGCHLD), top, 0L, 0L, 0L);
	if (pid == 0)
		child();
	MUST(pid > 0 && waitpid(pid, &status, 0) == pid);
	printf("ended by %s %d\n", WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	/* A call with six arguments, the last of which is on the stack. */
	printf("mmap by syscall(): %s\n", syscall(SYS_mmap, 0L, 4096L, 3L, 0x22L, -1L, 0L) == -1 ? "fails" : "ok");
	printf("errno by syscall(): %s\n", result(syscall(SYS_close, -1)));
	printf("no such call: %s\n", result(syscall(-5L)));
	return 0;
}

/* select with more bits than there are descriptors: the kernel reads as many as its table has. */
static int test_table(void)
{
	struct { fd_set set; unsigned char behind[4096]; } both;
	const int numbers[] = { 1024, INT_MAX };
	char line[128];
	int fd = readable();
	FILE *status = fopen("/proc/self/status", "r");

	MUST(status);
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, "FDSize", 6))
			fputs(line, stdout);
	fclose(status);
	for (int i = 0; i < 4; i++) {
		struct timeval none = { 0 };
		int filling = i % 2 ? 0xff : 0, changed = 0, got;

		FD_ZERO(&both.set);
		FD_SET(fd, &both.set);
		FD_SET(700, &both.set); /* stale */
		memset(both.behind, filling, sizeof(both.behind));
		got = select(numbers[i / 2], &both.set, NULL, NULL, &none);
		for (size_t k = 0; k < sizeof(both.behind); k++)
			changed += both.behind[k] != filling;
		printf("select %d: %s, changed %d\n", numbers[i / 2], result(got), changed);
	}
	return 0;
}

static long select_by_number(int n, fd_set *set, struct timeval *limit)
{
#ifdef SYS_select
	return syscall(SYS_select, n, set, NULL, NULL, limit);
#else
	/* The C library writes the remaining time to the limit, which may be read-only. */
	struct timeval copy = *limit;

	return select(n, set, NULL, NULL, &copy);
#endif
}

/* Time limits that overflow, or can't be written. */
static int test_times(void)
{
	const struct timeval limits[] = { { LONG_MAX, 999999 }, { LONG_MAX, 1000000 }, { LONG_MAX, LONG_MAX }, { 5, -1000000 },
					  { 5, -1 }, { -1, 1000000 }, { 0, 1L << 32 } };
	const struct timespec times[] = { { LONG_MAX, 999999999 }, { LONG_MAX, 1000000000 }, { -1, 0 }, { 5, -1 } };
	struct timeval *fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = readable();
	fd_set set;

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct timeval limit = limits[i];
		long got[2];

		FD_ZERO(&set);
		FD_SET(fd, &set);
		got[0] = select(fd + 1, &set, NULL, NULL, &limit);
		printf("select %ld %ld: %s", limits[i].tv_sec, limits[i].tv_usec, result(got[0]));
		limit = limits[i];
		FD_SET(fd, &set);
		got[1] = select_by_number(fd + 1, &set, &limit);
		printf(", by syscall() %s\n", result(got[1]));
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		struct pollfd entry = { fd, POLLIN };
		struct timespec limit = times[i];

		FD_SET(fd, &set);
		printf("pselect %ld %ld: %s", times[i].tv_sec, times[i].tv_nsec, result(pselect(fd + 1, &set, NULL, NULL, &limit, NULL)));
		printf(", ppoll %s", result(ppoll(&entry, 1, &limit, NULL)));
		limit = times[i];
		printf(", by syscall() %s\n", result(syscall(SYS_ppoll, &entry, 1, &limit, NULL, 8)));
	}
	MUST(fixed != MAP_FAILED);
	mprotect(fixed, 4096, PROT_READ | PROT_WRITE);
	fixed->tv_usec = 1000;
	mprotect(fixed, 4096, PROT_READ);
	FD_SET(fd, &set);
	printf("fixed: select by syscall() %s", result(select_by_number(fd + 1, &set, fixed)));
	printf(", pselect6 %s", result(syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, fixed, NULL)));
	printf(", ppoll %s\n", result(syscall(SYS_ppoll, NULL, 0, fixed, NULL, 8)));
	printf("it holds %ld %ld\n", fixed->tv_sec, fixed->tv_usec);
	return 0;
}

static int test_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		printf("%d is %s\n", fd, fcntl(fd, F_GETFD) < 0 ? "closed" : "open");
	return 0;
}

/* Uses a library whose constructor creates an epoll, if linked to one. */
__attribute__((weak)) int early_epoll(void);

static int test_early(void)
{
	struct epoll_event event;

	MUST(early_epoll);
	printf("an early epoll: %s", result(epoll_wait(early_epoll(), &event, 1, 0)));
	printf(", descriptors %d\n", descriptors());
	return 0;
}

/* Loads a library by dlopen or dlmopen, which creates an epoll. */
static int test_library(const char *way, const char *path)
{
	void *library = !strcmp(way, "dlmopen") ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW) :
			dlopen(path, RTLD_NOW | (!strcmp(way, "deep") ? RTLD_DEEPBIND : 0));
	int (*early)(void) = library ? dlsym(library, "early_epoll") : NULL;

	if (!early)
		printf("%s\n", dlerror());
	MUST(early);
	printf("loaded: %s\n", early() < 0 ? "no epoll" : "an epoll");
	return 0;
}

int main(int argc, char **words)
{
	const char *test = argc > 1 ? words[1] : "";

	if (!strcmp(test, "ring"))
		return test_ring();
	if (!strcmp(test, "filter"))
		return test_filter(words[2], words[3]);
	if (!strcmp(test, "filter-and-execute"))
		return test_filter_and_execute(SECCOMP_RET_KILL_PROCESS, words + 2);
	if (!strcmp(test, "allow-and-execute"))
		return test_filter_and_execute(SECCOMP_RET_ALLOW, words + 2);
	if (!strcmp(test, "waits"))
		return test_waits();
	if (!strcmp(test, "landlock"))
		return test_landlock(words + 2);
	if (!strcmp(test, "plain-file"))
		return test_plain_file(words[2]);
	if (!strcmp(test, "cancel"))
		return test_cancel();
	if (!strcmp(test, "clone"))
		return test_clone();
	if (!strcmp(test, "table"))
		return test_table();
	if (!strcmp(test, "times"))
		return test_times();
	if (!strcmp(test, "descriptors"))
		return test_descriptors();
	if (!strcmp(test, "early"))
		return test_early();
	if (!strcmp(test, "library"))
		return test_library(words[2], words[3]);
	fprintf(stderr, "odd: no test '%s'\n", test);
	return 99;
}
