//! Texts that look as if they held a secret, so that they are refused before anything is stored. Pure.
//!
//! Three signs: the prefix of a known kind of token, a password that is written as one (`password=…`, in an address, after
//! `Bearer`), and a run of characters as random as a generated key. Hashes and UUIDs are no secrets: commits are named by them.
//! Characters that nobody sees are left out before: who shows the text takes them away, and the secret would be whole again.

use std::borrow::Cow;

use crate::printable::is_hidden;

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

/// Words near a secret key of AWS, which alone looks like a path in base64.
const NEAR_KEYS: [&str; 6] = ["secret", "key", "aws", "access", "credential", "token"];
/// How many words before a key may say that it is one.
const NEAR: usize = 4;
/// A secret key of AWS has so many characters, no hash in base64 has, and it changes between classes at least so often in a hundred.
const AWS_LENGTH: usize = 40;
const AWS_CHANGES: usize = 18;
/// Where Slack takes messages from whoever knows the address.
const SLACK_HOOKS: &str = "hooks.slack.com/";

/// What in a text looks like a secret; `None` when nothing does. The answer never repeats the text.
pub fn looks_like_secret(text: &str) -> Option<&'static str> {
    let text = seen(text);
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    let is_between = |letter: char| letter.is_whitespace() || "\"'`,;()[]{}<>|".contains(letter);
    let words: Vec<&str> = text.split(is_between).filter(|word| !word.is_empty()).collect();
    (0..words.len()).find_map(|place| {
        let before = place.checked_sub(1).map_or("", |before| words[before]);
        let is_aws = || is_aws_key(&words[place.saturating_sub(NEAR)..=place]);
        in_word(before, words[place]).or_else(|| is_aws().then_some("a secret key"))
    })
}

/// The text as it is seen. What separates words stays.
fn seen(text: &str) -> Cow<'_, str> {
    let is_unseen = |letter: char| is_hidden(letter) && !letter.is_whitespace();
    if text.contains(is_unseen) { Cow::Owned(text.replace(is_unseen, "")) } else { Cow::Borrowed(text) }
}

/// Whether the last of these words is a secret key of AWS, by its form and by what the words before or an assignment call it.
fn is_aws_key(words: &[&str]) -> bool {
    let Some((word, before)) = words.split_last() else { return false };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let value = word.trim_end_matches(['.', '!', '?']).rsplit(['=', ':']).next().unwrap_or(word);
    let is_key = value.len() == AWS_LENGTH && value.bytes().all(is_part) && changes_often(value, AWS_CHANGES);
    let names = || {
        let name = word.strip_suffix(value).unwrap_or(word);
        before.iter().copied().chain([name]).map(str::to_ascii_lowercase)
    };
    is_key && names().any(|name| NEAR_KEYS.iter().any(|near| name.contains(near)))
}

/// The address of a hook of Slack, which ends in a generated key. One that shows how such an address looks has none.
fn is_slack_hook(word: &str) -> bool {
    let Some((_, path)) = word.split_once(SLACK_HOOKS) else { return false };
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let key = last.bytes().take_while(u8::is_ascii_alphanumeric).count();
    key >= 16 && entropy(&last.as_bytes()[..key]) > 2.0
}

fn in_word(before: &str, word: &str) -> Option<&'static str> {
    if is_slack_hook(word) {
        return Some("the address of a hook");
    }
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
    changes_often(run, LEAST_CHANGES)
}

/// The same for a run that changes between classes at least so often in a hundred.
fn changes_often(run: &str, least: usize) -> bool {
    let bytes = run.as_bytes();
    let has = |class: fn(&u8) -> bool| bytes.iter().any(class);
    let is_hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let all_classes = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let pairs = || bytes.windows(2).filter(|pair| pair.iter().all(u8::is_ascii_alphanumeric));
    let changes = pairs().filter(|pair| changes_class(pair[0], pair[1])).count();
    !is_hex && all_classes && changes * 100 >= least * pairs().count() && entropy(bytes) >= LEAST_ENTROPY
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
    fn a_character_that_nobody_sees_hides_no_secret() {
        for hidden in ["\u{200b}", "\u{ad}", "\u{2060}", "\u{feff}", "\u{e0041}", "\u{0}"] {
            let (start, end) = ("ghp_", "abcdefghijklmnopqrstuvwxyz0123456789");
            assert_eq!(looks_like_secret(&format!("note {start}{hidden}{end}")), Some("a token"), "{hidden:?}");
            assert!(looks_like_secret(&format!("pass{hidden}word=hunter2!x")).is_some(), "{hidden:?}");
        }
    }

    #[test]
    fn a_key_of_aws_is_known_by_its_name_and_a_hook_by_its_address() {
        let key = format!("wJalrXUtnFEMI/K7MDENG/{}", "bPxRfiCYEXAMPLEKEY");
        for before in ["the secret is ", "AWS_SECRET_ACCESS_KEY=", "aws_secret_access_key: `", "access key "] {
            assert!(looks_like_secret(&format!("{before}{key}.")).is_some(), "{before}");
        }
        assert_eq!(looks_like_secret(&format!("the key of {}", "src/CheckoutController/PaymentGateway2Is")), None);
        let hook = |key: &str| format!("see https://hooks.slack.com/services/T0AB12CDE/B0AB12CDE/{key}");
        assert!(looks_like_secret(&hook("aB1cD2eF3gH4iJ5kL6mN7oP8")).is_some());
        assert!(looks_like_secret(&hook("abcdefghijklmnopqrstuvwx")).is_some());
        assert_eq!(looks_like_secret(&hook("XXXXXXXXXXXXXXXXXXXXXXXX")), None, "a placeholder");
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
