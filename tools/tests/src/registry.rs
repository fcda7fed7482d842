// SPDX-License-Identifier: GPL-2.0
//! What a test is, and how one is run in this process.

use crate::cost;
use anyhow::Result;
use repoll_testkit::skip;
use std::process::ExitCode;
use std::time::Duration;

/// A test: a body with a name that says the behaviour.
pub struct Test {
    /// `theme.behaviour/multiplexer`.
    pub name: String,
    /// How long it may take.
    pub limit: Duration,
    /// Whether it counts instructions.
    pub counted: bool,
    body: Box<dyn Fn() -> Result<()>>,
}

/// How long a test may take that says nothing else.
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

/// Tests on repoll and on the oracle: `both!("theme": body, body…)`.
#[macro_export]
macro_rules! both {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/epoll"),
                $body::<repoll_testkit::multiplexer::Epoll>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/repoll"),
                $body::<repoll_testkit::multiplexer::Repoll>,
            ),
        )+]
    };
}

/// Tests on one of them, the type `$m`: `each!("theme", M: body, body…)`.
#[macro_export]
macro_rules! each {
    ($theme:literal, $m:ident: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                format!(concat!($theme, ".", stringify!($body), "/{}"), <$m as repoll_testkit::multiplexer::Multiplexer>::name()),
                $body::<$m>,
            ),
        )+]
    };
}

/// Tests of what repoll alone has: `repoll_only!("theme": body, body…)`.
#[macro_export]
macro_rules! repoll_only {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/repoll"),
                $body,
            ),
        )+]
    };
}

/// Tests on repoll and on the oracle: `sides!("theme": body, body…)`.
#[macro_export]
macro_rules! sides {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/kernel"),
                $body::<repoll_testkit::scanner::Kernel>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/repoll"),
                $body::<repoll_testkit::scanner::Ours>,
            ),
        )+]
    };
}

/// Tests of both calls, on repoll and on the oracle.
#[macro_export]
macro_rules! scanners {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/kernel-poll"),
                $body::<repoll_testkit::scanner::Poll<repoll_testkit::scanner::Kernel>>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/poll"),
                $body::<repoll_testkit::scanner::Poll<repoll_testkit::scanner::Ours>>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/kernel-select"),
                $body::<repoll_testkit::scanner::Select<repoll_testkit::scanner::Kernel>>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/select"),
                $body::<repoll_testkit::scanner::Select<repoll_testkit::scanner::Ours>>,
            ),
        )+]
    };
}

/// Tests of both calls of a 32-bit program.
#[macro_export]
macro_rules! scanners_32 {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/poll-32bit"),
                $body::<repoll_testkit::compat_scan::Poll32>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/select-32bit"),
                $body::<repoll_testkit::compat_scan::Select32>,
            ),
        )+]
    };
}

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
