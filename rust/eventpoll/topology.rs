// SPDX-License-Identifier: GPL-2.0

//! An instance's place among instances that watch each other, and what a walk records there.

use crate::kernel_ext::atomic::{
    ordering::Relaxed,
    Atomic, //
};
use crate::watch::{
    topology::{
        Topology,
        TopologyCell, //
    },
    FileId, //
};

/// The links of an instance to other instances, and the results of walks along these links.
pub(super) struct TopologyState {
    /// The instance's own file, from its first ADD until its release. Relaxed: a walk that finds
    /// the instance by its watch in the table is ordered after the ADD's store by the bucket's
    /// lock. A walk may see a release late: then it counts the watches of the file that has the
    /// address now, and may refuse too much.
    file: Atomic<usize>,
    /// The number of items of other instances that watch this one, or are about to. Relaxed: an ADD
    /// that adds one locks this instance's mutex after that, and the look is under that mutex. (For
    /// an instance below the inner one of a link, the walk has found a link, whose ADD had counted
    /// itself under the mutex above.)
    outers: Atomic<u32>,
    /// The levels of instances below or above, and the number of the walk that found them. One
    /// field serves both: a walk that meets an instance in both directions has found a cycle.
    depth: TopologyCell<(u64, Depth)>,
    /// The paths upwards, and the number of the walk that found them.
    paths: TopologyCell<(u64, PathCounter)>,
}

/// The number of the last walk.
static WALKS: TopologyCell<u64> = TopologyCell::new(0);

/// Returns the number of a new walk. (64 bits do not wrap.)
pub(super) fn new_walk(topology: &mut Topology) -> u64 {
    let number = WALKS.get(topology).wrapping_add(1);
    WALKS.set(topology, number);
    number
}

impl TopologyState {
    pub(super) fn new() -> Self {
        Self {
            file: Atomic::new(FileId::NONE.to_bits()),
            outers: Atomic::new(0),
            depth: TopologyCell::new((0, Depth::NONE)),
            paths: TopologyCell::new((0, PathCounter::NONE)),
        }
    }

    /// Sets the instance's own file, before it watches anything; [`FileId::NONE`] when the file is
    /// released.
    pub(super) fn set_file(&self, file: FileId) {
        self.file.store(file.to_bits(), Relaxed);
    }

    /// The instance's own file.
    pub(super) fn file(&self) -> FileId {
        FileId::from_bits(self.file.load(Relaxed))
    }

    /// Whether another instance watches this one, so that the paths of its files must be counted.
    /// With the instance's mutex held.
    pub(super) fn is_nested(&self) -> bool {
        self.outers.load(Relaxed) != 0
    }

    /// Counts one more watch by another instance.
    pub(super) fn add_outer(&self) {
        self.outers.fetch_add(1, Relaxed);
    }

    /// Undoes [`TopologyState::add_outer`].
    pub(super) fn remove_outer(&self) {
        // Minus one.
        self.outers.fetch_add(u32::MAX, Relaxed);
    }

    /// The result of the walk `number`, if it has visited this instance.
    pub(super) fn known<A: Above>(&self, topology: &Topology, number: u64) -> Option<A> {
        let (walk, known) = A::cell(self).get(topology);
        (walk == number).then_some(known)
    }

    /// Keeps the result of the walk `number`.
    pub(super) fn keep<A: Above>(&self, topology: &mut Topology, number: u64, found: A) {
        A::cell(self).set(topology, (number, found));
    }
}

/// A result of a walk upwards. That of an instance is made of the results of its watchers.
pub(super) trait Above: Copy {
    /// The result of a file that no instance watches.
    const NONE: Self;

    /// The cell that keeps the result.
    fn cell(state: &TopologyState) -> &TopologyCell<(u64, Self)>;

    /// Adds the result of one more instance that watches the file.
    fn add(&mut self, outer: Self);

    /// Turns the result of an instance's file into that of the instance.
    fn of_instance(self) -> Self;
}

/// A number of levels of instances.
#[derive(Clone, Copy)]
pub(super) struct Depth(pub(super) u32);

impl Above for Depth {
    const NONE: Self = Self(0);

    fn cell(state: &TopologyState) -> &TopologyCell<(u64, Self)> {
        &state.depth
    }

    fn add(&mut self, outer: Self) {
        self.0 = self.0.max(outer.0 + 1);
    }

    fn of_instance(self) -> Self {
        self
    }
}

/// The most paths with 0, 1, ... instances between a file and an outermost instance, as in
/// `fs/eventpoll.c`. The first number is not used: any number of instances may watch a file
/// directly.
const PATH_LIMITS: [u32; 5] = [1000, 500, 100, 50, 10];

/// Counts the paths up to outermost instances, by the number of instances in between.
#[derive(Clone, Copy)]
pub(super) struct PathCounter {
    count: [u32; PATH_LIMITS.len()],
    /// Longer paths exist.
    too_long: bool,
}

impl Above for PathCounter {
    const NONE: Self = Self {
        count: [0; PATH_LIMITS.len()],
        too_long: false,
    };

    fn cell(state: &TopologyState) -> &TopologyCell<(u64, Self)> {
        &state.paths
    }

    fn add(&mut self, outer: Self) {
        for (count, more) in self.count.iter_mut().zip(outer.count) {
            *count = count.saturating_add(more);
        }
        self.too_long |= outer.too_long;
    }

    fn of_instance(self) -> Self {
        let mut paths = Self::NONE;
        if self.count == Self::NONE.count && !self.too_long {
            // An outermost instance.
            paths.count[0] = 1;
        } else {
            let [first, second, third, fourth, last] = self.count;
            paths.count = [0, first, second, third, fourth];
            paths.too_long = self.too_long || last != 0;
        }
        paths
    }
}

impl PathCounter {
    /// Whether a file may have these paths.
    pub(super) fn check(&self) -> PathCheck {
        let mut limits = self.count.iter().zip(PATH_LIMITS).skip(1);
        if !self.too_long && limits.all(|(&count, limit)| count <= limit) {
            PathCheck::WithinLimits
        } else {
            PathCheck::TooMany
        }
    }
}

/// Whether the paths of a file, or of each file of several, are within the limits.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum PathCheck {
    WithinLimits,
    TooMany,
}
