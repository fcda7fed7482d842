// SPDX-License-Identifier: GPL-2.0
//! What the kernel wrote: one event per line of tracefs' `trace` file.

use std::fmt;

/// In which context an event was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// In a process, a system call mostly.
    Task,
    /// In a softirq.
    Softirq,
    /// In a hardware interrupt.
    Hardirq,
    /// In a non-maskable interrupt.
    Nmi,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Task => "task",
            Self::Softirq => "softirq",
            Self::Hardirq => "hard irq",
            Self::Nmi => "nmi",
        })
    }
}

/// One recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name of the process that was running, interrupted or not.
    pub comm: String,
    /// Its thread's number; 0 when the CPU was idle.
    pub pid: i32,
    /// The CPU.
    pub cpu: u32,
    /// The context.
    pub context: Context,
    /// Microseconds of the trace clock.
    pub time: u64,
    /// The event's name.
    pub event: String,
    /// The rest of the line: mostly `name=value`, separated by spaces.
    pub fields: String,
}

impl Record {
    /// The value of a field, written as `name=value` or `name = value`.
    pub fn field(&self, name: &str) -> Option<&str> {
        // The last one: a process may call itself `x pid=1`.
        let at = self
            .fields
            .rmatch_indices(name)
            .map(|(at, _)| at)
            .filter(|at| *at == 0 || self.fields[..*at].ends_with([' ', ',']))
            .find_map(|at| {
                let rest = &self.fields[at + name.len()..];
                rest.strip_prefix(" = ").or_else(|| rest.strip_prefix('='))
            })?;
        let end = at.find([' ', ',']).unwrap_or(at.len());
        Some(&at[..end])
    }

    /// The value of a field as a number, decimal or `0x`.
    pub fn number(&self, name: &str) -> Option<i64> {
        let text = self.field(name)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16)
                .ok()
                .map(|value| value as i64),
            None => text.parse().ok(),
        }
    }
}

/// The records of a `trace` file, in its order, which is that of time.
pub fn parse(text: &str) -> Vec<Record> {
    text.lines().filter_map(parse_line).collect()
}

/// One line, such as ` echo-server-71 [000] d.s2. 12.345678: sk_data_ready: family=2 …`;
/// `None` for comments and for what is no event.
fn parse_line(line: &str) -> Option<Record> {
    if line.starts_with('#') {
        return None;
    }
    // The name of a process may hold anything, so it is what follows that must fit.
    line.match_indices(" [")
        .find_map(|(at, _)| parse_at(&line[..at], &line[at + 2..]))
}

fn parse_at(task: &str, rest: &str) -> Option<Record> {
    let (comm, pid) = task.trim().rsplit_once('-')?;
    let (cpu, rest) = rest.split_once("] ")?;
    let (flags, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.trim_start().split_once(": ")?;
    let (event, fields) = rest.split_once(':')?;
    Some(Record {
        comm: comm.to_owned(),
        pid: pid.trim().parse().ok()?,
        cpu: cpu.parse().ok()?,
        context: context(flags)?,
        time: microseconds(time)?,
        event: event.to_owned(),
        fields: fields.trim().to_owned(),
    })
}

/// The third flag tells the context; a capital H is a hardirq that came in a softirq.
fn context(flags: &str) -> Option<Context> {
    match flags.chars().nth(2)? {
        '.' => Some(Context::Task),
        's' => Some(Context::Softirq),
        'h' | 'H' => Some(Context::Hardirq),
        'z' | 'Z' => Some(Context::Nmi),
        _ => None,
    }
}

fn microseconds(time: &str) -> Option<u64> {
    let (seconds, fraction) = time.split_once('.')?;
    if fraction.len() != 6 {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    Some(seconds * 1_000_000 + fraction.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = "     echo-server-71      [001] d.s2.    12.000078: sk_data_ready: family=2 protocol=17 func=udp_enqueue_schedule_skb";
        let record = parse_line(line).expect("a record");
        assert_eq!(record.comm, "echo-server");
        assert_eq!((record.pid, record.cpu), (71, 1));
        assert_eq!(record.context, Context::Softirq);
        assert_eq!(record.time, 12_000_078);
        assert_eq!(record.event, "sk_data_ready");
        assert_eq!(record.number("protocol"), Some(17));
        assert_eq!(record.field("func"), Some("udp_enqueue_schedule_skb"));
        assert_eq!(record.field("proto"), None);
    }

    #[test]
    fn names_of_processes_may_hold_anything() {
        let line = "  a [0] b-c: d-9 [000] ..... 1.000000: sched_waking: comm=x pid=1 pid=42 prio=120 target_cpu=001";
        let record = parse_line(line).expect("a record");
        assert_eq!((record.comm.as_str(), record.pid), ("a [0] b-c: d", 9));
        assert_eq!(record.number("pid"), Some(42));
        assert_eq!(record.number("target_cpu"), Some(1));
    }

    #[test]
    fn contexts_are_told_apart() {
        for (flags, expected) in [
            ("d.h1.", Context::Hardirq),
            ("dNH2.", Context::Hardirq),
            ("..s1.", Context::Softirq),
            (".....", Context::Task),
            ("b..2.", Context::Task),
        ] {
            assert_eq!(context(flags), Some(expected), "{flags}");
        }
    }

    #[test]
    fn fields_with_spaces_around_the_sign_are_read() {
        let line = "x-1 [000] ..... 1.000000: sock_send_length: sk address = 0000000012345678, family = AF_INET protocol = IPPROTO_UDP, length = 64, error = 0, flags = 0x0";
        let record = parse_line(line).expect("a record");
        assert_eq!(record.number("length"), Some(64));
        assert_eq!(record.number("flags"), Some(0));
        assert_eq!(record.field("protocol"), Some("IPPROTO_UDP"));
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        let text = "# tracer: nop\n#\n##### CPU 1 buffer started ####\nCPU:1 [LOST 12 EVENTS]\n\nrubbish\n x-1 [000] ..... 1.5: short: \n";
        assert_eq!(parse(text), []);
    }
}
