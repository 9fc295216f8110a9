//! What a question asks for: its words, and the words that people of the field use for the same.
//!
//! Insights are stored and indexed by their own words. A question is read more widely, because whoever asks does not know how the
//! answer was put: a word also stands for those with its stem, and, for less, for its synonyms. Everything here is a table, so the
//! same question finds the same everywhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};

use super::tokens;

/// What a word with the same stem counts, and a synonym.
const SAME_STEM: f64 = 0.95;
const SYNONYM: f64 = 0.8;
/// What a word counts that holds a sentence together.
const LITTLE: f64 = 0.1;

/// A word of a question.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) word: String,
    /// How often it is said.
    pub(super) count: u32,
    /// How much it says, whatever the collection: words that hold a sentence together say little.
    pub(super) weight: f64,
    /// The stems of the words that stand for it, with what they count.
    pub(super) alike: Vec<(Box<str>, f64)>,
}

static STEMMER: LazyLock<Stemmer> = LazyLock::new(|| Stemmer::create(Algorithm::English));

/// The stems of each synonym, by the stem of a word.
static SYNONYMS: LazyLock<HashMap<String, Vec<Box<str>>>> = LazyLock::new(|| {
    let mut all: HashMap<String, Vec<Box<str>>> = HashMap::new();
    let lines = include_str!("synonyms.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let group: Vec<Box<str>> = line.split_whitespace().map(|word| stem(word).into()).collect();
        for word in &group {
            let known = all.entry(word.to_string()).or_default();
            known.extend(group.iter().filter(|other| *other != word).cloned());
        }
    }
    all.values_mut().for_each(|stems| {
        stems.sort_unstable();
        stems.dedup();
    });
    all
});

/// Words that hold a sentence together.
static LITTLE_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "a about all also always am an and any anybody anything are as at be been being between both but by can could did do \
     does doing done each else ever first for from get gets getting give go goes going got had happen happens has have \
     having he her here him his how i if in into is it its just know last let make makes many may me might much must my \
     need needs never next no not now of off ok okay on one or other our ours out over own please really s shall she should \
     so some somebody something still such sure t take tell than that the their them then there these they thing things \
     this those to too under up us use used using very want was way we were what when where whether which while who whom \
     whose why will with without would yes yet you your"
        .split_whitespace()
        .collect()
});

/// What is common to the forms of a word: `payments` and `paying` are `pay`. Words of other languages stay as they are, mostly.
pub(super) fn stem(word: &str) -> String {
    if word.len() < 3 { word.to_owned() } else { STEMMER.stem(word).into_owned() }
}

/// The words of a text, each once, with what stands for it.
pub(super) fn terms(text: &str) -> Vec<Asked> {
    let mut said: Vec<String> = Vec::new();
    tokens::each(text, |word| said.push(word.to_owned()));
    let mut counts: BTreeMap<&str, (u32, Vec<String>)> = BTreeMap::new();
    for (place, word) in said.iter().enumerate() {
        let (count, compounds) = counts.entry(word).or_default();
        *count += 1;
        compounds.extend(compounds_of(&said, place));
    }
    let asked = counts.into_iter().map(|(word, (count, compounds))| Asked {
        word: word.to_owned(),
        count,
        weight: if LITTLE_WORDS.contains(word) { LITTLE } else { 1.0 },
        alike: alike(word, &compounds),
    });
    asked.collect()
}

/// How many words of a text say something by themselves.
pub(super) fn weighty(text: &str) -> usize {
    let mut count = 0;
    tokens::each(text, |word| count += usize::from(!LITTLE_WORDS.contains(word)));
    count
}

/// `time out` and `timeout` are one thing: the compounds that a word makes with its neighbours.
fn compounds_of(said: &[String], place: usize) -> impl Iterator<Item = String> {
    let after = said.get(place + 1).map(|next| format!("{}{next}", said[place]));
    let before = place.checked_sub(1).map(|before| format!("{}{}", said[before], said[place]));
    after.into_iter().chain(before)
}

fn alike(word: &str, compounds: &[String]) -> Vec<(Box<str>, f64)> {
    let mut alike: BTreeMap<Box<str>, f64> = BTreeMap::new();
    if LITTLE_WORDS.contains(word) {
        return Vec::new();
    }
    let mut add = |stem: &str, weight: f64| {
        let known = alike.entry(stem.into()).or_default();
        *known = known.max(weight);
    };
    for (word, is_compound) in std::iter::once((word, false)).chain(compounds.iter().map(|word| (word.as_str(), true)))
    {
        let stem = stem(word);
        add(&stem, SAME_STEM);
        let synonyms = SYNONYMS.get(&stem).into_iter().flatten();
        synonyms.for_each(|synonym| add(synonym, if is_compound { SAME_STEM * SYNONYM } else { SYNONYM }));
    }
    alike.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight_of(text: &str, word: &str, other: &str) -> f64 {
        let all = terms(text);
        let asked = all.iter().find(|asked| asked.word == word).unwrap();
        asked.alike.iter().find(|(stem, _)| **stem == *super::stem(other)).map_or(0.0, |(_, weight)| *weight)
    }

    #[test]
    fn a_word_stands_for_its_forms_and_less_for_its_synonyms() {
        assert!((weight_of("who pays", "pays", "paying") - SAME_STEM).abs() < 1e-9);
        assert!((weight_of("the database", "database", "postgres") - SYNONYM).abs() < 1e-9);
        assert!(weight_of("a time out", "time", "timeouts") > 0.9);
        assert!(weight_of("the database", "database", "zebra").abs() < 1e-9);
    }

    #[test]
    fn words_that_hold_a_sentence_together_say_little() {
        let all = terms("What is the cache?");
        let heavy: Vec<&str> = all.iter().filter(|asked| asked.weight > 0.5).map(|asked| asked.word.as_str()).collect();
        assert_eq!(heavy, ["cache"]);
        assert!(terms(" … ").is_empty());
    }

    #[test]
    fn the_table_has_no_group_of_one() {
        let lines = include_str!("synonyms.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in lines {
            assert!(line.split_whitespace().count() > 1 && line.is_ascii() && line.to_lowercase() == line, "{line}");
        }
    }
}
