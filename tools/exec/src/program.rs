// SPDX-License-Identifier: GPL-2.0
//! The program to run, and the reasons why its calls can't be carried.

use crate::inherited;
use crate::machine::{self, makes_an_epoll};
use std::borrow::Cow;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{Error, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A reason why the loader does not load our library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The program has no loader.
    Static,
    /// The program is for another architecture, or not a 64-bit program.
    OtherMachine,
    /// The program gains privileges, so the loader ignores the environment.
    Privileged,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "its calls can't be carried: it is statically linked",
            Self::OtherMachine => machine::OTHER,
            Self::Privileged => {
                "its calls can't be carried: it runs with more privileges than its caller (setuid, setgid or capabilities)"
            }
        })
    }
}

/// Code that bypasses our library in a program that can load it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Go's runtime makes its system calls itself.
    Go,
    /// Some code creates an epoll by a direct system call, as rustix does.
    OwnCalls,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "it is written in Go, whose runtime bypasses the C library: its calls are not carried",
            Self::OwnCalls => {
                "it has code that makes an epoll without the C library (as rustix does): that epoll is not carried"
            }
        })
    }
}

/// A program and its arguments.
pub struct Program(Vec<CString>);

impl Program {
    /// Takes the words of a command line, at least one.
    pub fn new(words: Vec<OsString>) -> Self {
        // Arguments of a process contain no zero bytes.
        Self(
            words
                .into_iter()
                .filter_map(|word| CString::new(word.into_vec()).ok())
                .collect(),
        )
    }

    /// The program's name as given on the command line.
    pub fn name(&self) -> Cow<'_, str> {
        self.0[0].to_string_lossy()
    }

    /// The reason why its calls can't be carried; `None` if there is none or it is unknown.
    pub fn obstacle(&self) -> Option<Obstacle> {
        obstacle(&self.path()?)
    }

    /// The part of its calls that can't be carried; `None` if there is none or it is unknown.
    pub fn gap(&self) -> Option<Gap> {
        gap(&self.path()?)
    }

    fn path(&self) -> Option<PathBuf> {
        find(OsStr::from_bytes(self.0[0].as_bytes()))
    }

    /// Executes the program in this process. Returns only on failure.
    pub fn execute(&self) -> Error {
        let mut words: Vec<_> = self.0.iter().map(|word| word.as_ptr()).collect();
        words.push(std::ptr::null());
        inherited::restore();
        // SAFETY: the strings and the list outlive the call, and the list ends in a null.
        unsafe { libc::execvp(words[0], words.as_ptr()) };
        Error::last_os_error()
    }
}

/// Finds the program as `execvp(3)` does.
fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// Opens the program, or a script's interpreter, and returns the file and its path. `None` if the
/// file is not in ELF.
fn open(path: &Path, depth: usize) -> Option<(File, PathBuf)> {
    const MOST_INTERPRETERS: usize = 4;
    let mut start = [0; 256];
    let mut file = File::open(path).ok()?;
    let length = read(&mut file, &mut start)?;
    let start = &start[..length];
    if let Some(line) = start.strip_prefix(b"#!") {
        let interpreter = line
            .split(|&byte| byte == b'\n')
            .next()?
            .split(|byte| b" \t".contains(byte))
            .find(|word| !word.is_empty())?;
        return (depth < MOST_INTERPRETERS)
            .then(|| open(Path::new(OsStr::from_bytes(interpreter)), depth + 1))?;
    }
    let is_elf = start.starts_with(b"\x7fELF");
    is_elf.then(|| (file, path.to_path_buf()))
}

fn obstacle(path: &Path) -> Option<Obstacle> {
    // The kernel ignores the setuid bits of a script.
    let (mut file, path) = open(path, 0)?;
    if is_privileged(&file, &path) {
        return Some(Obstacle::Privileged);
    }
    match Elf::read(&mut file)? {
        Elf::Other => Some(Obstacle::OtherMachine),
        Elf::Ours(segments) if segments.iter().any(|segment| segment.kind == PT_INTERP) => None,
        Elf::Ours(_) => Some(Obstacle::Static),
    }
}

fn gap(path: &Path) -> Option<Gap> {
    /// Larger segments are not searched, to save time.
    const MOST_CODE: u64 = 64 << 20;
    const MOST_NOTES: u64 = 1 << 16;
    let (mut file, _) = open(path, 0)?;
    let Elf::Ours(segments) = Elf::read(&mut file)? else {
        return None;
    };
    let mut any = |kind: u64, flag: u64, most: u64, found: fn(&[u8]) -> bool| {
        segments
            .iter()
            .filter(|segment| segment.kind == kind && segment.flags & flag == flag)
            .any(|segment| {
                segment
                    .content(&mut file, most)
                    .is_some_and(|content| found(&content))
            })
    };
    if any(PT_NOTE, 0, MOST_NOTES, is_of_go) {
        return Some(Gap::Go);
    }
    any(PT_LOAD, PF_X, MOST_CODE, makes_an_epoll).then_some(Gap::OwnCalls)
}

/// Whether the notes contain Go's build ID: type 4, owner "Go".
fn is_of_go(notes: &[u8]) -> bool {
    notes.windows(8).any(|note| note == b"\x04\0\0\0Go\0\0")
}

const PT_LOAD: u64 = 1;
const PT_INTERP: u64 = 3;
const PT_NOTE: u64 = 4;
const PF_X: u64 = 1;

/// An ELF file, by its architecture.
enum Elf {
    /// Another architecture.
    Other,
    /// Our architecture, with the program headers.
    Ours(Vec<Segment>),
}

/// A program header.
struct Segment {
    kind: u64,
    flags: u64,
    offset: u64,
    size: u64,
}

impl Segment {
    /// The segment's content in the file; `None` if it is longer than `most` bytes.
    fn content(&self, file: &mut File, most: u64) -> Option<Vec<u8>> {
        if self.size > most {
            return None;
        }
        let mut content = vec![0; self.size as usize];
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        file.read_exact(&mut content).ok()?;
        Some(content)
    }
}

impl Elf {
    fn read(file: &mut File) -> Option<Self> {
        const CLASS_64: u8 = 2;
        let mut start = [0; 64];
        file.seek(SeekFrom::Start(0)).ok()?;
        file.read_exact(&mut start).ok()?;
        let number = |bytes: &[u8], at: usize, size: usize| {
            let bytes = bytes.get(at..at + size)?;
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(bytes);
            Some(u64::from_le_bytes(wide))
        };
        if start[4] != CLASS_64 || number(&start, 18, 2)? != machine::ELF {
            return Some(Self::Other);
        }
        let (offset, size, count) = (
            number(&start, 32, 8)?,
            number(&start, 54, 2)?,
            number(&start, 56, 2)?,
        );
        let mut headers = vec![0; (size * count) as usize];
        file.seek(SeekFrom::Start(offset)).ok()?;
        file.read_exact(&mut headers).ok()?;
        let segments = headers.chunks_exact((size as usize).max(1)).map(|header| {
            Some(Segment {
                kind: number(header, 0, 4)?,
                flags: number(header, 4, 4)?,
                offset: number(header, 8, 8)?,
                size: number(header, 32, 8)?,
            })
        });
        segments.collect::<Option<_>>().map(Self::Ours)
    }
}

fn read(file: &mut File, buffer: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]).ok()? {
            0 => break,
            more => length += more,
        }
    }
    Some(length)
}

/// Whether the kernel would start the program with `AT_SECURE`, which makes the loader ignore
/// `LD_PRELOAD`.
fn is_privileged(file: &File, path: &Path) -> bool {
    let Ok(metadata) = file.metadata() else {
        return false;
    };
    // SAFETY: both functions take no arguments and can't fail.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    let mode = metadata.mode();
    let other_user = mode & libc::S_ISUID != 0 && metadata.uid() != user;
    let both = libc::S_ISGID | libc::S_IXGRP;
    let other_group = mode & both == both && metadata.gid() != group;
    (other_user || other_group || (user != 0 && has_capabilities(path))) && !without_setuid(path)
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let name = c"security.capability".as_ptr();
    // SAFETY: both strings end in a zero byte; nothing is written to a buffer of length 0.
    unsafe { libc::getxattr(path.as_ptr(), name, std::ptr::null_mut(), 0) > 0 }
}

/// Whether the file system is mounted with `nosuid`, or the process can't gain privileges.
fn without_setuid(path: &Path) -> bool {
    // SAFETY: `prctl` takes only numbers here.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        return true;
    }
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: all zeros are a valid `statvfs`.
    let mut system: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in a zero byte, and `system` can be written.
    unsafe {
        libc::statvfs(path.as_ptr(), &mut system) == 0 && system.f_flag & libc::ST_NOSUID != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Obstacle> {
        Program::new(words.iter().map(OsString::from).collect()).obstacle()
    }

    fn file(name: &str, content: &[u8]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("repoll-exec-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    /// An ELF header, followed by one program header.
    fn elf(class: u8, machine: u8, header: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[4] = class;
        bytes[18] = machine;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = header;
        bytes
    }

    #[test]
    fn programs_are_known_by_their_headers() {
        for (name, content, expected) in [
            ("dynamic", elf(2, machine::ELF as u8, 3), None),
            (
                "static",
                elf(2, machine::ELF as u8, 1),
                Some(Obstacle::Static),
            ),
            ("i386", elf(1, 3, 3), Some(Obstacle::OtherMachine)),
            ("s390", elf(2, 22, 3), Some(Obstacle::OtherMachine)),
            (
                "cut-short",
                elf(2, machine::ELF as u8, 3)[..60].to_vec(),
                None,
            ),
            ("text", b"echo".to_vec(), None),
            ("empty", Vec::new(), None),
        ] {
            assert_eq!(obstacle(&file(name, &content)), expected, "{name}");
        }
    }

    #[test]
    fn gaps_are_known_by_notes_and_code() {
        let with = |kind: u8, flags: u8, content: &[u8]| {
            let mut bytes = elf(2, machine::ELF as u8, kind);
            bytes[64 + 4] = flags;
            bytes[64 + 8] = 120;
            bytes[64 + 32] = content.len() as u8;
            [&bytes, content].concat()
        };
        let note = b"\x04\0\0\0\x53\0\0\0\x04\0\0\0Go\0\0id";
        let [begin, end] = machine::MAKES_AN_EPOLL;
        let code = [begin, end].concat();
        let far = [begin, &[0; 40], end].concat();
        for (name, content, expected) in [
            ("go", with(4, 4, note), Some(Gap::Go)),
            ("note", with(4, 4, b"\x04\0\0\0GNU\0"), None),
            ("own-calls", with(1, 5, &code), Some(Gap::OwnCalls)),
            ("data", with(1, 6, &code), None),
            ("far", with(1, 5, &far), None),
            ("text-only", b"echo".to_vec(), None),
        ] {
            assert_eq!(gap(&file(name, &content)), expected, "{name}");
        }
    }

    #[test]
    fn a_script_counts_as_its_interpreter() {
        let interpreter = file("interpreter", &elf(2, machine::ELF as u8, 1));
        let first = format!("#! {} -x\nmore", interpreter.display());
        let first = file("script", first.as_bytes());
        let second = file("script-2", format!("#!{}\n", first.display()).as_bytes());
        for script in [first, second] {
            assert_eq!(obstacle(&script), Some(Obstacle::Static));
        }
        let endless = file("endless", b"");
        fs::write(&endless, format!("#!{}\n", endless.display())).expect("a file");
        assert_eq!(obstacle(&endless), None);
    }

    #[test]
    fn a_missing_program_has_no_obstacle() {
        assert_eq!(of(&["/nonexistent/program"]), None);
        assert_eq!(of(&["no such program"]), None);
    }

    #[test]
    fn setuid_counts_only_in_a_file_of_another_user() {
        let path = file("setuid", &elf(2, machine::ELF as u8, 3));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("a mode");
        // A file of our own user gives no privileges.
        assert_eq!(obstacle(&path), None);
    }
}
