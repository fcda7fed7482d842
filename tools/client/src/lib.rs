// SPDX-License-Identifier: MIT OR Apache-2.0
//! A safe interface to `/dev/repoll`, the event multiplexer of the repoll kernel module.
//!
//! An [`Instance`] is what `epoll_create1(2)` makes, a kernel object behind a file descriptor:
//! it has an *interest list*, which [`Instance::add`], [`Instance::modify`] and
//! [`Instance::delete`] change as `epoll_ctl(2)` does, and [`Instance::wait`] reports what
//! is ready as `epoll_wait(2)` does. Event bits and errors are those of epoll(7).
//! [`Instance::poll`] and [`Instance::select`] are the older `poll(2)` and `select(2)`.
//!
//! ```no_run
//! use repoll::{Event, Events, Instance};
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = std::net::UdpSocket::bind("127.0.0.1:7007")?;
//! let instance = Instance::open()?;
//! instance.add(&socket, Events::IN, 42)?;
//!
//! let mut buffer = [Event::default(); 16];
//! for event in instance.wait(&mut buffer, Some(Duration::from_secs(1)))? {
//!     assert_eq!(event.data(), 42);
//!     println!("ready: {:?}", event.events());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Source`] is the other side: `/dev/repoll-source`, a queue of messages that can be watched.

mod event;
mod instance;
mod scan;
mod source;
pub mod sys;

pub use event::{Event, Events};
pub use instance::{CreateFlags, Instance, DEVICE};
pub use scan::{Counts, FdSet, PollEvents, PollFd};
pub use source::{Kind, Message, Source, Status, SOURCE_DEVICE};
