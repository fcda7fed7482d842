// SPDX-License-Identifier: GPL-2.0
//! Shows what repoll does, from its tracepoints and the kernel's.
//!
//! [`tracefs`] records, [`record`] reads what was recorded, [`story`] finds the way of one
//! packet in it, and [`render`] prints that way.

pub mod record;
pub mod render;
pub mod signals;
pub mod story;
pub mod tracefs;
mod way;

use anyhow::{bail, Result};

/// The kernel's events on the way of a packet.
const KERNEL_EVENTS: [(&str, &str); 10] = [
    ("irq", "irq_handler_entry"),
    ("irq", "softirq_entry"),
    ("napi", "napi_poll"),
    ("net", "napi_gro_receive_entry"),
    ("net", "netif_receive_skb"),
    ("net", "net_dev_start_xmit"),
    ("sock", "sk_data_ready"),
    ("sock", "sock_recv_length"),
    ("sched", "sched_waking"),
    ("sched", "sched_switch"),
];

/// A trace instance that records all that a [`story`] is made of, once it is started.
///
/// # Errors
///
/// When tracing cannot be set up, or an event is not there: the module may not be loaded.
pub fn story_session() -> Result<tracefs::Session> {
    let session = tracefs::Session::new()?;
    if !session.enable_system("repoll")? {
        bail!("there are no tracepoints of repoll: is the module loaded?");
    }
    for (system, event) in KERNEL_EVENTS {
        if !session.enable(system, event)? {
            bail!("this kernel has no event {system}:{event}");
        }
    }
    Ok(session)
}
