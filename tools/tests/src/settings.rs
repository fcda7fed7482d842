// SPDX-License-Identifier: GPL-2.0
//! The command line, and through it what a test may want to know.

use clap::Parser;
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
    /// Loop and stress ten times longer.
    #[arg(long)]
    pub long: bool,
    /// Run this one test in this process (what the runner starts).
    #[arg(long, hide = true)]
    pub child: Option<String>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

impl Settings {
    /// Makes these the settings of the process.
    pub fn publish(self) {
        SETTINGS.get_or_init(|| self);
    }

    /// What a child needs to be told.
    pub fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--module={}", self.module.display()),
            format!("--scale={}", self.scale),
        ];
        arguments.extend(self.peer.map(|peer| format!("--peer={peer}")));
        arguments.extend(self.long.then(|| "--long".to_owned()));
        arguments
    }

    /// A time limit, scaled.
    pub fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.scale.max(0.1))
    }

    /// How long a stress test goes on.
    pub fn stress(&self) -> Duration {
        Duration::from_secs(if self.long { 50 } else { 5 })
    }

    /// How often a loop runs that is to run `everyday` times.
    pub fn loops(&self, everyday: usize) -> usize {
        everyday * if self.long { 10 } else { 1 }
    }
}

/// The settings of this process.
pub fn get() -> &'static Settings {
    SETTINGS.get_or_init(|| Settings::parse_from(["repoll-tests"]))
}
