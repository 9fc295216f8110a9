//! Parts: a history trace that would grow beyond Tempo's limit continues in another trace.
//!
//! Tempo drops what exceeds its limit of bytes per trace while answering "ok" (`deploy/backends/README.md`), so we
//! count what we send per root. Only final spans count, in the order of their ends, so that the same history gives the
//! same parts however it is split into exports. Re-sent anchors fit into the room left below the limits.

use serde::{Deserialize, Serialize};

/// Final spans a part may hold. With an anchor for each it stays below 10,000.
pub(crate) const MAX_SPANS: u32 = 5_000;
/// Encoded bytes of final spans a part may hold. With the anchors it stays below 3 MB.
pub(crate) const MAX_BYTES: u32 = 2_000_000;

/// How full the current part of a root's history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The number of the part, from 1.
    pub(crate) number: u32,
    spans: u32,
    bytes: u32,
}

impl Default for Part {
    fn default() -> Self {
        Self { number: 1, spans: 0, bytes: 0 }
    }
}

impl Part {
    /// The part for one more span of this size. Starts the next part when this one is full.
    pub(crate) fn place(&mut self, bytes: usize) -> u32 {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.spans >= MAX_SPANS || (self.spans > 0 && self.bytes.saturating_add(bytes) > MAX_BYTES) {
            *self = Self { number: self.number + 1, ..Self::default() };
        }
        self.spans += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is in every store: a new field changes these bytes and needs a new version.
    #[test]
    fn the_stored_form_does_not_change() {
        let part = Part { number: 2, spans: 300, bytes: 70_000 };
        let Part { number: _, spans: _, bytes: _ } = part;
        assert_eq!(postcard::to_stdvec(&part).unwrap(), [2, 172, 2, 240, 162, 4]);
    }

    #[test]
    fn a_full_part_is_followed_by_the_next() {
        let mut part = Part::default();
        assert!((0..MAX_SPANS).all(|_| part.place(10) == 1));
        assert_eq!(part.place(10), 2);
        let mut part = Part::default();
        assert_eq!(part.place(3_000_000), 1, "a span larger than a part is still sent");
        assert_eq!(part.place(1), 2);
    }
}
