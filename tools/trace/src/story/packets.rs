// SPDX-License-Identifier: GPL-2.0
//! The stories of packets that came from outside the machine.

use crate::story::{Cause, Protocol, Story};
use std::collections::BTreeMap;

/// The packets of one protocol from outside the machine.
#[derive(Debug, Default)]
pub struct Packets<'a> {
    /// Packets followed from the interrupt to the echo, the shortest story first.
    pub whole: Vec<&'a Story>,
    /// The number of packets that lack a step, by the name of the first missing step.
    pub broken: BTreeMap<&'static str, usize>,
}

impl<'a> Packets<'a> {
    /// Selects the packets of a protocol among all stories.
    pub fn among(stories: &'a [Story], protocol: Protocol) -> Self {
        let mut packets = Self::default();
        for story in stories
            .iter()
            .filter(|story| story.cause == Cause::Packet(protocol))
        {
            match story.missing {
                None if story.is_whole(protocol) => packets.whole.push(story),
                // No read followed: the packet opens or closes a connection.
                None => {}
                Some(step) => *packets.broken.entry(step).or_default() += 1,
            }
        }
        packets.whole.sort_by_key(|story| story.duration());
        packets
    }

    /// The packet with the median duration.
    pub fn median(&self) -> Option<&'a Story> {
        self.whole
            .get(self.whole.len().saturating_sub(1) / 2)
            .copied()
    }
}
