// SPDX-License-Identifier: MIT OR Apache-2.0
//! A set of signals, as the kernel has it.

/// A set of signals, for [`Instance::wait_masked`](crate::Instance::wait_masked).
///
/// ```
/// let set = repoll::SignalSet::from_iter([libc::SIGINT, libc::SIGTERM]);
/// assert!(set.contains(libc::SIGTERM) && !set.contains(libc::SIGHUP));
/// ```
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// A set without signals.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Adds a signal. A number that no signal has (they are 1 to 64) is left out.
    pub fn insert(&mut self, signal: i32) {
        self.0 |= bit(signal);
    }

    /// Removes a signal.
    pub fn remove(&mut self, signal: i32) {
        self.0 &= !bit(signal);
    }

    /// Whether a signal is in the set.
    pub const fn contains(&self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }
}

/// Signal 1 is bit 0; zero for a number that no signal has.
const fn bit(signal: i32) -> u64 {
    if 1 <= signal && signal <= 64 {
        1 << (signal - 1)
    } else {
        0
    }
}

impl Extend<i32> for SignalSet {
    fn extend<I: IntoIterator<Item = i32>>(&mut self, signals: I) {
        signals.into_iter().for_each(|signal| self.insert(signal));
    }
}

impl FromIterator<i32> for SignalSet {
    fn from_iter<I: IntoIterator<Item = i32>>(signals: I) -> Self {
        let mut set = Self::empty();
        set.extend(signals);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_signals_1_to_64_at_the_kernels_bits() {
        let mut set = SignalSet::from_iter([1, 64, 0, 65, -1]);
        assert_eq!(set, SignalSet(1 | (1 << 63)));
        set.remove(1);
        set.remove(0);
        assert_eq!(set, SignalSet(1 << 63));
        assert!(set.contains(64) && !set.contains(1) && !set.contains(0) && !set.contains(65));
    }
}
