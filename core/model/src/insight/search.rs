//! Finds insights: by project, words, scope, type, tags, author, state and age, best first.
//!
//! [`Index`] keeps in memory what a search needs of every insight and no more (`cargo bench --bench mcp` holds it to a
//! budget). It is built from the stored insights when somebody first asks, and follows every change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::asked::{self, Asked};
use super::fit::{Fit, Sums};
use super::names::Names;
use super::rank::{Collection, Factors, RATIONALE_WEIGHT, SUMMARY_WEIGHT, TAG_WEIGHT};
use super::scope::Target;
use super::{Insight, InsightStatus, InsightType, Review, lifecycle, reading, tokens};
use crate::SmolStr;
use crate::time::Millis;

pub use super::rank::{RELEVANCE, weight};
pub use super::wanted::Wanted;

/// An insight that covers less of a question than this part of what the best one does is no answer to it: it shares a word by chance.
const LEAST_COVERED: f64 = 0.5;

/// What is asked for. What is absent or empty does not restrict.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The projects; `None` for all.
    pub projects: Option<Vec<String>>,
    /// Words, of which it has at least one.
    pub text: Option<String>,
    /// What it applies to. Insights about something else are left out, unless there are words.
    pub target: Target,
    /// Types.
    pub types: Vec<InsightType>,
    /// Tags, of which it has all.
    pub tags: Vec<String>,
    /// The id of its author.
    pub agent: Option<String>,
    /// For whom it is: `agent` or `human`.
    pub audience: Option<String>,
    /// States.
    pub status: Wanted,
    /// Something was reported of it at that time or later.
    pub since: Option<Millis>,
    /// How sure it is at least.
    pub min_confidence: Option<f64>,
    /// Who asks: handoffs to them come first.
    pub reader: Option<String>,
}

/// Where an insight stands in an answer. The best is the smallest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its score.
    pub score: Reverse<u64>,
    /// When something was last reported of it: the newest first.
    pub updated: Reverse<Millis>,
    /// Its id.
    pub id: InsightId,
    /// Its project.
    pub project: SmolStr,
    /// How well the words fit, in parts of [`RELEVANCE`].
    pub relevance: u64,
}

/// The digits of an id as a number, which takes a third of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InsightId(u64);

impl InsightId {
    /// The id with these digits, if it has the form of one.
    pub fn parse(id: &str) -> Option<Self> {
        let digits = id.strip_prefix("ins_").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl std::fmt::Display for InsightId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ins_{:016x}", self.0)
    }
}

/// Everything that a search needs of all insights.
#[derive(Debug, Default)]
pub struct Index {
    projects: BTreeMap<SmolStr, Project>,
}

/// The insights of one project.
#[derive(Debug, Default)]
struct Project {
    cards: Vec<Option<Card>>,
    free: Vec<u32>,
    places: HashMap<InsightId, u32>,
    terms: HashMap<Box<str>, u32>,
    /// The terms of each stem, without the one that is the stem itself.
    stems: HashMap<Box<str>, Vec<u32>>,
    /// The texts that have each term, by card.
    postings: Vec<Vec<Posting>>,
    words: u64,
    /// What insights apply to.
    scopes: Names,
    /// Their tags, tasks, and the people and agents they are by and for.
    names: Names,
}

/// A card that has a term, and its weighted count. Most of the memory of an index is these, so both share a word: the count in
/// eight bits, because more than 255 of a word say no more.
#[derive(Debug, Clone, Copy)]
struct Posting(u32);

impl Posting {
    /// How many cards a project can have.
    const CARDS: u32 = 1 << 24;

    fn new(card: u32, count: u32) -> Self {
        Self(card << 8 | count.min(u8::MAX.into()))
    }

    fn card(self) -> u32 {
        self.0 >> 8
    }

    fn count(self) -> u32 {
        self.0 & u32::from(u8::MAX)
    }
}

/// Makes room for one more. A list of many grows by an eighth, not to twice its size.
fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 16);
    }
}

/// What is kept of one insight.
#[derive(Debug)]
struct Card {
    id: InsightId,
    insight_type: InsightType,
    status: InsightStatus,
    review: Review,
    is_urgent: bool,
    confidence: Option<f64>,
    updated: Millis,
    expires_at: Option<Millis>,
    task: Option<u32>,
    agent: Option<u32>,
    to: Option<u32>,
    audience: Option<u32>,
    /// Its scopes, then its tags, then its terms (for its removal), each by number: in one list, which takes less room.
    lists: Box<[u32]>,
    tags_from: u32,
    terms_from: u32,
    words: u32,
}

impl Index {
    /// Adds an insight, or what has changed of it. Of one project, 16 million are found.
    pub fn put(&mut self, insight: &Insight) {
        let Some(id) = InsightId::parse(&insight.id) else { return };
        self.remove(&insight.project, &insight.id);
        self.projects.entry(SmolStr::new(&insight.project)).or_default().put(id, insight);
    }

    /// Forgets an insight.
    pub fn remove(&mut self, project: &str, id: &str) {
        if let (Some(project), Some(id)) = (self.projects.get_mut(project), InsightId::parse(id)) {
            project.remove(id);
        }
    }

    /// The projects that have insights.
    pub fn projects(&self) -> impl Iterator<Item = &str> {
        self.projects.iter().filter(|(_, project)| !project.places.is_empty()).map(|(name, _)| name.as_str())
    }

    /// The places of all insights that are asked for, in any order.
    pub fn find(&self, search: &Search, as_of: Millis) -> Vec<Place> {
        let mut found = Vec::new();
        for (name, project) in &self.projects {
            if search.projects.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name)) {
                project.find(name, search, as_of, &mut found);
            }
        }
        // A word or two are searched for; more are a question.
        let is_question = search.text.as_deref().is_some_and(|text| asked::weighty(text) > 2);
        let best = found.iter().map(|hit| hit.covered).fold(0.0, f64::max);
        let is_answer = |hit: &Hit| !is_question || hit.is_near || hit.covered >= best * LEAST_COVERED;
        found.iter().filter(|hit| is_answer(hit)).map(Hit::place).collect()
    }
}

impl Project {
    fn put(&mut self, id: InsightId, insight: &Insight) {
        let Some(place) = self.free.pop().or_else(|| self.new_place()) else { return };
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        let tags = insight.tags.join(" ");
        let rationale = insight.rationale.as_deref().unwrap_or_default();
        for (text, weight) in
            [(insight.summary.as_str(), SUMMARY_WEIGHT), (&tags, TAG_WEIGHT), (rationale, RATIONALE_WEIGHT)]
        {
            tokens::each(text, |word| *counts.entry(self.term(word)).or_default() += weight);
        }
        let words = counts.values().sum();
        for (term, count) in &counts {
            let postings = &mut self.postings[*term as usize];
            let at = postings.partition_point(|posting| posting.card() < place);
            postings.insert(at, Posting::new(place, *count));
        }
        self.words += u64::from(words);
        self.places.insert(id, place);
        let terms = counts.into_keys().collect();
        self.cards[place as usize] = Some(self.card(id, insight, terms, words));
    }

    /// A place that no card had before.
    fn new_place(&mut self) -> Option<u32> {
        let place = u32::try_from(self.cards.len()).ok().filter(|place| *place < Posting::CARDS)?;
        make_room(&mut self.cards);
        self.cards.push(None);
        Some(place)
    }

    fn term(&mut self, word: &str) -> u32 {
        if let Some(known) = self.terms.get(word) {
            return *known;
        }
        let term = u32::try_from(self.postings.len()).unwrap_or(u32::MAX);
        make_room(&mut self.postings);
        self.postings.push(Vec::new());
        self.terms.insert(word.into(), term);
        let stem = asked::stem(word);
        if stem != word {
            self.stems.entry(stem.into()).or_default().push(term);
        }
        term
    }

    /// The terms with a stem.
    fn with_stem(&self, stem: &str) -> impl Iterator<Item = &u32> {
        let is_its_own = asked::stem(stem) == stem;
        let itself = self.terms.get(stem).filter(|_| is_its_own);
        itself.into_iter().chain(self.stems.get(stem).into_iter().flatten())
    }

    fn card(&mut self, id: InsightId, insight: &Insight, terms: Vec<u32>, words: u32) -> Card {
        let mut name = |text: Option<&str>| text.map(|text| self.names.number(text));
        let (task, agent) = (name(insight.task.as_deref()), name(insight.author.id.as_deref()));
        let to = name(insight.to.as_deref());
        let audience = name(Some(insight.audience.as_str()).filter(|audience| *audience != "both"));
        let mut lists: Vec<u32> = insight.applies_to.iter().map(|scope| self.scopes.number(scope)).collect();
        let place = |list: &Vec<u32>| u32::try_from(list.len()).unwrap_or(u32::MAX);
        let tags_from = place(&lists);
        lists.extend(insight.tags.iter().map(|tag| self.names.number(tag)));
        let terms_from = place(&lists);
        lists.extend(terms);
        Card {
            id,
            insight_type: insight.insight_type,
            status: insight.status,
            review: insight.review,
            is_urgent: insight.insight_type == InsightType::Blocker
                || (insight.insight_type == InsightType::Question && insight.blocking),
            confidence: insight.confidence,
            updated: insight.updated,
            expires_at: insight.ends(),
            task,
            agent,
            to,
            audience,
            lists: lists.into_boxed_slice(),
            tags_from,
            terms_from,
            words,
        }
    }

    fn remove(&mut self, id: InsightId) {
        let Some(place) = self.places.remove(&id) else { return };
        let Some(card) = self.cards[place as usize].take() else { return };
        self.words -= u64::from(card.words);
        for term in card.terms() {
            let postings = &mut self.postings[*term as usize];
            if let Ok(at) = postings.binary_search_by_key(&place, |posting| posting.card()) {
                postings.remove(at);
            }
        }
        self.free.push(place);
    }

    fn find<'a>(&'a self, name: &'a SmolStr, search: &'a Search, as_of: Millis, found: &mut Vec<Hit<'a>>) {
        let fits = match &search.target {
            target if target.is_empty() => Vec::new(),
            target => self.scopes.all().map(|scope| target.fit_of(scope)).collect(),
        };
        let asking = Asking { name, project: self, search, scopes: fits, as_of };
        let Some(text) = search.text.as_deref().filter(|text| !text.trim().is_empty()) else {
            let all = self.cards.iter().flatten();
            return found.extend(all.filter_map(|card| asking.hit(card, None)));
        };
        for (card, fit) in self.cards.iter().zip(self.fits(text)) {
            if let (Some(card), Some(fit)) = (card, fit) {
                found.extend(asking.hit(card, Some(fit)));
            }
        }
    }

    /// How well each card fits a text; `None` for one that has none of its words.
    fn fits(&self, text: &str) -> Vec<Option<Fit>> {
        let asked = asked::terms(text);
        let length = asked.iter().map(|asked| asked.count * SUMMARY_WEIGHT).sum();
        let collection = Collection { texts: self.places.len() as u64, words: self.words };
        let mut sums = Sums::new(self.cards.len());
        for asked in &asked {
            self.add(asked, collection, length, &mut sums);
        }
        sums.fits()
    }

    /// Adds what one word of a question says about each card.
    fn add(&self, asked: &Asked, collection: Collection, length: u32, sums: &mut Sums) {
        let count = asked.count * SUMMARY_WEIGHT;
        let postings = |term: &u32| &self.postings[*term as usize][..];
        let rarity = |term: &u32| collection.rarity(postings(term).len() as u64);
        let own = self.terms.get(asked.word.as_str());
        let own_rarity = own.map_or_else(|| collection.rarity(0), rarity);
        sums.strict_own += collection.bm25(own_rarity, count, length);
        let alike = asked.alike.iter().flat_map(|(stem, weight)| self.with_stem(stem).map(move |term| (term, *weight)));
        let terms: Vec<(&u32, f64)> = own.map(|term| (term, 1.0)).into_iter().chain(alike).collect();
        // A word that no insight has, nor one like it, cannot distinguish insights.
        let Some(most) = terms.iter().map(|(term, weight)| rarity(term) * weight).reduce(f64::max) else { return };
        let is_strict = |term: &u32| own == Some(term);
        let rarest = own.map_or(most, |term| rarity(term).max(most));
        sums.own += collection.bm25(rarest, count, length) * asked.weight;
        sums.all_covered += rarest * asked.weight;
        for (term, weight) in terms {
            let (rarity, weight) = (rarity(term), weight * asked.weight);
            for posting in postings(term) {
                let words = self.cards[posting.card() as usize].as_ref().map_or(0, |card| card.words);
                let says = collection.bm25(rarity, posting.count(), words);
                sums.see(posting.card(), says * weight, rarity * weight, if is_strict(term) { says } else { 0.0 });
            }
        }
        sums.settle();
    }
}

/// A question to one project.
struct Asking<'a> {
    name: &'a SmolStr,
    project: &'a Project,
    search: &'a Search,
    /// How well each scope fits; empty when nothing is about to be touched.
    scopes: Vec<u64>,
    as_of: Millis,
}

/// A card that is asked for, with what says whether it is an answer.
struct Hit<'a> {
    card: &'a Card,
    project: &'a SmolStr,
    score: u64,
    relevance: u64,
    covered: f64,
    /// Whether it applies to what is about to be touched.
    is_near: bool,
}

impl Hit<'_> {
    fn place(&self) -> Place {
        Place {
            score: Reverse(self.score),
            updated: Reverse(self.card.updated),
            id: self.card.id,
            project: self.project.clone(),
            relevance: self.relevance,
        }
    }
}

impl Card {
    fn scopes(&self) -> &[u32] {
        &self.lists[..self.tags_from as usize]
    }

    fn tags(&self) -> &[u32] {
        &self.lists[self.tags_from as usize..self.terms_from as usize]
    }

    fn terms(&self) -> &[u32] {
        &self.lists[self.terms_from as usize..]
    }
}

impl<'a> Asking<'a> {
    fn name(&self, number: Option<u32>) -> Option<&'a str> {
        number.map(|number| self.project.names.name(number))
    }

    /// Where a card stands in an answer; `None` when it is not asked for.
    fn hit(&self, card: &'a Card, fit: Option<Fit>) -> Option<Hit<'a>> {
        if !self.includes(card) {
            return None;
        }
        let fits = card.scopes().iter().filter_map(|scope| self.scopes.get(*scope as usize).copied());
        let mut scope = self.search.target.best_of(fits, self.name(card.task));
        let is_near = scope > super::scope::PROJECT;
        if scope == 0 && fit.is_some() {
            scope = super::scope::PROJECT;
        }
        let is_mine = card.insight_type == InsightType::Handoff
            && card.to.is_some()
            && self.name(card.to) == self.search.reader.as_deref();
        let factors = Factors {
            scope,
            relevance: fit.map_or(0, |fit| fit.fit),
            insight_type: card.insight_type,
            is_urgent: card.is_urgent || is_mine,
            review: card.review,
            confidence: card.confidence,
            updated: card.updated,
        };
        (scope > 0).then(|| Hit {
            card,
            project: self.name,
            score: factors.score(self.as_of),
            relevance: fit.map_or(0, |fit| fit.relevance),
            covered: fit.map_or(0.0, |fit| fit.covered),
            is_near,
        })
    }

    fn includes(&self, card: &Card) -> bool {
        let Self { search, project, .. } = self;
        let status = reading::status_at(card.insight_type, card.status, card.expires_at, self.as_of);
        let is_open =
            lifecycle::is_open(card.insight_type, status) && !reading::is_doubtful(card.insight_type, card.confidence);
        let has_tag =
            |wanted: &String| card.tags().iter().any(|tag| project.names.name(*tag).eq_ignore_ascii_case(wanted));
        let is_for = |wanted: &str| self.name(card.audience).is_none_or(|audience| audience == wanted);
        search.status.includes(is_open, status)
            && (search.types.is_empty() || search.types.contains(&card.insight_type))
            && search.tags.iter().all(has_tag)
            && search.agent.as_deref().is_none_or(|wanted| self.name(card.agent) == Some(wanted))
            && search.audience.as_deref().is_none_or(is_for)
            && search.since.is_none_or(|since| card.updated >= since)
            && search.min_confidence.is_none_or(|least| card.confidence.is_some_and(|confidence| confidence >= least))
    }
}
