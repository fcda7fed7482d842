// SPDX-License-Identifier: GPL-2.0
//! The command line, and through it what a test may want to know.

use clap::Parser;
use repoll_testkit::side::Way;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// Tests /dev/repoll, with the kernel's own epoll as the oracle. Prints KTAP.
#[derive(Clone, Debug, Parser)]
#[command(name = "repoll-tests", version)]
pub struct Settings {
    /// Run only the tests whose name contains one of these.
    pub names: Vec<String>,
    /// Print the names of the tests, and run none.
    #[arg(long)]
    pub list: bool,
    /// Run the tests this many times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// The module to load in tests of loading.
    #[arg(long, default_value = "/repoll.ko")]
    pub module: PathBuf,
    /// Where repoll-peer is; without it the tests that need it are skipped.
    #[arg(long, env = "REPOLL_PEER")]
    pub peer: Option<SocketAddr>,
    /// Multiplies all time limits, for slow kernels.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// The slowness of this guest, in percent of an idle machine's: multiplies the limits too.
    #[arg(long, env = "REPOLL_SLOWNESS", default_value_t = 100)]
    pub slowness: u32,
    /// Run one part of the tests, such as 1/3. Each test is in one part.
    #[arg(long, value_parser = parse_part)]
    pub part: Option<(usize, usize)>,
    /// Loop and stress ten times longer.
    #[arg(long)]
    pub long: bool,
    /// Run only the tests that count instructions: in a guest of `tools/harness/cmd/guest-initramfs
    /// --icount`.
    #[arg(long)]
    pub icount: bool,
    /// Have the tests of the kernel's calls run on another side, and run no others: `preloaded`, by
    /// repoll-exec, which must be in the path; `taken-over`, for which takeover is switched on and
    /// off.
    #[arg(long, value_name = "SIDE", value_parser = parse_side)]
    pub side: Option<Way>,
    /// Run this one test in this process (what the runner starts).
    #[arg(long, hide = true)]
    pub child: Option<String>,
}

fn parse_part(text: &str) -> Result<(usize, usize), String> {
    let number = |word: &str| word.parse::<usize>().ok();
    match text.split_once('/').map(|(k, n)| (number(k), number(n))) {
        Some((Some(k), Some(n))) if 1 <= k && k <= n => Ok((k, n)),
        _ => Err("a part is 1/3, 2/3 or 3/3, say".to_owned()),
    }
}

fn parse_side(name: &str) -> Result<Way, String> {
    match name.parse()? {
        Way::Preloaded if cfg!(target_feature = "crt-static") => {
            Err("this program is static, so nothing can be preloaded: run \
             tools/harness/cmd/preloaded, which builds another"
                .to_owned())
        }
        way => Ok(way),
    }
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

impl Settings {
    /// Makes these the settings of the process.
    pub fn publish(self) {
        SETTINGS.get_or_init(|| self);
    }

    /// The arguments for a child.
    pub fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--module={}", self.module.display()),
            format!("--scale={}", self.scale),
            format!("--slowness={}", self.slowness),
        ];
        arguments.extend(self.peer.map(|peer| format!("--peer={peer}")));
        arguments.extend(self.side.map(|side| format!("--side={side}")));
        arguments.extend(self.long.then(|| "--long".to_owned()));
        arguments
    }

    /// Whether this run has the test of this number.
    pub fn has(&self, index: usize) -> bool {
        self.part
            .is_none_or(|(part, parts)| index % parts == part - 1)
    }

    /// A time limit, scaled.
    pub fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.scale.max(0.1) * f64::from(self.slowness) / 100.0)
    }

    /// The duration of a stress test.
    pub fn stress(&self) -> Duration {
        Duration::from_secs(if self.long { 50 } else { 5 })
    }

    /// The number of rounds of a loop that has `everyday` of them in everyday tests.
    pub fn loops(&self, everyday: usize) -> usize {
        everyday * if self.long { 10 } else { 1 }
    }
}

/// The settings of this process.
pub fn get() -> &'static Settings {
    SETTINGS.get_or_init(|| Settings::parse_from(["repoll-tests"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn parse(words: &[&str]) -> Result<Settings, ErrorKind> {
        Settings::try_parse_from([&["repoll-tests"], words].concat()).map_err(|error| error.kind())
    }

    #[test]
    fn each_test_is_in_one_part() -> Result<(), ErrorKind> {
        for index in 0..10 {
            let having = ["1/3", "2/3", "3/3"].map(|part| Ok(parse(&["--part", part])?.has(index)));
            let having = having.into_iter().collect::<Result<Vec<_>, ErrorKind>>()?;
            assert_eq!(having.iter().filter(|has| **has).count(), 1);
        }
        assert!(parse(&[])?.has(7));
        for wrong in ["0/3", "4/3", "3", "a/b", "1/0"] {
            assert_eq!(
                parse(&["--part", wrong]).err(),
                Some(ErrorKind::ValueValidation)
            );
        }
        Ok(())
    }

    #[test]
    fn limits_grow_with_a_slow_kernel_and_a_slow_machine() -> Result<(), ErrorKind> {
        let settings = parse(&["--scale", "5", "--slowness", "300"])?;
        assert_eq!(
            settings.scaled(Duration::from_secs(2)),
            Duration::from_secs(30)
        );
        Ok(())
    }
}
