// SPDX-License-Identifier: GPL-2.0
//! A test, and its run in this process.

use crate::cost;
use anyhow::Result;
use repoll_testkit::side::Way;
use repoll_testkit::skip;
use std::process::ExitCode;
use std::time::Duration;

/// A test: a body with a name that says the behaviour.
pub struct Test {
    /// `theme.behaviour/multiplexer`.
    pub name: String,
    /// The time limit.
    pub limit: Duration,
    /// Whether it counts instructions.
    pub counted: bool,
    body: Box<dyn Fn() -> Result<()>>,
}

/// The time limit of a test that has no other.
const LIMIT: Duration = Duration::from_secs(30);

impl Test {
    /// A test.
    pub fn new(name: impl Into<String>, body: impl Fn() -> Result<()> + 'static) -> Self {
        Self {
            name: name.into(),
            limit: LIMIT,
            counted: false,
            body: Box::new(body),
        }
    }

    /// With another time limit.
    pub fn within(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// One that counts instructions: skipped where the clock does not.
    pub fn counted(mut self) -> Self {
        self.counted = true;
        self.after(cost::needs_the_instruction_clock)
    }

    /// With something to see to first: it may skip the test.
    pub fn after(mut self, first: fn() -> Result<()>) -> Self {
        let body = self.body;
        self.body = Box::new(move || {
            first()?;
            body()
        });
        self
    }

    /// Runs it in this process, as a part of another one.
    pub fn run(&self) -> Result<()> {
        (self.body)()
    }

    /// Whether one of the filters is a part of its name; all match when there are none.
    pub fn matches(&self, filters: &[String]) -> bool {
        filters.is_empty() || filters.iter().any(|filter| self.name.contains(filter))
    }
}

/// All tests of these themes, in this order.
pub fn of_all(themes: &[fn() -> Vec<Test>]) -> Vec<Test> {
    themes.iter().flat_map(|theme| theme()).collect()
}

/// Tests with another time limit.
pub fn within(seconds: u64, tests: Vec<Test>) -> Vec<Test> {
    tests.into_iter().map(|test| test.within(seconds)).collect()
}

/// The tests of the kernel's calls, under names that say which way these go.
pub fn of_the_kernels_calls(way: Way, tests: Vec<Test>) -> Vec<Test> {
    let renamed = |mut test: Test| {
        let (behaviour, on) = test.name.rsplit_once('/')?;
        let kind = on
            .strip_prefix("epoll")
            .or_else(|| on.strip_prefix("kernel"))?;
        test.name = format!("{behaviour}/{way}{kind}");
        Some(test)
    };
    tests.into_iter().filter_map(renamed).collect()
}

/// Runs one test in this process. Threads that it leaves behind end with it.
pub fn run_here(tests: &[Test], name: &str) -> ExitCode {
    let Some(test) = tests.iter().find(|test| test.name == name) else {
        eprintln!("no such test: {name}");
        return ExitCode::FAILURE;
    };
    match test.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match skip::reason(&error) {
            Some(reason) => {
                println!("{reason}");
                ExitCode::from(skip::SKIPPED)
            }
            None => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Tests of each body on each type: `tests_on!("theme", { "name" Type, … }: body, body…)`.
macro_rules! tests_on {
    ($theme:literal, $types:tt: $($body:ident),+ $(,)?) => {
        [$($crate::registry::tests_on!(@$theme $body $types)),+]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    (@$theme:literal $body:ident { $($name:literal $type:ty),+ }) => {
        [$($crate::registry::Test::new(
            concat!($theme, ".", stringify!($body), "/", $name),
            $body::<$type>,
        )),+]
    };
}

/// Tests on repoll and on the oracle: `both!("theme": body, body…)`.
macro_rules! both {
    ($theme:literal: $($rest:tt)+) => {
        $crate::registry::tests_on!($theme, {
            "epoll" repoll_testkit::multiplexer::Epoll,
            "repoll" repoll_testkit::multiplexer::Repoll
        }: $($rest)+)
    };
}

/// Tests on one of them, the type `$m`: `each!("theme", M: body, body…)`.
macro_rules! each {
    ($theme:literal, $m:ident: $($body:ident),+ $(,)?) => {
        vec![$($crate::registry::Test::new(
            format!(concat!($theme, ".", stringify!($body), "/{}"), $m::name()),
            $body::<$m>,
        )),+]
    };
}

/// Tests of what repoll alone has: `repoll_only!("theme": body, body…)`; with another time limit:
/// `repoll_only!("theme" within SECONDS: body, body…)`.
macro_rules! repoll_only {
    ($theme:literal within $seconds:literal: $($body:tt)+) => {
        $crate::registry::within($seconds, $crate::registry::repoll_only!($theme: $($body)+))
    };
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$($crate::registry::Test::new(
            concat!($theme, ".", stringify!($body), "/repoll"),
            $body,
        )),+]
    };
}

/// Tests of one call, select or poll, on repoll and on the oracle: `sides!("theme": body, body…)`.
macro_rules! sides {
    ($theme:literal: $($rest:tt)+) => {
        $crate::registry::tests_on!($theme, {
            "kernel" repoll_testkit::scanner::Kernel,
            "repoll" repoll_testkit::scanner::Ours
        }: $($rest)+)
    };
}

/// Tests of both calls, on repoll and on the oracle.
macro_rules! scanners {
    ($theme:literal: $($rest:tt)+) => {
        $crate::registry::tests_on!($theme, {
            "kernel-poll"
                repoll_testkit::scanner::Poll<repoll_testkit::scanner::Kernel>,
            "poll"
                repoll_testkit::scanner::Poll<repoll_testkit::scanner::Ours>,
            "kernel-select"
                repoll_testkit::scanner::Select<repoll_testkit::scanner::Kernel>,
            "select"
                repoll_testkit::scanner::Select<repoll_testkit::scanner::Ours>
        }: $($rest)+)
    };
}

/// Tests of both calls of a 32-bit program.
macro_rules! scanners_32 {
    ($theme:literal: $($rest:tt)+) => {
        $crate::registry::tests_on!($theme, {
            "poll-32bit" repoll_testkit::compat_scan::Poll32,
            "select-32bit" repoll_testkit::compat_scan::Select32
        }: $($rest)+)
    };
}

pub(crate) use {both, each, repoll_only, scanners, scanners_32, sides, tests_on};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_parts_of_names() {
        let test = Test::new("close.last_close/repoll", || Ok(()));
        assert!(test.matches(&[]));
        assert!(test.matches(&["x".to_owned(), "last".to_owned()]));
        assert!(!test.matches(&["epolls".to_owned()]));
    }

    #[test]
    fn only_tests_of_the_kernels_calls_run_on_another_side() {
        let names = [
            "a/epoll",
            "a/repoll",
            "b/epoll-32bit",
            "c/kernel-poll",
            "c/poll",
        ];
        let tests = names.map(|name| Test::new(name, || Ok(())));
        let tests = of_the_kernels_calls(Way::TakenOver, tests.into());
        let names: Vec<_> = tests.into_iter().map(|test| test.name).collect();
        assert_eq!(
            names,
            ["a/taken-over", "b/taken-over-32bit", "c/taken-over-poll"]
        );
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = crate::cases::all().into_iter().map(|t| t.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_skip_is_no_failure() {
        let tests = [
            Test::new("good", || Ok(())),
            Test::new("skipped", || skip::skip("not here")),
            Test::new("bad", || anyhow::bail!("it is broken")),
        ];
        assert_eq!(run_here(&tests, "good"), ExitCode::SUCCESS);
        assert_eq!(run_here(&tests, "skipped"), ExitCode::from(skip::SKIPPED));
        assert_eq!(run_here(&tests, "bad"), ExitCode::FAILURE);
        assert_eq!(run_here(&tests, "absent"), ExitCode::FAILURE);
    }
}
