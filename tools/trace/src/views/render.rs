// SPDX-License-Identifier: GPL-2.0
//! Prints stories, to be read by people.

use crate::ftrace::record::Context;
use crate::story::{Packets, Protocol, Story};
use std::fmt::Write;
use std::io::IsTerminal;

/// When to print in colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless $NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether standard output gets colour.
    pub fn enabled(self) -> bool {
        match self {
            Self::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What stands out.
pub const BOLD: &str = "\x1b[1m";
/// What stands back.
pub const DIM: &str = "\x1b[2m";
/// Interrupts, and what is wrong.
pub const RED: &str = "\x1b[31m";
/// Softirqs, and conditions.
pub const YELLOW: &str = "\x1b[33m";
/// Tasks, and what is well.
pub const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// One story, a step on each line.
pub fn story(story: &Story, color: bool) -> String {
    let paint = |code, text: String| paint(color, code, text);
    let mut out = String::new();
    let heading = "  time µs     +µs  CPU  context   step          what happens";
    line(&mut out, &paint(DIM, heading.to_owned()));
    let start = story.steps.first().map_or(0, |step| step.time);
    let mut last = start;
    for (index, step) in story.steps.iter().enumerate() {
        let difference = match index {
            0 => String::new(),
            _ => whole_micros(step.time.saturating_sub(last)),
        };
        last = step.time;
        let row = format!(
            "{:>9}{}  {:>3}  {}  {:<12}  {}",
            whole_micros(step.time - start),
            paint(DIM, format!("{difference:>8}")),
            step.cpu,
            paint(context_color(step.context), format!("{:<8}", step.context)),
            step.name,
            step.detail,
        );
        line(&mut out, row.trim_end());
    }
    if let Some(missing) = story.missing {
        line(
            &mut out,
            &format!("  The trace does not show the step \"{missing}\"."),
        );
    }
    out
}

/// What a story is about, and what it is called in a list.
pub fn title(number: usize, story: &Story) -> String {
    let who = match story.receiver.as_str() {
        "" => "nobody".to_owned(),
        who => who.to_owned(),
    };
    format!(
        "#{number}  {:<9}  {}  {:>8} µs  to {who}{}",
        story.cause,
        story.subject(),
        micros(story.duration()),
        story
            .missing
            .map_or(String::new(), |step| format!("  (no \"{step}\")"))
    )
}

/// The whole way of the packet with the median duration, as a table; empty without any.
pub fn packet(packets: &Packets<'_>, protocol: Protocol, color: bool) -> String {
    let Some(median) = packets.median() else {
        return String::new();
    };
    let title = format!("One {protocol} packet from outside the guest, and the process it wakes");
    let mut out = String::new();
    line(&mut out, &paint(color, BOLD, title));
    line(&mut out, "");
    out += &story(median, color);
    line(&mut out, "");
    line(
        &mut out,
        &paint(color, BOLD, format!("  {}", total(median, packets))),
    );
    out
}

/// The same in one line, for a second protocol.
pub fn summary(packets: &Packets<'_>, protocol: Protocol) -> Option<String> {
    let story = packets.median()?;
    Some(format!(
        "{protocol} takes the same way, {} steps: {}",
        story.steps.len(),
        total(story, packets)
    ))
}

fn total(story: &Story, packets: &Packets<'_>) -> String {
    let text = format!(
        "{} µs from the interrupt to the echo",
        whole_micros(story.duration())
    );
    match (packets.whole.first(), packets.whole.last()) {
        (Some(least), Some(most)) if packets.whole.len() > 1 => format!(
            "{text}, the median of {} packets ({} to {} µs)",
            packets.whole.len(),
            whole_micros(least.duration()),
            whole_micros(most.duration())
        ),
        _ => text,
    }
}

/// Why there is no packet, if there is none; one line per reason.
pub fn trouble(packets: &Packets<'_>, protocol: Protocol) -> String {
    let mut out = String::new();
    if packets.whole.is_empty() && packets.broken.is_empty() {
        line(
            &mut out,
            &format!("No {protocol} packet from outside reached a watched socket."),
        );
    }
    let none = packets.whole.is_empty();
    for (step, count) in packets.broken.iter().filter(|_| none) {
        line(&mut out, &format!("{count} {protocol} packets could not be followed: no event for the step \"{step}\"."));
    }
    out
}

/// What was lost, in one line; empty if nothing was.
pub fn lost(lost: u64) -> String {
    match lost {
        0 => String::new(),
        lost => format!("{lost} events were lost: the trace buffers were full (record --buffer makes them larger).\n"),
    }
}

/// Nanoseconds as microseconds, with one digit of their fraction where that tells something.
pub fn micros(nanoseconds: u64) -> String {
    if nanoseconds < 1_000_000 {
        format!("{}.{}", nanoseconds / 1000, nanoseconds % 1000 / 100)
    } else {
        whole_micros(nanoseconds)
    }
}

fn whole_micros(nanoseconds: u64) -> String {
    ((nanoseconds + 500) / 1000).to_string()
}

fn context_color(context: Context) -> &'static str {
    match context {
        Context::Task => GREEN,
        Context::Softirq => YELLOW,
        Context::Hardirq | Context::Nmi => RED,
    }
}

/// Text with one of the codes above, if in colour.
pub fn paint(color: bool, code: &str, text: String) -> String {
    if color {
        format!("{code}{text}{PLAIN}")
    } else {
        text
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
