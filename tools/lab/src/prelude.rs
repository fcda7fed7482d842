// SPDX-License-Identifier: GPL-2.0
//! The names that most experiments use.

pub(crate) use crate::claim::{Claim, Finding, Mechanism, Verdict};
pub(crate) use crate::multiplexer::{Multiplexer, FOR_EVER, NOW};
pub(crate) use crate::recording::{record_events, record_story, recorded};
pub(crate) use crate::side::Side;
pub(crate) use crate::threads::start;
pub(crate) use anyhow::{bail, ensure, Context as _, Result};
pub(crate) use repoll::EventFlags;
pub(crate) use repoll_testkit::files::{eventfd, eventfd_of, eventfds, pipe, read, signal, write};
pub(crate) use repoll_testkit::side::Side as Code;
pub(crate) use std::io::ErrorKind;
pub(crate) use std::os::fd::{AsFd, AsRawFd, OwnedFd};
pub(crate) use std::thread::scope;
