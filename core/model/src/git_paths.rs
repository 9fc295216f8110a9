//! Paths as git prints them. Unless it ends them with NUL (`-z`), git puts one with other than plain ASCII in double quotes, with the
//! escapes of C: `"src/checkout/\303\251.py"` is `src/checkout/é.py` (`core.quotePath` in git-config(1)).

/// The paths of a list: each ends in NUL if there is any, else in a line break, and then those in quotes are read as git means them.
/// Bytes that are no UTF-8 become `U+FFFD`.
#[must_use]
pub fn listed(bytes: &[u8]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if bytes.contains(&0) {
        return bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(text).collect();
    }
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let path = |line: &[u8]| {
        let line = text(line);
        unquoted(&line).unwrap_or(line)
    };
    lines.filter(|line| !line.trim_ascii().is_empty()).map(path).collect()
}

/// The path that git means by one in quotes; `None` for one that is not in quotes, or that git would not write so.
#[must_use]
pub fn unquoted(printed: &str) -> Option<String> {
    let inside = printed.strip_prefix('"')?.strip_suffix('"')?;
    let (mut bytes, mut rest) = (Vec::new(), inside.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let (byte, after) = match first {
            b'\\' => escaped(more)?,
            b'"' => return None,
            plain => (*plain, more),
        };
        bytes.push(byte);
        rest = after;
    }
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The byte that begins `rest`, which stands behind a backslash, and what comes after it.
fn escaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    if let [high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', after @ ..] = rest {
        return Some((((high - b'0') << 6) | ((middle - b'0') << 3) | (low - b'0'), after));
    }
    let (letter, after) = rest.split_first()?;
    let byte = match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'"' | b'\\' => *letter,
        _ => return None,
    };
    Some((byte, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_are_read_as_git_writes_them() {
        for (printed, want) in [
            (r#""src/checkout/\303\251.py""#, Some("src/checkout/é.py")),
            (r#""a\tb\"c\\d\n\001""#, Some("a\tb\"c\\d\n\u{1}")),
            (r#""\377""#, Some("\u{fffd}")),
            ("src/é.py", None),
            (r#""src"#, None),
            (r#"""#, None),
            (r#""""#, None),
            (r#""a"b""#, None),
            (r#""a\x""#, None),
            (r#""a\""#, None),
            (r#""\400""#, None),
        ] {
            assert_eq!(unquoted(printed).as_deref(), want, "{printed}");
        }
    }

    #[test]
    fn a_list_ends_its_paths_with_nul_or_in_lines() {
        assert_eq!(listed(b"a b\n\n\"\\303\\251\"\r\n"), ["a b", "é"]);
        assert_eq!(listed(b"a\nb\0\"c\"\0"), ["a\nb", "\"c\""], "as it is");
        assert_eq!(listed(b"src/\xff.py"), ["src/\u{fffd}.py"]);
        assert_eq!(listed(b""), [""; 0]);
    }
}
