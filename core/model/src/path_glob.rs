//! Globs for paths in a repository, as scopes of guidance and insights use them.
//!
//! `*` and `?` stay within one part of a path, and `**` as a part stands for any number of parts. A glob without any of them, or one
//! that ends in `/`, means everything under it.

/// A glob, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob {
    parts: Vec<String>,
}

const ANY_PARTS: &str = "**";

impl PathGlob {
    /// The glob that a text means. Every text means one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut parts = path_parts(text);
        let is_plain = !text.contains(['*', '?']);
        if (is_plain || text.ends_with('/')) && parts.last().is_none_or(|last| last != ANY_PARTS) {
            parts.push(ANY_PARTS.to_owned());
        }
        parts.dedup_by(|next, part| next == ANY_PARTS && part == ANY_PARTS);
        Self { parts }
    }

    /// Whether it means this path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.after(path).is_some_and(|states| states[self.parts.len()])
    }

    /// Whether it means this directory, or something that could be under it.
    #[must_use]
    pub fn reaches_into(&self, directory: &str) -> bool {
        self.after(directory).is_some()
    }

    /// How many of its parts can stand for the path, as a flag for each number; `None` if the path does not begin as the glob does.
    fn after(&self, path: &str) -> Option<Vec<bool>> {
        let mut states = vec![false; self.parts.len() + 1];
        states[0] = true;
        self.skip(&mut states);
        for part in path_parts(path) {
            let mut next = vec![false; states.len()];
            for (at, pattern) in self.parts.iter().enumerate().filter(|(at, _)| states[*at]) {
                if pattern == ANY_PARTS {
                    next[at] = true;
                } else if part_matches(pattern, &part) {
                    next[at + 1] = true;
                }
            }
            self.skip(&mut next);
            states = next;
        }
        states.contains(&true).then_some(states)
    }

    /// `**` may stand for no part at all.
    fn skip(&self, states: &mut [bool]) {
        for (at, pattern) in self.parts.iter().enumerate() {
            if states[at] && pattern == ANY_PARTS {
                states[at + 1] = true;
            }
        }
    }
}

/// The parts of a path: without empty ones and `.`, and with `..` resolved as far as the path itself allows.
fn path_parts(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

/// Whether one part of a glob means one part of a path. Goes back to the last `*` only, so that the time stays short.
fn part_matches(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<char>, Vec<char>) = (pattern.chars().collect(), part.chars().collect());
    let (mut at, mut upto, mut star) = (0, 0, None);
    while upto < part.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, upto));
            at += 1;
        } else if pattern.get(at).is_some_and(|c| *c == '?' || *c == part[upto]) {
            (at, upto) = (at + 1, upto + 1);
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (at, upto) = (after + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_mean_what_people_expect_of_them() {
        let table = [
            ("src/checkout/**", "src/checkout/events.py", true),
            ("src/checkout/**", "src/checkout/a/b.py", true),
            ("src/checkout/**", "src/checkouts/a.py", false),
            ("src/checkout", "src/checkout/a/b.py", true),
            ("src/checkout/", "src/checkout/a.py", true),
            ("src/checkout", "src/checkout.py", false),
            ("src/checkout/a.py", "src/checkout/a.py", true),
            ("src/*.py", "src/a.py", true),
            ("src/*.py", "src/a/b.py", false),
            ("**/*.sql", "a.sql", true),
            ("**/*.sql", "db/migrations/1.sql", true),
            ("src/**/api/v?/*.rs", "src/x/y/api/v1/mod.rs", true),
            ("src/**/api/v?/*.rs", "src/api/v10/mod.rs", false),
            ("./src//a", "src/a/b", true),
            ("src/a", "src/b/../a/x", true),
            ("**", "anything/at/all", true),
            ("", "anything", true),
            ("src/ü*", "src/über.md", true),
            ("a b/**", "a b/c d.txt", true),
        ];
        for (glob, path, want) in table {
            assert_eq!(PathGlob::new(glob).matches(path), want, "{glob} {path}");
        }
    }

    #[test]
    fn a_directory_is_reached_by_what_could_be_under_it() {
        for (glob, directory, want) in [
            ("src/checkout/**", "src", true),
            ("src/checkout/**", ".", true),
            ("src/checkout/**", "docs", false),
            ("**/*.sql", "docs", true),
            ("src/*.py", "src/a", false),
        ] {
            assert_eq!(PathGlob::new(glob).reaches_into(directory), want, "{glob} {directory}");
        }
    }

    proptest! {
        /// A path is meant by itself, by everything above it, and by itself with wildcards in it.
        #[test]
        fn paths_are_meant_by_what_stands_above_them(parts in prop::collection::vec("[a-z.]{1,3}x", 1..6), upto in 1..6_usize) {
            let path = parts.join("/");
            let above = parts[..upto.min(parts.len())].join("/");
            prop_assert!(PathGlob::new(&path).matches(&path));
            prop_assert!(PathGlob::new(&above).matches(&path));
            let under = format!("{above}/**");
            prop_assert!(PathGlob::new(&under).matches(&path));
            prop_assert!(PathGlob::new(&path.replace('x', "*")).matches(&path));
            prop_assert!(PathGlob::new(&path).reaches_into(&above));
        }

        #[test]
        fn many_wildcards_end_in_time(glob in "[*?a/]{0,60}", path in "[a/]{0,200}") {
            let _any_answer = PathGlob::new(&glob).matches(&path);
        }
    }
}
