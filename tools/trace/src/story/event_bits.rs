// SPDX-License-Identifier: GPL-2.0
//! Event bits (`EPOLLIN` and others) in records.

use crate::ftrace::record::Record;

/// The names of event bits, without the prefix EPOLL.
pub fn event_names(bits: u32) -> String {
    const NAMES: [(i32, &str); 14] = [
        (libc::EPOLLIN, "IN"),
        (libc::EPOLLPRI, "PRI"),
        (libc::EPOLLOUT, "OUT"),
        (libc::EPOLLERR, "ERR"),
        (libc::EPOLLHUP, "HUP"),
        (libc::EPOLLRDNORM, "RDNORM"),
        (libc::EPOLLRDBAND, "RDBAND"),
        (libc::EPOLLWRNORM, "WRNORM"),
        (libc::EPOLLWRBAND, "WRBAND"),
        (libc::EPOLLMSG, "MSG"),
        (libc::EPOLLRDHUP, "RDHUP"),
        (libc::EPOLLEXCLUSIVE, "EXCLUSIVE"),
        (libc::EPOLLONESHOT, "ONESHOT"),
        (libc::EPOLLET, "ET"),
    ];
    let named = NAMES.iter().filter(|(bit, _)| bits & *bit as u32 != 0);
    let names: Vec<_> = named.map(|(_, name)| *name).collect();
    if names.is_empty() {
        return format!("{bits:#x}");
    }
    names.join(" ")
}

/// The names of the bits in a field. A waker may pass no bits: the event is then unspecified.
pub(super) fn named(record: &Record, field: &str) -> String {
    match record.number(field) {
        Some(0) => "events not specified by the waker".to_owned(),
        bits => event_names(bits.unwrap_or(0) as u32),
    }
}

/// Whether a poll found any of the events that it asked for.
pub(crate) fn is_ready(record: &Record) -> bool {
    let wanted = record.number("events").unwrap_or(-1);
    record.number("ready").unwrap_or(0) & wanted != 0
}

/// The names of the events that a poll found.
pub(super) fn ready(record: &Record) -> String {
    match record.number("ready") {
        Some(0) | None => "no longer ready".to_owned(),
        Some(bits) => event_names(bits as u32),
    }
}
