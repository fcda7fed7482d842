// SPDX-License-Identifier: GPL-2.0
//! What is shown of a trace: text, statistics, JSON, a page.

pub mod export;
pub mod render;
pub mod report;
pub mod stat;
