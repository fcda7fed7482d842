// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks: safe wrappers, shaped as if to be sent upstream.
//!
//! All unsafe code of the module lives here.
//!
//! | module | what it wraps |
//! |---|---|
//! | [`atomic`] | the kernel crate's atomics, inline |
//! | [`limits`] | a count with a limit, and a limit that is only lowered, without a lock |
//! | [`nested`] | locks of one class inside of each other |
//! | [`wait_queue`] | wait queues of our own: to be polled, to sleep on, to wake |
//! | [`poll_wqueues`] | entries in the wait queues of many files, for one call of select(2) or poll(2) |
//! | [`files`] | the current task's open files |
//! | [`device`] | a misc device whose files can be polled, and anonymous files of its kind |
//! | [`tree`] | a red-black tree whose nodes are part of its items |
//! | [`fasync`] | signals to those who asked to be told by signal |
//! | [`net`] | frames of a network interface, until it goes away |
//! | [`user_args`] | ioctl arguments that are versioned by their size, and events for userspace |
//! | [`user_array`] | arrays from and to userspace |
//! | [`user`] | users, and the count of their watches |
//! | [`task`], [`time`] | the current task's signals; clocks, sleeping with a time limit |
//! | [`drift`] | the differences between the kernels that the module is built for |

pub(crate) mod anon_inode;
pub(crate) mod atomic;
pub(crate) mod bindings;
pub(crate) mod drift;
pub(crate) mod fasync;
pub(crate) mod fdget;
pub(crate) mod ftrace;
pub(crate) mod hrtimeout;
pub(crate) mod limits;
pub(crate) mod llist;
pub(crate) mod miscdevice;
pub(crate) mod mutex;
pub(crate) mod net;
pub(crate) mod poll_table;
pub(crate) mod poll_wqueues;
pub(crate) mod rbtree;
pub(crate) mod set_once;
pub(crate) mod signal;
#[cfg(not(KERNEL_HAS_SPINLOCK_IRQ))]
mod spinlock_irq;
pub(crate) mod task;
pub(crate) mod tracepoint;
pub(crate) mod uaccess;
pub(crate) mod user;
pub(crate) mod wait_queue;
