//! Percent-encoding, as the variables of OpenTelemetry have it in the values of headers.

/// The text that is meant; `None` when it is not UTF-8, or when a `%` is followed by no two hexadecimal digits.
#[must_use]
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (code, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    #[test]
    fn what_is_no_encoding_is_none() {
        assert_eq!(percent_decode("Basic%20YTpi%C3%A9").as_deref(), Some("Basic YTpié"));
        for odd in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decode(odd), None, "{odd}");
        }
    }
}
