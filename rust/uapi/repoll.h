/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user interface of repoll. This is its only definition: bindgen makes the
 * Rust side from this file, for the module and for userspace.
 *
 * Opening /dev/repoll makes an instance; REPOLL_CREATE on any instance makes
 * another one. The constants EPOLLIN, EPOLL_CTL_ADD, ... and the struct
 * epoll_event that REPOLL_WAIT fills in are those of <linux/eventpoll.h>.
 *
 * The size of a structure is its version, and a part of the ioctl's number.
 * New fields are added at the end only. Fields that a caller leaves out are
 * zero. A structure that is longer than the module's is accepted if the bytes
 * that the module does not know are zero (else E2BIG). Unknown flags are
 * refused with EINVAL. The layouts are the same for 32-bit callers.
 */
#ifndef _UAPI_REPOLL_H
#define _UAPI_REPOLL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define REPOLL_IOC_MAGIC	0xB4

/**
 * struct repoll_create - argument of REPOLL_CREATE
 * @flags: 0 or O_CLOEXEC (which is EPOLL_CLOEXEC), as for epoll_create1(2).
 * @__pad: must be zero.
 */
struct repoll_create {
	__u32 flags;
	__u32 __pad;
};

/**
 * struct repoll_ctl - argument of REPOLL_CTL
 * @op: EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL.
 * @fd: the file descriptor to watch.
 * @events: the EPOLL* bits of interest (ignored by EPOLL_CTL_DEL).
 * @flags: must be zero.
 * @data: returned unchanged with each event (ignored by EPOLL_CTL_DEL).
 */
struct repoll_ctl {
	__s32 op;
	__s32 fd;
	__u32 events;
	__u32 flags;
	__aligned_u64 data;
};

/**
 * struct repoll_wait - argument of REPOLL_WAIT
 * @events: address of an array of @maxevents struct epoll_event.
 * @maxevents: number of events that fit; 1 to
 *	INT_MAX / sizeof(struct epoll_event).
 * @flags: must be zero.
 * @timeout: nanoseconds from now; 0 does not wait, a negative value waits
 *	without limit.
 * @sigmask: address of a signal set that replaces the caller's mask during
 *	the wait, as for epoll_pwait(2); 0 for none.
 * @sigsetsize: size of the signal set in bytes, 8; ignored without a set.
 *
 * @counts: address of a struct repoll_counts to be filled in; 0 for none.
 * @counts_size: its size in bytes; ignored without a structure.
 *
 * REPOLL_WAIT_SIZE_VER0 ends before @sigmask, REPOLL_WAIT_SIZE_VER1 before
 * @counts.
 */
struct repoll_wait {
	__aligned_u64 events;
	__s32 maxevents;
	__u32 flags;
	__s64 timeout __attribute__((aligned(8)));
	__aligned_u64 sigmask;
	__aligned_u64 sigsetsize;
	__aligned_u64 counts;
	__aligned_u64 counts_size;
};

#define REPOLL_WAIT_SIZE_VER0	24
#define REPOLL_WAIT_SIZE_VER1	40

/**
 * struct repoll_counts - the work of one call, for callers that ask for it
 * @bytes_in: bytes read from the caller's sets or array.
 * @bytes_out: bytes written to the caller's sets or array. (Neither counts the
 *	arguments, the signal mask and this structure.)
 * @passes: passes over the files; REPOLL_WAIT: over the ready queue.
 * @polled: files polled, in all passes.
 * @polled_first: files polled in the first pass.
 * @polled_last: files polled in the last pass.
 * @added: entries added to wait queues of files, and removed before the call
 *	returned.
 * @wakeups: wake-ups of one of the entries, for events of interest;
 *	REPOLL_WAIT: wake-ups of the task, by the instance.
 * @sleeps: number of times that the call slept.
 *
 * The structure is cleared when the call begins (EFAULT if that fails), and
 * filled in when it ends, whatever its result. Its size is its version, as for
 * the arguments: a smaller structure gets the fields that it has, fields that
 * the module does not know are zero. EINVAL if it is smaller than its first
 * version, REPOLL_COUNTS_SIZE_VER0, or larger than a page (4096 bytes).
 */
struct repoll_counts {
	__aligned_u64 bytes_in;
	__aligned_u64 bytes_out;
	__aligned_u64 passes;
	__aligned_u64 polled;
	__aligned_u64 polled_first;
	__aligned_u64 polled_last;
	__aligned_u64 added;
	__aligned_u64 wakeups;
	__aligned_u64 sleeps;
};

#define REPOLL_COUNTS_SIZE_VER0	72

/**
 * struct repoll_poll - argument of REPOLL_POLL
 * @fds: address of an array of @nfds struct pollfd.
 * @nfds: number of elements; at most RLIMIT_NOFILE.
 * @flags: must be zero.
 * @timeout: nanoseconds from now; 0 does not wait, a negative value waits
 *	without limit. If it was positive, the remaining time is written here
 *	when the call returns.
 * @sigmask: as in struct repoll_wait.
 * @sigsetsize: as in struct repoll_wait.
 * @counts: as in struct repoll_wait.
 * @counts_size: as in struct repoll_wait.
 */
struct repoll_poll {
	__aligned_u64 fds;
	__u32 nfds;
	__u32 flags;
	__s64 timeout __attribute__((aligned(8)));
	__aligned_u64 sigmask;
	__aligned_u64 sigsetsize;
	__aligned_u64 counts;
	__aligned_u64 counts_size;
};

/**
 * struct repoll_select - argument of REPOLL_SELECT
 * @readfds: address of a set of file descriptors, or 0.
 * @writefds: the same.
 * @exceptfds: the same.
 * @nfds: the highest descriptor in any of the sets, plus 1; limited to the
 *	size of the process's descriptor table.
 * @flags: must be zero.
 * @timeout: as in struct repoll_poll.
 * @sigmask: as in struct repoll_wait.
 * @sigsetsize: as in struct repoll_wait.
 * @counts: as in struct repoll_wait.
 * @counts_size: as in struct repoll_wait.
 *
 * A set is an array of whole words of 64 bits, for 32-bit callers too, with
 * room for @nfds bits; descriptor n is bit n % 64 of word n / 64.
 */
struct repoll_select {
	__aligned_u64 readfds;
	__aligned_u64 writefds;
	__aligned_u64 exceptfds;
	__s32 nfds;
	__u32 flags;
	__s64 timeout __attribute__((aligned(8)));
	__aligned_u64 sigmask;
	__aligned_u64 sigsetsize;
	__aligned_u64 counts;
	__aligned_u64 counts_size;
};

/* Does nothing and returns 0: the entry cost, which measurements subtract. */
#define REPOLL_NOP	_IO(REPOLL_IOC_MAGIC, 0)
/* Makes another instance, and returns its file descriptor. */
#define REPOLL_CREATE	_IOW(REPOLL_IOC_MAGIC, 1, struct repoll_create)
/* Changes the interest list, as epoll_ctl(2). Returns 0. */
#define REPOLL_CTL	_IOW(REPOLL_IOC_MAGIC, 2, struct repoll_ctl)
/* Waits for events, as epoll_wait(2). Returns the number of events. */
#define REPOLL_WAIT	_IOW(REPOLL_IOC_MAGIC, 3, struct repoll_wait)
/*
 * poll(2) and ppoll(2), of any files; the instance's interest list plays no
 * part. Returns the number of elements with events.
 */
#define REPOLL_POLL	_IOWR(REPOLL_IOC_MAGIC, 4, struct repoll_poll)
/* select(2) and pselect(2), likewise. Returns the number of bits that are set. */
#define REPOLL_SELECT	_IOWR(REPOLL_IOC_MAGIC, 5, struct repoll_select)

/*
 * /dev/repoll-source, the event source. Opening it makes a queue of messages
 * that is shared by all descriptors of the open file. write(2) puts one message
 * in, read(2) takes one out, whole and once; every multiplexer can watch it.
 * Documentation/reference/source.rst is its manual page.
 */

/* Flags of struct repoll_source_setup. */
#define REPOLL_SOURCE_HEADERS	0x1	/* read(2) gives a header before each message */
#define REPOLL_SOURCE_FLAGS	REPOLL_SOURCE_HEADERS

/* Limits, and the sizes of a new queue. */
#define REPOLL_SOURCE_MIN_MESSAGE_SIZE	16
#define REPOLL_SOURCE_MAX_MESSAGE_SIZE	65536
#define REPOLL_SOURCE_MAX_MESSAGES	65536
#define REPOLL_SOURCE_MAX_BYTES		(16 * 1024 * 1024)
#define REPOLL_SOURCE_DEFAULT_MESSAGES		64
#define REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE	2048
/* The shortest period of a timer in nanoseconds; shorter ones are raised to it. */
#define REPOLL_SOURCE_MIN_PERIOD	100000
/* The most files of one user that may have a timer at the same time. */
#define REPOLL_SOURCE_MAX_TIMERS	16
/* The most pollers of one open file; beyond it the file reports EPOLLERR for good. */
#define REPOLL_SOURCE_MAX_POLLERS	5000

/**
 * struct repoll_source_setup - argument of REPOLL_SOURCE_SETUP
 * @messages: number of messages that fit, 1 to REPOLL_SOURCE_MAX_MESSAGES.
 * @message_size: the most bytes of a message, REPOLL_SOURCE_MIN_MESSAGE_SIZE to
 *	REPOLL_SOURCE_MAX_MESSAGE_SIZE. The product of both is at most
 *	REPOLL_SOURCE_MAX_BYTES. ENOSPC if the sources of the user who opened the
 *	file would take more memory than the module's parameter
 *	max_user_source_bytes allows.
 * @flags: 0 or REPOLL_SOURCE_HEADERS.
 * @__pad: must be zero.
 */
struct repoll_source_setup {
	__u32 messages;
	__u32 message_size;
	__u32 flags;
	__u32 __pad;
};

/* The origin of a message. */
#define REPOLL_SOURCE_WRITE	0	/* write(2) */
#define REPOLL_SOURCE_TIMER	1	/* the timer: one __u64, the number of the expiry, from 1 */
#define REPOLL_SOURCE_FRAME	2	/* the network interface: one frame with its MAC header */

/**
 * struct repoll_source_header - precedes a message with REPOLL_SOURCE_HEADERS
 * @time: time at which the message entered the queue, CLOCK_MONOTONIC of the
 *	reader's time namespace in nanoseconds.
 * @length: length of the message that follows, in bytes.
 * @kind: REPOLL_SOURCE_WRITE, _TIMER or _FRAME.
 */
struct repoll_source_header {
	__aligned_u64 time;
	__u32 length;
	__u32 kind;
};

/* Flags of struct repoll_source_status. */
#define REPOLL_SOURCE_ATTACHED	0x1	/* to a registered network interface */
#define REPOLL_SOURCE_HUNG_UP	0x2	/* its interface was unregistered */

/**
 * struct repoll_source_status - argument of REPOLL_SOURCE_STATUS
 * @messages: number of messages that fit.
 * @message_size: the most bytes of a message.
 * @queued: number of messages to read.
 * @flags: REPOLL_SOURCE_ATTACHED, REPOLL_SOURCE_HUNG_UP.
 * @arrived: messages that have entered the queue since the file was opened.
 * @read: messages read.
 * @dropped: messages of the timer or the interface that were dropped without
 *	room, or after a hang-up.
 * @too_long: frames that were dropped as longer than @message_size.
 * @period: period of the timer in nanoseconds; 0 without a timer.
 */
struct repoll_source_status {
	__u32 messages;
	__u32 message_size;
	__u32 queued;
	__u32 flags;
	__aligned_u64 arrived;
	__aligned_u64 read;
	__aligned_u64 dropped;
	__aligned_u64 too_long;
	__aligned_u64 period;
};

/**
 * struct repoll_source_timer - argument of REPOLL_SOURCE_TIMER_SET
 * @period: nanoseconds from now to the first message, and from each to the next;
 *	raised to REPOLL_SOURCE_MIN_PERIOD; 0 ends the timer.
 * @count: number of expiries after which the timer ends; 0 for no end.
 */
struct repoll_source_timer {
	__aligned_u64 period;
	__aligned_u64 count;
};

/**
 * struct repoll_source_attach - argument of REPOLL_SOURCE_ATTACH
 * @interface: the name of a network interface of the opener's network
 *	namespace, ended by a zero byte.
 * @ethertype: EtherType of the frames to queue, in the host's byte order,
 *	0x0600 to 0xffff.
 * @flags: must be zero.
 */
struct repoll_source_attach {
	char interface[16];
	__u32 ethertype;
	__u32 flags;
};

/* Sets sizes and flags. EBUSY unless the queue is empty. */
#define REPOLL_SOURCE_SETUP	_IOW(REPOLL_IOC_MAGIC, 0x20, struct repoll_source_setup)
/* Reads sizes, state and counters. */
#define REPOLL_SOURCE_STATUS	_IOR(REPOLL_IOC_MAGIC, 0x21, struct repoll_source_status)
/* Starts the timer again, or ends it. */
#define REPOLL_SOURCE_TIMER_SET	_IOW(REPOLL_IOC_MAGIC, 0x22, struct repoll_source_timer)
/* Queues the frames of a network interface. */
#define REPOLL_SOURCE_ATTACH	_IOW(REPOLL_IOC_MAGIC, 0x23, struct repoll_source_attach)
/* Ends that, or the hang-up after the interface was unregistered. */
#define REPOLL_SOURCE_DETACH	_IO(REPOLL_IOC_MAGIC, 0x24)

/*
 * /dev/repoll-takeover: the kernel's own epoll, select and poll calls served by
 * this module. The requests need CAP_SYS_ADMIN in the initial user namespace
 * (else EPERM). There is one policy for the machine.
 */

/* Values of struct repoll_takeover.mode. */
#define REPOLL_TAKEOVER_OFF	0	/* no new instances */
#define REPOLL_TAKEOVER_CGROUP	1	/* the tasks of one cgroup (v2) and of those below it */
#define REPOLL_TAKEOVER_ALL	2	/* all tasks */

/* Bits of struct repoll_takeover.calls. */
#define REPOLL_TAKEOVER_EPOLL	0x1	/* epoll_create, epoll_create1: instances, and all calls on them */
#define REPOLL_TAKEOVER_SELECT	0x2	/* select, pselect6 */
#define REPOLL_TAKEOVER_POLL	0x4	/* poll, ppoll */
#define REPOLL_TAKEOVER_CALLS	0x7

/**
 * struct repoll_takeover - argument of REPOLL_TAKEOVER_SET
 * @mode: REPOLL_TAKEOVER_OFF, _CGROUP or _ALL.
 * @calls: REPOLL_TAKEOVER_* bits, at least one; 0 with REPOLL_TAKEOVER_OFF.
 * @cgroup_fd: with REPOLL_TAKEOVER_CGROUP, a descriptor of the cgroup's
 *	directory; else -1.
 * @flags: must be zero.
 *
 * Replaces the policy that is in force. The epoll instances that were taken
 * over stay so until they are closed.
 */
struct repoll_takeover {
	__u32 mode;
	__u32 calls;
	__s32 cgroup_fd;
	__u32 flags;
};

/* Values of struct repoll_takeover_status.means. */
#define REPOLL_TAKEOVER_UNAVAILABLE	0	/* this kernel can't be taken over: the log says why */
#define REPOLL_TAKEOVER_JUMP		1	/* the function begins with a jump */
#define REPOLL_TAKEOVER_FTRACE_OPS	2	/* ftrace changes the instruction pointer */

/* Values of struct repoll_takeover_status.cause. */
#define REPOLL_TAKEOVER_REQUEST	0	/* REPOLL_TAKEOVER_SET, the module's parameter, or nothing yet */
#define REPOLL_TAKEOVER_SYSRQ	1	/* switched off by SysRq-E */
#define REPOLL_TAKEOVER_OOPS	2	/* switched off by an oops in this module's code */
#define REPOLL_TAKEOVER_REMOVED	3	/* switched off, as its cgroup was removed */

/**
 * struct repoll_takeover_status - argument of REPOLL_TAKEOVER_STATUS
 * @mode: as in struct repoll_takeover.
 * @calls: the same.
 * @cgroup: with REPOLL_TAKEOVER_CGROUP, the cgroup's ID: the inode number of its
 *	directory.
 * @hooked: the functions that are replaced now, a bit for each, in this order:
 *	do_epoll_create, do_epoll_ctl_file, do_epoll_wait, epoll_sendevents,
 *	get_epoll_tfile_raw_ptr, do_select, do_sys_poll.
 * @means: how functions are replaced.
 * @cause: what brought about @mode.
 * @__pad: zero.
 * @instances: epoll instances that were taken over and are open.
 * @created: instances that were taken over since the module was loaded.
 * @running: calls of select and poll that are being served.
 */
struct repoll_takeover_status {
	__u32 mode;
	__u32 calls;
	__aligned_u64 cgroup;
	__u32 hooked;
	__u32 means;
	__u32 cause;
	__u32 __pad;
	__aligned_u64 instances;
	__aligned_u64 created;
	__aligned_u64 running;
};

/*
 * Sets the policy. EBUSY if a function is replaced by somebody else, or ftrace
 * is switched off; EOPNOTSUPP if this kernel can't be taken over; ECANCELED if
 * it was switched off meanwhile, by SysRq-E or an oops; EBADF or
 * EINVAL if @cgroup_fd is no cgroup of the version 2. Then the log says more,
 * and the former policy stays.
 */
#define REPOLL_TAKEOVER_SET	_IOW(REPOLL_IOC_MAGIC, 0x40, struct repoll_takeover)
/* Reads the policy and its effects. */
#define REPOLL_TAKEOVER_STATUS	_IOR(REPOLL_IOC_MAGIC, 0x41, struct repoll_takeover_status)

#endif /* _UAPI_REPOLL_H */
