//! Hashes of lists of texts, for ids that follow from facts.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Enough for the parts of most ids, with their lengths.
const USUAL_BYTES: usize = 128;

/// The hash of a list of texts. Each is preceded by its length, so that different lists never give the same bytes.
pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> blake3::Hash {
    // One buffer: feeding a hasher piece by piece costs several times as much, and every span and record has some ids.
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    blake3::hash(&bytes)
}

/// SHA-256 over texts, each as `<length in bytes>:<text>,`, in 64 hex digits: any language can compute it.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{}:{part},", part.len()));
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
