// SPDX-License-Identifier: GPL-2.0
//! System calls that neither rustix nor the kit has.
#![expect(unsafe_code, reason = "system calls by number")]

use repoll_testkit::raw::{check, syscall};
use repoll_testkit::threads::this_thread;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// epoll_create(2), with the size that it takes.
pub fn epoll_create_of(size: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number, and returns a new descriptor unless it fails.
    unsafe {
        let fd = libc::epoll_create(size);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Makes the kernel send SIGIO to the calling thread when a file becomes ready.
pub fn send_sigio(fd: impl AsFd) -> io::Result<()> {
    const F_SETOWN_EX: usize = 15;
    const F_OWNER_TID: i32 = 0;
    let fd = fd.as_fd();
    let owner = [F_OWNER_TID, this_thread()];
    let arguments = [
        fd.as_raw_fd() as usize,
        F_SETOWN_EX,
        owner.as_ptr() as usize,
    ];
    // SAFETY: the call reads a struct f_owner_ex, which is two numbers.
    unsafe { syscall(libc::SYS_fcntl, arguments) }?;
    let flags = rustix::fs::fcntl_getfl(fd)?;
    let asynchronous = rustix::fs::OFlags::from_bits_retain(libc::O_ASYNC as u32);
    Ok(rustix::fs::fcntl_setfl(fd, flags | asynchronous)?)
}

/// Whether io_setup(2), of Linux 2.6, makes a context for asynchronous I/O.
pub fn has_aio() -> bool {
    let mut context = 0usize;
    // SAFETY: the call writes one word. The context is destroyed again.
    unsafe {
        let made = syscall(libc::SYS_io_setup, [8, &raw mut context as usize]).is_ok();
        made && syscall(libc::SYS_io_destroy, [context]).is_ok()
    }
}

/// The number of sleeps of the calling thread: its voluntary context switches.
pub fn sleeps() -> io::Result<i64> {
    const WORD: usize = size_of::<i64>();
    let mut usage = [0i64; size_of::<libc::rusage>() / WORD];
    let (who, address) = (libc::RUSAGE_THREAD as usize, usage.as_mut_ptr() as usize);
    // SAFETY: the call writes a struct rusage, which consists of such words.
    unsafe { syscall(libc::SYS_getrusage, [who, address]) }?;
    Ok(usage[std::mem::offset_of!(libc::rusage, ru_nvcsw) / WORD])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_counted() -> io::Result<()> {
        let before = sleeps()?;
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(sleeps()? > before);
        Ok(())
    }
}
