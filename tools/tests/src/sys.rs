// SPDX-License-Identifier: GPL-2.0
//! System calls that have no safe wrapper elsewhere. The unsafe code of the tests lives here,
//! and in [`crate::processes`] and [`crate::signals`].

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::time::Duration;

/// The result of a system call, -1 turned into the error that it stands for.
pub fn check<T: PartialOrd + From<i8>>(result: T) -> io::Result<T> {
    if result < T::from(0) {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Takes over a descriptor that a system call has just made.
pub(crate) fn owned(result: i64) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// eventfd(2), non-blocking and close-on-exec.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())
}

/// pipe2(2), non-blocking and close-on-exec: the end to read from, the end to write to.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two descriptors.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok((owned(fds[0].into())?, owned(fds[1].into())?))
}

/// timerfd_create(2) on the monotonic clock, non-blocking.
pub fn timerfd() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) }.into())
}

/// Arms a timer once, and again every `interval` unless that is zero.
pub fn arm(timer: RawFd, first: Duration, interval: Duration) -> io::Result<()> {
    let setting = libc::itimerspec {
        it_value: timespec(first),
        it_interval: timespec(interval),
    };
    // SAFETY: `setting` lives through the call; no old setting is asked for.
    check(unsafe { libc::timerfd_settime(timer, 0, &setting, null_mut()) }).map(drop)
}

/// inotify_init1(2), non-blocking.
pub fn inotify() -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }.into())
}

/// inotify_add_watch(2) for changes of a file's attributes.
pub fn inotify_watch(inotify: RawFd, path: &CStr) -> io::Result<()> {
    // SAFETY: `path` lives through the call.
    check(unsafe { libc::inotify_add_watch(inotify, path.as_ptr(), libc::IN_ATTRIB) }).map(drop)
}

/// mkfifo(3).
pub fn mkfifo(path: &CStr) -> io::Result<()> {
    // SAFETY: `path` lives through the call.
    check(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }).map(drop)
}

/// memfd_create(2).
pub fn memfd(name: &str) -> io::Result<OwnedFd> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: `name` lives through the call.
    owned(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) }.into())
}

/// Unlocks the other side of a pseudo terminal, and opens it.
pub fn open_terminal_of(ptmx: RawFd) -> io::Result<OwnedFd> {
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads an int; TIOCGPTPEER takes flags.
    unsafe {
        check(libc::ioctl(ptmx, libc::TIOCSPTLCK, &unlock))?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
        owned(libc::ioctl(ptmx, libc::TIOCGPTPEER, flags).into())
    }
}

/// write(2).
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` may be read for its length.
    check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }).map(|n| n as usize)
}

/// read(2).
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` may be written for its length.
    check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) }).map(|n| n as usize)
}

/// preadv2(2) into one buffer, without a position.
pub fn read_with(fd: RawFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: `buffer` may be written for its length.
    check(unsafe { libc::preadv2(fd, &part, 1, -1, flags) }).map(|n| n as usize)
}

/// pwritev2(2) from one buffer, without a position.
pub fn write_with(fd: RawFd, bytes: &[u8], flags: i32) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: `bytes` may be read for its length.
    check(unsafe { libc::pwritev2(fd, &part, 1, -1, flags) }).map(|n| n as usize)
}

/// close(2) of a number: for descriptors that nobody owns, or that are not there.
pub fn close(fd: RawFd) -> io::Result<()> {
    // SAFETY: the caller gave up the ownership with `into_raw_fd`.
    check(unsafe { libc::close(fd) }).map(drop)
}

/// dup3(2): makes `new` another descriptor of `old`; what `new` was is closed.
pub fn dup_onto(old: RawFd, new: RawFd) -> io::Result<()> {
    // SAFETY: descriptors are numbers; the owner of `new` keeps owning the number.
    check(unsafe { libc::dup3(old, new, libc::O_CLOEXEC) }).map(drop)
}

/// poll(2) for input on one descriptor; whether it came.
pub fn poll_in(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    poll(fd.as_raw_fd(), libc::POLLIN, limit).map(|events| events != 0)
}

/// poll(2) on one descriptor: what it is ready for.
pub fn poll(fd: RawFd, events: i16, limit: Duration) -> io::Result<i16> {
    let mut one = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `one` is an array of one.
    check(unsafe { libc::poll(&mut one, 1, milliseconds) })?;
    Ok(one.revents)
}

/// select(2) for input on one descriptor; whether it came.
pub fn select_in(fd: RawFd, limit: Duration) -> io::Result<bool> {
    let mut limit = libc::timeval {
        tv_sec: limit.as_secs() as i64,
        tv_usec: limit.subsec_micros().into(),
    };
    // SAFETY: all zeroes is a valid set; `fd` is checked to be in its range.
    let count = unsafe {
        assert!((fd as usize) < libc::FD_SETSIZE);
        let mut set = std::mem::zeroed();
        libc::FD_ZERO(&mut set);
        libc::FD_SET(fd, &mut set);
        check(libc::select(
            fd + 1,
            &mut set,
            null_mut(),
            null_mut(),
            &mut limit,
        ))?
    };
    Ok(count == 1)
}

/// ioctl(2) with a pointer, or a number that is none, as the argument.
///
/// # Safety
///
/// As the request has it. (Addresses that are not mapped are safe: the kernel checks.)
pub unsafe fn ioctl(fd: RawFd, request: u32, argument: usize) -> io::Result<i32> {
    // SAFETY: by the contract of this function.
    check(unsafe { libc::ioctl(fd, request as _, argument) })
}

/// finit_module(2) with module parameters, `name=value name=value`.
pub fn finit_module(file: &File, parameters: &CStr) -> io::Result<()> {
    let parameters = parameters.as_ptr();
    // SAFETY: the parameters are a string that lives through the call.
    check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters, 0) })
        .map(drop)
}

/// delete_module(2), which does not wait.
pub fn delete_module(name: &CStr) -> io::Result<()> {
    // SAFETY: the name lives through the call.
    check(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) })
        .map(drop)
}

/// A duration as the kernel has it.
pub fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Duplicates `fd` onto a number that is free.
pub fn dup_to_free(fd: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    dup_onto(fd.as_raw_fd(), number)?;
    // SAFETY: the number was free, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The address of a new page, far below the end of user space; it stays mapped.
pub fn map_low_page() -> io::Result<usize> {
    let hint = 0x1000_0000_0000 as *mut libc::c_void;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping, where nothing is.
    let page = unsafe { libc::mmap(hint, page_size(), protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(page as usize)
}

/// mmap(2) of a page of a file, which is unmapped again.
pub fn map_file(fd: &impl AsRawFd) -> io::Result<()> {
    let (size, flags) = (page_size(), libc::MAP_SHARED);
    // SAFETY: a new mapping, where the kernel has room, that nobody uses.
    unsafe {
        let page = libc::mmap(null_mut(), size, libc::PROT_READ, flags, fd.as_raw_fd(), 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        check(libc::munmap(page, size)).map(drop)
    }
}

/// Raises the limit of open descriptors to this, if it is lower.
pub fn allow_descriptors(count: u64) -> io::Result<()> {
    // SAFETY: the limit lives through the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        limit.rlim_cur = limit.rlim_cur.max(count);
        limit.rlim_max = limit.rlim_max.max(count);
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit)).map(drop)
    }
}
/// How many files the process may have open.
pub fn file_limits() -> io::Result<libc::rlimit> {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: there is room for the limits.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) })?;
    Ok(limits)
}

/// Changes [`file_limits`].
pub fn limit_files(soft: u64, hard: u64) -> io::Result<()> {
    let limits = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the limits are only read.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limits) }).map(drop)
}

/// Further descriptors of one file.
pub fn copies(fd: &OwnedFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| fd.try_clone()).collect()
}

/// Pages of our own, for ever.
fn map(bytes: usize) -> io::Result<*mut u8> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let memory = unsafe { libc::mmap(null_mut(), bytes, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(memory.cast())
}

/// The size of a page.
pub fn page_size() -> usize {
    // SAFETY: it takes a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// The address of a copy of `values` that ends where nothing is mapped; it stays there.
pub fn before_a_hole<T: Copy>(values: &[T]) -> io::Result<usize> {
    let bytes = size_of_val(values);
    let room = bytes.next_multiple_of(page_size());
    let memory = map(room + page_size())?;
    // SAFETY: there is room for the values, and nobody uses the last page.
    unsafe {
        check(libc::munmap(memory.add(room).cast(), page_size()))?;
        let copy = memory.add(room - bytes);
        copy.copy_from_nonoverlapping(values.as_ptr().cast(), bytes);
        Ok(copy as usize)
    }
}

/// The address of a copy of `values` that can't be written to; it stays there.
pub fn read_only<T: Copy>(values: &[T]) -> io::Result<usize> {
    let bytes = size_of_val(values);
    let memory = map(bytes.next_multiple_of(page_size()))?;
    // SAFETY: there is room for the values.
    unsafe {
        memory.copy_from_nonoverlapping(values.as_ptr().cast(), bytes);
        check(libc::mprotect(memory.cast(), bytes, libc::PROT_READ))?;
    }
    Ok(memory as usize)
}
