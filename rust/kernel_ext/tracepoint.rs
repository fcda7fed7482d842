// SPDX-License-Identifier: GPL-2.0

//! A module's own tracepoints, as safe functions: a static branch each while they are off.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)
//!
//! `kernel::declare_trace!` serves only tracepoints that are in the kernel's own bindings, and is
//! unsafe to call. It evaluates the arguments also while a tracepoint is off: the branch is opaque
//! to the compiler, which can't move the loads behind it. Here the branch is a function of its own,
//! so a caller can evaluate the arguments behind it, as the macros of C do.

/// An argument that a tracepoint can take from safe code.
///
/// # Safety
///
/// A value of the type is an integer, or a reference to integers that lives for the call.
pub(crate) unsafe trait TraceArg {}

macro_rules! impl_trace_arg {
    ($($type:ty)*) => {$(
        // SAFETY: An integer.
        unsafe impl TraceArg for $type {}
    )*};
}
impl_trace_arg!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

// SAFETY: The type has no padding, and its bytes are plain values. It has no interior mutability.
unsafe impl<T: zerocopy::IntoBytes + zerocopy::Immutable> TraceArg for &T {}

/// Checks at compile time that a tracepoint takes `T`.
pub(crate) const fn check<T: TraceArg>(_: &T) {}

/// Declares tracepoints: the module `is_on` has a function for each that says whether anybody
/// listens, and the module `record` one that records.
///
/// The functions of `$bindings` must have the types that C has, as bindgen's have: the macro can't
/// check that.
///
/// `declare_trace!` is invoked in the parent of the module `$bindings`, which is bindgen's output
/// for the header that declares them. That header is included with `CREATE_RUST_TRACE_POINTS` by a
/// C file of the same module.
///
/// # Examples
///
/// ```
/// mod bindings {
///     // bindgen makes this of `TRACE_EVENT(sample_open, ...)`.
///     extern "C" {
///         pub(crate) static mut __tracepoint_sample_open: kernel::bindings::tracepoint;
///         pub(crate) fn rust_do_trace_sample_open(number: u32);
///     }
/// }
///
/// crate::kernel_ext::tracepoint::declare_trace! {
///     system: sample, bindings: bindings;
///     /// A file was opened.
///     fn open(number: u32);
/// }
///
/// fn opened(number: u32) {
///     if is_on::open() {
///         record::open(number);
///     }
/// }
/// ```
macro_rules! declare_trace {
    (
        system: $system:ident, bindings: $bindings:ident;
        $($(#[$attr:meta])* fn $name:ident($($arg:ident : $type:ty),* $(,)?);)*
    ) => {
        /// Whether anybody listens to a tracepoint.
        pub(crate) mod is_on {
            $(
                #[doc = concat!("See [`", stringify!($name), "`](super::record::", stringify!($name), ").")]
                #[inline(always)]
                pub(crate) fn $name() -> bool {
                    kernel::macros::paste! {
                        // SAFETY: The static key is that of a tracepoint of this module.
                        unsafe {
                            kernel::jump_label::static_branch_unlikely!(
                                super::$bindings::[< __tracepoint_ $system _ $name >],
                                kernel::bindings::tracepoint,
                                key
                            )
                        }
                    }
                }
            )*
        }

        /// The tracepoints' records.
        pub(crate) mod record {
            use super::*;
            $(
                $(#[$attr])*
                #[cold]
                pub(crate) fn $name($($arg: $type),*) {
                    $($crate::kernel_ext::tracepoint::check(&$arg);)*
                    kernel::macros::paste! {
                        // SAFETY: Its arguments are integers, or references that live for the
                        // call: `check` has seen that each is a `TraceArg`.
                        unsafe { super::$bindings::[< rust_do_trace_ $system _ $name >]($($arg),*) };
                    }
                }
            )*
        }
    }
}
pub(crate) use declare_trace;
