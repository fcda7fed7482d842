// SPDX-License-Identifier: GPL-2.0
//! Records through a trace instance of tracefs, independent of all other users of tracing.

use crate::ftrace::dat::{self, Head};
use crate::ftrace::format::expand_macros;
use crate::ftrace::pages;
use crate::ftrace::record::Trace;
use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

/// Where tracefs is mounted.
const TRACEFS: &str = "/sys/kernel/tracing";
/// The prefix of our instances' names; the process ID and a number follow.
const PREFIX: &str = "repoll-";

/// The instances of this process, which [`remove_all`] removes.
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A trace instance, with its own buffers, events and clock. Removed when dropped.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    page_size: usize,
    /// The size of each CPU's buffer in bytes.
    buffer: usize,
    cpus: Vec<Cpu>,
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
        let instances = Path::new(TRACEFS).join("instances");
        if !instances.is_dir() {
            bail!("tracefs is not mounted at {TRACEFS} (mount -t tracefs tracefs {TRACEFS})");
        }
        remove_stale(&instances);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = instances.join(format!("{PREFIX}{}-{number}", std::process::id()));
        // The lock is held while the instance is made, so that remove_all() misses none.
        let mut live = LIVE
            .lock()
            .map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        fs::create_dir(&path)
            .with_context(|| format!("cannot make {} (are you root?)", path.display()))?;
        live.push(path.clone());
        drop(live);
        let mut session = Self {
            path,
            page_size: 0,
            buffer: buffer as usize * 1024,
            cpus: Vec::new(),
            enabled: BTreeMap::new(),
        };
        session.write("tracing_on", "0")?;
        session.write("trace_clock", "mono")?;
        session.write("buffer_size_kb", &buffer.to_string())?;
        session.page_size = page_size(&session.text("events/header_page")?)
            .context("events/header_page has no size")?;
        for cpu in 0.. {
            let folder = session.path.join(format!("per_cpu/cpu{cpu}"));
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
        if !self.path.join(&folder).exists() {
            return Ok(false);
        }
        if !filter.is_empty() {
            self.write(&format!("{folder}/filter"), filter)?;
        }
        self.write(&format!("{folder}/enable"), "1")?;
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
        match fs::read_dir(self.path.join("events").join(system)) {
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
        let format = self.text(&format!("events/{system}/{event}/format"))?;
        Ok(format.contains(&format!(" {field};")))
    }

    /// Starts recording.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn start(&self) -> Result<()> {
        self.write("tracing_on", "1")
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
        self.write("tracing_on", "0")
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
            header_page: self.bytes("events/header_page")?,
            header_event: self.bytes("events/header_event")?,
            names: fs::read(Path::new(TRACEFS).join("saved_cmdlines"))?,
            clock: self.text("trace_clock")?,
            ..Head::default()
        };
        for (system, events) in &self.enabled {
            let formats = events.iter().map(|event| {
                let text = self.text(&format!("events/{system}/{event}/format"))?;
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

    fn bytes(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.path.join(file);
        read_large(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn text(&self, file: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(file)?).into_owned())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write to {}", path.display()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An open file would keep the instance in use.
        self.cpus.clear();
        remove(&self.path);
        if let Ok(mut live) = LIVE.lock() {
            live.retain(|path| *path != self.path);
        }
    }
}

/// Removes all instances of this process, before it exits on a signal.
pub fn remove_all() {
    if let Ok(mut live) = LIVE.lock() {
        live.drain(..).for_each(|path| remove(&path));
    }
}

/// Removes an instance. Its events are disabled first: enabled ones keep modules in use.
fn remove(path: &Path) {
    let quiet = fs::write(path.join("events/enable"), "0").and_then(|()| fs::remove_dir(path));
    if let Err(error) = quiet {
        if error.kind() != ErrorKind::NotFound {
            eprintln!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Removes the instances that killed processes of ours have left behind.
fn remove_stale(instances: &Path) {
    let Ok(entries) = fs::read_dir(instances) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&entry.path());
        }
    }
}

/// The process that made an instance, by the instance's name; `None` if it is not ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Reads a whole file in large pieces: some files of tracefs return all in one read, or only their
/// beginning.
fn read_large(path: &Path) -> io::Result<Vec<u8>> {
    const PIECE: usize = 1 << 16;
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    loop {
        let length = bytes.len();
        bytes.resize(length + PIECE, 0);
        let count = file.read(&mut bytes[length..])?;
        bytes.truncate(length + count);
        if count == 0 {
            return Ok(bytes);
        }
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
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".{PREFIX}{}-{number}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Makes a file in memory.
fn anonymous() -> Result<File> {
    // SAFETY: the name is a C string, and nothing else owns the descriptor that the call returns.
    unsafe {
        match libc::memfd_create(c"trace".as_ptr(), libc::MFD_CLOEXEC) {
            fd if fd >= 0 => Ok(File::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()).context("cannot make a file in memory"),
        }
    }
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
    fn only_our_own_instances_have_an_owner() {
        assert_eq!(owner("repoll-123-0"), Some(123));
        assert_eq!(owner("repoll-lab"), None);
        assert_eq!(owner("perf-123-0"), None);
    }

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
