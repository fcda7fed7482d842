// SPDX-License-Identifier: GPL-2.0

//! The instance as an open file: `/dev/repoll`, and the file that `REPOLL_CREATE` makes.

use super::{
    ctl::ctl,
    wait::wait,
    Epitem,
    Eventpoll,
    Lease, //
};
use crate::kernel_ext::{
    anon_inode::getfd,
    drift::errno::EOPNOTSUPP,
    fdget::Files,
    hrtimeout::Timeout,
    miscdevice::{
        MiscDevice,
        Operations, //
    },
    poll_table::PollTable,
    signal,
    uaccess::read,
    user::User, //
};
use crate::select_poll;
use crate::trace::trace;
use crate::uapi::{
    args::{
        repoll_create,
        repoll_ctl,
        repoll_wait,
        EventWriter, //
    },
    counts::{
        with_counts,
        Counts, //
    },
    epoll::{
        EPIOCGPARAMS,
        EPIOCSPARAMS, //
    },
    O_CLOEXEC,
    REPOLL_IOC_MAGIC, //
};
use crate::watch::{
    last_close::LastClose,
    topology, //
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
    },
    uapi::{
        _IOC_NONE,
        _IOC_READ,
        _IOC_WRITE, //
    }, //
};

// The numbers of the calls in `uapi/repoll.h`.
const NOP: u32 = 0;
const CREATE: u32 = 1;
const CTL: u32 = 2;
const WAIT: u32 = 3;
const POLL: u32 = 4;
const SELECT: u32 = 5;

const IOWR: u32 = _IOC_WRITE | _IOC_READ;

/// Prepares the multiplexer. `last_close_functions` is as for [`Watch::notice_last_close`], whose
/// result it returns. Sleeps.
///
/// [`Watch::notice_last_close`]: crate::watch::Watch::notice_last_close
pub(crate) fn init(last_close_functions: u32) -> Result<LastClose> {
    if !User::find_max_watches(size_of::<Epitem>()) {
        pr_notice!(
            "sysctl fs.epoll.max_user_watches not found, as CONFIG_KALLSYMS_ALL or CONFIG_KPROBES \
             is off: a user may have {} watches\n",
            User::max_watches()
        );
    }
    topology::init()?;
    Epitem::notice_last_close(last_close_functions)
}

/// The file operations of an instance.
pub(crate) static OPERATIONS: Operations<Eventpoll> = Operations::new();

#[vtable]
impl MiscDevice for Eventpoll {
    const NAME: &'static CStr = c"repoll";

    fn operations() -> &'static Operations<Self> {
        &OPERATIONS
    }

    fn open() -> Result<Arc<Self>> {
        Self::new(None)
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
        if _IOC_TYPE(cmd) != REPOLL_IOC_MAGIC {
            return Err(error_of_other_type(cmd));
        }
        match (_IOC_NR(cmd), _IOC_DIR(cmd)) {
            (NOP, _IOC_NONE) => Ok(0),
            (CREATE, _IOC_WRITE) => run_create(arg, size),
            (CTL, _IOC_WRITE) => run_ctl(this, file, arg, size),
            (WAIT, _IOC_WRITE) => run_wait(&this, arg, size),
            (POLL, IOWR) => select_poll::poll::poll(arg, size),
            (SELECT, IOWR) => select_poll::select::select(arg, size),
            _ => Err(EINVAL),
        }
    }
}

/// The error of a request of another type: that of the C epoll in a kernel without busy polling.
#[cold]
fn error_of_other_type(cmd: u32) -> Error {
    match cmd {
        EPIOCSPARAMS | EPIOCGPARAMS => EOPNOTSUPP,
        _ => EINVAL,
    }
}

// Each call is a function that is not inlined, so no call pays for the registers and the stack of
// another.

#[inline(never)]
fn run_create(arg: usize, size: usize) -> Result<isize> {
    let args: repoll_create = read(arg, size)?;
    if args.flags & !O_CLOEXEC != 0 || args.__pad != 0 {
        return Err(EINVAL);
    }
    epoll_create(args.flags, None).map(|fd| fd as isize)
}

/// Makes an instance, as epoll_create1(2); returns its descriptor. `flags` may have `O_CLOEXEC`.
///
/// The instance owns `lease`.
pub(crate) fn epoll_create(flags: u32, lease: Option<Lease>) -> Result<i32> {
    // The name of a C epoll, by which lsof, CRIU and others recognise an instance.
    let name = c"[eventpoll]";
    getfd(&Files::current()?, Eventpoll::new(lease)?, name, flags)
}

#[inline(never)]
fn run_ctl(ep: ArcBorrow<'_, Eventpoll>, file: &File, arg: usize, size: usize) -> Result<isize> {
    let args: repoll_ctl = read(arg, size)?;
    if args.flags != 0 {
        return Err(EINVAL);
    }
    ctl(ep, file, &args)?;
    Ok(0)
}

#[inline(never)]
fn run_wait(ep: &Eventpoll, arg: usize, size: usize) -> Result<isize> {
    let args: repoll_wait = read(arg, size)?;
    trace!(wait_enter(ep.id, args.maxevents, args.timeout));
    let result = if args.flags != 0 {
        Err(EINVAL)
    } else if args.sigmask | args.counts == 0 {
        run_plain_wait(ep, &args, None)
    } else {
        run_counted_wait(ep, &args)
    };
    ep.trace_wait_exit(result);
    result.map(|n| n as isize)
}

/// A wait with a signal mask, or counts, or both.
#[inline(never)]
fn run_counted_wait(ep: &Eventpoll, args: &repoll_wait) -> Result<usize> {
    with_counts(args.counts, args.counts_size, |counts| {
        signal::with_user_sigmask(args.sigmask, args.sigsetsize, || {
            run_plain_wait(ep, args, Some(counts))
        })
    })
}

#[inline]
fn run_plain_wait(
    ep: &Eventpoll,
    args: &repoll_wait,
    counts: Option<&mut Counts>,
) -> Result<usize> {
    let out = EventWriter::new(args.events, args.maxevents)?;
    wait(ep, out, Timeout::after(args.timeout), counts)
}
