// SPDX-License-Identifier: GPL-2.0

//! A red-black tree of reference-counted items whose nodes are part of the items.
//!
//! C header: [`include/linux/rbtree.h`](srctree/include/linux/rbtree.h)
//!
//! As `kernel::rbtree`, whose nodes are allocations of their own, with a copy of the key.
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::rbtree::{HasNode, Node, Tree};
//! use core::mem::offset_of;
//! use kernel::sync::UniqueArc;
//!
//! struct Port {
//!     number: u16,
//!     node: Node,
//! }
//!
//! // SAFETY: The node is there.
//! unsafe impl HasNode for Port {
//!     const OFFSET: usize = offset_of!(Self, node);
//!     type Key = u16;
//!
//!     fn key(&self) -> u16 {
//!         self.number
//!     }
//! }
//!
//! fn add(ports: &mut Tree<Port>, number: u16) -> Result {
//!     let vacancy = ports.vacancy(&number).ok_or(EEXIST)?;
//!     let port = Port { number, node: Node::new() };
//!     vacancy.insert(UniqueArc::new(port, GFP_KERNEL)?.into());
//!     Ok(())
//! }
//!
//! fn lowest(ports: &Tree<Port>) -> Option<u16> {
//!     ports.iter().next().map(|port| port.number)
//! }
//! ```

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

/// The part of an item that a tree uses. `ID` tells the nodes of an item apart.
///
/// # Invariants
///
/// While the item is in a tree with this `ID`, the node is that tree's.
pub(crate) struct Node<const ID: u64 = 0>(UnsafeCell<bindings::rb_node>);

impl<const ID: u64> Node<ID> {
    /// A node that is in no tree.
    pub(crate) const fn new() -> Self {
        // INVARIANT: In no tree.
        Self(UnsafeCell::new(pin_init::zeroed()))
    }

    /// The node of `item`.
    ///
    /// # Safety
    ///
    /// `item` is valid.
    unsafe fn of<T: HasNode<ID>>(item: *const T) -> *mut bindings::rb_node {
        // SAFETY: By the contract, and that of `HasNode`.
        let node = unsafe { item.byte_add(T::OFFSET).cast::<Self>() };
        // SAFETY: So the node is valid.
        UnsafeCell::raw_get(unsafe { &raw const (*node).0 })
    }
}

/// An item that can be in a tree with this `ID`. A type with several nodes can be in several kinds
/// of trees, each with a key of its own; one item is in one tree at a time.
///
/// # Safety
///
/// At `OFFSET` bytes from the item's start there is a [`Node<ID>`], which nothing moves or
/// overwrites while the item is shared.
pub(crate) unsafe trait HasNode<const ID: u64 = 0> {
    /// The node's offset.
    const OFFSET: usize;

    /// The key that the item is found by. If it changes while the item is in a tree, the item is
    /// not found.
    type Key: Ord;

    /// The item's key.
    fn key(&self) -> Self::Key;
}

/// Items in the order of their keys. The tree owns a reference to each.
///
/// # Invariants
///
/// All nodes of the tree are those of valid items, which have been inserted as unique references:
/// so they are in no other tree. The tree owns a reference to each item.
pub(crate) struct Tree<T: HasNode<ID>, const ID: u64 = 0> {
    root: bindings::rb_root,
    _items: PhantomData<Arc<T>>,
}

// SAFETY: The tree owns references to `T`s that may be used and dropped on any thread.
unsafe impl<T: HasNode<ID> + Send + Sync, const ID: u64> Send for Tree<T, ID> {}

/// The item of `node`.
///
/// # Safety
///
/// `node` is the [`Node<ID>`] of a `T`.
unsafe fn item_of<T: HasNode<ID>, const ID: u64>(node: *mut bindings::rb_node) -> *mut T {
    // SAFETY: By the contract, and that of `HasNode`.
    unsafe { node.byte_sub(T::OFFSET).cast() }
}

impl<T: HasNode<ID>, const ID: u64> Tree<T, ID> {
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

    /// The place of `key`: the link to its node, or null, and the node that the link is part of.
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
                match key.cmp(&(*item_of::<T, ID>(node)).key()) {
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
        // SAFETY: The tree is borrowed. The link is valid, and leads to nothing or to a node of the
        // tree, which owns a reference to its item.
        unsafe {
            let (link, _) = Self::search(&raw mut self.root, key);
            let node = *link;
            (!node.is_null()).then(|| ArcBorrow::from_raw(item_of::<T, ID>(node)))
        }
    }

    /// The place for an item with this key; `None` if there is one.
    pub(crate) fn vacancy(&mut self, key: &T::Key) -> Option<Vacancy<'_, T, ID>> {
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
        // SAFETY: The tree is borrowed. The link is valid, and leads to nothing or to a node of the
        // tree. The reference to its item, which the tree owned, is given away.
        unsafe {
            let (link, _) = Self::search(root, key);
            let node = *link;
            if node.is_null() {
                return None;
            }
            bindings::rb_erase(node, root);
            Some(Arc::from_raw(item_of::<T, ID>(node)))
        }
    }

    /// All items, in order.
    pub(crate) fn iter(&self) -> Iter<'_, T, ID> {
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

impl<T: HasNode<ID>, const ID: u64> Drop for Tree<T, ID> {
    fn drop(&mut self) {
        // SAFETY: Nodes of the tree are valid. In this order an item's node is not accessed any
        // more when the item is dropped, with the reference that the tree owned.
        unsafe {
            let mut node = bindings::rb_first_postorder(&raw const self.root);
            while !node.is_null() {
                let next = bindings::rb_next_postorder(node);
                drop(Arc::from_raw(item_of::<T, ID>(node)));
                node = next;
            }
        }
    }
}

/// A place in a tree for an item whose key it does not have.
///
/// # Invariants
///
/// `root` is that of the tree, which is borrowed for `'a`. `link` is null; [`Tree::search`] found
/// it for the key, below `parent`.
pub(crate) struct Vacancy<'a, T: HasNode<ID>, const ID: u64 = 0> {
    root: *mut bindings::rb_root,
    link: *mut *mut bindings::rb_node,
    parent: *mut bindings::rb_node,
    _tree: PhantomData<&'a mut Tree<T, ID>>,
}

impl<T: HasNode<ID>, const ID: u64> Vacancy<'_, T, ID> {
    /// Inserts `item`. Its key must be the one that [`Tree::vacancy`] was called with.
    pub(crate) fn insert(self, item: Pin<UniqueArc<T>>) -> Arc<T> {
        let item: Arc<T> = item.into();
        let owned = Arc::into_raw(item.clone());
        // SAFETY: The item was unique, so it is in no tree, and its node is ours. It is alive for
        // as long as it is in the tree, which owns a reference. Link and parent are valid, by the
        // type's invariants.
        unsafe {
            let node = Node::<ID>::of(owned);
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
pub(crate) struct Iter<'a, T: HasNode<ID>, const ID: u64 = 0> {
    node: *mut bindings::rb_node,
    _tree: PhantomData<&'a Tree<T, ID>>,
}

impl<'a, T: HasNode<ID>, const ID: u64> Iterator for Iter<'a, T, ID> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.node.is_null() {
            return None;
        }
        // SAFETY: By the type's invariants; the tree owns a reference to the item.
        unsafe {
            let item = item_of::<T, ID>(self.node);
            self.node = bindings::rb_next(self.node);
            Some(&*item)
        }
    }
}
