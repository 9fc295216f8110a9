//! Words that many insights share, such as paths and names of agents: each is kept once, and has a number.

use std::collections::HashMap;
use std::sync::Arc;

/// Words by number. What was once added stays.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// The number of a word, which is added if it is new.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.numbers.insert(Arc::clone(&name), number);
        self.names.push(name);
        number
    }

    /// The word with a number that [`Self::number`] gave.
    pub(super) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| &**name)
    }

    /// All words, by number.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_number() {
        let mut names = Names::default();
        let numbers = ["a", "b", "a", "ä"].map(|name| names.number(name));
        assert_eq!(numbers, [0, 1, 0, 2]);
        assert_eq!(names.name(2), "ä");
        assert_eq!(names.all().collect::<Vec<_>>(), ["a", "b", "ä"]);
    }
}
