//! The words of a text, for search: lower case, split at case and punctuation, Chinese, Japanese and Korean by pairs of letters.

use super::identity::composed;

/// Calls `each` with every word of a text, in order.
pub(super) fn each(text: &str, mut each: impl FnMut(&str)) {
    if text.is_ascii() {
        return split(text, &mut each);
    }
    split(&composed(text), &mut each);
}

fn split(text: &str, each: &mut dyn FnMut(&str)) {
    for run in text.split(|letter: char| !letter.is_alphanumeric()).filter(|run| !run.is_empty()) {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let end = if is_cjk(first) { end_of_cjk(rest) } else { end_of_word(rest) };
            let (word, tail) = rest.split_at(end);
            if is_cjk(first) {
                pairs(word, each)
            } else {
                each(&word.to_lowercase())
            }
            rest = tail;
        }
    }
}

fn end_of_cjk(text: &str) -> usize {
    text.find(|letter| !is_cjk(letter)).unwrap_or(text.len())
}

/// Where a word ends: before a capital that follows a small letter, and before the last of several capitals that a small letter
/// follows (`HTTPServer`).
fn end_of_word(text: &str) -> usize {
    let mut before: Option<char> = None;
    let mut letters = text.char_indices().peekable();
    while let Some((place, letter)) = letters.next() {
        let starts = match before {
            None => false,
            Some(_) if is_cjk(letter) => true,
            Some(_) if !letter.is_uppercase() => false,
            Some(last) if last.is_uppercase() => letters.peek().is_some_and(|(_, next)| next.is_lowercase()),
            Some(_) => true,
        };
        if starts {
            return place;
        }
        before = Some(letter);
    }
    text.len()
}

fn pairs(text: &str, each: &mut dyn FnMut(&str)) {
    let starts: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
    if starts.len() == 2 {
        return each(text);
    }
    starts.windows(3).for_each(|pair| each(&text[pair[0]..pair[2]]));
}

fn is_cjk(letter: char) -> bool {
    matches!(letter, '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{2fdf}' | '\u{3040}'..='\u{30ff}' | '\u{3130}'..='\u{318f}'
        | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    fn tokens(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        super::each(text, |word| all.push(word.to_owned()));
        all
    }

    #[test]
    fn words_end_at_case_and_punctuation() {
        assert_eq!(tokens("PaymentGateway"), ["payment", "gateway"]);
        assert_eq!(
            tokens("HTTPServer v2, order_id; e2e-Tests"),
            ["http", "server", "v2", "order", "id", "e2e", "tests"]
        );
        assert_eq!(tokens("ÜberGröße cafe\u{301}"), ["über", "größe", "café"]);
        assert_eq!(tokens("  —  "), [""; 0]);
    }

    #[test]
    fn cjk_is_read_by_pairs() {
        assert_eq!(tokens("数据库 x"), ["数据", "据库", "x"]);
        assert_eq!(tokens("猫API"), ["猫", "api"]);
    }
}
