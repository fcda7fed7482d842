// SPDX-License-Identifier: GPL-2.0
//! Presents a trace: text, statistics, an HTML page.

pub mod render;
pub mod report;
pub mod stat;
