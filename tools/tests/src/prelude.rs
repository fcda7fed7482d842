// SPDX-License-Identifier: GPL-2.0
//! The names that most files of tests use.

pub(crate) use crate::registry::{both, each, repoll_only, within, Test};
pub(crate) use crate::settings;
pub(crate) use crate::support::{
    after, eventually, expect_error, expect_none, expect_one, join, watching_eventfd, LONG, MOMENT,
};
pub(crate) use anyhow::{ensure, Context as _, Result};
pub(crate) use repoll::EventFlags;
pub(crate) use repoll_testkit::files::{self, eventfds, read_all, signal};
pub(crate) use repoll_testkit::multiplexer::{Epoll, Multiplexer, Repoll};
pub(crate) use repoll_testkit::processes;
pub(crate) use repoll_testkit::side::Side;
pub(crate) use repoll_testkit::skip::skip;
pub(crate) use repoll_testkit::{signals, threads};
pub(crate) use std::os::fd::{AsRawFd, OwnedFd};
pub(crate) use std::thread::{scope, sleep};
pub(crate) use std::time::{Duration, Instant};
pub(crate) use std::{fs, io};
