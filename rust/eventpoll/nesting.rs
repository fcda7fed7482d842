// SPDX-License-Identifier: GPL-2.0

//! Instances that watch instances: no cycles, not too deep, not too many ways for one wake-up.
//!
//! An event at the bottom wakes all instances above it, each under the wait-queue lock of the one
//! below. A cycle would never end; a deep chain would exhaust the stack; many ways upwards would take
//! for ever, with interrupts off. So ADD refuses them, by the rules and the numbers of
//! `fs/eventpoll.c`: at most [`MAX_NESTS`] levels (ELOOP), at most [`PATH_LIMITS`] ways (EINVAL).
//!
//! # Locking
//!
//! [`TOPOLOGY`] is taken by an ADD that may nest: of an instance, or to one that was ever added to
//! another ([`Place::is_nested`]). It comes before any instance's mutex. While it is held nothing is
//! nested, so the walks, which lock one instance at a time, see a topology that can only shrink.
//!
//! An ADD of a plain file to an instance that is not nested takes its mutex only. Should the
//! instance be nested at the same time, one of the two sees the other: the nesting ADD marks the
//! instance, then locks it to look at what it watches; the other looks at the mark with the mutex
//! held.
//!
//! Who watches an instance is not kept anywhere: the table of watched files knows
//! ([`Watch::all_of`]).

use super::{
    item::Watched,
    Eventpoll, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    last_close::FileId,
    tree::HasNode, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc, //
    }, //
};

#[cfg(doc)]
use crate::kernel_ext::{
    nested::TOPOLOGY,
    watch::Watch, //
};

/// How many instances may be above or below another: `EP_MAX_NESTS`.
const MAX_NESTS: u32 = 4;

/// How many ways of 0, 1, ... instances between a file and an outermost instance there may be. The
/// first number is not looked at: a file may be watched by many.
const PATH_LIMITS: [u32; 5] = [1000, 500, 100, 50, 10];

/// An instance's place in the topology.
pub(crate) struct Place {
    /// The instance's own file, once it has watched something.
    file: Atomic<usize>,
    /// Was added to another instance, or is about to be. Never cleared.
    nested: Atomic<bool>,
    /// The walk that came here last, and what it found. Under [`TOPOLOGY`].
    visit: Atomic<u64>,
    depth: Atomic<u32>,
}

/// Numbers walks. Under [`TOPOLOGY`].
static VISITS: Atomic<u64> = Atomic::new(0);

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            file: Atomic::new(FileId::NONE.to_bits()),
            nested: Atomic::new(false),
            visit: Atomic::new(0),
            depth: Atomic::new(0),
        }
    }

    /// The instance is the file `file`, and is about to watch something; or is no file any more.
    pub(crate) fn set_file(&self, file: FileId) {
        self.file.store(file.to_bits(), Relaxed);
    }

    fn file(&self) -> FileId {
        FileId::from_bits(self.file.load(Relaxed))
    }

    /// Whether ADD must hold [`TOPOLOGY`]. Ask with the instance's mutex held.
    pub(crate) fn is_nested(&self) -> bool {
        self.nested.load(Relaxed)
    }
}

/// Checks that `inner` may be added to `outer`: ELOOP if that makes a cycle, or a chain that is too
/// long; then whether there are too many ways up from what is below `inner`: `Ok(false)`.
///
/// With [`TOPOLOGY`] held, but no instance's mutex. Process context, sleeps.
pub(crate) fn check_instance(outer: &Eventpoll, inner: &Arc<Eventpoll>) -> Result<bool> {
    // Before the walk locks `inner`: see the module's text.
    inner.place.nested.store(true, Relaxed);
    let visit = VISITS.fetch_add(1, Relaxed).wrapping_add(1);
    let mut walk = Walk {
        link: Link { inner, outer },
        visit,
        leaves_ok: true,
    };
    let below = walk.depth_below(inner, 0)?;
    let above = depth_above(outer, 0)?;
    if below + 1 + above > MAX_NESTS {
        return Err(ELOOP);
    }
    Ok(walk.leaves_ok)
}

/// Checks that `file`, which is no instance, may be added to `outer`, which is nested: whether the
/// ways up from it are not too many.
///
/// With [`TOPOLOGY`] held, but no instance's mutex. Process context, sleeps.
pub(crate) fn check_file(outer: &Eventpoll, file: FileId) -> Result<bool> {
    let mut ways = Ways::new(None);
    Ok(ways.through(outer, 0)? && ways.up_from(file, 0)?)
}

/// The link that is about to be made.
#[derive(Clone, Copy)]
struct Link<'a> {
    inner: &'a Eventpoll,
    outer: &'a Eventpoll,
}

/// The walk down from the link's inner instance.
struct Walk<'a> {
    link: Link<'a>,
    visit: u64,
    /// No file that was met has too many ways up, the new ones included.
    leaves_ok: bool,
}

impl Walk<'_> {
    /// How many levels of instances are below `ep`.
    fn depth_below(&mut self, ep: &Eventpoll, level: u32) -> Result<u32> {
        if core::ptr::eq(ep, self.link.outer) || level > MAX_NESTS {
            return Err(ELOOP);
        }
        if ep.place.visit.load(Relaxed) == self.visit {
            return Ok(ep.place.depth.load(Relaxed));
        }
        let mut instances: KVec<Arc<Eventpoll>> = KVec::new();
        let mut files: KVec<FileId> = KVec::new();
        let mut locked = ep.locked.lock();
        // What is closed is not there.
        locked.reap(ep);
        for item in locked.interest.iter() {
            match item.target() {
                Some(inner) => instances.push(inner.clone(), GFP_KERNEL)?,
                None => files.push(item.key().file, GFP_KERNEL)?,
            }
        }
        drop(locked);
        let mut depth = 0;
        for inner in &instances {
            depth = depth.max(self.depth_below(inner, level + 1)? + 1);
        }
        for &file in &files {
            self.leaves_ok = self.leaves_ok && Ways::new(Some(self.link)).up_from(file, 0)?;
        }
        ep.place.visit.store(self.visit, Relaxed);
        ep.place.depth.store(depth, Relaxed);
        Ok(depth)
    }
}

/// How many levels of instances are above `ep`.
fn depth_above(ep: &Eventpoll, level: u32) -> Result<u32> {
    if level > MAX_NESTS {
        return Err(ELOOP);
    }
    let mut depth = 0;
    for item in &Watched::all_of(ep.place.file())? {
        depth = depth.max(depth_above(&item.ep, level + 1)? + 1);
    }
    Ok(depth)
}

/// Counts the ways up from a file, as if `link` were there.
struct Ways<'a> {
    link: Option<Link<'a>>,
    count: [u32; PATH_LIMITS.len()],
}

impl<'a> Ways<'a> {
    fn new(link: Option<Link<'a>>) -> Self {
        Self {
            link,
            count: [0; PATH_LIMITS.len()],
        }
    }

    /// The ways through all that watch `file`. False if they are too many.
    fn up_from(&mut self, file: FileId, level: usize) -> Result<bool> {
        for item in &Watched::all_of(file)? {
            if !self.through(&item.ep, level)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The ways through `ep`, which has `level` instances below it on this way.
    fn through(&mut self, ep: &Eventpoll, level: usize) -> Result<bool> {
        let Some(count) = self.count.get_mut(level) else {
            return Ok(false);
        };
        let new = self.link.filter(|link| core::ptr::eq(link.inner, ep));
        let outers = Watched::all_of(ep.place.file())?;
        if outers.is_empty() && new.is_none() {
            // Any number of instances may watch the file itself.
            *count += u32::from(level > 0);
            return Ok(PATH_LIMITS.get(level).is_some_and(|limit| *count <= *limit));
        }
        for item in &outers {
            if !self.through(&item.ep, level + 1)? {
                return Ok(false);
            }
        }
        match new {
            Some(link) => self.through(link.outer, level + 1),
            None => Ok(true),
        }
    }
}
