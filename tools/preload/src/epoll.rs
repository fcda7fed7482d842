// SPDX-License-Identifier: MIT OR Apache-2.0
//! The carried calls of epoll. Results are the kernel's: a negative errno on failure.

use crate::statistics::{self, Call, Outcome};
use crate::{arch, memory, raw, sandbox, template, uapi};
use libc::{c_int, c_long, epoll_event, size_t, timespec};

const BADF: c_long = -(libc::EBADF as c_long);
const EXIST: c_long = -(libc::EEXIST as c_long);
const FAULT: c_long = -(libc::EFAULT as c_long);
const INTR: c_long = -(libc::EINTR as c_long);
const INVAL: c_long = -(libc::EINVAL as c_long);
const MFILE: c_long = -(libc::EMFILE as c_long);
const NFILE: c_long = -(libc::ENFILE as c_long);
const NOENT: c_long = -(libc::ENOENT as c_long);
const NOMEM: c_long = -(libc::ENOMEM as c_long);
const NOTTY: c_long = -(libc::ENOTTY as c_long);

/// As `epoll_create1(2)`.
pub fn create(flags: c_int) -> c_long {
    create_or(flags, libc::SYS_epoll_create1, flags)
}

/// As `epoll_create1(2)`. The real call, if it has to be made, is the one that the program made,
/// `number` with `real_argument`: a seccomp filter may allow no other.
fn create_or(flags: c_int, number: c_long, real_argument: c_int) -> c_long {
    if flags & !libc::EPOLL_CLOEXEC != 0 {
        statistics::count(Call::Create, Outcome::Refused);
        return INVAL;
    }
    let argument = uapi::repoll_create {
        flags: flags as u32,
        ..Default::default()
    };
    let real = |outcome| {
        statistics::count(Call::Create, outcome);
        // SAFETY: the call takes only a number.
        unsafe { raw::call(number, [real_argument.into(), 0, 0, 0, 0, 0]) }
    };
    if sandbox::leaves_alone() {
        return real(Outcome::Filtered);
    }
    // SAFETY: the request only reads a `repoll_create`.
    let create = |fd| unsafe { raw::ioctl(fd, uapi::REPOLL_IOCTL_CREATE, &raw const argument) };
    let created = template::get().and_then(|fd| match create(fd) {
        result if template::answered(fd, result) => Ok(result),
        _ => template::another(fd).map(create),
    });
    match created {
        Ok(result @ 0..) => {
            statistics::count(Call::Create, Outcome::Carried);
            result
        }
        // The real call would fail with the same error.
        Ok(error @ (MFILE | NFILE | NOMEM)) | Err(error @ (MFILE | NFILE | NOMEM)) => {
            statistics::count(Call::Create, Outcome::Refused);
            error
        }
        Ok(error) | Err(error) => {
            statistics::no_device(error);
            real(Outcome::NoDevice)
        }
    }
}

/// As `epoll_create(2)`.
pub fn create_sized(size: c_int) -> c_long {
    if size <= 0 {
        statistics::count(Call::Create, Outcome::Refused);
        return INVAL;
    }
    let (number, argument) = arch::epoll_create(size);
    create_or(0, number, argument)
}

/// As `epoll_ctl(2)`.
///
/// # Safety
///
/// `event` is null, not mapped, or stays readable during the call.
pub unsafe fn ctl(epfd: c_int, op: c_int, fd: c_int, event: *const epoll_event) -> c_long {
    let real = || {
        let arguments = [epfd.into(), op.into(), fd.into(), event as c_long, 0, 0];
        // SAFETY: the kernel checks the event's address.
        unsafe { raw::call(libc::SYS_epoll_ctl, arguments) }
    };
    // Before the event is read, as that makes a system call that a seccomp filter may refuse.
    if sandbox::leaves_alone() {
        let result = real();
        if result != INVAL || is_c_epoll(epfd) {
            statistics::count(Call::Ctl, Outcome::NotOurs);
            return result;
        }
    }
    let mut argument = uapi::repoll_ctl {
        op,
        fd,
        ..Default::default()
    };
    if op != libc::EPOLL_CTL_DEL {
        // The event is read before the descriptors are checked, as in the kernel.
        // SAFETY: integers; the rest by the contract of this function.
        let Some(event) = (unsafe { memory::read(event) }) else {
            statistics::count(Call::Ctl, Outcome::Refused);
            return FAULT;
        };
        argument.events = event.events;
        argument.data = event.u64;
    }
    // SAFETY: the request only reads a `repoll_ctl`.
    let result = unsafe { raw::ioctl(epfd, uapi::REPOLL_IOCTL_CTL, &raw const argument) };
    if carried(Call::Ctl, epfd, result) {
        return result;
    }
    filtered(epfd, result, real())
}

/// The time limit of a wait, in the form of its call.
#[derive(Clone, Copy)]
pub enum Limit {
    /// That of `epoll_wait`, which has no mask; negative for none.
    Wait(c_int),
    /// That of `epoll_pwait`; negative for none.
    Milliseconds(c_int),
    /// That of `epoll_pwait2`; null for none.
    Time(*const timespec),
}

/// A signal mask and its size, or null for none.
#[derive(Clone, Copy)]
pub struct Mask(pub *const libc::sigset_t, pub size_t);

/// As `epoll_pwait(2)` or `epoll_pwait2(2)`; without a mask, as `epoll_wait(2)`. It is a
/// cancellation point if `cancellable`: the functions are, `syscall(2)` is not.
///
/// # Safety
///
/// The array of events has room for `maxevents`, or is not mapped. A [`Limit::Time`] is null, not
/// mapped, or stays readable during the call.
pub unsafe fn wait(
    epfd: c_int,
    events: *mut epoll_event,
    maxevents: c_int,
    limit: Limit,
    mask: Mask,
    cancellable: bool,
) -> c_long {
    let (number, given) = match limit {
        Limit::Wait(limit) => (arch::WAIT_WITHOUT_MASK, limit.into()),
        Limit::Milliseconds(limit) => (libc::SYS_epoll_pwait, limit.into()),
        Limit::Time(limit) => (libc::SYS_epoll_pwait2, limit as c_long),
    };
    let real = [
        epfd.into(),
        events as c_long,
        maxevents.into(),
        given,
        mask.0 as c_long,
        mask.1 as c_long,
    ];
    // Before the time is read, as that makes a system call that a seccomp filter may refuse.
    if sandbox::leaves_alone() {
        // SAFETY: the kernel checks the addresses.
        let result = unsafe { raw::waiting(number, &real, cancellable) };
        if result != INVAL || is_c_epoll(epfd) {
            statistics::count(Call::Wait, Outcome::NotOurs);
            return result;
        }
    }
    let timeout = match limit {
        Limit::Wait(limit) | Limit::Milliseconds(limit) if limit < 0 => -1,
        Limit::Wait(limit) | Limit::Milliseconds(limit) => i64::from(limit) * 1_000_000,
        Limit::Time(limit) if limit.is_null() => -1,
        Limit::Time(limit) => {
            // The limit is checked first, as in the kernel.
            // SAFETY: integers; the rest by the contract of this function.
            let nanoseconds = unsafe { memory::read(limit) }
                .ok_or(FAULT)
                .and_then(|limit| nanoseconds(limit).ok_or(INVAL));
            match nanoseconds {
                Ok(nanoseconds) => nanoseconds,
                Err(error) => {
                    statistics::count(Call::Wait, Outcome::Refused);
                    return error;
                }
            }
        }
    };
    let argument = uapi::repoll_wait {
        events: events as u64,
        maxevents,
        flags: 0,
        timeout,
        sigmask: mask.0 as u64,
        sigsetsize: mask.1 as u64,
        ..Default::default()
    };
    let request = uapi::REPOLL_IOCTL_WAIT;
    let ioctl = raw::ioctl_arguments(epfd, request, &raw const argument);
    // SAFETY: the request reads a `repoll_wait` and writes to the array, whose address it checks.
    let result = unsafe { raw::waiting(libc::SYS_ioctl, &ioctl, cancellable) };
    if carried(Call::Wait, epfd, result) {
        return result;
    }
    // SAFETY: the kernel checks the addresses.
    let real = unsafe { raw::waiting(number, &real, cancellable) };
    filtered(epfd, result, real)
}

/// Converts a time; `None` if it is invalid. A time that is too long for the kernel becomes 292
/// years.
pub(crate) fn nanoseconds(time: timespec) -> Option<i64> {
    if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) {
        return None;
    }
    let seconds = time.tv_sec.saturating_mul(1_000_000_000);
    Some(seconds.saturating_add(time.tv_nsec))
}

/// Whether `result` of an ioctl comes from an instance. If not, the real call has to be made, which
/// also finds the right error, in the right order.
///
/// Other files fail with ENOTTY, as a rule, but some drivers return EINVAL or other errors for an
/// unknown request. For these errors, and for EBADF, which may concern either descriptor,
/// `REPOLL_NOP` decides.
#[inline]
fn carried(call: Call, epfd: c_int, result: c_long) -> bool {
    let outcome = match result {
        0.. | EXIST | NOENT | INTR => Outcome::Carried,
        NOTTY => Outcome::NotOurs,
        _ => doubtful(epfd),
    };
    statistics::count(call, outcome);
    outcome == Outcome::Carried
}

#[cold]
fn doubtful(epfd: c_int) -> Outcome {
    match template::nop(epfd) {
        0 => Outcome::Carried,
        BADF => Outcome::Refused,
        _ => Outcome::NotOurs,
    }
}

/// The result of a call whose ioctl returned `result`, which no instance returns, and whose real
/// call returned `real`. If a seccomp filter refuses ioctls on a file that may be an instance, the
/// real call's EINVAL only says that the file is no C epoll; then the refusal is the result.
#[inline]
fn filtered(epfd: c_int, result: c_long, real: c_long) -> c_long {
    if real != INVAL || result == NOTTY {
        return real;
    }
    refused(epfd, result).unwrap_or(real)
}

#[cold]
fn refused(epfd: c_int, result: c_long) -> Option<c_long> {
    let same = result == template::nop(epfd);
    (same && result != BADF && may_be_instance(epfd) && !is_c_epoll(epfd)).then_some(result)
}

/// Whether a file has the type of an instance: a device, or an anonymous file, whose type depends
/// on the kernel. Only an ioctl would be exact, but this is for files that refuse ioctls.
fn may_be_instance(fd: c_int) -> bool {
    raw::stat(fd).is_some_and(|file| {
        !matches!(
            file.st_mode & libc::S_IFMT,
            libc::S_IFIFO | libc::S_IFSOCK | libc::S_IFDIR | libc::S_IFBLK | libc::S_IFLNK
        )
    })
}

/// Whether `fd` is a C epoll. Tries a wait that can't consume an event, as the event can't be
/// written to the given address.
#[cold]
fn is_c_epoll(fd: c_int) -> bool {
    let nowhere = 8;
    // SAFETY: the kernel checks the address.
    let result = unsafe { raw::call(arch::WAIT_WITHOUT_MASK, [fd.into(), nowhere, 1, 0, 0, 0]) };
    result != INVAL && result != BADF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_nanoseconds_and_saturate() {
        let time = |tv_sec, tv_nsec| nanoseconds(timespec { tv_sec, tv_nsec });
        assert_eq!(time(0, 0), Some(0));
        assert_eq!(time(2, 3), Some(2_000_000_003));
        assert_eq!(time(i64::MAX, 999_999_999), Some(i64::MAX));
        assert_eq!(time(i64::MAX / 1_000_000_000, 999_999_999), Some(i64::MAX));
        assert_eq!(time(-1, 0), None);
        assert_eq!(time(0, -1), None);
        assert_eq!(time(0, 1_000_000_000), None);
    }
}
