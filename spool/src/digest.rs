//! The hash behind names of lanes: SHA-256 over parts that cannot run into each other, which any language can compute.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

/// SHA-256 over the parts, each as `<length in bytes>:<text>,`, in 64 hex digits.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(format!("{}:", part.len()).as_bytes());
        context.update(part.as_bytes());
        context.update(b",");
    }
    let mut text = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
