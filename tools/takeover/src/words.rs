// SPDX-License-Identifier: GPL-2.0
//! The words for policies, calls and functions in messages and in JSON.

use crate::cgroup;
use repoll::{Hooks, TakeoverCalls, TakeoverCause, TakeoverMeans, TakeoverMode};

const CALLS: [(TakeoverCalls, &str); 3] = [
    (TakeoverCalls::EPOLL, "epoll"),
    (TakeoverCalls::SELECT, "select"),
    (TakeoverCalls::POLL, "poll"),
];

const FUNCTIONS: [(Hooks, &str); 7] = [
    (Hooks::EPOLL_CREATE, "do_epoll_create"),
    (Hooks::EPOLL_CTL, "do_epoll_ctl_file"),
    (Hooks::EPOLL_WAIT, "do_epoll_wait"),
    (Hooks::EPOLL_SENDEVENTS, "epoll_sendevents"),
    (Hooks::EPOLL_TFILE, "get_epoll_tfile_raw_ptr"),
    (Hooks::SELECT, "do_select"),
    (Hooks::POLL, "do_sys_poll"),
];

/// The names of calls.
pub fn calls(calls: TakeoverCalls) -> Vec<&'static str> {
    let named = CALLS.into_iter().filter(|(call, _)| calls.contains(*call));
    named.map(|(_, name)| name).collect()
}

/// The kernel's names of functions.
pub fn functions(hooks: Hooks) -> Vec<&'static str> {
    let named = FUNCTIONS
        .into_iter()
        .filter(|(hook, _)| hooks.contains(*hook));
    named.map(|(_, name)| name).collect()
}

/// The kernel's names of the functions that calls need.
pub fn functions_for(calls: TakeoverCalls) -> Vec<&'static str> {
    let mut hooks = Hooks::empty();
    hooks.set(Hooks::SELECT, calls.contains(TakeoverCalls::SELECT));
    hooks.set(Hooks::POLL, calls.contains(TakeoverCalls::POLL));
    if calls.contains(TakeoverCalls::EPOLL) {
        hooks |= Hooks::all() - Hooks::SELECT - Hooks::POLL;
    }
    functions(hooks)
}

/// A policy, as "epoll, select of all processes".
pub fn policy(mode: TakeoverMode, taken: TakeoverCalls) -> String {
    let taken = calls(taken).join(", ");
    match mode {
        TakeoverMode::Off => "off".to_owned(),
        TakeoverMode::All => format!("{taken} of all processes"),
        TakeoverMode::Cgroup(id) => format!("{taken} of {}", cgroup_by_id(id)),
    }
}

/// A cgroup by its path, or by its ID if it is not found.
pub fn cgroup_by_id(id: u64) -> String {
    match cgroup::path_of(id) {
        Some(path) => format!("the cgroup {}", path.display()),
        None => format!("a cgroup that is not below {} (ID {id})", cgroup::ROOT),
    }
}

/// The method by which functions are replaced.
pub fn means(means: TakeoverMeans) -> &'static str {
    match means {
        TakeoverMeans::Unavailable => "unavailable",
        TakeoverMeans::Jump => "jump",
        TakeoverMeans::FtraceOps => "ftrace",
    }
}

/// The origin of a policy.
pub fn cause(cause: TakeoverCause) -> &'static str {
    match cause {
        TakeoverCause::Request => "request",
        TakeoverCause::SysRq => "sysrq",
        TakeoverCause::Oops => "oops",
        TakeoverCause::Removed => "removed",
    }
}

/// "1 WORD" or "N WORDs".
pub fn count(number: u64, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}

/// Lines of columns, each as wide as its widest cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0))
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_a_name() {
        assert_eq!(calls(TakeoverCalls::all()), ["epoll", "select", "poll"]);
        assert_eq!(functions(Hooks::all()).len(), 7);
        assert_eq!(
            functions(Hooks::EPOLL_TFILE | Hooks::POLL),
            ["get_epoll_tfile_raw_ptr", "do_sys_poll"]
        );
    }

    #[test]
    fn calls_need_functions() {
        assert_eq!(functions_for(TakeoverCalls::SELECT), ["do_select"]);
        assert_eq!(functions_for(TakeoverCalls::EPOLL).len(), 5);
        assert_eq!(functions_for(TakeoverCalls::all()).len(), 7);
    }

    #[test]
    fn policies_name_calls_and_tasks() {
        let both = TakeoverCalls::EPOLL | TakeoverCalls::POLL;
        assert_eq!(
            policy(TakeoverMode::All, both),
            "epoll, poll of all processes"
        );
        assert_eq!(policy(TakeoverMode::Off, TakeoverCalls::empty()), "off");
        let unknown = policy(TakeoverMode::Cgroup(u64::MAX), TakeoverCalls::EPOLL);
        assert_eq!(
            unknown,
            format!(
                "epoll of a cgroup that is not below /sys/fs/cgroup (ID {})",
                u64::MAX
            )
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["PID", "COMMAND", "FD"]), row(["12345", "sh", ""])];
        assert_eq!(table(&rows), "PID    COMMAND  FD\n12345  sh\n");
        assert_eq!(table(&[]), "");
    }
}
