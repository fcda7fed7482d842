// SPDX-License-Identifier: GPL-2.0

//! The ioctls of a source.

use super::{
    nic::Frames,
    timer::Running,
    Source, //
};
use crate::kernel_ext::{
    drift::errno::ENOTCONN,
    net::Attachment,
    uaccess::{
        read,
        write,
        write_int, //
    }, //
};
use crate::uapi::{
    args::{
        repoll_source_attach,
        repoll_source_setup,
        repoll_source_status,
        repoll_source_timer, //
    },
    FIONREAD,
    REPOLL_IOC_MAGIC,
    REPOLL_SOURCE_ATTACHED,
    REPOLL_SOURCE_HUNG_UP, //
};
use kernel::{
    ioctl::{
        _IOC_DIR,
        _IOC_NR,
        _IOC_SIZE,
        _IOC_TYPE, //
    },
    prelude::*,
    uapi::{
        _IOC_NONE,
        _IOC_READ,
        _IOC_WRITE, //
    }, //
};

// The numbers of the calls in `uapi/repoll.h`.
const SETUP: u32 = 0x20;
const STATUS: u32 = 0x21;
const TIMER_SET: u32 = 0x22;
const ATTACH: u32 = 0x23;
const DETACH: u32 = 0x24;

impl Source {
    /// Runs the request `cmd` with the argument `arg`. Process context, sleeps.
    pub(super) fn run_ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        if cmd == FIONREAD {
            write_int(arg, self.queue.next_length() as i32)?;
            return Ok(0);
        }
        if _IOC_TYPE(cmd) != REPOLL_IOC_MAGIC {
            return Err(ENOTTY);
        }
        let size = _IOC_SIZE(cmd);
        match (_IOC_NR(cmd), _IOC_DIR(cmd)) {
            (SETUP, _IOC_WRITE) => self
                .queue
                .set_up(&read::<repoll_source_setup>(arg, size)?)?,
            (STATUS, _IOC_READ) => write(arg, size, &self.status())?,
            (TIMER_SET, _IOC_WRITE) => self.set_timer(&read(arg, size)?)?,
            (ATTACH, _IOC_WRITE) => self.attach(&read(arg, size)?)?,
            (DETACH, _IOC_NONE) => self.detach()?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    /// Reads sizes, state and counters.
    pub(super) fn status(&self) -> repoll_source_status {
        let feeds = self.feeds.lock();
        let mut status = self.queue.status();
        if feeds.nic.is_some() && status.flags & REPOLL_SOURCE_HUNG_UP == 0 {
            status.flags |= REPOLL_SOURCE_ATTACHED;
        }
        status.period = feeds.timer.as_ref().map_or(0, |timer| timer.period);
        status
    }

    /// Starts the timer again, or ends it.
    fn set_timer(&self, setting: &repoll_source_timer) -> Result {
        let mut feeds = self.feeds.lock();
        if setting.period == 0 {
            feeds.timer = None;
            return Ok(());
        }
        Running::start(&self.queue, setting, &mut feeds.timer)
    }

    /// Attaches the source to a network interface. Takes the RTNL mutex, inside of `feeds`.
    fn attach(&self, args: &repoll_source_attach) -> Result {
        if args.flags != 0 {
            return Err(EINVAL);
        }
        let ethertype = u16::try_from(args.ethertype).map_err(|_| EINVAL)?;
        let name = CStr::from_bytes_until_nul(&args.interface).map_err(|_| EINVAL)?;
        if !self.net.capable_raw() {
            return Err(EPERM);
        }
        let mut feeds = self.feeds.lock();
        if feeds.nic.is_some() && !self.queue.is_hung_up() {
            return Err(EBUSY);
        }
        // Before an interface is attached that could hang up.
        let was_hung_up = self.queue.clear_hangup();
        let frames = Frames(self.queue.clone());
        match Attachment::new(self.net.clone(), name, ethertype, frames) {
            Ok(attachment) => {
                feeds.nic = Some(attachment);
                Ok(())
            }
            Err(e) => {
                if was_hung_up {
                    self.queue.hang_up();
                }
                Err(e)
            }
        }
    }

    /// Ends the attachment, or the hang-up after its interface was unregistered.
    fn detach(&self) -> Result {
        let mut feeds = self.feeds.lock();
        // No frame comes after this.
        let attached = feeds.nic.take().ok_or(ENOTCONN)?;
        drop(attached);
        self.queue.clear_hangup();
        Ok(())
    }
}
