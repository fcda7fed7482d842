// SPDX-License-Identifier: GPL-2.0

//! Changes of the interest list, as epoll_ctl(2).

use super::{
    events,
    item::{
        Item,
        Reason,
        Removal,
        Watched, //
    },
    nesting,
    Eventpoll,
    Key,
    Locked, //
};
use crate::kernel_ext::{
    bindings as ext,
    device,
    files::HeldFile,
    last_close::FileId,
    nested::TOPOLOGY,
    ready_queue::{
        Consumer,
        Push, //
    },
    trace::trace,
    user_args::repoll_ctl,
    watch::{
        poll_file,
        Watch, //
    }, //
};
use kernel::{
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
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
    let file = HeldFile::get(args.fd)?;
    let has_events = args.op != ext::CTL_DEL;
    if !device::can_poll(&file) {
        return Err(EPERM);
    }
    if core::ptr::eq(file.as_ptr(), own.as_ptr()) {
        return Err(EINVAL);
    }
    let target: Option<Arc<Eventpoll>> = device::get::<Eventpoll>(&file).map(Into::into);
    let is_c_epoll = args.op == ext::CTL_ADD && device::is_c_epoll(&file);
    if has_events && args.events & events::EXCLUSIVE != 0 {
        // Entries are added to wait queues by ADD alone, exclusively or not.
        let refused = args.op == ext::CTL_ADD
            && (target.is_some() || is_c_epoll || args.events & !events::EXCLUSIVE_OK != 0);
        if refused || args.op == ext::CTL_MOD {
            return Err(EINVAL);
        }
    }
    let key = Key {
        file: FileId::of(&file),
        fd: args.fd,
    };
    let wanted = args.events & !events::WAKEUP | events::ALWAYS;
    match args.op {
        ext::CTL_ADD => {
            // The C epoll does not see our watches when it looks for cycles, so a cycle through one
            // could be made: it would hang the machine.
            if is_c_epoll {
                return Err(ELOOP);
            }
            ep.place.set_file(FileId::of(own));
            let new = New {
                file: &file,
                key,
                target,
                wanted,
                data: args.data,
                max_user_watches,
            };
            new.add(ep)
        }
        ext::CTL_MOD => {
            let mut locked = ep.locked.lock();
            locked.reap(&ep);
            let Locked { interest, consumer } = &mut *locked;
            let item = interest.get(&key).ok_or(ENOENT)?;
            if item.events() & events::EXCLUSIVE != 0 {
                return Err(EINVAL);
            }
            item.set_interest(wanted, args.data);
            // What is there already is reported at once.
            if item.poll_file(&file, 1) != 0 {
                queue(&ep, consumer, &item, Reason::Mod);
            }
            Ok(())
        }
        ext::CTL_DEL => {
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
    target: Option<Arc<Eventpoll>>,
    wanted: u32,
    data: u64,
    max_user_watches: i64,
}

impl New<'_> {
    fn add(self, ep: ArcBorrow<'_, Eventpoll>) -> Result {
        if self.target.is_none() {
            let mut locked = ep.locked.lock();
            if !ep.place.is_nested() {
                return self.add_locked(ep, &mut locked, true);
            }
        }
        // Instances above or below: see the whole, before our mutex is taken.
        let _topology = TOPOLOGY.lock();
        let ways_ok = match &self.target {
            Some(inner) => nesting::check_instance(&ep, inner),
            None => nesting::check_file(&ep, self.key.file),
        }
        .inspect_err(|e| {
            if *e == ELOOP {
                trace!(limit(
                    ep.id,
                    self.key.fd,
                    ext::REPOLL_LIMIT_DEPTH,
                    e.to_errno()
                ));
            }
        })?;
        let mut locked = ep.locked.lock();
        self.add_locked(ep, &mut locked, ways_ok)
    }

    fn add_locked(
        self,
        ep: ArcBorrow<'_, Eventpoll>,
        locked: &mut Locked,
        ways_ok: bool,
    ) -> Result {
        locked.reap(&ep);
        let Locked { interest, consumer } = &mut *locked;
        let vacancy = interest.vacancy(&self.key).ok_or(EEXIST)?;
        let (key, wanted) = (self.key, self.wanted);
        let item = Item::new(
            ep.into(),
            self.max_user_watches,
            key,
            self.target,
            wanted,
            self.data,
        )?;
        if !ways_ok {
            trace!(limit(
                ep.id,
                self.key.fd,
                ext::REPOLL_LIMIT_PATHS,
                EINVAL.to_errno()
            ));
            return Err(EINVAL);
        }
        let item = vacancy.insert(Watch::new(item, &ep.ready)?);
        let exclusive = wanted & events::EXCLUSIVE != 0;
        let attached = Watch::attach(
            &item,
            (&ep.ready, &mut *consumer),
            self.file,
            wanted,
            exclusive,
            |table| match item.target() {
                None => poll_file(table),
                Some(inner) => inner.poll(Some(table), 1),
            },
        );
        let ready = attached.inspect_err(|e| {
            interest.remove(&key);
            if *e == ENOSPC {
                trace!(limit(
                    ep.id,
                    self.key.fd,
                    ext::REPOLL_LIMIT_FILE,
                    e.to_errno()
                ));
            }
        })?;
        item.trace_add();
        item.trace_poll(ready);
        // Callbacks may have queued it by now; whoever takes it from the queue has our lock.
        if ready & wanted != 0 {
            queue(&ep, consumer, &item, Reason::Add);
        }
        Ok(())
    }
}

impl Locked {
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
fn queue(ep: &Eventpoll, consumer: &mut Consumer<Watched>, item: &Watched, reason: Reason) {
    match ep.ready.push(item, || item.trace_queue(reason)) {
        Push::Queued => {
            ep.wake(false, 0, 0);
        }
        // The caller is promised that the next WAIT finds it.
        Push::Already => consumer.await_push(&ep.ready, item),
    }
}
