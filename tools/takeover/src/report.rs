// SPDX-License-Identifier: GPL-2.0
//! The text and the JSON of a status, and the table of those who hold instances.

use crate::release::Machine;
use crate::scan::{Epoll, Holder, Kind};
use crate::words::{self, count, table};
use repoll::{TakeoverCause, TakeoverMeans, TakeoverMode, TakeoverStatus};
use serde::Serialize;

/// All that `status` shows.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `off`, `cgroup` or `all`.
    mode: &'static str,
    /// The cgroup's ID, with `cgroup`.
    cgroup: Option<u64>,
    /// The cgroup's path, unless it has been removed.
    cgroup_path: Option<String>,
    calls: Vec<&'static str>,
    cause: &'static str,
    means: &'static str,
    functions: Vec<&'static str>,
    instances: u64,
    created: u64,
    running: u64,
    epolls: Vec<Epoll>,
    #[serde(skip)]
    status: TakeoverStatus,
}

impl Report {
    /// Takes what the module says, and the epolls that were found.
    pub fn new(status: TakeoverStatus, epolls: Vec<Epoll>) -> Self {
        let cgroup = match status.mode {
            TakeoverMode::Cgroup(id) => Some(id),
            TakeoverMode::Off | TakeoverMode::All => None,
        };
        let path = cgroup.and_then(crate::cgroup::path_of);
        Self {
            mode: match status.mode {
                TakeoverMode::Off => "off",
                TakeoverMode::Cgroup(_) => "cgroup",
                TakeoverMode::All => "all",
            },
            cgroup,
            cgroup_path: path.map(|path| path.display().to_string()),
            calls: words::calls(status.calls),
            cause: words::cause(status.cause),
            means: words::means(status.means),
            functions: words::functions(status.hooked),
            instances: status.instances,
            created: status.created,
            running: status.running,
            epolls,
            status,
        }
    }

    /// The text for a terminal.
    pub fn text(&self) -> String {
        let status = &self.status;
        let cause = match status.cause {
            TakeoverCause::Request => "",
            TakeoverCause::SysRq => " (switched off by SysRq-E)",
            TakeoverCause::Oops => " (switched off by an oops in the module: see dmesg)",
            TakeoverCause::Removed => " (switched off, as its cgroup was removed)",
        };
        let functions = match &self.functions[..] {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        let means = match status.means {
            TakeoverMeans::Unavailable => {
                "none so far: the first switch-on finds it, or says why there is none"
            }
            TakeoverMeans::Jump => "by a jump at the function's start",
            TakeoverMeans::FtraceOps => "by ftrace, which changes the instruction pointer",
        };
        let of = |kind| {
            self.epolls
                .iter()
                .filter(|epoll| epoll.kind == kind)
                .count() as u64
        };
        let unknown = match of(Kind::Unknown) {
            0 => String::new(),
            some => format!(", {some} of processes that can't be asked"),
        };
        let rows = [
            (
                "takeover:",
                words::policy(status.mode, status.calls) + cause,
            ),
            ("replaced functions:", functions),
            ("method:", means.to_owned()),
            (
                "taken over:",
                format!(
                    "{} open, {} since the module was loaded",
                    count(status.instances, "epoll instance"),
                    status.created
                ),
            ),
            (
                "running:",
                count(status.running, "call") + " of select and poll",
            ),
            (
                "epolls found:",
                format!(
                    "{} of repoll, {} of the kernel{unknown}",
                    of(Kind::Repoll),
                    of(Kind::C)
                ),
            ),
        ];
        let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
        let mut text = table(&rows);
        if !self.epolls.is_empty() {
            text.push('\n');
            text.push_str(&self.epoll_table());
        }
        text
    }

    fn epoll_table(&self) -> String {
        let mut rows = vec![row(["EPOLL", "PID", "COMMAND", "FD", "WATCHES", "UNIT"])];
        for epoll in &self.epolls {
            let kind = match epoll.kind {
                Kind::Repoll => "repoll",
                Kind::C => "C",
                Kind::Unknown => "unknown",
            };
            for (number, holder) in epoll.holders.iter().enumerate() {
                rows.push(row([
                    if number == 0 { kind } else { "  same" },
                    &holder.pid.to_string(),
                    &holder.command,
                    &holder.fd.to_string(),
                    &epoll.watches.to_string(),
                    holder.unit.as_deref().unwrap_or("-"),
                ]));
            }
        }
        table(&rows)
    }
}

/// The holders of open instances, and the command that frees each; then the command that frees all,
/// and the number of instances whose holder was not found. `open` is the number of instances that
/// are open.
pub fn holders(epolls: &[Epoll], open: u64, machine: Machine) -> String {
    let ours = || epolls.iter().filter(|epoll| epoll.kind == Kind::Repoll);
    let mut text = String::new();
    if ours().next().is_some() {
        let mut rows = vec![row(["PID", "COMMAND", "UNIT", "FD", "WATCHES", "FREED BY"])];
        for epoll in ours() {
            rows.extend(epoll.holders.iter().map(|holder| {
                row([
                    &holder.pid.to_string(),
                    &holder.command,
                    holder.unit.as_deref().unwrap_or("-"),
                    &holder.fd.to_string(),
                    &epoll.watches.to_string(),
                    &machine.command(holder),
                ])
            }));
        }
        text.push_str(&table(&rows));
    }
    let hidden = open.saturating_sub(ours().count() as u64);
    if hidden > 0 {
        text.push_str(&format!(
            "Nobody's table of descriptors has {}: in a message of a Unix socket, in an io_uring, or \
             in the table of a thread.\n",
            count(hidden, "more instance")
        ));
    }
    if let Some(all) = machine.all_at_once() {
        text.push_str(&format!("All at once: {all}\n"));
    }
    text
}

/// The holders of descriptors that keep the module in use.
pub fn device_holders(holders: &[Holder], machine: Machine) -> String {
    let mut rows = vec![row(["PID", "COMMAND", "UNIT", "FD", "FREED BY"])];
    rows.extend(holders.iter().map(|holder| {
        row([
            &holder.pid.to_string(),
            &holder.command,
            holder.unit.as_deref().unwrap_or("-"),
            &holder.fd.to_string(),
            &machine.command(holder),
        ])
    }));
    table(&rows)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::unit;
    use repoll::{Hooks, TakeoverCalls};

    fn holder(pid: i32, command: &str, cgroup: &str) -> Holder {
        Holder {
            pid,
            command: command.to_owned(),
            fd: 4,
            unit: unit(cgroup),
        }
    }

    fn epolls() -> Vec<Epoll> {
        let epoll = |kind, watches, holders| Epoll {
            kind,
            watches,
            holders,
        };
        let nginx = "/system.slice/nginx.service";
        vec![
            epoll(Kind::Repoll, 30, vec![holder(1, "systemd", "/init.scope")]),
            epoll(
                Kind::Repoll,
                2,
                vec![holder(70, "nginx", nginx), holder(71, "nginx", nginx)],
            ),
            epoll(Kind::C, 5, vec![holder(80, "node", "/")]),
        ]
    }

    fn status() -> TakeoverStatus {
        TakeoverStatus {
            mode: TakeoverMode::All,
            calls: TakeoverCalls::EPOLL | TakeoverCalls::POLL,
            hooked: Hooks::EPOLL_CREATE | Hooks::POLL,
            means: TakeoverMeans::Jump,
            cause: TakeoverCause::Request,
            instances: 3,
            created: 17,
            running: 1,
        }
    }

    const SYSTEMD: Machine = Machine { systemd: true };

    #[test]
    fn a_status_shows_policy_functions_and_epolls() {
        let text = Report::new(status(), epolls()).text();
        assert_eq!(
            text,
            "\
takeover:            epoll, poll of all processes
replaced functions:  do_epoll_create, do_sys_poll
method:              by a jump at the function's start
taken over:          3 epoll instances open, 17 since the module was loaded
running:             1 call of select and poll
epolls found:        2 of repoll, 1 of the kernel

EPOLL   PID  COMMAND  FD  WATCHES  UNIT
repoll  1    systemd  4   30       init.scope
repoll  70   nginx    4   2        nginx.service
  same  71   nginx    4   2        nginx.service
C       80   node     4   5        -
"
        );
    }

    #[test]
    fn a_status_says_who_switched_takeover_off() {
        let off = TakeoverStatus {
            mode: TakeoverMode::Off,
            calls: TakeoverCalls::empty(),
            hooked: Hooks::empty(),
            means: TakeoverMeans::Unavailable,
            cause: TakeoverCause::SysRq,
            ..status()
        };
        let text = Report::new(off, Vec::new()).text();
        assert!(
            text.starts_with("takeover:            off (switched off by SysRq-E)\n"),
            "{text}"
        );
        assert!(text.contains("replaced functions:  none\n"));
        assert!(text.contains("method:              none so far: "));
        assert!(!text.contains("PID"));
    }

    #[test]
    fn json_has_the_same_facts() {
        let json = serde_json::to_value(Report::new(status(), epolls())).expect("JSON");
        assert_eq!(json["mode"], "all");
        assert_eq!(json["calls"], serde_json::json!(["epoll", "poll"]));
        assert_eq!(json["epolls"][1]["kind"], "repoll");
        assert_eq!(json["epolls"][1]["holders"][1]["pid"], 71);
        assert_eq!(json["epolls"][2]["kind"], "c");
        assert_eq!(json["epolls"][0]["holders"][0]["unit"], "init.scope");
    }

    #[test]
    fn each_holder_of_ours_has_a_command() {
        let text = holders(&epolls(), 3, SYSTEMD);
        assert_eq!(
            text,
            "\
PID  COMMAND  UNIT           FD  WATCHES  FREED BY
1    systemd  init.scope     4   30       systemctl daemon-reexec
70   nginx    nginx.service  4   2        systemctl restart nginx.service
71   nginx    nginx.service  4   2        systemctl restart nginx.service
Nobody's table of descriptors has 1 more instance: in a message of a Unix socket, in an io_uring, \
or in the table of a thread.
All at once: systemctl soft-reboot
"
        );
    }
}
