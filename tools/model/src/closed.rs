// SPDX-License-Identifier: GPL-2.0

//! The list of items whose files have been closed: `rust/kernel_ext/llist.rs` itself.

use super::{
    check::{check, join, weakened, Weakness},
    llist::{HasLink, LList},
};
use loom::{
    cell::UnsafeCell,
    sync::{Arc, Mutex},
    thread,
};
use std::ptr;

/// The data that the hook has written about a watch that it ended. loom checks who may read it.
struct Element {
    next: std::cell::UnsafeCell<*mut Element>,
    payload: UnsafeCell<u32>,
}

// SAFETY: The link is a part of the element.
unsafe impl HasLink for Element {
    fn link(&self) -> *mut *mut Self {
        self.next.get()
    }
}

/// Pushes an element with this payload, as the last-close hook does.
fn push(list: &LList<Element>, payload: u32) {
    let element = Box::new(Element {
        next: std::cell::UnsafeCell::new(ptr::null_mut()),
        payload: UnsafeCell::new(0),
    });
    // SAFETY: No other thread has the element yet.
    element.payload.with_mut(|at| unsafe { *at = payload });
    // SAFETY: The element is new, and this thread no longer uses it.
    unsafe { list.push(Box::into_raw(element)) };
}

/// Takes all elements, as `Locked::reap()` does, and returns the payloads.
fn take(list: &LList<Element>) -> Vec<u32> {
    list.take()
        .map(|element| {
            // SAFETY: The element was a box, and belongs to this thread.
            let element = unsafe { Box::from_raw(element) };
            // SAFETY: loom checks the access.
            element.payload.with(|at| unsafe { *at })
        })
        .collect()
}

/// Two files are closed at the same time, while an instance reaps. Each item is reaped once, in the
/// state that its hook has left.
fn model() {
    let list = Arc::new(LList::new());
    let hooks = [1, 2].map(|payload| {
        let list = list.clone();
        thread::spawn(move || push(&list, payload))
    });
    let mut got = take(&list);
    hooks.map(join);
    got.extend(take(&list));
    got.sort();
    assert_eq!(got, [1, 2], "an item is lost");
}

#[test]
fn each_item_is_reaped_once() {
    check("each_item_is_reaped_once", Some(2), model);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn an_item_is_reaped_too_early_without_the_release() {
    weakened(Weakness::Release, model);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn an_item_is_reaped_too_early_without_the_acquire() {
    weakened(Weakness::Acquire, model);
}

#[test]
#[should_panic(expected = "an item is lost")]
fn an_item_is_lost_if_a_push_is_a_load_and_a_store() {
    weakened(Weakness::Atomicity, model);
}

/// `Eventpoll::release()` must find each item that the hook has ended. The hook pushes under the
/// lock of the file's bucket, and the release takes that lock before it checks the list.
/// `is_empty()` alone may come too early.
fn release(locks: bool) {
    let list = Arc::new(LList::new());
    let bucket = Arc::new(Mutex::new(true));
    let hook = {
        let (list, bucket) = (list.clone(), bucket.clone());
        thread::spawn(move || {
            let mut linked = bucket.lock().expect("poison");
            if std::mem::take(&mut *linked) {
                push(&list, 1);
            }
        })
    };
    // `Watch::detach()`: false if the hook has ended the watch.
    let ours = locks && std::mem::take(&mut *bucket.lock().expect("poison"));
    let found = !take(&list).is_empty();
    join(hook);
    take(&list);
    assert!(ours || found, "an item is left behind");
}

#[test]
fn a_release_leaves_no_item_behind() {
    check("a_release_leaves_no_item_behind", None, || release(true));
}

#[test]
#[should_panic(expected = "an item is left behind")]
fn a_release_leaves_an_item_behind_without_the_buckets_lock() {
    check("without the bucket's lock", None, || release(false));
}
