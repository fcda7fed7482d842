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
	REPOLL_IOCTL_SOURCE_SETUP = REPOLL_SOURCE_SETUP,
	REPOLL_IOCTL_SOURCE_STATUS = REPOLL_SOURCE_STATUS,
	REPOLL_IOCTL_SOURCE_TIMER_SET = REPOLL_SOURCE_TIMER_SET,
	REPOLL_IOCTL_SOURCE_ATTACH = REPOLL_SOURCE_ATTACH,
	REPOLL_IOCTL_SOURCE_DETACH = REPOLL_SOURCE_DETACH,
};
