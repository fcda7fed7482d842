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
    Eventpoll,
    Key,
    Locked, //
};
use crate::kernel_ext::{
    bindings as ext,
    device,
    trace,
    user_args::repoll_ctl,
    watch::Watch, //
};
use kernel::{
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    rbtree::RBTreeNodeReservation,
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
    trace::ctl(
        ep.id,
        args.op,
        args.fd,
        args.events,
        args.data,
        result.map_or_else(|e| e.to_errno(), |()| 0),
    );
    result
}

fn change(
    ep: ArcBorrow<'_, Eventpoll>,
    own: &File,
    args: &repoll_ctl,
    max_user_watches: i64,
) -> Result {
    // A negative descriptor becomes one that nobody has: EBADF. The reference is kept to the end, so
    // the file's last close can't come while the item is being listed.
    let file = LocalFile::fget(args.fd as u32)?;
    let has_events = args.op != ext::CTL_DEL;
    if !device::can_poll(&file) {
        return Err(EPERM);
    }
    if core::ptr::eq(file.as_ptr(), own.as_ptr()) {
        return Err(EINVAL);
    }
    let is_instance = device::is::<Eventpoll>(&file) || device::is_c_epoll(&file);
    if has_events && args.events & events::EXCLUSIVE != 0 {
        // Entries are added to wait queues by ADD alone, exclusively or not.
        let refused =
            args.op == ext::CTL_ADD && (is_instance || args.events & !events::EXCLUSIVE_OK != 0);
        if refused || args.op == ext::CTL_MOD {
            return Err(EINVAL);
        }
    }
    // To watch an instance, of ours or of the C epoll, could make a cycle of wake-ups, which would
    // hang the machine. The C epoll's own check does not see our watches.
    if args.op == ext::CTL_ADD && is_instance {
        return Err(ELOOP);
    }
    let key = Key {
        file: file.as_ptr() as usize,
        fd: args.fd,
    };
    let wanted = args.events & !events::WAKEUP | events::ALWAYS;

    let mut locked = ep.locked.lock();
    locked.reap(&ep);
    match args.op {
        ext::CTL_ADD => {
            if locked.interest.get(&key).is_some() {
                return Err(EEXIST);
            }
            let item = Item::new(ep.into(), max_user_watches, key, wanted, args.data)?;
            locked.add(&ep, &file, item)
        }
        ext::CTL_MOD => {
            let item = locked.interest.get(&key).ok_or(ENOENT)?;
            if item.events() & events::EXCLUSIVE != 0 {
                return Err(EINVAL);
            }
            modify(&ep, item, wanted, args.data);
            Ok(())
        }
        ext::CTL_DEL => locked.delete(&ep, &key),
        _ => Err(EINVAL),
    }
}

impl Locked {
    fn add(&mut self, ep: &Eventpoll, file: &LocalFile, item: Item) -> Result {
        let (key, wanted) = (item.key(), item.events());
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let watch = Watch::new(item, &ep.ready)?;
        let (item, ready) = Watch::attach(watch, file, wanted, wanted & events::EXCLUSIVE != 0)?;
        // Callbacks may have queued it by now; whoever takes it from the queue has our lock.
        self.interest.insert(node.into_node(key, item.clone()));
        if ready & wanted != 0 {
            queue(ep, &item, Reason::Add);
        }
        Ok(())
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

/// MOD looks at once whether the file is ready for what is wanted now.
fn modify(ep: &Eventpoll, item: &Arc<Watched>, wanted: u32, data: u64) {
    item.set_interest(wanted, data);
    if item.poll_now() != 0 {
        queue(ep, item, Reason::Mod);
    }
}

/// Queues an item that was found ready, and wakes, unless a callback did both.
fn queue(ep: &Eventpoll, item: &Arc<Watched>, reason: Reason) {
    if ep.ready.push(item.as_arc_borrow()) == crate::kernel_ext::ready_queue::Push::Queued {
        item.trace_queue(reason);
        ep.wake(false, 0);
    }
}
