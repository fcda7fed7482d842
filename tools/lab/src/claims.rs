// SPDX-License-Identifier: GPL-2.0
//! The claims, by theme.

mod costs;
mod limits;
mod programs;
mod triggers;
mod waiting;

use crate::Claim;

/// All of them.
pub fn all() -> Vec<Claim> {
    let mut claims = Vec::new();
    for theme in [
        limits::claims,
        costs::claims,
        triggers::claims,
        waiting::claims,
        programs::claims,
    ] {
        claims.extend(theme());
    }
    claims
}
