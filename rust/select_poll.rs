// SPDX-License-Identifier: GPL-2.0

//! The two older multiplexers: what select(2) and poll(2) do, as calls of the device.

#![forbid(unsafe_code)]

pub(crate) mod counts;
pub(crate) mod poll;
pub(crate) mod select;
mod select_loop;
