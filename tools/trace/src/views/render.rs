// SPDX-License-Identifier: GPL-2.0
//! Formats stories as text.

use crate::ftrace::record::Context;
use crate::story::{Packets, Protocol, Story};
use std::fmt::Write;
use std::io::IsTerminal;

/// Whether to print in colour.
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
    /// Whether to print in colour on standard output.
    pub fn enabled(self) -> bool {
        match self {
            Self::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Emphasis.
pub const BOLD: &str = "\x1b[1m";
/// Secondary text.
pub const DIM: &str = "\x1b[2m";
/// Interrupts, and failures.
pub const RED: &str = "\x1b[31m";
/// Softirqs, and conditions.
pub const YELLOW: &str = "\x1b[33m";
/// Tasks, and successes.
pub const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// A story as a table, one step on each line.
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
            &format!("  The trace lacks the step \"{missing}\"."),
        );
    }
    out
}

/// The line of a story in a list: number, cause, subject, duration, receiver.
pub fn title(number: usize, story: &Story) -> String {
    let who = match story.receiver.as_str() {
        "" => "no thread",
        who => who,
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

/// The story of the packet with the median duration, as a table; empty if there is no packet.
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

/// A second protocol's packet with the median duration, in one line.
pub fn summary(packets: &Packets<'_>, protocol: Protocol) -> Option<String> {
    let story = packets.median()?;
    Some(format!(
        "{protocol}, in {} steps: {}",
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

/// The reasons why no packet could be followed, one on each line; empty if one could.
pub fn trouble(packets: &Packets<'_>, protocol: Protocol) -> String {
    let mut out = String::new();
    if packets.whole.is_empty() && packets.broken.is_empty() {
        line(
            &mut out,
            &format!("No {protocol} packet from outside the guest reached a watched socket."),
        );
    }
    let none = packets.whole.is_empty();
    for (step, count) in packets.broken.iter().filter(|_| none) {
        line(&mut out, &format!("{count} {protocol} packets could not be followed: the trace lacks the step \"{step}\"."));
    }
    out
}

/// The number of lost events, in one line; empty if there are none.
pub fn lost(lost: u64) -> String {
    match lost {
        0 => String::new(),
        lost => format!("{lost} events were lost: the trace buffers were full (enlarge them by record --buffer).\n"),
    }
}

/// Formats nanoseconds as microseconds, with one decimal place below a millisecond.
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

/// Wraps a text in one of the codes above, if `color` is set.
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
