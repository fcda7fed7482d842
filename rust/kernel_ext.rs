// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers that the kernel crate lacks, named and shaped as if to be sent upstream.
//!
//! | module | contents |
//! |---|---|
//! | [`anon_inode`] | anonymous files of the kind of a misc device |
//! | [`atomic`] | the kernel crate's atomics, inline |
//! | [`capability`] | what the current task may do |
//! | [`cgroup`] | control groups of version 2 |
//! | [`die`] | notice of an oops |
//! | [`drift`] | the differences between the kernels that the module is built for |
//! | [`fasync`] | signals that a file is ready |
//! | [`fdget`] | the current task's open files |
//! | [`ftrace`] | a call at the entry of a kernel function |
//! | [`hrtimeout`] | the monotonic clock, and sleeping with a time limit |
//! | [`limits`] | a count with a limit, and a limit that is only lowered |
//! | [`llist`] | a lock-free list that is taken whole |
//! | [`miscdevice`] | a misc device whose files can be polled |
//! | [`module_ref`] | references to this module |
//! | [`mutex`] | nested and killable locking |
//! | [`net`] | frames of a network interface, until it is unregistered |
//! | [`poll_table`] | polling a file, and being polled |
//! | [`poll_wqueues`] | entries in the wait queues of many files, for one call of select(2) or poll(2) |
//! | [`rbtree`] | a red-black tree whose nodes are part of its items |
//! | [`replacement`] | a kernel function that another one stands in for |
//! | [`set_once`] | a static that is initialised in place, once |
//! | [`signal`], [`task`] | the current task and its signals |
//! | [`sysctl`] | the kernel's variables that a sysctl sets |
//! | [`sysrq`] | a SysRq key |
//! | [`tracepoint`] | a module's own tracepoints |
//! | [`uaccess`] | structures and arrays from and to userspace |
//! | [`user`] | users, the count of their watches, and its limit |
//! | [`wait_queue`] | sleeping, waking, and entries in other wait queues |
//! | [`work`] | a function that runs later, in process context |
//!
//! [`bindings`] are the raw functions and constants that these wrap.

pub(crate) mod anon_inode;
pub(crate) mod atomic;
pub(crate) mod bindings;
pub(crate) mod capability;
pub(crate) mod cgroup;
pub(crate) mod die;
pub(crate) mod drift;
pub(crate) mod fasync;
pub(crate) mod fdget;
pub(crate) mod ftrace;
pub(crate) mod hrtimeout;
pub(crate) mod limits;
pub(crate) mod llist;
pub(crate) mod miscdevice;
pub(crate) mod module_ref;
pub(crate) mod mutex;
pub(crate) mod net;
pub(crate) mod poll_table;
pub(crate) mod poll_wqueues;
pub(crate) mod rbtree;
pub(crate) mod rcu_cell;
pub(crate) mod replacement;
pub(crate) mod set_once;
pub(crate) mod signal;
#[cfg(not(KERNEL_HAS_SPINLOCK_IRQ))]
mod spinlock_irq;
pub(crate) mod sysctl;
pub(crate) mod sysrq;
pub(crate) mod task;
pub(crate) mod tracepoint;
pub(crate) mod uaccess;
pub(crate) mod user;
pub(crate) mod wait_queue;
pub(crate) mod work;
