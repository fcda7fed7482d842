// SPDX-License-Identifier: GPL-2.0

//! `/dev/repoll-takeover`: the requests that set and read the policy.

#![forbid(unsafe_code)]

use super::{
    control,
    policy::{
        Calls,
        Scope, //
    },
};
use crate::kernel_ext::{
    capability,
    cgroup::Cgroup,
    miscdevice::MiscDevice,
    poll_table::PollTable,
    uaccess::{
        read,
        write, //
    },
};
use crate::uapi::{
    args::{
        repoll_takeover,
        repoll_takeover_status, //
    },
    REPOLL_IOC_MAGIC,
    REPOLL_TAKEOVER_ALL,
    REPOLL_TAKEOVER_CGROUP,
    REPOLL_TAKEOVER_OFF, //
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
    sync::{
        Arc,
        ArcBorrow, //
    },
    uapi::{
        _IOC_READ,
        _IOC_WRITE, //
    }, //
};

// The numbers of the requests in `uapi/repoll.h`.
const SET: u32 = 0x40;
const STATUS: u32 = 0x41;

/// An open `/dev/repoll-takeover`. It has no state of its own: there is one policy.
pub(crate) struct Control;

#[vtable]
impl MiscDevice for Control {
    const NAME: &'static CStr = c"repoll-takeover";

    fn open() -> Result<Arc<Self>> {
        Ok(Arc::new(Self, GFP_KERNEL_ACCOUNT)?)
    }

    fn poll(_this: ArcBorrow<'_, Self>, _table: &PollTable<'_>) -> u32 {
        0
    }

    fn ioctl(_this: ArcBorrow<'_, Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        if _IOC_TYPE(cmd) != REPOLL_IOC_MAGIC {
            return Err(EINVAL);
        }
        if !capability::is_admin() {
            return Err(EPERM);
        }
        let size = _IOC_SIZE(cmd);
        match (_IOC_NR(cmd), _IOC_DIR(cmd)) {
            (SET, _IOC_WRITE) => set(&read(arg, size)?),
            (STATUS, _IOC_READ) => write(arg, size, &status()),
            _ => Err(EINVAL),
        }
        .map(|()| 0)
    }
}

fn set(args: &repoll_takeover) -> Result {
    let calls = Calls::from_bits(args.calls)?;
    if args.flags != 0 {
        return Err(EINVAL);
    }
    match args.mode {
        REPOLL_TAKEOVER_OFF if calls == Calls::NONE && args.cgroup_fd == -1 => control::off(),
        REPOLL_TAKEOVER_ALL if calls != Calls::NONE && args.cgroup_fd == -1 => {
            control::on(calls, Scope::All)
        }
        REPOLL_TAKEOVER_CGROUP if calls != Calls::NONE => {
            control::on(calls, Scope::Group(Cgroup::from_fd(args.cgroup_fd)?))
        }
        _ => Err(EINVAL),
    }
}

fn status() -> repoll_takeover_status {
    let status = control::status();
    let mode = match (status.calls, status.group) {
        (Calls::NONE, _) => REPOLL_TAKEOVER_OFF,
        (_, None) => REPOLL_TAKEOVER_ALL,
        (_, Some(_)) => REPOLL_TAKEOVER_CGROUP,
    };
    repoll_takeover_status {
        mode,
        calls: status.calls.bits(),
        cgroup: status.group.unwrap_or(0),
        hooked: status.hooked,
        means: status.means,
        cause: status.cause,
        __pad: 0,
        instances: status.instances,
        created: status.created,
        running: status.running,
    }
}
