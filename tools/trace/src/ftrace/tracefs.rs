// SPDX-License-Identifier: GPL-2.0
//! Records through a trace instance of tracefs, independent of all other users of tracing.

use crate::ftrace::dat::{self, Head};
use crate::ftrace::format::expand_macros;
use crate::ftrace::instance::{Instance, TRACEFS};
use crate::ftrace::pages;
use crate::ftrace::record::Trace;
use anyhow::{Context, Result};
use rustix::fs::{memfd_create, MemfdFlags};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use crate::ftrace::instance::remove_all;

/// A recording: a trace instance, and the pages taken out of its buffers.
#[derive(Debug)]
pub struct Session {
    // Dropped before the instance, which the open files keep in use.
    cpus: Vec<Cpu>,
    instance: Instance,
    page_size: usize,
    /// The size of each CPU's buffer in bytes.
    buffer: usize,
    /// The names of the enabled events, by system.
    enabled: BTreeMap<String, Vec<String>>,
}

/// One CPU's buffer.
#[derive(Debug)]
struct Cpu {
    folder: PathBuf,
    raw: File,
    /// The pages taken out of the buffer, in an unnamed file.
    pages: File,
}

impl Session {
    /// Makes an instance that records nothing yet, with time stamps of `CLOCK_MONOTONIC`. The pages
    /// that are taken out of its buffers are kept in memory.
    ///
    /// # Errors
    ///
    /// When tracefs is not mounted, or its instances folder is not writable: that takes root.
    pub fn new() -> Result<Self> {
        Self::with(4096, &mut anonymous)
    }

    /// Makes an instance with `buffer` KiB for each CPU. The pages that are taken out of its
    /// buffers are kept in unnamed files in `folder`.
    ///
    /// # Errors
    ///
    /// Those of [`Session::new`], and of making files in `folder`.
    pub fn spooled(buffer: u32, folder: &Path) -> Result<Self> {
        Self::with(buffer, &mut || {
            unnamed(folder).with_context(|| format!("cannot make a file in {}", folder.display()))
        })
    }

    fn with(buffer: u32, pages: &mut dyn FnMut() -> Result<File>) -> Result<Self> {
        let mut session = Self {
            cpus: Vec::new(),
            instance: Instance::new()?,
            page_size: 0,
            buffer: buffer as usize * 1024,
            enabled: BTreeMap::new(),
        };
        session.instance.write("tracing_on", "0")?;
        session.instance.write("trace_clock", "mono")?;
        session
            .instance
            .write("buffer_size_kb", &buffer.to_string())?;
        session.page_size = page_size(&session.instance.text("events/header_page")?)
            .context("events/header_page has no size")?;
        for cpu in 0.. {
            let folder = session.instance.path().join(format!("per_cpu/cpu{cpu}"));
            if !folder.exists() {
                break;
            }
            let raw = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(folder.join("trace_pipe_raw"))?;
            session.cpus.push(Cpu {
                folder,
                raw,
                pages: pages()?,
            });
        }
        Ok(session)
    }

    /// Enables the event `system`/`event`. Returns `false` if the kernel does not have it.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn enable(&mut self, system: &str, event: &str) -> Result<bool> {
        self.enable_where(system, event, "")
    }

    /// Enables an event for the records that pass a filter expression of ftrace. Returns `false` if
    /// the kernel does not have the event.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn enable_where(&mut self, system: &str, event: &str, filter: &str) -> Result<bool> {
        let folder = format!("events/{system}/{event}");
        if !self.instance.path().join(&folder).exists() {
            return Ok(false);
        }
        if !filter.is_empty() {
            self.instance.write(&format!("{folder}/filter"), filter)?;
        }
        self.instance.write(&format!("{folder}/enable"), "1")?;
        self.enabled
            .entry(system.to_owned())
            .or_default()
            .push(event.to_owned());
        Ok(true)
    }

    /// Enables all events of a system. Returns `false` if the kernel does not have it.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn enable_system(&mut self, system: &str) -> Result<bool> {
        let events = self.events_of(system)?;
        for event in &events {
            self.enable(system, event)?;
        }
        Ok(!events.is_empty())
    }

    /// The names of a system's events; empty if the kernel does not have the system.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn events_of(&self, system: &str) -> Result<Vec<String>> {
        let mut events = Vec::new();
        match fs::read_dir(self.instance.path().join("events").join(system)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            entries => {
                for entry in entries? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        events.extend(entry.file_name().into_string());
                    }
                }
            }
        }
        events.sort();
        Ok(events)
    }

    /// Whether an event has a field, by which it can be filtered.
    ///
    /// # Errors
    ///
    /// When the kernel does not have the event.
    pub fn has_field(&self, system: &str, event: &str, field: &str) -> Result<bool> {
        let format = self
            .instance
            .text(&format!("events/{system}/{event}/format"))?;
        Ok(format.contains(&format!(" {field};")))
    }

    /// Starts recording.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn start(&self) -> Result<()> {
        self.instance.write("tracing_on", "1")
    }

    /// Stops recording, and returns the trace.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn stop(&mut self) -> Result<Trace> {
        self.finish()?;
        self.read()
    }

    /// Stops recording.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn finish(&self) -> Result<()> {
        self.instance.write("tracing_on", "0")
    }

    /// The number of events that were overwritten or dropped, on all CPUs.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn lost(&self) -> Result<u64> {
        let stats = self
            .cpus
            .iter()
            .map(|cpu| fs::read_to_string(cpu.folder.join("stats")));
        Ok(stats
            .collect::<io::Result<Vec<_>>>()?
            .iter()
            .map(|stats| dat::lost_in(stats))
            .sum())
    }

    /// Returns the trace so far, from the beginning.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn read(&mut self) -> Result<Trace> {
        let mut file = io::Cursor::new(Vec::new());
        self.save(&mut file)?;
        dat::read(file.get_ref())
    }

    /// Takes full pages out of the buffers once a buffer is an eighth full.
    ///
    /// # Errors
    ///
    /// Those of reading the buffers, and of writing to the files of pages.
    pub fn drain(&mut self) -> Result<()> {
        let mut fills = false;
        for cpu in &self.cpus {
            let stats = fs::read_to_string(cpu.folder.join("stats"))?;
            fills |= dat::count_in(&stats, &["bytes"]) as usize > self.buffer / 8;
        }
        if !fills {
            return Ok(());
        }
        // A page that is not full is the last one. Reading on could go on for ever: each read may
        // record events of its own.
        let full = self.page_size * 3 / 4;
        self.take_pages(|page| pages::used(page) > full)
    }

    /// Takes pages while `more` is true of the page before, but no more than the buffers hold.
    fn take_pages(&mut self, more: impl Fn(&[u8]) -> bool) -> Result<()> {
        let mut page = vec![0; self.page_size];
        for cpu in &mut self.cpus {
            for _ in 0..=self.buffer / self.page_size {
                match cpu.raw.read(&mut page) {
                    Ok(0) => break,
                    Ok(count) => {
                        // A short page is padded to the full size.
                        page[count..].fill(0);
                        let kept = cpu.pages.write_all(&page);
                        kept.context("cannot write the pages of the trace")?;
                        if !more(&page) {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).context("cannot read the trace"),
                }
            }
        }
        Ok(())
    }

    /// Writes the trace so far, from the beginning, as a `trace.dat` file.
    ///
    /// # Errors
    ///
    /// When tracefs refuses, and those of writing the file.
    pub fn save(&mut self, out: &mut (impl Write + Seek)) -> Result<()> {
        self.take_pages(|_| true)?;
        let mut head = Head {
            page_size: self.page_size as u32,
            header_page: self.instance.bytes("events/header_page")?,
            header_event: self.instance.bytes("events/header_event")?,
            names: fs::read(Path::new(TRACEFS).join("saved_cmdlines"))?,
            clock: self.instance.text("trace_clock")?,
            ..Head::default()
        };
        for (system, events) in &self.enabled {
            let formats = events.iter().map(|event| {
                let text = self
                    .instance
                    .text(&format!("events/{system}/{event}/format"))?;
                Ok(expand_macros(&text).into_bytes())
            });
            head.systems
                .push((system.clone(), formats.collect::<Result<_>>()?));
        }
        let mut pages = Vec::new();
        for (number, cpu) in self.cpus.iter().enumerate() {
            let stats = fs::read_to_string(cpu.folder.join("stats"))?;
            head.stats.push(format!("CPU: {number}\n{stats}"));
            pages.push(cpu.pages.try_clone()?);
        }
        dat::write(out, &head, &mut pages)
    }
}

/// Makes an unnamed file in a folder.
fn unnamed(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        result => return result,
    }
    // Some file systems, such as a folder shared with a guest, lack O_TMPFILE: remove the name
    // instead.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".repoll-{}-{number}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Makes a file in memory.
fn anonymous() -> Result<File> {
    let file = memfd_create(c"trace", MemfdFlags::CLOEXEC);
    Ok(file.context("cannot make a file in memory")?.into())
}

/// The size of a page, from `header_page`: the end of its last field, `data`.
fn page_size(header: &str) -> Option<usize> {
    let line = header.lines().find(|line| line.contains("char data;"))?;
    let of = |key: &str| -> Option<usize> {
        let (_, rest) = line.split_once(key)?;
        rest.split(';').next()?.parse().ok()
    };
    of("offset:")?.checked_add(of("size:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_as_long_as_its_header_says() {
        let header = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
            \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
            \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
            \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";
        assert_eq!(page_size(header), Some(4096));
        assert_eq!(page_size(""), None);
    }
}
