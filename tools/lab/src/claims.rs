// SPDX-License-Identifier: GPL-2.0
//! The mechanisms and their claims, one file for each theme.

mod asynchronous;
mod blocking;
mod callback;
mod create;
mod ctl;
mod herd;
mod nesting;
mod poll;
mod receive;
mod scanning;
mod select;
mod selector;
mod signals;
mod triggers;
mod wait;

use crate::claim::Mechanism;

/// All mechanisms, in the order in which a reader learns them.
pub fn all() -> Vec<Mechanism> {
    vec![
        receive::mechanism(),
        blocking::mechanism(),
        blocking::without_blocking(),
        signals::mechanism(),
        asynchronous::mechanism(),
        select::mechanism(),
        poll::mechanism(),
        create::mechanism(),
        ctl::mechanism(),
        ctl::pollable_files(),
        callback::mechanism(),
        wait::mechanism(),
        triggers::mechanism(),
        triggers::oneshot(),
        nesting::mechanism(),
        herd::mechanism(),
        selector::mechanism(),
    ]
}
