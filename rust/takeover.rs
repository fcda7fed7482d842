// SPDX-License-Identifier: GPL-2.0

//! Takeover: the kernel's own epoll, select and poll calls, served by this module.
//!
//! While a policy is in force, functions of the kernel are replaced: a call of one goes to a
//! function of this module first. That function decides for this one call, and either serves it or
//! goes on with the kernel's own function. So programs make the system calls that they always make.
//!
//! | file | what it does |
//! |---|---|
//! | [`policy`] | the calls and the tasks that are taken over |
//! | [`control`] | switching: the policy together with the functions that it needs |
//! | [`serve`] | a call that is taken over |
//! | [`usage`] | the instances and calls that are taken over now |
//! | [`device`] | `/dev/repoll-takeover` |
//! | [`backend`] | the functions of the kernel: how they are replaced, and their arguments |
//!
//! # The decision
//!
//! `do_epoll_create()` asks the policy. Every other epoll call follows from its file: if the file's
//! operations are this module's, the module serves the call, else the kernel does. So instances of
//! both kinds exist side by side, and a switch of the policy needs no moment at which all tasks
//! agree. `do_select()` and `do_sys_poll()` have no such file, and ask the policy.
//!
//! # Lifetimes
//!
//! - An instance that was taken over has a [`Lease`](crate::eventpoll::Lease). While there is one,
//!   the functions that serve instances stay replaced, also without a policy. The end of the last
//!   lease has [`control`] put them back.
//! - A call on an instance holds the instance's file, and so the module. A call that makes an
//!   instance, and one of select and poll, takes a reference to the module. So the module is not
//!   unloaded while a task is in such a call.
//! - A task may be preempted in the first or last instructions of a call, with no reference. The
//!   end of the module waits for it, by Tasks RCU: see
//!   [`kernel_ext::replacement`](crate::kernel_ext::replacement).
//! - The kernel's own function runs with no frame of this module below it: the module may be gone
//!   when it returns.
//!
//! # Locking
//!
//! [`control`] has a mutex: it is held while functions are replaced and put back, and is outside of
//! all locks of ftrace. No call that is taken over takes it, nor the end of a lease.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod backend;
mod control;
mod device;
mod policy;
mod serve;
mod usage;

pub(crate) use backend::avoid_jumps;
pub(crate) use control::Takeover;
pub(crate) use device::Control;
