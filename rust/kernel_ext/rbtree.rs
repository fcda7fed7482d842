// SPDX-License-Identifier: GPL-2.0

//! A red-black tree of reference-counted items whose nodes are part of the items.
//!
//! C header: [`include/linux/rbtree.h`](srctree/include/linux/rbtree.h)
//!
//! As `kernel::rbtree`, whose nodes are allocations of their own, with a copy of the key.

use core::{
    cell::UnsafeCell,
    cmp::Ordering,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        UniqueArc, //
    }, //
};

/// The part of an item that the tree uses.
///
/// # Invariants
///
/// While the item is in a tree, the node is that tree's.
pub(crate) struct Node(UnsafeCell<bindings::rb_node>);

impl Node {
    /// A node that is in no tree.
    pub(crate) const fn new() -> Self {
        // INVARIANT: In no tree.
        Self(UnsafeCell::new(pin_init::zeroed()))
    }

    /// # Safety
    ///
    /// `item` is valid.
    unsafe fn of<T: HasNode>(item: *const T) -> *mut bindings::rb_node {
        // SAFETY: By the contract, and that of `HasNode`.
        let node = unsafe { item.byte_add(T::OFFSET).cast::<Self>() };
        // SAFETY: So the node is valid.
        UnsafeCell::raw_get(unsafe { &raw const (*node).0 })
    }
}

/// An item that can be in a tree, one at a time.
///
/// # Safety
///
/// At `OFFSET` bytes from the item's start there is a [`Node`].
pub(crate) unsafe trait HasNode {
    const OFFSET: usize;

    /// What the item is found by. Must not change while it is in a tree, or it is not found.
    type Key: Ord;

    /// The item's key.
    fn key(&self) -> Self::Key;
}

/// Items, in the order of their keys, each of which the tree owns a reference to.
///
/// # Invariants
///
/// All nodes of the tree are those of valid items, which have been put into it as unique references:
/// so they are in no other. The tree owns a reference to each.
pub(crate) struct Tree<T: HasNode> {
    root: bindings::rb_root,
    _items: PhantomData<Arc<T>>,
}

// SAFETY: The tree owns references to `T`s that may be used and dropped on any thread.
unsafe impl<T: HasNode + Send + Sync> Send for Tree<T> {}

/// # Safety
///
/// `node` is that of a `T`.
unsafe fn item_of<T: HasNode>(node: *mut bindings::rb_node) -> *mut T {
    // SAFETY: By the contract, and that of `HasNode`.
    unsafe { node.byte_sub(T::OFFSET).cast() }
}

impl<T: HasNode> Tree<T> {
    /// An empty tree.
    pub(crate) const fn new() -> Self {
        // INVARIANT: No items.
        Self {
            root: bindings::rb_root {
                rb_node: ptr::null_mut(),
            },
            _items: PhantomData,
        }
    }

    /// Where `key` is, or would be: the link to its node, and the node that the link is part of.
    ///
    /// # Safety
    ///
    /// `root` is that of a tree of `T`s, which is borrowed mutably.
    unsafe fn search(
        root: *mut bindings::rb_root,
        key: &T::Key,
    ) -> (*mut *mut bindings::rb_node, *mut bindings::rb_node) {
        // SAFETY: By the contract.
        let mut link = unsafe { &raw mut (*root).rb_node };
        let mut parent = ptr::null_mut();
        // SAFETY: Links are the root's or those of nodes of the tree, which are valid, and ours, by
        // the type's invariants.
        unsafe {
            while !(*link).is_null() {
                let node = *link;
                match key.cmp(&(*item_of::<T>(node)).key()) {
                    Ordering::Equal => break,
                    Ordering::Less => {
                        parent = node;
                        link = &raw mut (*node).rb_left;
                    }
                    Ordering::Greater => {
                        parent = node;
                        link = &raw mut (*node).rb_right;
                    }
                }
            }
        }
        (link, parent)
    }

    /// The item with this key.
    pub(crate) fn get(&mut self, key: &T::Key) -> Option<ArcBorrow<'_, T>> {
        // SAFETY: The tree is borrowed. The link is valid, and leads to nothing or to a node of the tree,
        // which owns a reference to its item.
        unsafe {
            let (link, _) = Self::search(&raw mut self.root, key);
            let node = *link;
            (!node.is_null()).then(|| ArcBorrow::from_raw(item_of::<T>(node)))
        }
    }

    /// The place for an item with this key; `None` if there is one.
    pub(crate) fn vacancy(&mut self, key: &T::Key) -> Option<Vacancy<'_, T>> {
        let root = &raw mut self.root;
        // SAFETY: The tree is borrowed.
        let (link, parent) = unsafe { Self::search(root, key) };
        // SAFETY: The link is valid.
        unsafe { *link }.is_null().then_some(
            // INVARIANT: The tree stays borrowed, so it does not change.
            Vacancy {
                root,
                link,
                parent,
                _tree: PhantomData,
            },
        )
    }

    /// Takes out the item with this key.
    pub(crate) fn remove(&mut self, key: &T::Key) -> Option<Arc<T>> {
        let root = &raw mut self.root;
        // SAFETY: The tree is borrowed. The link is valid, and leads to nothing or to a node of the tree.
        // The reference to its item, which the tree owned, is given away.
        unsafe {
            let (link, _) = Self::search(root, key);
            let node = *link;
            if node.is_null() {
                return None;
            }
            bindings::rb_erase(node, root);
            Some(Arc::from_raw(item_of::<T>(node)))
        }
    }

    /// All items, in order.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        let mut node = self.root.rb_node;
        // SAFETY: Nodes of the tree are valid, by the type's invariants.
        unsafe {
            while !node.is_null() && !(*node).rb_left.is_null() {
                node = (*node).rb_left;
            }
        }
        Iter {
            node,
            _tree: PhantomData,
        }
    }
}

impl<T: HasNode> Drop for Tree<T> {
    fn drop(&mut self) {
        // SAFETY: Nodes of the tree are valid. In this order an item's node is not looked at any more
        // when the item goes, with the reference that the tree owned.
        unsafe {
            let mut node = bindings::rb_first_postorder(&raw const self.root);
            while !node.is_null() {
                let next = bindings::rb_next_postorder(node);
                drop(Arc::from_raw(item_of::<T>(node)));
                node = next;
            }
        }
    }
}

/// A place in a tree where there is no item yet.
///
/// # Invariants
///
/// `root` is that of the tree, which is borrowed for `'a`; `link` is null, and where [`Tree::search`] would find the key, below `parent`.
pub(crate) struct Vacancy<'a, T: HasNode> {
    root: *mut bindings::rb_root,
    link: *mut *mut bindings::rb_node,
    parent: *mut bindings::rb_node,
    _tree: PhantomData<&'a mut Tree<T>>,
}

impl<T: HasNode> Vacancy<'_, T> {
    /// Puts `item` there. Its key must be the one that was looked for.
    pub(crate) fn insert(self, item: Pin<UniqueArc<T>>) -> Arc<T> {
        let item: Arc<T> = item.into();
        let owned = Arc::into_raw(item.clone());
        // SAFETY: The item was unique, so it is in no tree, and its node is ours. It is alive for as
        // long as it is in the tree, which owns a reference. Link and parent are valid, by the type's
        // invariants.
        unsafe {
            let node = Node::of(owned);
            node.write(bindings::rb_node {
                __rb_parent_color: self.parent as usize,
                ..pin_init::zeroed()
            });
            *self.link = node;
            bindings::rb_insert_color(node, self.root);
        }
        item
    }
}

/// The items of a tree.
///
/// # Invariants
///
/// `node` is null or a node of the tree, which is borrowed for `'a`.
pub(crate) struct Iter<'a, T: HasNode> {
    node: *mut bindings::rb_node,
    _tree: PhantomData<&'a Tree<T>>,
}

impl<'a, T: HasNode> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.node.is_null() {
            return None;
        }
        // SAFETY: By the type's invariants; the tree owns a reference to the item.
        unsafe {
            let item = item_of::<T>(self.node);
            self.node = bindings::rb_next(self.node);
            Some(&*item)
        }
    }
}
