// SPDX-License-Identifier: GPL-2.0

//! CTL: changes the interest list, as epoll_ctl(2).
//!
//! [`Request::parse`] checks the arguments; then the instance adds, modifies or deletes an item.

use super::{
    nesting::{
        self,
        Held,
        PathCheck,
        Stop, //
    },
    trace::{
        LimitKind,
        QueueReason, //
    },
    Epitem,
    Eventpoll,
    Inner,
    Item,
    Key,
    Locked, //
};
use crate::kernel_ext::{
    anon_inode::is_epoll,
    drift::errno::ELOOP,
    fdget::Files,
    miscdevice,
    poll_table::{
        can_poll,
        PollTable, //
    },
    task, //
};
use crate::trace::trace;
use crate::uapi::{
    args::repoll_ctl,
    epoll::{
        EPOLLEXCLUSIVE,
        EPOLLEXCLUSIVE_OK_BITS,
        EPOLLWAKEUP,
        EPOLL_CTL_ADD,
        EPOLL_CTL_DEL,
        EPOLL_CTL_MOD,
        EP_ALWAYS_BITS, //
    }, //
};
use crate::watch::{
    poll_file,
    ready_queue::{
        Consumer,
        Push, //
    },
    topology::Topology,
    FileId,
    Watch, //
};
use kernel::{
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        ArcBorrow,
        UniqueArc, //
    }, //
};

/// `REPOLL_CTL` on the instance `ep`, whose own file is `own`. Errors and their order are those of
/// `do_epoll_ctl()`. Process context, sleeps.
pub(super) fn ctl(ep: ArcBorrow<'_, Eventpoll>, own: &File, args: &repoll_ctl) -> Result {
    // Held to the end, so the file's last close can't come while the item is being listed.
    let file = Files::current().and_then(|files| files.get(args.fd));
    let result = file.and_then(|file| change(ep, own, &file, args, Locking::Blocking));
    trace_ctl(&ep, args, result);
    result
}

/// As [`ctl`], for the system call, whose caller holds `file`, open as `args.fd`.
pub(crate) fn epoll_ctl(
    ep: ArcBorrow<'_, Eventpoll>,
    own: &File,
    file: &LocalFile,
    args: &repoll_ctl,
    locking: Locking,
) -> Result {
    let result = change(ep, own, file, args, locking);
    trace_ctl(&ep, args, result);
    result
}

fn trace_ctl(ep: &Eventpoll, args: &repoll_ctl, result: Result) {
    trace!(ctl(
        ep.id,
        args.op,
        args.fd,
        args.events,
        args.data,
        result.map_or_else(|e| e.to_errno(), |()| 0)
    ));
}

fn change(
    ep: ArcBorrow<'_, Eventpoll>,
    own: &File,
    file: &LocalFile,
    args: &repoll_ctl,
    locking: Locking,
) -> Result {
    match Request::parse(args, file, own)? {
        Request::Add(request) => {
            ep.topology.set_file(FileId::of(own));
            request.add(ep, locking)
        }
        Request::Modify { key, events, data } => ep.modify(file, &key, events, data, locking),
        Request::Delete { key } => ep.delete(&key, locking),
    }
}

/// Whether a change may wait for a mutex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locking {
    /// It waits.
    Blocking,
    /// It fails with EAGAIN instead: io_uring then calls again from a worker thread.
    NonBlocking,
}

impl Eventpoll {
    /// Locks the interest list; EAGAIN if it is locked and `locking` does not wait.
    #[inline]
    fn lock(&self, locking: Locking) -> Result<Guard<'_, Locked, MutexBackend>> {
        match locking {
            Locking::Blocking => Ok(self.locked.lock()),
            Locking::NonBlocking => self.locked.try_lock().ok_or(EAGAIN),
        }
    }
}

/// A valid request.
enum Request<'a> {
    Add(AddRequest<'a>),
    Modify { key: Key, events: u32, data: u64 },
    Delete { key: Key },
}

/// The item that ADD is to make.
struct AddRequest<'a> {
    file: &'a LocalFile,
    key: Key,
    /// The watched instance, if the file is one.
    inner: Option<Inner>,
    events: u32,
    data: u64,
}

impl<'a> Request<'a> {
    /// Checks `args`, which are about `file`, against the rules of epoll_ctl(2) that need no lock.
    fn parse(args: &repoll_ctl, file: &'a LocalFile, own: &File) -> Result<Self> {
        if !can_poll(file) {
            return Err(EPERM);
        }
        if core::ptr::eq(file.as_ptr(), own.as_ptr()) {
            return Err(EINVAL);
        }
        let is_exclusive = args.events & EPOLLEXCLUSIVE != 0;
        let key = Key {
            file: FileId::of(file),
            fd: args.fd,
        };
        let events = args.events & !EPOLLWAKEUP | EP_ALWAYS_BITS;
        let data = args.data;
        match args.op {
            EPOLL_CTL_ADD => {
                let inner = miscdevice::get::<Eventpoll>(file);
                let is_c_epoll = is_epoll::<Eventpoll>(file);
                let is_allowed =
                    inner.is_none() && !is_c_epoll && args.events & !EPOLLEXCLUSIVE_OK_BITS == 0;
                if is_exclusive && !is_allowed {
                    return Err(EINVAL);
                }
                // The C epoll does not see our watches when it looks for cycles. A cycle through a
                // C epoll would hang the machine.
                if is_c_epoll {
                    return Err(ELOOP);
                }
                Ok(Self::Add(AddRequest {
                    file,
                    key,
                    inner: inner.map(|inner| Inner::new(inner.into())),
                    events,
                    data,
                }))
            }
            // Only ADD adds entries to wait queues, exclusive or not.
            EPOLL_CTL_MOD if is_exclusive => Err(EINVAL),
            EPOLL_CTL_MOD => Ok(Self::Modify { key, events, data }),
            EPOLL_CTL_DEL => Ok(Self::Delete { key }),
            _ => Err(EINVAL),
        }
    }
}

impl AddRequest<'_> {
    /// Adds the item to `ep`. Not inlined: MOD and DEL need none of its registers and stack.
    #[inline(never)]
    fn add(self, ep: ArcBorrow<'_, Eventpoll>, locking: Locking) -> Result {
        if self.inner.is_some() {
            return match locking {
                Locking::Blocking => self.add_instance(ep),
                Locking::NonBlocking => Err(EAGAIN),
            };
        }
        let (file, key, events) = (self.file, self.key, self.events);
        let mut locked = ep.lock(locking)?;
        locked.reap(&ep);
        // The watch is in the table before this check: `nesting` explains the reason.
        let check = || {
            if !ep.topology.is_nested() {
                return Ok(());
            }
            if locking == Locking::NonBlocking {
                return Err(EAGAIN);
            }
            let paths = nesting::check_file(&mut Topology::lock()?, key.file)?;
            check_paths(&ep, &key, paths)
        };
        let item = || self.into_item(ep);
        let (item, ready) = locked.insert(&ep, &key, item, (file, events), check, poll_file)?;
        locked.finish_add(&ep, &item, ready);
        Ok(())
    }

    /// Adds an item that watches an instance.
    fn add_instance(self, ep: ArcBorrow<'_, Eventpoll>) -> Result {
        let outer: Arc<Eventpoll> = ep.into();
        let inner = Arc::clone(self.inner.as_ref().ok_or(EINVAL)?);
        let (file, key, events) = (self.file, self.key, self.events);
        // Before any lock: an allocation that is charged to a memory cgroup may sleep for long.
        let item = self.into_item(ep);
        let mut busy: Option<Arc<Eventpoll>> = None;
        let (mut locked, topology, paths) = loop {
            task::yield_or_die()?;
            let other = busy.take();
            let held = other.as_ref().map(Held::lock).transpose()?;
            let mut locked = match held {
                None => outer.locked.lock(),
                // Never wait for an instance while another one is locked.
                Some(_) => match outer.locked.try_lock() {
                    Some(locked) => locked,
                    None => continue,
                },
            };
            locked.reap(&outer);
            // Before the walk, since it is cheap. An existing link is in no cycle, and not too
            // deep.
            if locked.interest.get(&key).is_some() {
                return Err(EEXIST);
            }
            let mut topology = Topology::lock()?;
            match nesting::check_instance(&mut topology, &outer, &inner, held) {
                Ok(paths) => break (locked, topology, paths),
                Err(Stop::Busy(other)) => busy = Some(other),
                Err(Stop::Error(e)) => {
                    if e == ELOOP {
                        outer.trace_limit(key.fd, LimitKind::Depth, Some(e));
                    }
                    return Err(e);
                }
            }
        };
        // The user's quota comes before the paths, as in C.
        let item = || {
            let item = item?;
            check_paths(&outer, &key, paths)?;
            Ok(item)
        };
        let check = || {
            outer.limit_nested_outsiders().inspect_err(|e| {
                outer.trace_limit(key.fd, LimitKind::Pollers, Some(*e));
            })
        };
        // `inner` is not polled yet: its poll may wait for its users.
        let register = |table: &PollTable<'_>| {
            inner.register(table);
            0
        };
        let (item, _) = locked.insert(&outer, &key, item, (file, events), check, register)?;
        drop(topology);
        let ready = inner.ready_events(1);
        locked.finish_add(&outer, &item, ready);
        Ok(())
    }

    /// Makes the item, charged to the user.
    fn into_item(self, ep: ArcBorrow<'_, Eventpoll>) -> Result<Pin<UniqueArc<Epitem>>> {
        let item = Item::new(ep.into(), self.key, self.inner, self.events, self.data)?;
        Watch::new(item, &ep.ready)
    }
}

/// EINVAL if there are too many paths to the item of `key`.
fn check_paths(ep: &Eventpoll, key: &Key, paths: PathCheck) -> Result {
    match paths {
        PathCheck::WithinLimits => Ok(()),
        PathCheck::TooMany => {
            ep.trace_limit(key.fd, LimitKind::Paths, Some(EINVAL));
            Err(EINVAL)
        }
    }
}

impl Eventpoll {
    /// Changes the interest of an item whose file is `file`.
    fn modify(
        &self,
        file: &LocalFile,
        key: &Key,
        events: u32,
        data: u64,
        locking: Locking,
    ) -> Result {
        let mut locked = self.lock(locking)?;
        locked.reap(self);
        let Locked { interest, consumer } = &mut *locked;
        let item = interest.get(key).ok_or(ENOENT)?;
        if item.events() & EPOLLEXCLUSIVE != 0 {
            return Err(EINVAL);
        }
        // An event that is there already is reported at once.
        if Item::set_interest(&item, events, data).poll_file(file, 1) != 0 {
            queue(self, consumer, &item, QueueReason::Mod);
        }
        Ok(())
    }

    /// Removes an item.
    fn delete(&self, key: &Key, locking: Locking) -> Result {
        let mut locked = self.lock(locking)?;
        locked.reap(self);
        let item = locked.interest.remove(key).ok_or(ENOENT)?;
        // After this no callback queues the item again, so out of the queue it stays out.
        item.detach();
        locked.consumer.remove(&self.ready, &item);
        item.trace_deleted();
        Ok(())
    }
}

impl Locked {
    /// Adds the result of `item`, and returns it with the events that `poll` found. Callbacks may
    /// queue the item at once; only the holder of the lock takes it from the queue.
    fn insert(
        &mut self,
        ep: &Eventpoll,
        key: &Key,
        item: impl FnOnce() -> Result<Pin<UniqueArc<Epitem>>>,
        (file, events): (&LocalFile, u32),
        check: impl FnOnce() -> Result,
        poll: impl FnOnce(&PollTable<'_>) -> u32,
    ) -> Result<(Arc<Epitem>, u32)> {
        let vacancy = self.interest.vacancy(key).ok_or(EEXIST)?;
        let item = vacancy.insert(item()?);
        let exclusive = events & EPOLLEXCLUSIVE != 0;
        let queue = (&ep.ready, &mut self.consumer);
        let attached = Watch::attach(&item, queue, file, (events, exclusive), check, poll);
        let ready = attached.inspect_err(|_| {
            self.interest.remove(key);
        })?;
        Ok((item, ready))
    }

    /// Ends an ADD that has succeeded: queues the item if an event in `ready` is of interest.
    fn finish_add(&mut self, ep: &Eventpoll, item: &Epitem, ready: u32) {
        item.trace_add();
        item.trace_poll(ready);
        if ready & item.events() != 0 {
            queue(ep, &mut self.consumer, item, QueueReason::Add);
        }
    }
}

/// Queues an item that was found ready, and wakes, unless a callback did both.
fn queue(ep: &Eventpoll, consumer: &mut Consumer<Epitem>, item: &Epitem, reason: QueueReason) {
    match ep.ready.push(item, || item.trace_queue(reason)) {
        Push::Queued => {
            ep.wake_up(false, 0, 0);
        }
        // The caller may rely on the next WAIT to find the item.
        Push::Already => consumer.await_push(&ep.ready, item),
    }
}
