// SPDX-License-Identifier: GPL-2.0
//! Runs the tool on empty, truncated, damaged and huge files.

use repoll_trace::filter::Filter;
use repoll_trace::stat::Statistics;
use repoll_trace::{dat, story};
use std::path::PathBuf;
use std::process::{Command, Output};

const FIXTURE: &[u8] = include_bytes!("fixtures/echo.dat");
const PAGE: usize = 4096;

/// A temporary file; removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("repoll-trace-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).expect("a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A file left behind is in the temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tool(arguments: &[&str], file: &File) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_repoll-trace"));
    command
        .args(arguments)
        .arg(&file.0)
        .output()
        .expect("the tool")
}

/// Reads a trace, finds its stories and counts. Returns the number of records; `None` if it is
/// refused.
fn use_all(bytes: &[u8]) -> Option<usize> {
    let trace = dat::read(bytes).ok()?;
    let stories = story::all(&trace.records);
    Statistics::of(&trace.records, &stories, &Filter::default());
    Some(trace.records.len())
}

/// The offset of the first page behind the head.
fn first_page() -> usize {
    let at = FIXTURE
        .windows(10)
        .position(|window| window == b"flyrecord\0")
        .expect("pages")
        + 10;
    u64::from_le_bytes(FIXTURE[at..at + 8].try_into().expect("eight bytes")) as usize
}

#[test]
fn a_file_that_is_no_trace_gets_one_line() {
    for (name, bytes, expected) in [
        ("empty", &b""[..], "the file is empty"),
        ("text", b"this is a text\n", "not a trace.dat file"),
        (
            "version",
            b"\x17\x08\x44tracing7\0\0\x08\0\x10\0\0",
            "not version 6",
        ),
        ("cut", &FIXTURE[..1000], "the file ends in its head"),
    ] {
        let file = File::new(name, bytes);
        for arguments in [&["story"][..], &["stat"], &["report", "-o", "/dev/null"]] {
            let output = tool(arguments, &file);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{name} {arguments:?}: {text}"
            );
            assert!(
                text.contains(expected) && text.lines().count() == 1,
                "{name}: {text}"
            );
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_repoll-trace"))
        .args(["stat", "/no/such"])
        .output()
        .expect("the tool");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
}

#[test]
fn a_truncated_file_is_reported_and_its_rest_is_used() {
    let file = File::new("cut-pages", &FIXTURE[..FIXTURE.len() - 3 * PAGE - 100]);
    let output = tool(&["story", "--all"], &file);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the file is truncated"));
    assert!(!output.stdout.is_empty());
}

#[test]
fn lost_events_are_reported_everywhere() {
    // The statistics of the first CPU's buffer, in the file's head.
    let mut bytes = FIXTURE.to_vec();
    let at = bytes
        .windows(11)
        .position(|window| window == b"\noverrun: 0")
        .expect("statistics");
    bytes[at + 10] = b'7';
    let file = File::new("lost", &bytes);
    for arguments in [
        &["story"][..],
        &["story", "--all"],
        &["stat"],
        &["stat", "--json"],
        &["report", "-o", "-"],
    ] {
        let output = tool(arguments, &file);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains("7 events were lost"), "{arguments:?}: {said}");
        let reported = match arguments {
            ["stat", "--json"] => "\"lost\": 7",
            ["report", ..] => "7 records were lost",
            _ => "",
        };
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains(reported), "{arguments:?}");
    }
}

#[test]
fn an_event_that_is_not_in_the_trace_is_named() {
    let file = File::new("filtered", FIXTURE);
    for command in ["story", "stat"] {
        let output = tool(&[command, "--filter", "event=nonsense"], &file);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.lines().count() == 1);
        assert!(
            said.contains("no event nonsense") && said.contains("wait_enter"),
            "{said}"
        );
    }
}

#[test]
fn a_file_can_be_cut_anywhere() {
    let whole = use_all(FIXTURE).expect("a trace");
    let head = first_page();
    // At each of the first bytes and in the table of pages, else at intervals.
    let places = (0..200)
        .chain((200..head).step_by(499))
        .chain(head - 300..head);
    for at in places {
        let count = use_all(&FIXTURE[..at]);
        assert!(count.is_none_or(|count| count < whole), "cut at {at}");
    }
    for at in (head..FIXTURE.len()).step_by(5000) {
        assert!(
            use_all(&FIXTURE[..at]).is_some_and(|count| count <= whole),
            "cut at {at}"
        );
    }
}

#[test]
fn damaged_bytes_do_no_harm() {
    // Knuth's generator: the same bytes in each run.
    let mut state = 12345u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    let mut bytes = FIXTURE.to_vec();
    for round in 0..150 {
        // In the head, which is restored afterwards, or in the pages, where the damage adds up.
        let range = if round % 3 == 0 {
            0..first_page()
        } else {
            first_page()..bytes.len()
        };
        let mut changed = Vec::new();
        for _ in 0..=round % 40 {
            let at = range.start + random() % range.len();
            changed.push((at, bytes[at]));
            bytes[at] = random() as u8;
        }
        // Any result passes that is not a panic.
        use_all(&bytes);
        if round % 3 == 0 {
            changed
                .into_iter()
                .rev()
                .for_each(|(at, byte)| bytes[at] = byte);
        }
    }
}

/// A trace of at least `least` records: repeats the fixture's pages, each time later.
fn large(least: usize) -> Vec<u8> {
    let trace = dat::read(FIXTURE).expect("a trace");
    let (first, last) = (
        trace.records.first().expect("one"),
        trace.records.last().expect("one"),
    );
    let span = (last.time - first.time) + 1_000_000;
    let copies = least.div_ceil(trace.records.len());
    let table = FIXTURE
        .windows(10)
        .position(|window| window == b"flyrecord\0")
        .expect("pages")
        + 10;
    let cpus = (first_page() - table) / 16;
    let number = |at: usize| {
        u64::from_le_bytes(FIXTURE[at..at + 8].try_into().expect("eight bytes")) as usize
    };
    let mut head = FIXTURE[..first_page()].to_vec();
    let mut pages = Vec::new();
    for cpu in 0..cpus {
        let at = table + 16 * cpu;
        let (offset, size) = (number(at), number(at + 8));
        if size == 0 {
            break;
        }
        head[at..at + 8].copy_from_slice(&((first_page() + pages.len()) as u64).to_le_bytes());
        head[at + 8..at + 16].copy_from_slice(&((size * copies) as u64).to_le_bytes());
        for copy in 0..copies {
            let start = pages.len();
            pages.extend_from_slice(&FIXTURE[offset..offset + size]);
            for page in pages[start..].chunks_mut(PAGE) {
                let time = u64::from_le_bytes(page[..8].try_into().expect("eight bytes"));
                page[..8].copy_from_slice(&(time + copy as u64 * span).to_le_bytes());
            }
        }
    }
    head.extend(pages);
    head
}

/// The peak memory use of this process, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("VmHWM");
    line.split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        * 1024
}

/// The documented limits: one minute, 1 GiB.
#[test]
fn a_million_events_are_no_trouble() {
    let bytes = large(1_000_000);
    let start = std::time::Instant::now();
    let count = use_all(&bytes).expect("a trace");
    assert!(count >= 1_000_000, "{count}");
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    assert!(peak() < 1 << 30, "{} bytes", peak());
    println!(
        "{count} events: {:?}, {} MiB",
        start.elapsed(),
        peak() >> 20
    );
}
