/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user interface of repoll, the one definition of it: bindgen makes the
 * Rust side from this file, for the module and for userspace.
 *
 * Opening /dev/repoll makes an instance; REPOLL_CREATE on any instance makes
 * another one. The constants EPOLLIN, EPOLL_CTL_ADD, ... and the struct
 * epoll_event that REPOLL_WAIT fills in are those of <linux/eventpoll.h>.
 *
 * Every structure is versioned by its size, which is a part of the ioctl's
 * number. Fields are only ever added at the end. What a caller leaves out is
 * taken as zero; a longer structure than the module knows is accepted as long
 * as what the module does not know is zero (else E2BIG). Unknown flags are
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
 * @data: comes back untouched with each event (ignored by EPOLL_CTL_DEL).
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
 * @maxevents: how many events fit; 1 to INT_MAX / sizeof(struct epoll_event).
 * @flags: must be zero.
 * @timeout: nanoseconds from now; 0 does not wait, a negative value waits
 *	without limit.
 * @sigmask: address of a signal set that replaces the caller's mask during
 *	the wait, as for epoll_pwait(2); 0 for none.
 * @sigsetsize: size of the signal set in bytes, 8; not looked at without one.
 *
 * REPOLL_WAIT_SIZE_VER0 ends before @sigmask.
 */
struct repoll_wait {
	__aligned_u64 events;
	__s32 maxevents;
	__u32 flags;
	__s64 timeout __attribute__((aligned(8)));
	__aligned_u64 sigmask;
	__aligned_u64 sigsetsize;
};

#define REPOLL_WAIT_SIZE_VER0	24

/* Does nothing and returns 0: the floor of every measurement. */
#define REPOLL_NOP	_IO(REPOLL_IOC_MAGIC, 0)
/* Makes another instance, and returns its file descriptor. */
#define REPOLL_CREATE	_IOW(REPOLL_IOC_MAGIC, 1, struct repoll_create)
/* Changes the interest list, as epoll_ctl(2). Returns 0. */
#define REPOLL_CTL	_IOW(REPOLL_IOC_MAGIC, 2, struct repoll_ctl)
/* Waits for events, as epoll_wait(2). Returns how many it delivered. */
#define REPOLL_WAIT	_IOW(REPOLL_IOC_MAGIC, 3, struct repoll_wait)

/*
 * /dev/repoll-source, the event source. Opening it makes a queue of messages
 * that is shared by all descriptors of the open file. write(2) puts one message
 * in, read(2) takes one out, whole and once; it can be watched by every
 * multiplexer. Documentation/source.rst is its manual page.
 */

/* Flags of struct repoll_source_setup. */
#define REPOLL_SOURCE_HEADERS	0x1	/* read(2) gives a header before each message */
#define REPOLL_SOURCE_FLAGS	REPOLL_SOURCE_HEADERS

/* Limits, and what a new queue has. */
#define REPOLL_SOURCE_MIN_MESSAGE_SIZE	16
#define REPOLL_SOURCE_MAX_MESSAGE_SIZE	65536
#define REPOLL_SOURCE_MAX_MESSAGES	65536
#define REPOLL_SOURCE_MAX_BYTES		(16 * 1024 * 1024)
#define REPOLL_SOURCE_DEFAULT_MESSAGES		64
#define REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE	2048
/* The shortest period of a timer in nanoseconds; a shorter one becomes this. */
#define REPOLL_SOURCE_MIN_PERIOD	100000
/* How many files of one user may have a timer at the same time. */
#define REPOLL_SOURCE_MAX_TIMERS	16

/**
 * struct repoll_source_setup - argument of REPOLL_SOURCE_SETUP
 * @messages: how many messages fit, 1 to REPOLL_SOURCE_MAX_MESSAGES.
 * @message_size: how long one may be in bytes, REPOLL_SOURCE_MIN_MESSAGE_SIZE to
 *	REPOLL_SOURCE_MAX_MESSAGE_SIZE. The product of both is at most
 *	REPOLL_SOURCE_MAX_BYTES.
 * @flags: 0 or REPOLL_SOURCE_HEADERS.
 * @__pad: must be zero.
 */
struct repoll_source_setup {
	__u32 messages;
	__u32 message_size;
	__u32 flags;
	__u32 __pad;
};

/* Where a message came from. */
#define REPOLL_SOURCE_WRITE	0	/* write(2) */
#define REPOLL_SOURCE_TIMER	1	/* the timer: one __u64, which expiry it was, from 1 */
#define REPOLL_SOURCE_FRAME	2	/* the network interface: one frame with its MAC header */

/**
 * struct repoll_source_header - what REPOLL_SOURCE_HEADERS puts before a message
 * @time: when the message entered the queue, CLOCK_MONOTONIC in nanoseconds.
 * @length: of the message that follows, in bytes.
 * @kind: REPOLL_SOURCE_WRITE, _TIMER or _FRAME.
 */
struct repoll_source_header {
	__aligned_u64 time;
	__u32 length;
	__u32 kind;
};

/* Flags of struct repoll_source_status. */
#define REPOLL_SOURCE_ATTACHED	0x1	/* to a network interface that is there */
#define REPOLL_SOURCE_HUNG_UP	0x2	/* the interface that it was attached to is gone */

/**
 * struct repoll_source_status - argument of REPOLL_SOURCE_STATUS
 * @messages: how many messages fit.
 * @message_size: how long one may be.
 * @queued: how many there are to read.
 * @flags: REPOLL_SOURCE_ATTACHED, REPOLL_SOURCE_HUNG_UP.
 * @arrived: how many messages have entered the queue since the file was opened.
 * @read: how many have been read.
 * @dropped: how many a timer or an interface brought when there was no room, or
 *	after a hang-up.
 * @too_long: how many frames were longer than @message_size, and so dropped.
 * @period: of the timer, in nanoseconds; 0 without one.
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
 *	less than REPOLL_SOURCE_MIN_PERIOD is taken as that, 0 ends the timer.
 * @count: how many expiries there are to be; 0 for no end.
 */
struct repoll_source_timer {
	__aligned_u64 period;
	__aligned_u64 count;
};

/**
 * struct repoll_source_attach - argument of REPOLL_SOURCE_ATTACH
 * @interface: the name of a network interface of the opener's network
 *	namespace, ended by a zero byte.
 * @ethertype: of the frames that are wanted, in the host's byte order, 0x0600 to
 *	0xffff.
 * @flags: must be zero.
 */
struct repoll_source_attach {
	char interface[16];
	__u32 ethertype;
	__u32 flags;
};

/* Sets size and mode. EBUSY unless the queue is empty. */
#define REPOLL_SOURCE_SETUP	_IOW(REPOLL_IOC_MAGIC, 0x20, struct repoll_source_setup)
/* Tells how it is. */
#define REPOLL_SOURCE_STATUS	_IOR(REPOLL_IOC_MAGIC, 0x21, struct repoll_source_status)
/* Starts the timer anew, or ends it. */
#define REPOLL_SOURCE_TIMER_SET	_IOW(REPOLL_IOC_MAGIC, 0x22, struct repoll_source_timer)
/* Has the frames of a network interface queued. */
#define REPOLL_SOURCE_ATTACH	_IOW(REPOLL_IOC_MAGIC, 0x23, struct repoll_source_attach)
/* Ends that, or the hang-up after the interface has gone. */
#define REPOLL_SOURCE_DETACH	_IO(REPOLL_IOC_MAGIC, 0x24)

#endif /* _UAPI_REPOLL_H */
