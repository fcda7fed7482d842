// SPDX-License-Identifier: GPL-2.0

//! Instances that watch instances: no cycles, not too deep, not too many paths for one wake-up.
//!
//! An event at the bottom wakes all instances above it, each under the wait-queue lock of the one
//! below. A cycle would never end; a deep chain would exhaust the stack; many paths upwards would
//! keep interrupts off for long. So ADD refuses them, by the rules and the numbers of
//! `fs/eventpoll.c`: at most [`MAX_NESTS`] levels (ELOOP), and limited numbers of paths
//! ([`PathCounter`], EINVAL).
//!
//! # The walks
//!
//! A [`Walk`] visits each instance once: it keeps its result in the instance's [`TopologyState`]
//! until the next walk. Downwards, from the inner instance of a new link, it follows interest
//! lists. Upwards it follows the table of watched files, which knows the watches of an instance's
//! file ([`Watch::for_each_of`]). So a walk is linear in the links that it meets. It ends early
//! when the task is killed.
//!
//! # Locking
//!
//! [`Topology`] is the last mutex that an ADD waits for. An ADD that nests, or that adds a file to
//! a nested instance, takes it with the mutex of that instance held. Nothing under it may wait for
//! a user: no file is polled, no user memory is copied, and the mutex of another instance is only
//! *tried*. If that mutex is held, the walk ends with [`Stop::Busy`]; the caller releases all
//! locks, waits for that mutex alone ([`Held`]), and walks again with it. So a task that is stopped
//! in the middle of its own WAIT (its buffer is on a slow file system, or under userfaultfd) holds
//! up only users of its instance.
//!
//! Two ADDs at the same time:
//!
//! - *Both nest.* The second one walks when the first one's watch is in the table already.
//! - *One nests `inner`, the other adds a plain file to an instance `x`, at or below `inner`.* The
//!   nesting ADD counts itself in `inner`'s `TopologyState::outers`, then locks `x` to read its
//!   list. The other reads `outers` with `x` locked, and keeps `x` locked until its item is in the
//!   list. By the order in which the two have that mutex, the list has the file, or `outers` is not
//!   zero. (Below `inner` it is not zero anyway.) If it is not zero, the other takes [`Topology`]
//!   and checks its file, and the nesting ADD finds `x` busy until that is done.
//! - *Both add one file to two nested instances.* Each puts its watch into the table before it
//!   checks, so the later check sees both.
//!
//! `tools/model/src/order_by_lock.rs` has a twin of the latter two: change both.
//!
//! A watch has no entry in a wait queue before it is checked. So no wake-up ever takes more paths
//! than the limits allow, not even while an ADD is being refused.

use super::{
    topology::{
        new_walk,
        Above,
        Depth,
        PathCounter, //
    },
    Epitem,
    Eventpoll,
    Inner,
    Locked, //
};
use crate::kernel_ext::{
    drift::errno::ELOOP,
    mutex::lock_killable,
    task, //
};
use crate::watch::{
    topology::Topology,
    FileId, //
};
use core::ops::Deref;
use kernel::{
    alloc::{
        flags::__GFP_NOWARN,
        Flags, //
    },
    prelude::*,
    sync::{
        Arc,
        MutexGuard, //
    }, //
};

pub(super) use super::topology::PathCheck;

#[cfg(doc)]
use {super::topology::TopologyState, crate::watch::Watch};

/// The most instances above or below another: `EP_MAX_NESTS`.
const MAX_NESTS: u32 = 4;

/// Allocation flags of a walk's lists, which may be long. Without memory the ADD fails, and the
/// kernel log stays empty. The lists are not charged to a memory cgroup: a task over its group's
/// limit would sleep with [`Topology`] held. They are a twentieth of the size of the watches,
/// which are charged, and are freed with the walk.
fn flags() -> Flags {
    GFP_KERNEL | __GFP_NOWARN
}

/// The number of items between two checks for a fatal signal.
const STEPS: usize = 256;

impl Inner {
    /// Counts one more watch of `ep` by another instance.
    pub(super) fn new(ep: Arc<Eventpoll>) -> Self {
        ep.topology.add_outer();
        Self(ep)
    }
}

impl Deref for Inner {
    type Target = Arc<Eventpoll>;

    fn deref(&self) -> &Arc<Eventpoll> {
        &self.0
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.0.topology.remove_outer();
    }
}

/// The reason why a walk has no result.
pub(super) enum Stop {
    /// This instance is locked: wait for its mutex, with no other lock held, and walk again.
    Busy(Arc<Eventpoll>),
    /// An error of the link (ELOOP), or of the walk (ENOMEM, EINTR).
    Error(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Error(e)
    }
}

impl From<kernel::alloc::AllocError> for Stop {
    fn from(e: kernel::alloc::AllocError) -> Self {
        Self::Error(e.into())
    }
}

/// An instance below a new link, which a walk found busy. It is locked now.
pub(super) struct Held<'a> {
    ep: &'a Arc<Eventpoll>,
    locked: MutexGuard<'a, Locked>,
}

impl<'a> Held<'a> {
    /// Waits for `ep`, with no other lock held; EINTR if the current task is killed. Process
    /// context.
    pub(super) fn lock(ep: &'a Arc<Eventpoll>) -> Result<Self> {
        let mut locked = lock_killable(&ep.locked)?;
        locked.reap(ep);
        Ok(Self { ep, locked })
    }
}

/// Checks whether `inner` may be added to `outer`: ELOOP if that makes a cycle, or too long a
/// chain. The result is about the paths upwards of the files below `inner`.
///
/// `outer` is locked, and so is `held`, which an earlier walk found busy. The caller has made the
/// [`Inner`] before it took `topology`. Process context, sleeps.
pub(super) fn check_instance(
    topology: &mut Topology,
    outer: &Arc<Eventpoll>,
    inner: &Arc<Eventpoll>,
    held: Option<Held<'_>>,
) -> Result<PathCheck, Stop> {
    let mut walk = Walk::new(topology, Some(Link { inner, outer }), held);
    let Depth(below) = walk.depth_below(inner, 0)?;
    // There is no cycle, so the new link is not above `outer`.
    let Depth(above) = walk.above(outer, 0)?;
    if below + 1 + above > MAX_NESTS {
        return Err(ELOOP.into());
    }
    walk.paths_ok()
}

/// Checks the paths upwards of `file`, which is no instance, and which a nested instance watches.
/// Process context, sleeps.
pub(super) fn check_file(topology: &mut Topology, file: FileId) -> Result<PathCheck> {
    let paths: PathCounter = Walk::new(topology, None, None).above_file(file, 0)?;
    Ok(paths.check())
}

/// The new link.
struct Link<'a> {
    inner: &'a Arc<Eventpoll>,
    outer: &'a Arc<Eventpoll>,
}

/// Counts the items that a walk visits.
struct Steps(usize);

impl Steps {
    /// Counts one more item. EINTR if the current task is killed.
    fn count(&mut self) -> Result {
        self.0 = self.0.wrapping_add(1);
        if self.0 % STEPS == 0 {
            task::yield_or_die()?;
        }
        Ok(())
    }
}

/// One walk, as if `link` existed already.
struct Walk<'a> {
    topology: &'a mut Topology,
    number: u64,
    link: Option<Link<'a>>,
    held: Option<Held<'a>>,
    /// The files below the link that are no instances; sorted from one of `runs` to the next.
    files: KVVec<FileId>,
    runs: KVVec<usize>,
    steps: Steps,
}

impl<'a> Walk<'a> {
    fn new(topology: &'a mut Topology, link: Option<Link<'a>>, held: Option<Held<'a>>) -> Self {
        let number = new_walk(topology);
        Self {
            topology,
            number,
            link,
            held,
            files: KVVec::new(),
            runs: KVVec::new(),
            steps: Steps(0),
        }
    }

    /// Counts the levels of instances below `ep`, and collects the files there.
    fn depth_below(&mut self, ep: &Arc<Eventpoll>, level: u32) -> Result<Depth, Stop> {
        if let Some(depth) = self.known(ep) {
            return Ok(depth);
        }
        let outer = self.link.as_ref().map(|link| link.outer);
        if level > MAX_NESTS || outer.is_some_and(|outer| Arc::ptr_eq(ep, outer)) {
            return Err(ELOOP.into());
        }
        let busy = || Stop::Busy(ep.clone());
        let held = self.held.take_if(|held| Arc::ptr_eq(ep, held.ep));
        let tried;
        let locked = match &held {
            Some(held) => &held.locked,
            None => {
                tried = ep.locked.try_lock().ok_or_else(busy)?;
                &tried
            }
        };
        if !ep.closed.is_empty() {
            // Closed items do not count; to reap them here may take long.
            return Err(busy());
        }
        let mut depth = Depth::NONE;
        let mut in_run = false;
        // The list is sorted by file. It stays locked while its instances are visited: these locks
        // are only tried, so their order does not matter.
        for item in locked.interest.iter() {
            self.steps.count()?;
            match item.inner() {
                Some(inner) => {
                    depth.add(self.depth_below(inner, level + 1)?);
                    in_run = false;
                }
                None => {
                    let file = item.file;
                    if !in_run {
                        self.runs.push(self.files.len(), flags())?;
                        in_run = true;
                    } else if self.files.last() == Some(&file) {
                        continue;
                    }
                    self.files.push(file, flags())?;
                }
            }
        }
        Ok(self.keep(ep, depth))
    }

    /// Checks the paths of each of the collected files.
    fn paths_ok(mut self) -> Result<PathCheck, Stop> {
        let files = self.sorted_files()?;
        let mut previous = None;
        for &file in &files {
            if previous.replace(file) == Some(file) {
                continue;
            }
            self.steps.count()?;
            let paths: PathCounter = self.above_file(file, 0)?;
            if paths.check() == PathCheck::TooMany {
                return Ok(PathCheck::TooMany);
            }
        }
        Ok(PathCheck::WithinLimits)
    }

    /// Sorts the files: merges the runs in pairs until one is left. (The standard library's sort
    /// recurses: a user could choose an order that exhausts the stack.)
    fn sorted_files(&mut self) -> Result<KVVec<FileId>> {
        let mut files = core::mem::take(&mut self.files);
        let mut runs = core::mem::take(&mut self.runs);
        let mut merged = KVVec::new();
        while runs.len() > 1 {
            merged.clear();
            merged.reserve(files.len(), flags())?;
            let mut starts = KVVec::new();
            for at in (0..runs.len()).step_by(2) {
                starts.push(merged.len(), flags())?;
                let [start, middle, end] =
                    [at, at + 1, at + 2].map(|at| *runs.get(at).unwrap_or(&files.len()));
                let mut first = files.get(start..middle).unwrap_or(&[]);
                let mut second = files.get(middle..end).unwrap_or(&[]);
                while let (Some(&a), Some(&b)) = (first.first(), second.first()) {
                    self.steps.count()?;
                    let from = if a <= b { &mut first } else { &mut second };
                    merged.push(a.min(b), flags())?;
                    *from = from.get(1..).unwrap_or(&[]);
                }
                merged.extend_from_slice(first, flags())?;
                merged.extend_from_slice(second, flags())?;
            }
            core::mem::swap(&mut files, &mut merged);
            runs = starts;
        }
        Ok(files)
    }

    /// The result for `ep`, if this walk has visited the instance.
    fn known<A: Above>(&self, ep: &Eventpoll) -> Option<A> {
        ep.topology.known(self.topology, self.number)
    }

    fn keep<A: Above>(&mut self, ep: &Eventpoll, found: A) -> A {
        ep.topology.keep(self.topology, self.number, found);
        found
    }

    /// Finds the result for `ep`, from all instances above it.
    fn above<A: Above>(&mut self, ep: &Arc<Eventpoll>, level: u32) -> Result<A> {
        if let Some(found) = self.known(ep) {
            return Ok(found);
        }
        if level > MAX_NESTS {
            return Err(ELOOP);
        }
        let mut found: A = self.above_file(ep.topology.file(), level + 1)?;
        let new = self
            .link
            .as_ref()
            .filter(|link| Arc::ptr_eq(ep, link.inner));
        if let Some(outer) = new.map(|link| link.outer) {
            found.add(self.above(outer, level + 1)?);
        }
        Ok(self.keep(ep, found.of_instance()))
    }

    /// Finds the result for `file`, from all instances that watch it.
    ///
    /// A watch that is added meanwhile is not counted: its ADD checks it later, if it has more than
    /// the one path that is not limited.
    fn above_file<A: Above>(&mut self, file: FileId, level: u32) -> Result<A> {
        let mut unknown: KVVec<Arc<Eventpoll>> = KVVec::new();
        let mut sum = loop {
            let mut sum = A::NONE;
            let mut missing = 0;
            Epitem::for_each_of(file, |watch| match self.known(&watch.ep) {
                Some(found) => sum.add(found),
                None => {
                    missing += 1;
                    // There is room, so nothing is allocated under the bucket's lock.
                    let _ = unknown.push_within_capacity(watch.ep.clone());
                }
            })?;
            if missing <= unknown.len() {
                break sum;
            }
            unknown.clear();
            // Twice as many: so the loop repeats only a few times, however many watches are added
            // meanwhile.
            unknown.reserve(2 * missing, flags())?;
        };
        for ep in &unknown {
            self.steps.count()?;
            sum.add(self.above(ep, level)?);
        }
        Ok(sum)
    }
}
