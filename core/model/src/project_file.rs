//! The file that names the project of a repository, `.contextcore/project`. Pure: whoever reads it looks in the directory that it works
//! in, and then in each one above.

/// Where it is in a directory.
pub const PLACE: &str = ".contextcore/project";

/// The project that the text of a file names: its first line that is neither empty nor a comment.
#[must_use]
pub fn name(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn the_first_line_that_says_something_is_the_name() {
        assert_eq!(name("# ours\n\n  commerce platform \nother\n"), Some("commerce platform"));
        assert_eq!(name("\n# nothing\n"), None);
    }
}
