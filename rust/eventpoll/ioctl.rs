// SPDX-License-Identifier: GPL-2.0

//! The instance as an open file: `/dev/repoll`, and what `REPOLL_CREATE` makes.

use super::{
    ctl::ctl,
    wait::wait,
    Eventpoll, //
};
use crate::counts::{
    reported,
    Counts, //
};
use crate::kernel_ext::{
    bindings as ext,
    device::{
        anon_fd,
        Device, //
    },
    task,
    trace,
    user_args::{
        read,
        repoll_create,
        repoll_ctl,
        repoll_wait,
        EventWriter, //
    },
    wait_queue::{
        PollTable,
        WaitQueue, //
    }, //
};
use kernel::{
    fs::File,
    ioctl::{
        _IOC_DIR,
        _IOC_NR,
        _IOC_SIZE,
        _IOC_TYPE, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::{
        atomic::ordering::Relaxed,
        Arc,
        ArcBorrow, //
    }, //
};

/// The calls, as `uapi/repoll.h` numbers them.
const NOP: u32 = 0;
const CREATE: u32 = 1;
const CTL: u32 = 2;
const WAIT: u32 = 3;
const POLL: u32 = 4;
const SELECT: u32 = 5;

const IOWR: u32 = kernel::uapi::_IOC_WRITE | kernel::uapi::_IOC_READ;

impl Device for Eventpoll {
    type OwnerModule = crate::LocalModule;
    const NAME: &'static CStr = c"repoll";
    const ANON_NAME: &'static CStr = c"[repoll]";

    fn open() -> Result<Arc<Self>> {
        Self::new()
    }

    fn release(this: Arc<Self>) {
        Eventpoll::release(&this);
    }

    fn pollers(&self) -> &WaitQueue {
        &self.pollers
    }

    fn poll(this: ArcBorrow<'_, Self>, table: &PollTable<'_>) -> u32 {
        Eventpoll::poll(&this, Some(table), 0)
    }

    fn show_fdinfo(this: ArcBorrow<'_, Self>, out: &SeqFile) {
        Eventpoll::show_fdinfo(&this, out);
    }

    fn ioctl(this: ArcBorrow<'_, Self>, file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let size = _IOC_SIZE(cmd);
        if _IOC_TYPE(cmd) != ext::REPOLL_IOC_MAGIC {
            return Err(ENOTTY);
        }
        match (_IOC_NR(cmd), _IOC_DIR(cmd)) {
            (NOP, kernel::uapi::_IOC_NONE) => Ok(0),
            (CREATE, kernel::uapi::_IOC_WRITE) => create(&read(arg, size)?),
            (CTL, kernel::uapi::_IOC_WRITE) => {
                let args: repoll_ctl = read(arg, size)?;
                if args.flags != 0 {
                    return Err(EINVAL);
                }
                ctl(this, file, &args, crate::MAX_USER_WATCHES.load(Relaxed))?;
                Ok(0)
            }
            (WAIT, kernel::uapi::_IOC_WRITE) => {
                let args: repoll_wait = read(arg, size)?;
                trace::wait_enter(this.id, args.maxevents, args.timeout);
                let result = checked_wait(&this, &args);
                trace::wait_exit(this.id, result.map_or_else(|e| e.to_errno(), |n| n as i32));
                result.map(|n| n as isize)
            }
            (POLL, IOWR) => crate::poll::poll(arg, size),
            (SELECT, IOWR) => crate::select::select(arg, size),
            _ => Err(ENOTTY),
        }
    }
}

fn create(args: &repoll_create) -> Result<isize> {
    if args.flags & !ext::CLOEXEC != 0 || args.__pad != 0 {
        return Err(EINVAL);
    }
    anon_fd(Eventpoll::new()?, args.flags).map(|fd| fd as isize)
}

#[inline(always)]
fn checked_wait(ep: &Eventpoll, args: &repoll_wait) -> Result<usize> {
    if args.flags != 0 {
        return Err(EINVAL);
    }
    if args.counts != 0 {
        return counted_wait(ep, args);
    }
    masked_wait(ep, args, None)
}

#[cold]
#[inline(never)]
fn counted_wait(ep: &Eventpoll, args: &repoll_wait) -> Result<usize> {
    reported(args.counts, args.counts_size, |counts| {
        masked_wait(ep, args, Some(counts))
    })
}

#[inline(always)]
fn masked_wait(ep: &Eventpoll, args: &repoll_wait, counts: Option<&mut Counts>) -> Result<usize> {
    if args.sigmask == 0 {
        return unmasked_wait(ep, args, counts);
    }
    task::with_user_sigmask(args.sigmask, args.sigsetsize, || {
        unmasked_wait(ep, args, counts)
    })
}

fn unmasked_wait(ep: &Eventpoll, args: &repoll_wait, counts: Option<&mut Counts>) -> Result<usize> {
    let out = EventWriter::new(args.events, args.maxevents)?;
    wait(ep, out, args.timeout, counts)
}
