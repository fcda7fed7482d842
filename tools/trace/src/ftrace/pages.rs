// SPDX-License-Identifier: GPL-2.0
//! Pages of the kernel's ring buffer, as read from `trace_pipe_raw`: the events of one CPU.
//!
//! See `include/linux/ring_buffer.h` and, in the kernel's documentation, "Lockless Ring Buffer
//! Design". All numbers are little-endian, all `long`s of 64 bits.

/// The size of a page's header: the time of its first event, and the number of bytes used.
const HEADER: usize = 16;
/// The bits of the header's second word that hold the number of bytes used.
const LENGTH: u64 = (1 << 27) - 1;
/// The number of low bits of the time that an absolute time stamp holds.
const STAMP_BITS: u32 = 59;

/// Values of the low bits of an event's first word that are not a plain length.
const LONG: u32 = 0;
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;

/// The page is damaged: its events do not fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// The number of bytes used in a page.
pub fn used(page: &[u8]) -> usize {
    u64_at(page, 8).map_or(0, |commit| (commit & LENGTH) as usize)
}

/// Calls `found` with the time and the data of each event in a page.
///
/// # Errors
///
/// When the page is damaged, after the events before the damage.
pub fn events(page: &[u8], mut found: impl FnMut(u64, &[u8])) -> Result<(), Damaged> {
    let start = u64_at(page, 0)?;
    let used = (u64_at(page, 8)? & LENGTH) as usize;
    let mut rest = page.get(HEADER..HEADER + used).ok_or(Damaged)?;
    let mut time = start;
    while !rest.is_empty() {
        let word = u32_at(rest, 0)?;
        let (kind, delta) = (word & 31, u64::from(word >> 5));
        let (data, length) = match kind {
            // The page ends here.
            PADDING if delta == 0 => return Ok(()),
            PADDING => (None, 4 + u32_at(rest, 4)? as usize),
            TIME_EXTEND => {
                time = time.wrapping_add((u64::from(u32_at(rest, 4)?) << 27) + delta);
                (None, 8)
            }
            TIME_STAMP => {
                let stamp = (u64::from(u32_at(rest, 4)?) << 27) + delta;
                let high = start >> STAMP_BITS << STAMP_BITS;
                time = high | (stamp & ((1 << STAMP_BITS) - 1));
                if time < start {
                    time = time.wrapping_add(1 << STAMP_BITS);
                }
                (None, 8)
            }
            LONG => {
                let length = u32_at(rest, 4)? as usize;
                if length < 4 {
                    return Err(Damaged);
                }
                (Some(8), 4 + length)
            }
            words => (Some(4), 4 + 4 * words as usize),
        };
        let event = rest.get(..length).ok_or(Damaged)?;
        if kind != TIME_EXTEND && kind != TIME_STAMP {
            time = time.wrapping_add(delta);
        }
        if let Some(data) = data {
            found(time, event.get(data..).ok_or(Damaged)?);
        }
        rest = rest.get(length.next_multiple_of(4)..).ok_or(Damaged)?;
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Damaged> {
    let bytes = bytes.get(at..at + 4).ok_or(Damaged)?;
    bytes
        .try_into()
        .map(u32::from_le_bytes)
        .map_err(|_| Damaged)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Damaged> {
    let bytes = bytes.get(at..at + 8).ok_or(Damaged)?;
    bytes
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(start: u64, words: &[u32]) -> Vec<u8> {
        let mut page = start.to_le_bytes().to_vec();
        page.extend((words.len() as u64 * 4).to_le_bytes());
        words
            .iter()
            .for_each(|word| page.extend(word.to_le_bytes()));
        page
    }

    fn all(page: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, Damaged> {
        let mut found = Vec::new();
        events(page, |time, data| found.push((time, data.to_vec())))?;
        Ok(found)
    }

    #[test]
    fn events_have_the_time_of_the_one_before_and_their_own() {
        let words = [
            (5 << 5) | 1, // 5 ns later: four bytes
            0x0403_0201,
            (7 << 5) | TIME_EXTEND, // 2^27 + 7 ns
            1,
            (3 << 5) | LONG, // 3 ns later: a length of its own
            8,
            0x0807_0605,
        ];
        let found = all(&page(1000, &words)).expect("a page");
        assert_eq!(found[0], (1005, vec![1, 2, 3, 4]));
        assert_eq!(found[1], (1005 + (1 << 27) + 7 + 3, vec![5, 6, 7, 8]));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn absolute_times_keep_the_high_bits() {
        let start = (3 << STAMP_BITS) + 10;
        let found = all(&page(start, &[(5 << 5) | TIME_STAMP, 1, 1, 9])).expect("a page");
        assert_eq!(found[0].0, (3 << STAMP_BITS) + (1 << 27) + 5);
    }

    #[test]
    fn padding_is_skipped_and_ends_a_page() {
        let words = [(2 << 5) | PADDING, 4, 1, 7, PADDING, 77, 78];
        assert_eq!(all(&page(0, &words)).expect("a page").len(), 1);
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(all(&[0; 15]), Err(Damaged));
        assert_eq!(all(&page(0, &[2])), Err(Damaged));
        assert_eq!(all(&page(0, &[0, 3])), Err(Damaged));
        assert_eq!(all(&page(0, &[0, u32::MAX])), Err(Damaged));
        let mut long = page(0, &[1, 0]);
        long[8] = 200;
        assert_eq!(all(&long), Err(Damaged));
    }
}
