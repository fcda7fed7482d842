// SPDX-License-Identifier: GPL-2.0

//! Instances that watch instances: no cycles, not too deep, not too many paths for one wake-up.
//!
//! An event at the bottom wakes all instances above it, each under the wait-queue lock of the one
//! below. A cycle would never end; a deep chain would exhaust the stack; many paths upwards would take
//! for ever, with interrupts off. So ADD refuses them, by the rules and the numbers of
//! `fs/eventpoll.c`: at most [`MAX_NESTS`] levels (ELOOP), at most [`PATH_LIMITS`] paths (EINVAL).
//!
//! # The walks
//!
//! [`Walk`] visits each instance once: it keeps its result in the instance's [`Place`] until the
//! next walk. Downwards, from the inner instance of a new link, it follows interest lists. Upwards
//! it follows the table of watched files, which knows the watches of an instance's file
//! ([`Watch::for_each_of`]). So a walk is linear in the links that it meets. It ends early when the
//! task is killed.
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
//!   nesting ADD counts itself in [`Place::outers`] of `inner`, then locks `x` to read its list.
//!   The other looks at `outers` with `x` locked, until its item is in the list. By the order in
//!   which the two have that mutex, the list has the file, or `outers` is not zero. (Below `inner`
//!   it is not zero anyway.) In the latter case the other takes [`Topology`] and checks its file,
//!   and the nesting ADD finds `x` busy until that is done.
//! - *Both add one file to two nested instances.* Each puts its watch into the table before it
//!   checks, so the check that comes second sees both.
//!
//! `tools/model/src/order_by_lock.rs` has a twin of the latter two: change both.
//!
//! A watch has no entry in a wait queue before it is checked. So no wake-up ever takes more paths
//! than the limits allow, not even while an ADD is being refused.

use super::{
    item::Epitem,
    Eventpoll,
    Locked, //
};
use crate::watch::FileId;
use crate::{
    kernel_ext::{
        atomic::{
            ordering::Relaxed, //
            Atomic,
        },
        drift::errno::ELOOP,
        mutex::lock_killable,
        rbtree::HasNode,
        task, //
    },
    watch::topology::{
        Topology,
        TopologyCell, //
    }, //
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

#[cfg(doc)]
use crate::watch::Watch;

/// How many instances may be above or below another: `EP_MAX_NESTS`.
const MAX_NESTS: u32 = 4;

/// The most paths with 0, 1, ... instances between a file and an outermost instance. The first
/// number is not used: any number of instances may watch a file directly.
const PATH_LIMITS: [u32; 5] = [1000, 500, 100, 50, 10];

/// Allocation flags of a walk's lists, which may be long. Without memory the ADD fails, and the
/// kernel log stays empty. The lists are not charged to a memory cgroup: a task over its group's
/// limit would sleep, with [`Topology`] held. They are a twentieth of the size of the watches,
/// which are charged, and are freed with the walk.
fn flags() -> Flags {
    GFP_KERNEL | __GFP_NOWARN
}

/// The number of items between two checks whether the task is killed.
const STEPS: usize = 256;

/// An instance's place in the topology.
pub(crate) struct Place {
    /// The instance's own file, once it has watched something. Relaxed: who finds the instance by its
    /// watch in the table is ordered after the ADD's store by the bucket's lock. A release may be seen
    /// late: then a walk counts the watches of a file that has the address now, and may refuse too much.
    file: Atomic<usize>,
    /// The number of items of other instances that watch this one, or are about to. Relaxed: who adds
    /// one locks this instance's mutex after that, and who looks does so under it. (Below the inner
    /// instance of a link the walk has found a link, whose ADD had added one under the mutex above.)
    outers: Atomic<u32>,
    /// The levels of instances below or above, and the number of the walk that found them. One
    /// field is enough: a walk that meets an instance in both directions has found a cycle.
    depth: TopologyCell<(u64, Depth)>,
    /// The paths upwards, and the number of the walk that found them.
    paths: TopologyCell<(u64, Paths)>,
}

/// Numbers walks.
static WALKS: TopologyCell<u64> = TopologyCell::new(0);

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            file: Atomic::new(FileId::NONE.to_bits()),
            outers: Atomic::new(0),
            depth: TopologyCell::new((0, Depth::NONE)),
            paths: TopologyCell::new((0, Paths::NONE)),
        }
    }

    /// The instance is the file `file`, and is about to watch something; or is no file any more.
    pub(crate) fn set_file(&self, file: FileId) {
        self.file.store(file.to_bits(), Relaxed);
    }

    fn file(&self) -> FileId {
        FileId::from_bits(self.file.load(Relaxed))
    }

    /// Whether another instance watches this one, so that the paths of its files must be counted.
    /// Call it with the instance's mutex held.
    pub(crate) fn is_nested(&self) -> bool {
        self.outers.load(Relaxed) != 0
    }
}

/// The instance that an item watches, or is about to: it is nested while this lives.
pub(crate) struct Inner(Arc<Eventpoll>);

impl Inner {
    /// Counts one more watch of `ep` by another instance.
    pub(crate) fn new(ep: Arc<Eventpoll>) -> Self {
        ep.place.outers.fetch_add(1, Relaxed);
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
        // Minus one.
        self.0.place.outers.fetch_add(u32::MAX, Relaxed);
    }
}

/// A result of a walk upwards: that of an instance is made of the results of its watchers.
trait Above: Copy {
    /// The result of a file that no instance watches.
    const NONE: Self;

    /// The cell that keeps the result.
    fn cell(place: &Place) -> &TopologyCell<(u64, Self)>;

    /// Adds the result of one more instance that watches the file.
    fn add(&mut self, outer: Self);

    /// Turns the result of an instance's file into that of the instance.
    fn of_instance(self) -> Self;
}

/// A number of levels of instances.
#[derive(Clone, Copy)]
struct Depth(u32);

impl Above for Depth {
    const NONE: Self = Self(0);

    fn cell(place: &Place) -> &TopologyCell<(u64, Self)> {
        &place.depth
    }

    fn add(&mut self, outer: Self) {
        self.0 = self.0.max(outer.0 + 1);
    }

    fn of_instance(self) -> Self {
        self
    }
}

/// The numbers of paths up to outermost instances, by the number of instances in between.
#[derive(Clone, Copy)]
struct Paths {
    count: [u32; PATH_LIMITS.len()],
    /// There are longer paths.
    too_long: bool,
}

impl Above for Paths {
    const NONE: Self = Self {
        count: [0; PATH_LIMITS.len()],
        too_long: false,
    };

    fn cell(place: &Place) -> &TopologyCell<(u64, Self)> {
        &place.paths
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

impl Paths {
    /// Whether a file may have these paths. (Any number of instances may watch the file directly.)
    fn are_few(&self) -> bool {
        let mut limits = self.count.iter().zip(PATH_LIMITS).skip(1);
        !self.too_long && limits.all(|(&count, limit)| count <= limit)
    }
}

/// The reason why a walk has no result.
pub(crate) enum Stop {
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

/// An instance below a new link. It was busy, and is locked now.
pub(crate) struct Held<'a> {
    ep: &'a Arc<Eventpoll>,
    locked: MutexGuard<'a, Locked>,
}

impl<'a> Held<'a> {
    /// Waits for `ep`, with no other lock held; EINTR if the current task is killed. Process
    /// context.
    pub(crate) fn lock(ep: &'a Arc<Eventpoll>) -> Result<Self> {
        let mut locked = lock_killable(&ep.locked)?;
        locked.reap(ep);
        Ok(Self { ep, locked })
    }
}

/// Checks whether `inner` may be added to `outer`: ELOOP if that makes a cycle, or too long a
/// chain; `Ok(false)` if a file below `inner` gets too many paths upwards.
///
/// `outer` is locked, and so is `held`, which an earlier walk found busy. The caller has made the
/// [`Inner`] before it took `topology`. Process context, sleeps.
pub(crate) fn check_instance(
    topology: &mut Topology,
    outer: &Arc<Eventpoll>,
    inner: &Arc<Eventpoll>,
    held: Option<Held<'_>>,
) -> Result<bool, Stop> {
    let mut walk = Walk::new(topology, Some(Link { inner, outer }), held);
    let Depth(below) = walk.depth_below(inner, 0)?;
    // There is no cycle, so the new link is not above `outer`.
    let Depth(above) = walk.above(outer, 0)?;
    if below + 1 + above > MAX_NESTS {
        return Err(ELOOP.into());
    }
    walk.files_ok()
}

/// Whether `file` has few enough paths upwards. It is no instance, and a nested instance watches
/// it. Process context, sleeps.
pub(crate) fn check_file(topology: &mut Topology, file: FileId) -> Result<bool> {
    let paths: Paths = Walk::new(topology, None, None).above_file(file, 0)?;
    Ok(paths.are_few())
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
        let number = WALKS.get(topology).wrapping_add(1);
        WALKS.set(topology, number);
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
            // Closed items do not count; but to reap them here may take long.
            return Err(busy());
        }
        let mut depth = Depth::NONE;
        let mut in_run = false;
        // The list is sorted by file. It stays locked while its instances are visited: these locks are
        // only tried, so their order does not matter.
        for item in locked.interest.iter() {
            self.steps.count()?;
            match item.target() {
                Some(inner) => {
                    depth.add(self.depth_below(inner, level + 1)?);
                    in_run = false;
                }
                None => {
                    let file = item.key().file;
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

    /// Whether each of the collected files has few enough paths.
    fn files_ok(mut self) -> Result<bool, Stop> {
        let files = self.sorted_files()?;
        let mut previous = None;
        for &file in &files {
            if previous.replace(file) == Some(file) {
                continue;
            }
            self.steps.count()?;
            let paths: Paths = self.above_file(file, 0)?;
            if !paths.are_few() {
                return Ok(false);
            }
        }
        Ok(true)
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

    /// The result for `ep`, if this walk has visited it.
    fn known<A: Above>(&self, ep: &Eventpoll) -> Option<A> {
        let (number, known) = A::cell(&ep.place).get(self.topology);
        (number == self.number).then_some(known)
    }

    fn keep<A: Above>(&mut self, ep: &Eventpoll, found: A) -> A {
        A::cell(&ep.place).set(self.topology, (self.number, found));
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
        let mut found: A = self.above_file(ep.place.file(), level + 1)?;
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
    /// A watch that is added meanwhile is not counted: its ADD checks it after us, if it has more
    /// than the one path that is not limited.
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
            // Twice as many: so this is repeated a few times only, however many come meanwhile.
            unknown.reserve(2 * missing, flags())?;
        };
        for ep in &unknown {
            self.steps.count()?;
            sum.add(self.above(ep, level)?);
        }
        Ok(sum)
    }
}
