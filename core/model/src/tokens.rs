//! How many tokens a text is, at most: what agents may read is limited in them. Pure.
//!
//! A token is counted as three bytes of ASCII or one character of anything else; digits, and letters that make no words, are counted higher,
//! as tokenizers do. `mcp/clients/check.sh` holds the count against a real tokenizer.

/// An upper bound of the tokens of a text, as `o200k_base` makes them.
#[must_use]
pub fn tokens(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut plain, mut odd, mut at) = (0, text.chars().filter(|c| !c.is_ascii()).count(), 0);
    while let Some(byte) = bytes.get(at) {
        let word = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if word > 0 {
            let (even, more) = of_word(&bytes[at..at + word]);
            (plain, odd, at) = (plain + even, odd + more, at + word);
            continue;
        }
        let is_digit = |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_digit);
        if b"-_:.+/#".contains(byte) && (is_digit(at.checked_sub(1)) || is_digit(Some(at + 1))) {
            odd += 1;
        } else if byte.is_ascii() {
            plain += 1;
        }
        at += 1;
    }
    plain.div_ceil(3) + odd
}

/// The letters of a word that count as text, and the tokens of the rest: digits, and letters that make no words, as in hashes, ids and
/// cursors.
fn of_word(word: &[u8]) -> (usize, usize) {
    let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let humps = word.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    let is_odd = word.len() > 16 || humps > 1 || word.iter().any(u8::is_ascii_digit);
    let (mut plain, mut odd) = (0, 0);
    for run in word.chunk_by(|one, other| class(one) == class(other)) {
        let length = run.len();
        match class(&run[0]) {
            (true, _) => odd += length.div_ceil(3),
            _ if is_odd => odd += (3 * length).div_ceil(4),
            (_, true) if length > 1 => odd += (3 * length).div_ceil(5),
            _ => plain += length,
        }
    }
    (plain, odd)
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn tokens_are_counted_from_above() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("abcd"), 2);
        assert_eq!(tokens("日本語"), 3);
        assert_eq!(tokens("aé"), 2);
    }

    const SAMPLES: &[(&str, usize)] = &[
        (r#"{"key":"PROJ-1234","created":"2026-11-26T21:04:00Z","updated":"2026-11-27T08:15:31.204Z"}"#, 43),
        (r#"{"id":"ins_7f3c0a9be2d14c55","evidence":"9fceb02d0ae598e95dc970b74767f19372d61af8"}"#, 45),
        (r#""next":"WyJ0YXNrcyIsWyJQUk9KLTEyMzQiLDE3MzI2NTQyMTBdXQ""#, 35),
        (r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}"#, 34),
        (r#""SHOP-1","SHOP-22","SHOP-333","PAY-4444""#, 18),
        (r#"The payment service retries three times with backoff (2026-11-20)."#, 17),
        (r#"{"percent":66.7,"done":12,"open":6,"cycle_time_days":{"p50":3.2,"p85":11.9,"tasks":41}}"#, 37),
    ];

    /// What `o200k_base` makes of them, by gpt-tokenizer 3.
    #[test]
    fn times_hashes_keys_and_cursors_are_counted_from_above() {
        for (text, real) in SAMPLES {
            assert!(tokens(text) >= *real, "{text}: {} of {real}", tokens(text));
        }
    }
}
