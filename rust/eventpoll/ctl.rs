// SPDX-License-Identifier: GPL-2.0

//! Changes of the interest list, as epoll_ctl(2).

use super::{
    item::{
        Epitem, //
        Item,
        Reason,
        Removal,
    },
    nesting::{
        self,
        Held,
        Inner,
        Stop, //
    },
    Eventpoll,
    Key,
    Locked, //
};

use crate::trace::{
    constants,
    trace, //
};
use crate::uapi::epoll::{
    EPOLLEXCLUSIVE,
    EPOLLEXCLUSIVE_OK_BITS,
    EPOLLWAKEUP,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EP_ALWAYS_BITS, //
};
use crate::watch::ready_queue::{
    Consumer,
    Push, //
};
use crate::watch::FileId;
use crate::watch::{
    poll_file,
    Watch, //
};
use crate::{
    kernel_ext::{
        anon_inode,
        drift::errno::ELOOP,
        fdget::Files,
        miscdevice,
        poll_table::{
            self,
            PollTable, //
        },
        task, //
    },
    uapi::args::repoll_ctl,
    watch::topology::Topology, //
};
use kernel::{
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        UniqueArc, //
    }, //
};

/// `REPOLL_CTL` on the instance `ep`, which is the file `own`. Errors, and their order, are those of
/// `do_epoll_ctl()`. Process context, sleeps.
pub(crate) fn ctl(
    ep: ArcBorrow<'_, Eventpoll>,
    own: &File,
    args: &repoll_ctl,
    max_user_watches: i64,
) -> Result {
    let result = change(ep, own, args, max_user_watches);
    trace!(ctl(
        ep.id,
        args.op,
        args.fd,
        args.events,
        args.data,
        result.map_or_else(|e| e.to_errno(), |()| 0)
    ));
    result
}

fn change(
    ep: ArcBorrow<'_, Eventpoll>,
    own: &File,
    args: &repoll_ctl,
    max_user_watches: i64,
) -> Result {
    // Held to the end, so the file's last close can't come while the item is being listed.
    let file = Files::current()?.get(args.fd)?;
    let has_events = args.op != EPOLL_CTL_DEL;
    if !poll_table::can_poll(&file) {
        return Err(EPERM);
    }
    if core::ptr::eq(file.as_ptr(), own.as_ptr()) {
        return Err(EINVAL);
    }
    let target = miscdevice::get::<Eventpoll>(&file);
    let is_c_epoll = args.op == EPOLL_CTL_ADD && anon_inode::is_epoll::<Eventpoll>(&file);
    if has_events && args.events & EPOLLEXCLUSIVE != 0 {
        // Entries are added to wait queues by ADD alone, exclusively or not.
        let refused = args.op == EPOLL_CTL_ADD
            && (target.is_some() || is_c_epoll || args.events & !EPOLLEXCLUSIVE_OK_BITS != 0);
        if refused || args.op == EPOLL_CTL_MOD {
            return Err(EINVAL);
        }
    }
    let key = Key {
        file: FileId::of(&file),
        fd: args.fd,
    };
    let wanted = args.events & !EPOLLWAKEUP | EP_ALWAYS_BITS;
    match args.op {
        EPOLL_CTL_ADD => {
            // The C epoll does not see our watches when it looks for cycles, so a cycle through one
            // could be made: it would hang the machine.
            if is_c_epoll {
                return Err(ELOOP);
            }
            ep.place.set_file(FileId::of(own));
            let new = New {
                file: &file,
                key,
                target: target.map(|inner| Inner::new(inner.into())),
                wanted,
                data: args.data,
                max_user_watches,
            };
            new.add(ep)
        }
        EPOLL_CTL_MOD => {
            let mut locked = ep.locked.lock();
            locked.reap(&ep);
            let Locked { interest, consumer } = &mut *locked;
            let item = interest.get(&key).ok_or(ENOENT)?;
            if item.events() & EPOLLEXCLUSIVE != 0 {
                return Err(EINVAL);
            }
            item.set_interest(wanted, args.data);
            // What is there already is reported at once.
            if item.poll_file(&file, 1) != 0 {
                queue(&ep, consumer, &item, Reason::Mod);
            }
            Ok(())
        }
        EPOLL_CTL_DEL => {
            let mut locked = ep.locked.lock();
            locked.reap(&ep);
            locked.delete(&ep, &key)
        }
        _ => Err(EINVAL),
    }
}

/// What ADD is to add.
struct New<'a> {
    file: &'a LocalFile,
    key: Key,
    target: Option<Inner>,
    wanted: u32,
    data: u64,
    max_user_watches: i64,
}

impl New<'_> {
    fn add(self, ep: ArcBorrow<'_, Eventpoll>) -> Result {
        if self.target.is_some() {
            return self.nest(ep);
        }
        let (file, key, wanted) = (self.file, self.key, self.wanted);
        let mut locked = ep.locked.lock();
        locked.reap(&ep);
        // The watch is in the table before it is checked: `nesting` explains the reason.
        let check = || {
            if !ep.place.is_nested() {
                return Ok(());
            }
            let few = nesting::check_file(&mut Topology::lock()?, key.file)?;
            check_paths(&ep, &key, few)
        };
        let item = || self.item(ep);
        let (item, ready) = locked.insert(&ep, &key, item, (file, wanted), check, poll_file)?;
        locked.report(&ep, &item, ready);
        Ok(())
    }

    /// ADD of an instance.
    fn nest(self, ep: ArcBorrow<'_, Eventpoll>) -> Result {
        let outer: Arc<Eventpoll> = ep.into();
        let inner = Arc::clone(self.target.as_ref().ok_or(EINVAL)?);
        let (file, key, wanted) = (self.file, self.key, self.wanted);
        // Before any lock: an allocation that is charged to a memory cgroup may sleep for long.
        let item = self.item(ep);
        let mut busy: Option<Arc<Eventpoll>> = None;
        let (mut locked, topology, few_paths) = loop {
            task::yield_or_die()?;
            let other = busy.take();
            let held = other.as_ref().map(Held::lock).transpose()?;
            let mut locked = match held {
                None => outer.locked.lock(),
                // Never wait for one instance with another one locked.
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
                Ok(few_paths) => break (locked, topology, few_paths),
                Err(Stop::Busy(other)) => busy = Some(other),
                Err(Stop::Error(e)) => {
                    if e == ELOOP {
                        trace_limit(&outer, &key, constants::REPOLL_LIMIT_DEPTH, e);
                    }
                    return Err(e);
                }
            }
        };
        // The user's quota comes before the paths, as in C.
        let item = || {
            let item = item?;
            check_paths(&outer, &key, few_paths)?;
            Ok(item)
        };
        let check = || {
            outer.crowd.nest(&outer).inspect_err(|e| {
                trace_limit(&outer, &key, constants::REPOLL_LIMIT_POLLERS, *e);
            })
        };
        // `inner` is not polled yet: to poll it may wait for its users.
        let register = |table: &PollTable<'_>| {
            inner.register(table);
            0
        };
        let (item, _) = locked.insert(&outer, &key, item, (file, wanted), check, register)?;
        drop(topology);
        let ready = inner.ready_events(1);
        locked.report(&outer, &item, ready);
        Ok(())
    }

    /// Makes the item, and counts it for the user.
    fn item(self, ep: ArcBorrow<'_, Eventpoll>) -> Result<Pin<UniqueArc<Epitem>>> {
        let item = Item::new(
            ep.into(),
            self.max_user_watches,
            self.key,
            self.target,
            self.wanted,
            self.data,
        )?;
        Watch::new(item, &ep.ready)
    }
}

/// Returns EINVAL unless there are `few` enough paths.
fn check_paths(ep: &Eventpoll, key: &Key, few: bool) -> Result {
    if !few {
        trace_limit(ep, key, constants::REPOLL_LIMIT_PATHS, EINVAL);
        return Err(EINVAL);
    }
    Ok(())
}

fn trace_limit(ep: &Eventpoll, key: &Key, which: u32, error: Error) {
    trace!(limit(ep.id, key.fd, which, error.to_errno()));
}

impl Locked {
    /// Adds the result of `item`, and returns it with the events that `poll` found. Callbacks may
    /// queue it at once; only the holder of the lock takes it from the queue.
    fn insert(
        &mut self,
        ep: &Eventpoll,
        key: &Key,
        item: impl FnOnce() -> Result<Pin<UniqueArc<Epitem>>>,
        (file, wanted): (&LocalFile, u32),
        check: impl FnOnce() -> Result,
        poll: impl FnOnce(&PollTable<'_>) -> u32,
    ) -> Result<(Arc<Epitem>, u32)> {
        let vacancy = self.interest.vacancy(key).ok_or(EEXIST)?;
        let item = vacancy.insert(item()?);
        let exclusive = wanted & EPOLLEXCLUSIVE != 0;
        let queue = (&ep.ready, &mut self.consumer);
        let attached = Watch::attach(&item, queue, file, (wanted, exclusive), check, poll);
        let ready = attached.inspect_err(|_| {
            self.interest.remove(key);
        })?;
        Ok((item, ready))
    }

    /// Ends an ADD that has succeeded: queues the item if the events in `ready` are of interest.
    fn report(&mut self, ep: &Eventpoll, item: &Epitem, ready: u32) {
        item.trace_add();
        item.trace_poll(ready);
        if ready & item.events() != 0 {
            queue(ep, &mut self.consumer, item, Reason::Add);
        }
    }

    fn delete(&mut self, ep: &Eventpoll, key: &Key) -> Result {
        let item = self.interest.remove(key).ok_or(ENOENT)?;
        // After this no callback queues it again, so once out of the queue it stays out.
        item.detach();
        self.consumer.remove(&ep.ready, &item);
        item.trace_remove(Removal::Del);
        Ok(())
    }
}

/// Queues an item that was found ready, and wakes, unless a callback did both.
fn queue(ep: &Eventpoll, consumer: &mut Consumer<Epitem>, item: &Epitem, reason: Reason) {
    match ep.ready.push(item, || item.trace_queue(reason)) {
        Push::Queued => {
            ep.wake(false, 0, 0);
        }
        // The caller is promised that the next WAIT finds it.
        Push::Already => consumer.await_push(&ep.ready, item),
    }
}
