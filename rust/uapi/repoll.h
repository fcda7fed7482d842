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

#endif /* _UAPI_REPOLL_H */
