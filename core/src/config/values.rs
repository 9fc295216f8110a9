//! Single values: addresses, paths, and values that must be there.

use std::path::PathBuf;

use reqwest::Url;

use super::problems::Problems;

/// Parses an `http` or `https` address. Messages do not repeat it, since people paste credentials into addresses.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let example = "write it like https://host:port/path";
    let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error}): {example}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("does not start with http:// or https://: {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it: take it out, since secrets stay out of the file".to_owned());
    }
    Ok(url)
}

/// The value of a key that must be there; `example` shows how to write it.
pub(super) fn required(value: Option<String>, path: &str, example: &str, problems: &mut Problems) -> Option<String> {
    let value = value.filter(|text| !text.trim().is_empty());
    if value.is_none() {
        problems.add(path, format!("is missing: add `{example}`"));
    }
    value
}

/// A path, unless the text is blank.
pub(super) fn optional_path(text: Option<String>) -> Option<PathBuf> {
    text.filter(|text| !text.trim().is_empty()).map(PathBuf::from)
}
