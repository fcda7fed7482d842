// SPDX-License-Identifier: GPL-2.0

//! repoll: Linux's readiness pipeline in Rust, as a module.
//!
//! | part | what it is |
//! |---|---|
//! | [`eventpoll`] | the multiplexer: epoll(7) as a device |
//! | [`select_poll`] | select(2) and poll(2), as calls of that device |
//! | [`source`] | a file that wakes its pollers |
//! | [`takeover`] | the kernel's own calls, served by these |
//! | [`watch`] | callbacks in other files' wait queues, last closes, the ready queue |
//! | [`kernel_ext`] | safe wrappers of kernel interfaces that the kernel crate lacks |
//! | [`trace`] | the tracepoints |
//! | [`uapi`] | the user interface |
//!
//! # Order of locks between the parts
//!
//! Each part documents its own locks. An instance and a source meet in the source's wait queue
//! `pollers`, when the instance watches the source:
//!
//! ```text
//!   Eventpoll::locked > Source::arrival > Queue::pollers     ADD polls the source
//!   Eventpoll::locked > Queue::state                         WAIT polls the source
//!   bucket of the table of watched files > Queue::pollers    the watch ends
//!   Queue::pollers > waiters, pollers of the instance        the source wakes the instance
//! ```
//!
//! So all locks of an instance but those of its wait queues are outside of all locks of a source.
//! SELECT and POLL hold no lock when they poll a file; the callback of their entries takes none
//! of ours.

mod eventpoll;
mod kernel_ext;
mod select_poll;
mod source;
mod takeover;
mod trace;
mod uapi;
mod watch;

use eventpoll::Eventpoll;
use kernel::prelude::*;
use kernel_ext::{
    drift::parameter,
    miscdevice::MiscDeviceRegistration, //
};
use source::Source;
use takeover::{
    Control,
    Takeover, //
};
use watch::last_close::LastClose;

module! {
    type: Repoll,
    name: "repoll",
    authors: ["The repoll authors"],
    description: "Linux's readiness pipeline in Rust: an epoll-like multiplexer to study. For VMs only",
    license: "GPL",
    params: {
        last_close_functions: u32 {
            default: 0,
            description: "For tests: the kernel functions to try for the last-close hook, a sum of 1 (none works), 2 (security_file_release), 4 (locks_remove_file), 8 (by a direct call); 0: the default",
        },
        max_user_source_bytes: u64 {
            default: 64 * 1024 * 1024,
            description: "The most bytes of kernel memory of a user's event sources",
        },
        takeover: u32 {
            default: 0,
            description: "The kernel's own calls to take over from all tasks, a sum of 1 (epoll), 2 (select), 4 (poll)",
        },
        takeover_without_jumps: u32 {
            default: 0,
            description: "For tests: 1 makes ftrace change the instruction pointer, also where functions can begin with a jump",
        },
    },
}

/// The state of the loaded module.
///
/// The fields are dropped in this order: when the hook is removed no new instance can be opened,
/// and none is left, since each holds a reference to the module. They are made in the reverse
/// order: the devices can be opened only when all is made, so a failed load leaves nothing behind.
#[pin_data]
struct Repoll {
    #[pin]
    source: MiscDeviceRegistration<Source>,
    #[pin]
    device: MiscDeviceRegistration<Eventpoll>,
    #[pin]
    control: MiscDeviceRegistration<Control>,
    takeover: Takeover,
    last_close: LastClose,
}

impl kernel::InPlaceModule for Repoll {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let max_user_source_bytes = parameter(module_parameters::max_user_source_bytes.value());
        let last_close_functions = parameter(module_parameters::last_close_functions.value());
        let without_jumps: u32 = parameter(module_parameters::takeover_without_jumps.value());
        if without_jumps != 0 {
            takeover::avoid_jumps();
        }
        let takeover_calls: u32 = parameter(module_parameters::takeover.value());
        try_pin_init!(Self {
            last_close: {
                source::init(max_user_source_bytes)?;
                eventpoll::init(last_close_functions)?
            },
            takeover: Takeover::new()?,
            control <- MiscDeviceRegistration::new(),
            device <- MiscDeviceRegistration::new(),
            source <- MiscDeviceRegistration::new(),
            // No step can fail from here on.
            _: {
                device.go_live();
                source.go_live();
                control.go_live();
                takeover.on_at_load(takeover_calls);
            },
        })
    }
}
