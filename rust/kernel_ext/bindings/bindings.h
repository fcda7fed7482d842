/* SPDX-License-Identifier: GPL-2.0 */
/* Read by bindgen. See the allow list in rust/Makefile. */
#include <linux/hrtimer_types.h>
#include <linux/fs.h>
#include <linux/uaccess.h>
#include <linux/poll.h>
#include <linux/eventpoll.h>	/* not self-contained: after fs.h and uaccess.h */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/kdebug.h>
#include <linux/miscdevice.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/wait.h>
#include "helpers.h"
