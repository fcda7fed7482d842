// SPDX-License-Identifier: GPL-2.0
//! Takeover, switched on for as long as something needs it.

use anyhow::{Context, Result};
use repoll::{Policy, Takeover};

/// Switches takeover off when it is dropped.
pub struct SwitchedOn(Takeover);

impl SwitchedOn {
    /// Sets the policy.
    pub fn with(policy: Policy<'_>) -> Result<Self> {
        let takeover = Takeover::open()?;
        takeover
            .set(policy)
            .context("cannot switch takeover on (the kernel's log says more)")?;
        Ok(Self(takeover))
    }

    /// The device, for other policies and for the status.
    pub fn device(&self) -> &Takeover {
        &self.0
    }
}

impl Drop for SwitchedOn {
    fn drop(&mut self) {
        if let Err(error) = self.0.set(Policy::Off) {
            eprintln!("cannot switch takeover off: {error}");
        }
    }
}
