//! Writes protobuf: field headers, and fields of the few kinds that OTLP uses.
//!
//! For messages that are encoded piece by piece. A message may be written in any order and in pieces, and a field that
//! holds a message looks like one that holds bytes.

use prost::encoding::{WireType, encode_varint, encoded_len_varint, key_len};

/// Writes a varint. Most tags and lengths fit into a byte, and there are millions of them.
fn varint(value: u64, to: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => to.push(byte),
        _ => encode_varint(value, to),
    }
}

/// Writes the key of a field.
fn key(tag: u32, wire: WireType, to: &mut Vec<u8>) {
    varint(u64::from(tag) << 3 | wire as u64, to);
}

/// Begins a field that holds a message (or text, or bytes) of this many bytes.
pub(crate) fn begin(tag: u32, bytes: usize, to: &mut Vec<u8>) {
    key(tag, WireType::LengthDelimited, to);
    varint(bytes as u64, to);
}

/// The size of such a field, with its header.
pub(crate) fn field_len(tag: u32, bytes: usize) -> usize {
    key_len(tag) + encoded_len_varint(bytes as u64) + bytes
}

/// Writes a field that holds a message (or text, or bytes).
pub(crate) fn put(tag: u32, bytes: &[u8], to: &mut Vec<u8>) {
    begin(tag, bytes.len(), to);
    to.extend_from_slice(bytes);
}

/// Writes a field that holds an integer, a bool or an enum.
pub(crate) fn put_varint(tag: u32, value: u64, to: &mut Vec<u8>) {
    key(tag, WireType::Varint, to);
    varint(value, to);
}

/// The size of such a field.
pub(crate) fn varint_len(tag: u32, value: u64) -> usize {
    key_len(tag) + encoded_len_varint(value)
}

/// Writes a field of eight bytes: a time, or a `double` by its bits.
pub(crate) fn put_fixed(tag: u32, value: u64, to: &mut Vec<u8>) {
    key(tag, WireType::SixtyFourBit, to);
    to.extend_from_slice(&value.to_le_bytes());
}

/// The size of such a field.
pub(crate) fn fixed_len(tag: u32) -> usize {
    key_len(tag) + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_keys_are_encoded_as_by_prost() {
        for value in [0, 1, 0x7f, 0x80, 300, u64::from(u32::MAX), u64::MAX] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for tag in [1, 15, 16, 3_000] {
                put_varint(tag, value, &mut ours);
                prost::encoding::encode_key(tag, WireType::Varint, &mut theirs);
                encode_varint(value, &mut theirs);
            }
            assert_eq!(ours, theirs, "{value}");
        }
    }
}
