//! The seam under the store: an ordered map from bytes to bytes that writes in atomic batches.
//!
//! [`Kv`] is all that a storage engine implements. Everything above it (keys, formats, indexes, transactions) is the same on
//! every engine. Three properties shape the interface:
//!
//! - **Calls are few and large.** On an engine behind a network each call is a round trip, so [`Kv::get_many`] and
//!   [`Kv::range_many`] read what a whole page of records needs at once.
//! - **A range is read in pages.** [`Pages`] continues after the last key it returned, so no engine has to hold a snapshot or
//!   a server-side cursor while its caller works.
//! - **A write is fenced.** A batch carries a [`Guard`], and the engine checks it in the same step as the write. A writer that
//!   was overtaken by another one fails and changes nothing.
//!
//! The trait is synchronous because its callers are: they compute between reads, and run where blocking is allowed. It is
//! object-safe, so that [`super::Store`] stays one type, whatever is below; a virtual call costs nothing beside a read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format;
use super::key::{Key, Kind};
use super::unit::Unit;
use crate::model::error::{Error, ErrorKind, Result};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The writes of one batch: a value puts its key, `None` removes it. No key occurs twice.
pub type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// One delivery: what a request to `POST /v1/ops` or `/mcp` held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The UUID under which it was delivered.
    pub id: String,
    /// The source that it is for.
    pub source: String,
    /// Its lines.
    pub body: String,
}

/// Keys [`Pages`] reads at a time.
pub(super) const PAGE: usize = 256;

/// A storage engine.
pub trait Kv: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// When the engine cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The values of keys, in their order.
    ///
    /// # Errors
    /// When the engine cannot be read.
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>>;

    /// The first pairs of a range in the order of keys, `limit` at most. Fewer than `limit` means that the range ends here.
    ///
    /// # Errors
    /// When the engine cannot be read.
    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>>;

    /// All pairs of each range, in the order of ranges. For ranges that are known to be small, such as one entry of an index.
    ///
    /// # Errors
    /// When the engine cannot be read.
    fn range_many(&self, ranges: &[KeyRange]) -> Result<Vec<Vec<Pair>>>;

    /// Checks the guard and applies the batch as one atomic step. When it returns, the batch is durable.
    ///
    /// # Errors
    /// When the guard does not hold any more, or the engine cannot write. Nothing of the batch was applied then.
    fn write_batch(&self, batch: Batch, guard: &Guard) -> Result<()>;

    /// Waits for the other writers of an engine that several processes share, and reads the journal head. Whoever has the turn
    /// reads what nobody changes meanwhile. It is a courtesy, so that no work is done in vain: what holds is the guard.
    ///
    /// # Errors
    /// When the engine cannot be read.
    fn turn(&self) -> Result<WriteTurn> {
        Ok(WriteTurn { head: head(self.get(&Guard::key())?.as_deref())?, _end: None })
    }

    /// The bytes it takes on disk.
    ///
    /// # Errors
    /// When the engine cannot be measured.
    fn size(&self) -> Result<u64>;

    /// Whether a batch could be written now.
    ///
    /// # Errors
    /// When there is no room for it. The error says what to do.
    fn check_writable(&self) -> Result<()> {
        Ok(())
    }

    /// What was reported to any process that shares the engine and is not stored yet, in the order of its arrival.
    ///
    /// # Errors
    /// When the engine cannot be read.
    fn inbox(&self) -> Result<Vec<Delivered>> {
        Ok(Vec::new())
    }

    /// Why the last write failed, or the last attempt to get the right to write, if that is known. The next one may succeed.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The turn of a writer. It ends when this is dropped.
pub struct WriteTurn {
    /// The journal head at its beginning.
    pub(super) head: u64,
    /// Ends it.
    pub(super) _end: Option<Box<dyn Send>>,
}

/// The keys from `from` (included) up to `to` (excluded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub from: Vec<u8>,
    /// The first key after the range; `None` when it goes up to the last key there is.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub const fn all() -> Self {
        Self { from: Vec::new(), to: None }
    }

    /// The keys from `from` up to, but without, `to`.
    pub const fn between(from: Vec<u8>, to: Vec<u8>) -> Self {
        Self { from, to: Some(to) }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let mut to = prefix.clone();
        while to.pop_if(|last| *last == u8::MAX).is_some() {}
        let to = to.pop().map(|last| [to.as_slice(), &[last + 1]].concat());
        Self { from: prefix, to }
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// The precondition of a batch: the journal head is still the one that its writer started from.
///
/// One process at a time writes to an embedded engine, so there the guard never fails. An engine that several processes
/// share needs it: each commit moves the head, so of two writers that started from the same head only one succeeds. There the
/// writer must also hold the lease of the unit it writes for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    expected: u64,
    next: u64,
    unit: Option<Unit>,
}

impl Guard {
    /// A batch that moves the head from `expected` to `next`.
    pub const fn moving(expected: u64, next: u64) -> Self {
        Self { expected, next, unit: None }
    }

    /// A batch that leaves the head where it is.
    pub const fn at(head: u64) -> Self {
        Self::moving(head, head)
    }

    /// The same for a write of this unit.
    #[must_use]
    pub fn of(self, unit: Option<Unit>) -> Self {
        Self { unit, ..self }
    }

    /// The unit it is for; `None` for what belongs to no unit.
    pub const fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// The journal head that the writer started from.
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// The journal head once the batch is written.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Compares what is stored under [`Guard::key`] with what the writer expects.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] with the context `conflict` when another writer moved the head; when the value is damaged.
    pub fn check(&self, stored: Option<&[u8]>) -> Result<()> {
        let found = head(stored)?;
        if found == self.expected {
            return Ok(());
        }
        let text = "write to the store: another process wrote to it meanwhile; stop one of the two, then run again";
        Err(Error::new(ErrorKind::Store, text)
            .with("conflict", "true")
            .with("expected", self.expected)
            .with("found", found))
    }

    /// The key of the journal head, which an engine reads (and locks) to check a guard.
    pub fn key() -> Vec<u8> {
        Key::new(Kind::Meta).text("head").build()
    }
}

/// The journal head from the bytes stored under [`Guard::key`]; a new store has none yet.
pub(super) fn head(stored: Option<&[u8]>) -> Result<u64> {
    Ok(stored.map(format::decode).transpose()?.unwrap_or(0))
}

/// Reads a range page by page. Ends after the first error.
pub(super) struct Pages {
    kv: Arc<dyn Kv>,
    /// What is not read yet; `None` at the end.
    rest: Option<KeyRange>,
    page: std::vec::IntoIter<Pair>,
}

impl Pages {
    pub(super) fn new(kv: &Arc<dyn Kv>, range: KeyRange) -> Self {
        Self { kv: Arc::clone(kv), rest: Some(range), page: Vec::new().into_iter() }
    }

    fn next_page(&mut self) -> Result<()> {
        let Some(mut range) = self.rest.take() else { return Ok(()) };
        let page = self.kv.range(&range, PAGE)?;
        if let (PAGE, Some((last, _))) = (page.len(), page.last()) {
            // The smallest key after `last`.
            range.from = [last.as_slice(), &[0]].concat();
            self.rest = Some(range);
        }
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Pages {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Result<Pair>> {
        if self.page.as_slice().is_empty()
            && let Err(error) = self.next_page()
        {
            return Some(Err(error));
        }
        self.page.next().map(Ok)
    }
}
