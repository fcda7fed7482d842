// SPDX-License-Identifier: GPL-2.0
//! Makes a program that shows a difference as short and as plain as it can be.

use crate::operation::{Operation, Place, Step, Task};
use repoll::EventFlags;

/// `shows` says whether a program still shows the difference.
pub fn shrink(program: Vec<Step>, mut shows: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut program = program;
    loop {
        let before = program.clone();
        remove_parts(&mut program, &mut shows);
        simplify(&mut program, &mut shows);
        merge(&mut program, &mut shows);
        if program == before {
            return program;
        }
    }
}

/// Leaves out parts: first halves of the program, in the end single steps.
fn remove_parts(program: &mut Vec<Step>, shows: &mut impl FnMut(&[Step]) -> bool) {
    let mut size = program.len().div_ceil(2);
    while size > 0 {
        // From the end: later steps depend on earlier ones.
        let mut end = program.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let mut shorter = program.clone();
            shorter.drain(start..end);
            if shows(&shorter) {
                *program = shorter;
            }
            end = start;
        }
        size /= 2;
    }
}

fn simplify(program: &mut Vec<Step>, shows: &mut impl FnMut(&[Step]) -> bool) {
    for n in 0..program.len() {
        for simpler in variants(&program[n]) {
            let mut other = program.clone();
            other[n] = simpler;
            if shows(&other) {
                *program = other;
                // The other variants are of the old step; the caller calls again.
                break;
            }
        }
    }
}

/// Lets an ADD do at once what a later MOD makes of it.
fn merge(program: &mut Vec<Step>, shows: &mut impl FnMut(&[Step]) -> bool) {
    for n in (0..program.len()).rev() {
        let Operation::Ctl(libc::EPOLL_CTL_MOD, ep, fd, events, data) = program[n].operation else {
            continue;
        };
        let add = program[..n].iter().rposition(|step| {
            matches!(step.operation, Operation::Ctl(libc::EPOLL_CTL_ADD, e, f, ..) if (e, f) == (ep, fd))
        });
        if let Some(add) = add {
            let mut other = program.clone();
            other[add].operation = Operation::Ctl(libc::EPOLL_CTL_ADD, ep, fd, events, data);
            other.remove(n);
            if shows(&other) {
                *program = other;
            }
        }
    }
}

/// Plainer forms of a step. Each is plainer by a measure with a lower bound, so shrinking ends.
fn variants(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    if step.task != Task::Main {
        all.push(Step {
            task: Task::Main,
            ..step.clone()
        });
    }
    let mut push = |operation: Operation| {
        if operation != step.operation {
            all.push(Step {
                operation,
                ..step.clone()
            });
        }
    };
    match &step.operation {
        Operation::Ctl(op, ep, fd, events, data) => {
            push(Operation::Ctl(*op, *ep, *fd, EventFlags::empty(), *data));
            for bit in 0..32 {
                let without = *events & !EventFlags::from_bits_retain(1 << bit);
                push(Operation::Ctl(*op, *ep, *fd, without, *data));
            }
            if *data > 99 {
                push(Operation::Ctl(*op, *ep, *fd, *events, *data % 100));
            }
        }
        Operation::Wait(ep, max, time, at) => {
            push(Operation::Wait(*ep, *max, *time, Place::Good));
            push(Operation::Wait(*ep, *max, 0, *at));
            if *max > 8 {
                push(Operation::Wait(*ep, 8, *time, *at));
            } else if *max > 1 {
                push(Operation::Wait(*ep, *max - 1, *time, *at));
            }
        }
        Operation::Scan(call, time, what) => {
            push(Operation::Scan(*call, 0, what.clone()));
            for n in 0..what.len() {
                let mut fewer = what.clone();
                fewer.remove(n);
                push(Operation::Scan(*call, *time, fewer));
            }
        }
        Operation::MaskedScan(call, open, what) => {
            push(Operation::Scan(*call, 0, what.clone()));
            for n in 0..what.len() {
                let mut fewer = what.clone();
                fewer.remove(n);
                push(Operation::MaskedScan(*call, *open, fewer));
            }
        }
        Operation::Masked(ep, max, _) => push(Operation::Wait(*ep, *max, 0, Place::Good)),
        Operation::Write(n, size) if *size > 8 => push(Operation::Write(*n, 8)),
        Operation::Write(n, size) if *size != 8 && *size > 1 => push(Operation::Write(*n, 1)),
        Operation::Read(n, size) if *size > 8 => push(Operation::Read(*n, 8)),
        Operation::Fill(n) => push(Operation::Write(*n, 8)),
        Operation::Create(n, true) => push(Operation::Create(*n, false)),
        Operation::During(ep, max, operation, waiters) => {
            if *waiters > 1 {
                push(Operation::During(*ep, *max, operation.clone(), 1));
            }
            push(Operation::Wait(*ep, *max, 0, Place::Good));
            push((**operation).clone());
        }
        _ => (),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::parse_program;

    #[test]
    fn only_what_is_needed_is_left() -> anyhow::Result<()> {
        let noise = "open pipe f1 f2\nwrite f2 100\nwait e0 64 1\n".repeat(20);
        let needed = "create e0 device\n@1 add e0 f1 IN|ET|PRI 0x1234567\n";
        let program = parse_program(&format!("{noise}{needed}{noise}"))?;
        let shrunk = shrink(program, |program| {
            let has = |test: fn(&Operation) -> bool| program.iter().any(|s| test(&s.operation));
            has(|o| matches!(o, Operation::Create(0, _)))
                && has(|o| matches!(o, Operation::Ctl(_, 0, _, e, _) if e.contains(EventFlags::ET)))
        });
        let text: Vec<String> = shrunk.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["create e0", "add e0 f1 ET 0x2b"]);
        Ok(())
    }

    #[test]
    fn a_mod_is_merged_into_its_add() -> anyhow::Result<()> {
        let program = parse_program("add e0 f1 IN 0x1\nmod e0 f1 OUT|ET 0x2\n")?;
        let shrunk = shrink(program, |program| {
            let is_et = |o: &Operation| matches!(o, Operation::Ctl(_, 0, _, e, 2) if e.contains(EventFlags::ET));
            matches!(
                program.first(),
                Some(Step {
                    operation: Operation::Ctl(1, ..),
                    ..
                })
            ) && program.iter().any(|step| is_et(&step.operation))
        });
        assert_eq!(shrunk.len(), 1);
        assert_eq!(shrunk[0].to_string(), "add e0 f1 ET 0x2");
        Ok(())
    }
}
