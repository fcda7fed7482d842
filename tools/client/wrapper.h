/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What bindgen reads: the module's own header, and the ioctl numbers as
 * enumerators, because bindgen cannot evaluate macros that contain casts.
 */
#include <repoll.h>

enum repoll_ioctl {
	REPOLL_IOCTL_NOP = REPOLL_NOP,
	REPOLL_IOCTL_CREATE = REPOLL_CREATE,
	REPOLL_IOCTL_CTL = REPOLL_CTL,
	REPOLL_IOCTL_WAIT = REPOLL_WAIT,
	REPOLL_IOCTL_POLL = REPOLL_POLL,
	REPOLL_IOCTL_SELECT = REPOLL_SELECT,
};
