// SPDX-License-Identifier: GPL-2.0
//! The command that makes a process close its epolls.

use crate::scan::Holder;
use std::path::Path;

/// The commands that free epolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Process 1 is systemd.
    pub systemd: bool,
}

impl Machine {
    /// Looks at this machine.
    pub fn new() -> Self {
        Self {
            systemd: Path::new("/run/systemd/system").exists(),
        }
    }

    /// The command that makes a process close its epolls.
    pub fn command(self, holder: &Holder) -> String {
        let unit = holder.unit.as_deref();
        match (holder.pid, unit.and_then(|unit| unit.rsplit_once('.'))) {
            (1, _) if self.systemd => "systemctl daemon-reexec".to_owned(),
            (1, _) => "reboot".to_owned(),
            (_, Some((name, "scope"))) => match name.strip_prefix("session-") {
                Some(session) if self.systemd => format!("loginctl terminate-session {session}"),
                _ => stop(unit.unwrap_or(name)),
            },
            (_, Some((name, _))) => format!("systemctl restart {}", quoted(unit.unwrap_or(name))),
            (pid, None) => format!("kill {pid}"),
        }
    }

    /// The command that frees all epolls at once.
    pub fn all_at_once(self) -> Option<&'static str> {
        self.systemd.then_some("systemctl soft-reboot")
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

fn stop(unit: &str) -> String {
    format!("systemctl stop {}", quoted(unit))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._-:".contains(&byte);
    match word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::unit;

    fn command(pid: i32, path: &str, systemd: bool) -> String {
        let holder = Holder {
            pid,
            command: "x".to_owned(),
            fd: 3,
            unit: unit(path),
        };
        Machine { systemd }.command(&holder)
    }

    #[test]
    fn each_process_has_its_command() {
        let of = |pid, path| command(pid, path, true);
        assert_eq!(of(1, "/init.scope"), "systemctl daemon-reexec");
        assert_eq!(
            of(9, "/system.slice/nginx.service"),
            "systemctl restart nginx.service"
        );
        assert_eq!(
            of(
                9,
                "/system.slice/system-getty.slice/getty@tty1.service/inner"
            ),
            "systemctl restart getty@tty1.service"
        );
        assert_eq!(
            of(9, "/user.slice/user-1000.slice/session-3.scope"),
            "loginctl terminate-session 3"
        );
        assert_eq!(
            of(
                9,
                "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service"
            ),
            "systemctl restart user@1000.service"
        );
        assert_eq!(
            of(9, "/system.slice/docker-abc.scope"),
            "systemctl stop docker-abc.scope"
        );
        assert_eq!(of(9, "/repoll/123"), "kill 9");
    }

    #[test]
    fn a_unit_with_odd_characters_is_quoted() {
        assert_eq!(
            command(9, r"/system.slice/a\x2db.service", true),
            r"systemctl restart 'a\x2db.service'"
        );
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }

    #[test]
    fn without_systemd_processes_end_one_by_one() {
        assert_eq!(command(1, "/", false), "reboot");
        assert_eq!(command(9, "/", false), "kill 9");
        assert_eq!(Machine { systemd: false }.all_at_once(), None);
    }
}
