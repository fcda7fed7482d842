// SPDX-License-Identifier: GPL-2.0

//! The instance as an open file: `/dev/repoll`, and what `REPOLL_CREATE` makes.

use super::{
    ctl::ctl,
    wait::wait,
    Eventpoll, //
};
use crate::trace::trace;
use crate::uapi::counts::{
    with_counts,
    Counts, //
};
use crate::uapi::epoll::{
    EPIOCGPARAMS,
    EPIOCSPARAMS, //
};
use crate::uapi::{
    self,
    O_CLOEXEC, //
};
use crate::{
    kernel_ext::{
        anon_inode::getfd,
        atomic::ordering::Relaxed,
        drift::errno::EOPNOTSUPP,
        fdget::Files,
        miscdevice::MiscDevice,
        poll_table::PollTable,
        signal, //
    },
    uapi::args::{
        read,
        repoll_create,
        repoll_ctl,
        repoll_wait, //
        EventWriter,
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

#[vtable]
impl MiscDevice for Eventpoll {
    const NAME: &'static CStr = c"repoll";

    fn open() -> Result<Arc<Self>> {
        Self::new()
    }

    fn release(this: Arc<Self>) {
        Eventpoll::release(&this);
    }

    fn poll(this: ArcBorrow<'_, Self>, table: &PollTable<'_>) -> u32 {
        Eventpoll::poll(&this, table)
    }

    fn show_fdinfo(this: ArcBorrow<'_, Self>, out: &SeqFile) {
        Eventpoll::show_fdinfo(&this, out);
    }

    #[inline]
    fn ioctl(this: ArcBorrow<'_, Self>, file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let size = _IOC_SIZE(cmd);
        if _IOC_TYPE(cmd) != uapi::REPOLL_IOC_MAGIC {
            return Err(foreign(cmd));
        }
        match (_IOC_NR(cmd), _IOC_DIR(cmd)) {
            (NOP, kernel::uapi::_IOC_NONE) => Ok(0),
            (CREATE, kernel::uapi::_IOC_WRITE) => create(arg, size),
            (CTL, kernel::uapi::_IOC_WRITE) => control(this, file, arg, size),
            (WAIT, kernel::uapi::_IOC_WRITE) => wait_for(&this, arg, size),
            (POLL, IOWR) => crate::select_poll::poll::poll(arg, size),
            (SELECT, IOWR) => crate::select_poll::select::select(arg, size),
            _ => Err(EINVAL),
        }
    }
}

// Each call is a function of its own, so that none pays for another's registers and stack.

/// The error of an unknown request: that of the C epoll in a kernel without busy polling.
#[cold]
fn foreign(cmd: u32) -> Error {
    match cmd {
        EPIOCSPARAMS | EPIOCGPARAMS => EOPNOTSUPP,
        _ => EINVAL,
    }
}

#[inline(never)]
fn create(arg: usize, size: usize) -> Result<isize> {
    let args: repoll_create = read(arg, size)?;
    if args.flags & !O_CLOEXEC != 0 || args.__pad != 0 {
        return Err(EINVAL);
    }
    // The name of a C epoll, by which lsof, CRIU and others recognise an instance.
    let name = c"[eventpoll]";
    getfd(&Files::current()?, Eventpoll::new()?, name, args.flags).map(|fd| fd as isize)
}

#[inline(never)]
fn control(ep: ArcBorrow<'_, Eventpoll>, file: &File, arg: usize, size: usize) -> Result<isize> {
    let args: repoll_ctl = read(arg, size)?;
    if args.flags != 0 {
        return Err(EINVAL);
    }
    ctl(ep, file, &args, crate::MAX_USER_WATCHES.load(Relaxed))?;
    Ok(0)
}

#[inline(never)]
fn wait_for(ep: &Eventpoll, arg: usize, size: usize) -> Result<isize> {
    let args: repoll_wait = read(arg, size)?;
    trace!(wait_enter(ep.id, args.maxevents, args.timeout));
    let result = if args.flags != 0 {
        Err(EINVAL)
    } else if args.sigmask | args.counts == 0 {
        plain_wait(ep, &args, None)
    } else {
        special_wait(ep, &args)
    };
    trace!(wait_exit(
        ep.id,
        result.map_or_else(|e| e.to_errno(), |n| n as i32)
    ));
    result.map(|n| n as isize)
}

/// With a signal mask, or counts, or both.
#[inline(never)]
fn special_wait(ep: &Eventpoll, args: &repoll_wait) -> Result<usize> {
    with_counts(args.counts, args.counts_size, |counts| {
        signal::with_user_sigmask(args.sigmask, args.sigsetsize, || {
            plain_wait(ep, args, Some(counts))
        })
    })
}

#[inline]
fn plain_wait(ep: &Eventpoll, args: &repoll_wait, counts: Option<&mut Counts>) -> Result<usize> {
    let out = EventWriter::new(args.events, args.maxevents)?;
    wait(ep, out, args.timeout, counts)
}
