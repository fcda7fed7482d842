// SPDX-License-Identifier: GPL-2.0
//! The reasons why ftrace refuses to replace a function.

use std::fs;

const SWITCH: &str = "/proc/sys/kernel/ftrace_enabled";
const FUNCTIONS: &str = "/sys/kernel/tracing/enabled_functions";

/// The reason why one of the functions can't be replaced, with its remedy.
pub fn obstacle(functions: &[&str]) -> String {
    let enabled = fs::read_to_string(SWITCH).unwrap_or_default();
    let used = fs::read_to_string(FUNCTIONS).unwrap_or_default();
    explain(enabled.trim() != "0", &used, functions)
}

fn explain(enabled: bool, used: &str, functions: &[&str]) -> String {
    if !enabled {
        return "ftrace is disabled: enable it with sysctl kernel.ftrace_enabled=1".to_owned();
    }
    let taken: Vec<_> = functions
        .iter()
        .filter(|function| used.lines().any(|line| is_replaced(line, function)))
        .copied()
        .collect();
    let taken = match &taken[..] {
        [] => "a function".to_owned(),
        some => some.join(", "),
    };
    format!(
        "{taken} of the kernel is replaced by livepatch or BPF (fentry, fmod_ret): end that program, \
         or see dmesg"
    )
}

/// Whether a line of `enabled_functions` says that a function is replaced or called directly: its
/// flags contain I or D.
fn is_replaced(line: &str, function: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some(function)
        && words
            .skip_while(|word| word.starts_with('('))
            .take_while(|word| word.len() == 1)
            .any(|flag| flag == "I" || flag == "D")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: &str = "\
do_epoll_create (1)               tramp: 0xffffffffc0400000 (function_trace_call)
do_epoll_wait (1)         D   M  tramp: 0xffffffffc0401000 (call_direct_funcs)
do_select (2) R I     tramp: 0xffffffffc0402000
";

    #[test]
    fn replaced_functions_are_named() {
        let text = explain(
            true,
            USED,
            &["do_epoll_create", "do_epoll_wait", "do_select"],
        );
        assert!(
            text.starts_with("do_epoll_wait, do_select of the kernel is replaced"),
            "{text}"
        );
    }

    #[test]
    fn a_traced_function_is_not_replaced() {
        assert!(explain(true, USED, &["do_epoll_create", "do_sys_poll"])
            .starts_with("a function of the kernel"));
    }

    #[test]
    fn a_disabled_ftrace_is_the_first_reason() {
        assert!(explain(false, USED, &["do_epoll_wait"]).contains("kernel.ftrace_enabled=1"));
    }
}
