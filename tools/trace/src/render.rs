// SPDX-License-Identifier: GPL-2.0
//! Prints the way of a packet, to be read by people.

use crate::record::Context;
use crate::story::{Protocol, Stories, Story};
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

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// The whole way of the packet with the median duration, as a table; empty without any.
pub fn table(stories: &Stories, color: bool) -> String {
    let Some(story) = stories.median() else {
        return String::new();
    };
    let paint = |code, text: String| paint(color, code, text);
    let mut out = String::new();
    let what = match story.protocol {
        Protocol::Udp => "One UDP packet from outside the guest, and the process it wakes",
        Protocol::Tcp => "One TCP packet from outside the guest, and the process it wakes",
    };
    line(&mut out, &paint(BOLD, what.to_owned()));
    line(&mut out, "");
    let heading = "  time µs     +µs  CPU  context   step          what happens";
    line(&mut out, &paint(DIM, heading.to_owned()));
    let start = story.steps.first().map_or(0, |step| step.time);
    let mut last = start;
    for (index, step) in story.steps.iter().enumerate() {
        let difference = match index {
            0 => String::new(),
            _ => (step.time - last).to_string(),
        };
        last = step.time;
        let row = format!(
            "{:>9}{}  {:>3}  {}  {:<12}  {}",
            step.time - start,
            paint(DIM, format!("{difference:>8}")),
            step.cpu,
            paint(context_color(step.context), format!("{:<8}", step.context)),
            step.name,
            step.detail,
        );
        line(&mut out, row.trim_end());
    }
    line(&mut out, "");
    line(
        &mut out,
        &paint(BOLD, format!("  {}", total(story, stories))),
    );
    out
}

/// The same in one line, for a second protocol.
pub fn summary(stories: &Stories) -> Option<String> {
    let story = stories.median()?;
    Some(format!(
        "{} takes the same {} steps: {}",
        story.protocol,
        story.steps.len(),
        total(story, stories)
    ))
}

fn total(story: &Story, stories: &Stories) -> String {
    let text = format!("{} µs from the interrupt to the echo", story.duration());
    match (stories.whole.first(), stories.whole.last()) {
        (Some(least), Some(most)) if stories.whole.len() > 1 => format!(
            "{text}, the median of {} packets ({} to {} µs)",
            stories.whole.len(),
            least.duration(),
            most.duration()
        ),
        _ => text,
    }
}

/// Why there is no story, if there is none, and what was lost; one line per reason.
pub fn trouble(stories: &Stories, protocol: Protocol, lost: u64) -> String {
    let mut out = String::new();
    if stories.whole.is_empty() && stories.broken.is_empty() {
        line(
            &mut out,
            &format!("No {protocol} packet from outside reached a watched socket."),
        );
    }
    let none = stories.whole.is_empty();
    for (step, count) in stories.broken.iter().filter(|_| none) {
        line(&mut out, &format!("{count} {protocol} packets could not be followed: no event for the step \"{step}\"."));
    }
    if lost > 0 {
        line(
            &mut out,
            &format!("{lost} events were lost: the trace buffers were full."),
        );
    }
    out
}

fn context_color(context: Context) -> &'static str {
    match context {
        Context::Task => GREEN,
        Context::Softirq => YELLOW,
        Context::Hardirq | Context::Nmi => RED,
    }
}

fn paint(color: bool, code: &str, text: String) -> String {
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
