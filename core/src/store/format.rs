//! How values become bytes: a version byte, then postcard (zstd-compressed for what is large), or JSON.
//!
//! A value written by a newer version is refused with an error that says so. Each version keeps a golden sample in
//! `core/testdata/`.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zstd::bulk::{Compressor, Decompressor};

use crate::error::{Error, ErrorKind, Result};

/// The version this program writes, and the newest it reads.
pub(crate) const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// The fastest level: records are small and repeat themselves.
const LEVEL: i32 = 1;
/// Below this many bytes compression costs more than it saves.
const COMPRESS_FROM: usize = 256;
/// No value we write is larger; a corrupt length must not ask for all memory.
const MAX_VALUE: usize = 64 << 20;

thread_local! {
    // Making a zstd context costs several times as much as packing one record with it.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// The bytes of a value: version, coding, body.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "encode a value").caused_by(error))?;
    if body.len() < COMPRESS_FROM {
        return Ok([&[VERSION, PLAIN], body.as_slice()].concat());
    }
    let packed = PACKER.with_borrow_mut(|packer| match packer {
        Some(packer) => packer.compress(&body),
        None => zstd::bulk::compress(&body, LEVEL),
    });
    let packed = packed.map_err(|error| Error::new(ErrorKind::Internal, "compress a value").caused_by(error))?;
    Ok([&[VERSION, ZSTD], packed.as_slice()].concat())
}

/// The value of bytes that [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let broken = || Error::new(ErrorKind::Store, BROKEN);
    match bytes {
        [version, ..] if *version > VERSION => Err(newer(*version)),
        [VERSION, PLAIN, body @ ..] => postcard::from_bytes(body).map_err(|error| broken().caused_by(error)),
        [VERSION, ZSTD, body @ ..] => {
            let size = zstd::zstd_safe::get_frame_content_size(body).ok().flatten().unwrap_or(0);
            let size = usize::try_from(size).ok().filter(|size| *size <= MAX_VALUE).ok_or_else(broken)?;
            let unpacked = UNPACKER.with_borrow_mut(|unpacker| match unpacker {
                Some(unpacker) => unpacker.decompress(body, size),
                None => zstd::bulk::decompress(body, size),
            });
            let body = unpacked.map_err(|error| broken().caused_by(error))?;
            postcard::from_bytes(&body).map_err(|error| broken().caused_by(error))
        }
        _ => Err(broken()),
    }
}

/// What is said when a stored value cannot be read.
const BROKEN: &str = "read the store: a value is damaged; run `contextcore store verify`, or move the directory aside and \
                      sync again (the tools hold the truth, and ids stay the same)";

/// The error for something a newer program wrote.
pub(crate) fn newer(version: u8) -> Error {
    Error::new(ErrorKind::Store, "read the store: it was written by a newer contextcore; upgrade this program")
        .with("format", version)
        .with("newest_readable", VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_values_come_back() {
        for size in [3, 5_000] {
            let value: Vec<String> = (0..size).map(|n| format!("entry {n}")).collect();
            let bytes = encode(&value).unwrap();
            assert_eq!(decode::<Vec<String>>(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn damage_and_newer_versions_are_told_apart() {
        let bytes = encode(&"text".to_owned()).unwrap();
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert!(decode::<String>(&newer).unwrap_err().to_string().contains("newer"));
        assert!(decode::<String>(&bytes[..3]).unwrap_err().to_string().contains("damaged"));
    }
}
