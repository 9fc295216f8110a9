//! Protobuf as it is written: the frame of a field, and fields of the few kinds that OTLP is made of.
//!
//! For what is encoded piece by piece, in [`crate::sink`] and [`crate::replay`]: a message may be written in any order and
//! in pieces, and a field that holds a message looks like one that holds bytes.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// Begins a field that holds a message (or text, or bytes) of so many bytes.
pub(crate) fn begin(tag: u32, bytes: usize, to: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, to);
    encode_varint(bytes as u64, to);
}

/// What such a field takes, its beginning included.
pub(crate) fn field_len(tag: u32, bytes: usize) -> usize {
    key_len(tag) + encoded_len_varint(bytes as u64) + bytes
}

/// Writes a field that holds a message (or text, or bytes).
pub(crate) fn put(tag: u32, bytes: &[u8], to: &mut Vec<u8>) {
    begin(tag, bytes.len(), to);
    to.extend_from_slice(bytes);
}

/// Writes a field that holds a number, a truth value or a member of an enumeration.
pub(crate) fn put_varint(tag: u32, value: u64, to: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, to);
    encode_varint(value, to);
}

/// What such a field takes.
pub(crate) fn varint_len(tag: u32, value: u64) -> usize {
    key_len(tag) + encoded_len_varint(value)
}

/// Writes a field of eight bytes: a time, or a `double` by its bits.
pub(crate) fn put_fixed(tag: u32, value: u64, to: &mut Vec<u8>) {
    encode_key(tag, WireType::SixtyFourBit, to);
    to.extend_from_slice(&value.to_le_bytes());
}

/// What such a field takes.
pub(crate) fn fixed_len(tag: u32) -> usize {
    key_len(tag) + 8
}
