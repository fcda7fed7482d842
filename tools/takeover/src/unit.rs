// SPDX-License-Identifier: GPL-2.0
//! The unit of systemd that a process belongs to.

/// The cgroup that systemd put a process into, from the content of `/proc/PID/cgroup`.
pub fn cgroup(content: &str) -> &str {
    let of = |hierarchy: &str| {
        content
            .lines()
            .find_map(|line| line.strip_prefix(hierarchy))
    };
    match of("0::") {
        // On a machine with both versions, systemd may use its own hierarchy of version 1.
        Some("/") | None => content
            .lines()
            .find_map(|line| line.split_once(":name=systemd:"))
            .map_or("/", |(_, path)| path),
        Some(path) => path,
    }
}

/// The unit of systemd that a cgroup belongs to: the topmost service or scope in its path. All that
/// a user manager runs belongs to that manager's service.
pub fn unit(cgroup: &str) -> Option<String> {
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let unit = cgroup.split('/').find(is_unit)?;
    // systemd puts an underscore before names that the kernel could mistake for files.
    Some(unit.strip_prefix('_').unwrap_or(unit).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_is_that_of_systemd() {
        assert_eq!(
            cgroup("0::/system.slice/a.service\n"),
            "/system.slice/a.service"
        );
        let both = "3:memory:/x\n1:name=systemd:/system.slice/b.service\n0::/\n";
        assert_eq!(cgroup(both), "/system.slice/b.service");
        assert_eq!(cgroup("0::/\n"), "/");
        assert_eq!(cgroup(""), "/");
    }

    #[test]
    fn the_unit_is_the_topmost_service_or_scope() {
        assert_eq!(
            unit("/system.slice/a.service/b.service").as_deref(),
            Some("a.service")
        );
        assert_eq!(
            unit("/system.slice/_a.b.service").as_deref(),
            Some("a.b.service")
        );
        assert_eq!(unit("/repoll/123"), None);
    }
}
