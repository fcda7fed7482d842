// SPDX-License-Identifier: MIT OR Apache-2.0
//! `select` and `poll` of two sockets, one of them ready, and the counts of each call.

use repoll::{Counts, FdSet, Instance, PollFd, PollFlags, SelectSets};
use std::error::Error;
use std::io::Write;
use std::os::unix::net::UnixStream;

fn main() {
    if let Err(error) = run() {
        eprintln!("select_poll: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (idle, _peer) = UnixStream::pair()?;
    let (ready, mut writer) = UnixStream::pair()?;
    writer.write_all(b"a message")?;
    let instance = Instance::open()?;
    let mut counts = Counts::default();

    let (mut read, mut write) = (FdSet::new(), FdSet::new());
    read.insert(&idle);
    read.insert(&ready);
    write.insert(&writer);
    let sets = SelectSets {
        read: Some(&mut read),
        write: Some(&mut write),
        ..Default::default()
    };
    let bits = instance.select_counted(sets, None, &mut counts)?;
    println!("select: {bits} bits: to read {read:?}, to write {write:?}");
    println!("        {counts:?}");

    let mut fds = [
        PollFd::new(&idle, PollFlags::IN),
        PollFd::new(&ready, PollFlags::IN),
    ];
    let files = instance.poll_counted(&mut fds, None, &mut counts)?;
    println!("poll:   {files} file: {fds:?}");
    println!("        {counts:?}");
    Ok(())
}
