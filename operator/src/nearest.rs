//! The name that a person probably meant.

/// `did you mean …?` for a near miss, else the list of what is known.
#[must_use]
pub(crate) fn hint(unknown: &str, known: &[&str]) -> String {
    let distance = |name: &&&str| strsim::damerau_levenshtein(unknown, name);
    match known.iter().min_by_key(distance) {
        Some(name) if strsim::damerau_levenshtein(unknown, name) <= unknown.len() / 3 + 1 => {
            format!("did you mean {name}?")
        }
        Some(_) => format!("known here: {}", known.join(", ")),
        None => "none is known here".to_owned(),
    }
}
