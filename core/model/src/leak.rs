//! Texts that look as if they held a secret, so that they are refused before anything is stored. Pure.
//!
//! Three signs: the prefix of a known kind of token, a password that is written as one (`password=…`, in an address, after
//! `Bearer`), and a run of characters as random as a generated key. Hashes and UUIDs are no secrets: commits are named by them.

/// The prefixes of tokens: with how many characters after it a word is one.
const PREFIXES: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxe-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("ATATT3", 20),
    ("ATCTT3", 20),
    ("lin_api_", 20),
    ("lin_oauth_", 20),
    ("sk-ant-", 16),
    ("sk-proj-", 16),
    ("sk-svcacct-", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("whsec_", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("GOCSPX-", 16),
    ("npm_", 30),
    ("pypi-AgE", 30),
    ("dckr_pat_", 16),
    ("hf_", 30),
    ("SG.", 30),
    ("glsa_", 20),
    ("glc_eyJ", 20),
    ("dop_v1_", 30),
    ("shpat_", 20),
    ("hvs.", 20),
    ("AGE-SECRET-KEY-", 20),
];
/// Names whose value is a secret.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "secret_key",
    "private_key",
    "client_secret",
];
/// A value of such a name is at least this long.
const SHORTEST_VALUE: usize = 8;
/// A run of characters is at least this long before it is taken for a key.
const SHORTEST_RUN: usize = 24;
/// Bits a character of a key that was generated.
const LEAST_ENTROPY: f64 = 3.9;
/// How often, in a hundred, a capital follows a small letter, or a digit and a letter each other. In names it is seldom.
const LEAST_CHANGES: usize = 28;

/// What in a text looks like a secret; `None` when nothing does. The answer never repeats the text.
pub fn looks_like_secret(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    let mut before = "";
    for word in text.split(|letter: char| letter.is_whitespace() || "\"'`,;()[]{}<>|".contains(letter)) {
        if word.is_empty() {
            continue;
        }
        if let Some(found) = in_word(before, word) {
            return Some(found);
        }
        before = word;
    }
    None
}

fn in_word(before: &str, word: &str) -> Option<&'static str> {
    if has_password(word) {
        return Some("an address with a password");
    }
    if before.eq_ignore_ascii_case("bearer") && word.len() >= SHORTEST_VALUE && is_mixed(word) {
        return Some("a bearer token");
    }
    if is_assigned(before, word) {
        return Some("a password");
    }
    // A token may stand in an assignment or in an address.
    let parts = word.split(['=', '?', '&', ':', '@', '#', '!', '…']);
    parts.filter(|part| !part.is_empty()).find_map(|part| {
        if has_prefix(part) || is_jwt(part) {
            Some("a token")
        } else if runs(part).any(is_random) {
            Some("a generated key")
        } else {
            None
        }
    })
}

fn has_prefix(word: &str) -> bool {
    let is_token =
        |rest: &str| rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte)).count();
    PREFIXES.iter().any(|(prefix, least)| word.strip_prefix(prefix).is_some_and(|rest| is_token(rest) >= *least))
}

/// Three parts in base64, of which two begin as JSON does.
fn is_jwt(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3 && parts[..2].iter().all(|part| part.starts_with("eyJ")) && parts[2].len() >= SHORTEST_VALUE
}

/// `scheme://user:password@host`. Placeholders are no passwords.
fn has_password(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else { return false };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !is_placeholder(password))
}

fn is_placeholder(value: &str) -> bool {
    value.is_empty() || value.starts_with(['$', '<', '{', '%', '*', '.', '…']) || value.eq_ignore_ascii_case("password")
}

/// `password=value`, or the value after a word `password:`.
fn is_assigned(before: &str, word: &str) -> bool {
    let is_name = |name: &str| {
        let name = name.trim_start_matches('-').to_ascii_lowercase();
        NAMES.iter().any(|secret| {
            name == *secret || name.ends_with(&format!("_{secret}")) || name.ends_with(&format!("-{secret}"))
        })
    };
    let is_value = |value: &str| {
        value.len() >= SHORTEST_VALUE && !is_placeholder(value) && is_mixed(value) && !value.contains('/')
    };
    if let Some((name, value)) = word.split_once(['=', ':'])
        && !value.is_empty()
    {
        return is_name(name) && is_value(value);
    }
    before.strip_suffix([':', '=']).is_some_and(is_name) && is_value(word)
}

/// Whether a word has letters, and digits or signs: no word of a language.
fn is_mixed(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    word.bytes().any(is_letter) && word.bytes().any(|byte| !is_letter(byte) && !b"-_.".contains(&byte))
}

/// The runs of characters that a key may consist of. What follows the name of a hash is one.
fn runs(word: &str) -> impl Iterator<Item = &str> {
    let is_hash = ["sha256-", "sha384-", "sha512-"].iter().any(|name| word.starts_with(name));
    let in_run = |letter: char| letter.is_ascii_alphanumeric() || "+/_-".contains(letter);
    word.split(move |letter| !in_run(letter)).filter(move |run| !is_hash && run.len() >= SHORTEST_RUN)
}

/// Whether a run is as random as a generated key. Paths and names have words in them; hashes and UUIDs are hexadecimal.
fn is_random(run: &str) -> bool {
    let bytes = run.as_bytes();
    let has = |class: fn(&u8) -> bool| bytes.iter().any(class);
    let is_hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let all_classes = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let pairs = || bytes.windows(2).filter(|pair| pair.iter().all(u8::is_ascii_alphanumeric));
    let changes = pairs().filter(|pair| changes_class(pair[0], pair[1])).count();
    !is_hex && all_classes && changes * 100 >= LEAST_CHANGES * pairs().count() && entropy(bytes) >= LEAST_ENTROPY
}

/// A small letter after a capital is how names are written.
const fn changes_class(byte: u8, next: u8) -> bool {
    (byte.is_ascii_lowercase() && next.is_ascii_uppercase()) || byte.is_ascii_digit() != next.is_ascii_digit()
}

/// Shannon's entropy in bits a byte.
#[expect(clippy::cast_precision_loss, reason = "texts are short")]
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_usize; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let share = |count: usize| count as f64 / bytes.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A token of a kind, made here so that no file holds one.
    fn token(prefix: &str) -> String {
        format!("{prefix}{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")
    }

    #[test]
    fn tokens_passwords_and_keys_are_found() {
        for (prefix, _) in PREFIXES {
            let text = format!("use {} for it", token(prefix));
            assert!(looks_like_secret(&text).is_some(), "{prefix}");
            assert!(looks_like_secret(&format!("KEY={}.", token(prefix))).is_some(), "{prefix}");
        }
        for text in [
            "-----BEGIN RSA PRIVATE KEY----- x".to_owned(),
            "db at postgres://app:hunter22@db:5432/x".to_owned(),
            "password=hunter2!x".to_owned(),
            "the password: Tr0ub4dor&3".to_owned(),
            "--client-secret=abc12345".to_owned(),
            "Authorization: Bearer abc123def456".to_owned(),
            format!("{}.{}.{}", "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "dBjftJeZ4CVP-mBx"),
            "key wJa1rXUt9nFEMI/K7MDENG/bPxRf1CYz8AMPq3KEY".to_owned(),
        ] {
            assert!(looks_like_secret(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_engineers_write_is_no_secret() {
        for text in [
            "Selected event-driven architecture for order processing",
            "Revert 9fceb02d0ae598e95dc970b74767f19372d61af8, see PROJ-123",
            "digest sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "integrity sha512-MV7K9fG1sVjW3rT8yQ2nXz5cB4mN6kL0pO1iU2yT3rE4wQ5aS6dF7gH8jK9lZ0xC==",
            "trace 6f9619ff-8b86-d011-b42d-00cf4fc964ff span 00f067aa0ba902b7",
            "src/main/java/com/example/checkout/v2/CheckoutController2IntegrationTest.java",
            "https://github.com/acme/checkout-service/pull/1234#discussion_r1234567890",
            "The token is read from $GITHUB_TOKEN; password: see the vault",
            "set password=<yours> or postgres://app:$PASSWORD@db/x",
            "Tokens expire after 30 days, secrets rotate: nobody noticed",
            "AbstractSingletonProxyFactoryBeanTestContextV2",
            "feature/PROJ-123-Add-Retry-To-Payment-Gateway-v2",
            "ins_7f3c0a9be2d14c55 and 01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "token=false, secret: rotated-weekly",
            "skipped sk-learn and hf_hub",
        ] {
            assert_eq!(looks_like_secret(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn generated_keys_are_found_wherever_they_stand(key in "[A-Za-z0-9]{40}", around in "[a-z ]{0,20}") {
            let classes: [fn(&u8) -> bool; 3] = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit];
            prop_assume!(classes.iter().all(|class| key.bytes().filter(class).count() >= 5));
            prop_assume!(is_random(&key));
            let text = format!("{around} {key}, {around}");
            prop_assert!(looks_like_secret(&text).is_some());
        }

        #[test]
        fn any_text_is_looked_at_without_a_panic(text in any::<String>()) {
            let _found = looks_like_secret(&text);
        }
    }
}
