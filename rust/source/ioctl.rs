// SPDX-License-Identifier: GPL-2.0

//! What can be asked of a source besides reading and writing.

use super::{
    nic::Frames,
    timer::Running,
    Source, //
};
use crate::uapi::{
    self,
    FIONREAD, //
};
use crate::{
    kernel_ext::{
        drift::errno::ENOTCONN,
        net::Attachment,
        uaccess::write_int, //
    },
    uapi::args::{
        read,
        repoll_source_attach,
        repoll_source_setup,
        repoll_source_status,
        repoll_source_timer,
        write, //
    }, //
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

/// The calls, as `uapi/repoll.h` numbers them.
const SETUP: u32 = 0x20;
const STATUS: u32 = 0x21;
const TIMER_SET: u32 = 0x22;
const ATTACH: u32 = 0x23;
const DETACH: u32 = 0x24;

pub(super) fn ioctl(source: &Source, cmd: u32, arg: usize) -> Result<isize> {
    if cmd == FIONREAD {
        write_int(arg, source.queue.next_length() as i32)?;
        return Ok(0);
    }
    if _IOC_TYPE(cmd) != uapi::REPOLL_IOC_MAGIC {
        return Err(ENOTTY);
    }
    let size = _IOC_SIZE(cmd);
    match (_IOC_NR(cmd), _IOC_DIR(cmd)) {
        (SETUP, _IOC_WRITE) => {
            source
                .queue
                .set_up(&read::<repoll_source_setup>(arg, size)?)?;
        }
        (STATUS, _IOC_READ) => write(arg, size, &source.status())?,
        (TIMER_SET, _IOC_WRITE) => source.set_timer(&read(arg, size)?)?,
        (ATTACH, _IOC_WRITE) => source.attach(&read(arg, size)?)?,
        (DETACH, _IOC_NONE) => source.detach()?,
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

impl Source {
    pub(super) fn status(&self) -> repoll_source_status {
        let feeds = self.feeds.lock();
        let mut status = self.queue.status();
        if feeds.nic.is_some() && status.flags & uapi::REPOLL_SOURCE_HUNG_UP == 0 {
            status.flags |= uapi::REPOLL_SOURCE_ATTACHED;
        }
        status.period = feeds.timer.as_ref().map_or(0, |timer| timer.period);
        status
    }

    fn set_timer(&self, setting: &repoll_source_timer) -> Result {
        let mut feeds = self.feeds.lock();
        if setting.period == 0 {
            feeds.timer = None;
            return Ok(());
        }
        Running::start(&self.queue, setting, &mut feeds.timer)
    }

    /// The RTNL mutex is taken in here, inside of `feeds`.
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
        // Before there is an interface that could hang up.
        let was_hung_up = self.queue.revive();
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

    fn detach(&self) -> Result {
        let mut feeds = self.feeds.lock();
        // No frame comes after this.
        let attached = feeds.nic.take().ok_or(ENOTCONN)?;
        drop(attached);
        self.queue.revive();
        Ok(())
    }
}
