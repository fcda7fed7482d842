// SPDX-License-Identifier: GPL-2.0
//! Reads and writes `trace.dat`, the file format of trace-cmd and KernelShark, version 6.
//!
//! trace-cmd.dat.v6(5) describes the format. Only its little-endian kind with 64-bit `long`s is
//! supported.

use crate::ftrace::format::Format;
use crate::ftrace::record::{Builder, Trace};
use anyhow::{bail, ensure, Context, Result};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

const MAGIC: &[u8] = b"\x17\x08\x44tracing";
const VERSION: &[u8] = b"6\0";
const LITTLE_ENDIAN: u8 = 0;
const LONG_SIZE: u8 = 8;
const OPTIONS: &[u8] = b"options  \0";
const PAGES: &[u8] = b"flyrecord\0";

/// Options: the contents of a CPU's `stats` file, and the clock.
const OPTION_STATS: u16 = 2;
const OPTION_CLOCK: u16 = 4;

/// The contents of the file before the pages.
#[derive(Debug, Default)]
pub struct Head {
    /// The size of a page in bytes.
    pub page_size: u32,
    /// The file `events/header_page` of tracefs.
    pub header_page: Vec<u8>,
    /// The file `events/header_event` of tracefs.
    pub header_event: Vec<u8>,
    /// The name of each event system, and the `format` files of its events.
    pub systems: Vec<(String, Vec<Vec<u8>>)>,
    /// The file `saved_cmdlines` of tracefs.
    pub names: Vec<u8>,
    /// The file `trace_clock` of tracefs: the clock in use is in brackets.
    pub clock: String,
    /// The file `stats` of each CPU.
    pub stats: Vec<String>,
}

/// Writes a file from its head and the pages of each CPU.
///
/// # Errors
///
/// The errors of reading the pages and writing the file.
pub fn write(out: &mut (impl Write + Seek), head: &Head, pages: &mut [File]) -> Result<()> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(VERSION);
    bytes.extend([LITTLE_ENDIAN, LONG_SIZE]);
    bytes.extend(head.page_size.to_le_bytes());
    bytes.extend_from_slice(b"header_page\0");
    long(&mut bytes, &head.header_page);
    bytes.extend_from_slice(b"header_event\0");
    long(&mut bytes, &head.header_event);
    // No formats of ftrace's own events.
    bytes.extend(0u32.to_le_bytes());
    bytes.extend((head.systems.len() as u32).to_le_bytes());
    for (name, formats) in &head.systems {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend((formats.len() as u32).to_le_bytes());
        formats.iter().for_each(|format| long(&mut bytes, format));
    }
    // Neither addresses of functions nor formats of trace_printk().
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    long(&mut bytes, &head.names);
    bytes.extend((pages.len() as u32).to_le_bytes());
    bytes.extend_from_slice(OPTIONS);
    let stats = head.stats.iter().map(|stats| (OPTION_STATS, stats));
    for (option, text) in stats.chain([(OPTION_CLOCK, &head.clock)]) {
        bytes.extend(option.to_le_bytes());
        bytes.extend((text.len() as u32 + 1).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend(0u16.to_le_bytes());
    bytes.extend_from_slice(PAGES);

    let page = u64::from(head.page_size);
    let mut offset = (bytes.len() as u64 + 16 * pages.len() as u64).next_multiple_of(page);
    let first = offset;
    for file in pages.iter_mut() {
        let size = file.seek(SeekFrom::End(0))?;
        bytes.extend(offset.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        offset += size.next_multiple_of(page);
    }
    bytes.resize(first as usize, 0);
    out.write_all(&bytes)?;
    for file in pages {
        file.seek(SeekFrom::Start(0))?;
        let size = io::copy(file, out)?;
        let fill = size.next_multiple_of(page) - size;
        io::copy(&mut io::repeat(0).take(fill), out)?;
    }
    out.flush()?;
    Ok(())
}

/// Appends a block behind its size of 64 bits.
fn long(bytes: &mut Vec<u8>, block: &[u8]) {
    bytes.extend((block.len() as u64).to_le_bytes());
    bytes.extend_from_slice(block);
}

/// Reads a file. A missing end and damaged pages become warnings of the trace.
///
/// # Errors
///
/// When the file is not a `trace.dat` file, or its head is damaged; the message says which.
pub fn read(file: &[u8]) -> Result<Trace> {
    ensure!(!file.is_empty(), "the file is empty");
    let mut rest = Bytes(file);
    ensure!(
        rest.take(MAGIC.len()).is_ok_and(|magic| magic == MAGIC),
        "not a trace.dat file (repoll-trace record makes one)"
    );
    ensure!(
        rest.take(2)? == VERSION,
        "not version 6 of trace.dat (trace-cmd convert --file-version 6 makes it so)"
    );
    ensure!(
        rest.take(2)? == [LITTLE_ENDIAN, LONG_SIZE],
        "the trace is not from a little-endian 64-bit machine"
    );
    let page_size = rest.u32()? as usize;
    ensure!(
        page_size.is_power_of_two() && (256..=1 << 20).contains(&page_size),
        "the page size is damaged"
    );
    rest.expect(b"header_page\0")?;
    rest.long()?;
    rest.expect(b"header_event\0")?;
    rest.long()?;
    let mut formats = Vec::new();
    for _ in 0..rest.u32()? {
        formats.extend(Format::parse(&text(rest.long()?)));
    }
    for _ in 0..rest.u32()? {
        rest.string()?;
        for _ in 0..rest.u32()? {
            formats.extend(Format::parse(&text(rest.long()?)));
        }
    }
    let addresses = rest.u32()? as usize;
    rest.take(addresses)?;
    let printk = rest.u32()? as usize;
    rest.take(printk)?;
    let mut builder = Builder::new(formats);
    builder.names(&text(rest.long()?));
    let cpus = rest.u32()?;
    let mut section = rest.take(PAGES.len())?;
    if section == OPTIONS {
        loop {
            let option = rest.u16()?;
            if option == 0 {
                break;
            }
            let size = rest.u32()? as usize;
            let value = rest.take(size)?;
            if option == OPTION_STATS {
                builder.lost(lost_in(&text(value)));
            }
        }
        section = rest.take(PAGES.len())?;
    }
    if section != PAGES {
        bail!("the trace has no event pages (\"latency\" traces are not supported)");
    }
    let mut missing = 0;
    for cpu in 0..cpus {
        let (offset, size) = (rest.u64()?, rest.u64()?);
        let end = offset
            .checked_add(size)
            .context("the table of pages is damaged")?;
        let there = end.min(file.len() as u64).max(offset);
        missing += end - there;
        if offset < there {
            builder.pages(cpu, &file[offset as usize..there as usize], page_size);
        }
    }
    if missing > 0 {
        builder.warn(format!(
            "the file is truncated: its last {missing} bytes are missing"
        ));
    }
    Ok(builder.finish())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The number of lost events in a CPU's `stats`.
pub(crate) fn lost_in(stats: &str) -> u64 {
    count_in(stats, &["overrun", "commit overrun", "dropped events"])
}

/// The sum of the named lines of a CPU's `stats`.
pub(crate) fn count_in(stats: &str, names: &[&str]) -> u64 {
    stats
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| names.contains(name))
        .filter_map(|(_, count)| count.trim().trim_end_matches('\0').parse::<u64>().ok())
        .sum()
}

/// The bytes of the head that have not been read yet.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .context("the file ends in its head")?;
        self.0 = rest;
        Ok(taken)
    }

    fn expect(&mut self, what: &[u8]) -> Result<()> {
        ensure!(self.take(what.len())? == what, "the file's head is damaged");
        Ok(())
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into()?))
    }

    fn long(&mut self) -> Result<&'a [u8]> {
        let size = usize::try_from(self.u64()?)?;
        self.take(size)
    }

    fn string(&mut self) -> Result<&'a [u8]> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .context("the file ends in its head")?;
        let string = self.take(end)?;
        self.take(1)?;
        Ok(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_events_are_summed() {
        let stats = "entries: 3\noverrun: 7\ncommit overrun: 1\nbytes: 9\ndropped events: 2\n";
        assert_eq!(lost_in(stats), 10);
    }
}
