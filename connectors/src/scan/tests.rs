//! The table of the module's documentation, and what must hold for every list, split and moment: held against a small tool
//! whose rows change while they are listed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const OVERLAP: i64 = 100;
const START: i64 = 1_795_000_000_000;

fn at(time: i64) -> Millis {
    Millis(START + time)
}

fn ended(watermark: Option<i64>, high: Option<i64>, incomplete: bool, limit: i64) -> Option<Millis> {
    let mut scan = IncrementalScan { watermark: watermark.map(at), ..IncrementalScan::default() };
    let sweep = Sweep { high: high.map(at), incomplete, ..Sweep::default() };
    scan.settle(sweep, at(limit), OVERLAP);
    scan.watermark
}

#[test]
fn the_watermark_moves_as_the_table_says() {
    let table = [
        ("incomplete", Some(10), Some(50), true, 90, Some(10)),
        ("incomplete at first", None, Some(50), true, 90, None),
        ("without rows", Some(10), None, false, 90, Some(10)),
        ("without rows at first", None, None, false, 90, None),
        ("high before the watermark", Some(10), Some(5), false, 90, Some(10)),
        ("high at the watermark", Some(10), Some(10), false, 90, Some(10)),
        ("high after the watermark", Some(10), Some(50), false, 90, Some(50)),
        ("high at first", None, Some(50), false, 90, Some(50)),
        ("high in the future", Some(10), Some(500), false, 90, Some(90)),
        ("the limit before the watermark", Some(95), Some(500), false, 90, Some(95)),
    ];
    for (sweep, watermark, high, incomplete, limit, want) in table {
        assert_eq!(ended(watermark, high, incomplete, limit), want.map(at), "{sweep}");
    }
}

#[test]
fn a_row_is_new_until_this_version_of_it_was_given() {
    let mut scan = IncrementalScan::default();
    let mut sweep = Sweep::default();
    assert!(scan.is_new(&sweep, "a", at(1)));
    sweep.remember("a", at(1));
    sweep.raise(at(1));
    assert!(!scan.is_new(&sweep, "a", at(1)) && scan.is_new(&sweep, "a", at(2)) && scan.is_new(&sweep, "b", at(1)));
    scan.settle(sweep, at(10), OVERLAP);
    let next = Sweep::default();
    assert!(!scan.is_new(&next, "a", at(1)) && scan.is_new(&next, "a", at(2)) && scan.is_new(&next, "b", at(1)));
}

#[test]
fn versions_are_remembered_within_the_overlap_and_no_more_than_so_many() {
    let mut sweep = Sweep::default();
    for (id, time) in [("old", 0), ("edge", 1), ("new", 101)] {
        sweep.remember(id, at(time));
        sweep.raise(at(time));
    }
    let mut scan = IncrementalScan::default();
    scan.settle(sweep, at(200), OVERLAP);
    let kept: Vec<&str> = scan.recent.0.keys().map(|id| &**id).collect();
    assert_eq!(kept, ["edge", "new"]);
    for n in 0..=REMEMBERED {
        scan.recent.0.insert(n.to_string().into(), at(101 + i64::try_from(n).unwrap()));
    }
    scan.settle(Sweep::default(), at(200), i64::MAX / 4);
    assert_eq!((scan.recent.0.len(), scan.recent.has("0", at(101))), (REMEMBERED, false));
}

#[test]
fn versions_are_stored_as_pairs_or_as_an_object() {
    let pairs = serde_json::json!([["a", START], ["b", START + 1]]);
    let versions: SeenVersions = serde_json::from_value(pairs.clone()).unwrap();
    assert!(versions.has("a", at(0)) && versions.has("b", at(1)));
    assert_eq!(serde_json::to_value(&versions).unwrap(), pairs);
    let object = by_id::serialize(&versions, serde_json::value::Serializer).unwrap();
    assert_eq!(object, serde_json::json!({"a": at(0).to_string(), "b": at(1).to_string()}));
    assert_eq!(by_id::deserialize(object).unwrap(), versions);
}

/// In which order a tool lists.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// A place in a list: the row it goes on after.
type Place = Option<(Millis, String)>;

/// A tool: its rows, each with its time of change, and its clock.
#[derive(Debug, Clone, Default)]
struct Tool {
    rows: BTreeMap<String, Millis>,
    clock: i64,
}

impl Tool {
    /// Changes a row. The change shows now, and is dated up to `lag` ago; each version of a row has its own time.
    fn edit(&mut self, Edit { id, lag, pass }: Edit) {
        self.clock += pass;
        let row = self.rows.entry(id.to_string()).or_insert(Millis(0));
        *row = at(self.clock - lag).max(row.plus(1));
    }

    /// A page of what changed since, from a place on.
    fn page(&self, order: Order, since: Option<Millis>, from: &Place, size: usize) -> Vec<(Millis, String)> {
        let mut rows: Vec<_> = self.rows.iter().map(|(id, updated)| (*updated, id.clone())).collect();
        rows.sort();
        if order == Order::NewestFirst {
            rows.reverse();
        }
        let after = |row: &(Millis, String)| match (order, from) {
            (_, None) => true,
            (Order::OldestFirst, Some(from)) => row > from,
            (Order::NewestFirst, Some(from)) => row < from,
        };
        let since = since.unwrap_or(Millis(0));
        rows.into_iter().filter(|row| row.0 >= since && after(row)).take(size).collect()
    }
}

/// A change of the tool: of which row, how long ago it is dated, and how much time passes before.
#[derive(Debug, Clone, Copy)]
struct Edit {
    id: u8,
    lag: i64,
    pass: i64,
}

/// What happens: somebody changes something, or a page of so many rows is read.
#[derive(Debug, Clone, Copy)]
enum Step {
    Edit(Edit),
    Page(usize),
}

/// A stream as the connectors read one, with what it has given.
#[derive(Debug, Clone)]
struct Reader {
    order: Order,
    scan: IncrementalScan,
    sweep: Option<(Sweep, Place)>,
    given: Vec<(String, Millis)>,
}

impl Reader {
    fn new(order: Order) -> Self {
        Self { order, scan: IncrementalScan::default(), sweep: None, given: Vec::new() }
    }

    /// Reads a page. Whether it was the last of its sweep.
    fn read(&mut self, tool: &Tool, size: usize) -> bool {
        let (mut sweep, mut place) = self.sweep.take().unwrap_or_default();
        let rows = tool.page(self.order, self.scan.since(OVERLAP), &place, size);
        let first = place.is_none();
        for (updated, id) in &rows {
            if first || self.order == Order::OldestFirst {
                sweep.raise(*updated);
            }
            if self.scan.is_new(&sweep, id, *updated) {
                sweep.remember(id, *updated);
                self.given.push((id.clone(), *updated));
            }
        }
        let last = rows.len() < size;
        place = rows.into_iter().next_back().or(place);
        if last {
            self.scan.settle(sweep, at(tool.clock), OVERLAP);
        } else {
            sweep.trim(OVERLAP);
            self.sweep = Some((sweep, place));
        }
        last
    }

    /// Reads to the end of the sweep. What it gave.
    fn finish(&mut self, tool: &Tool, size: usize) -> BTreeSet<(String, Millis)> {
        let before = self.given.len();
        while !self.read(tool, size) {}
        self.given[before..].iter().cloned().collect()
    }
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::OldestFirst), Just(Order::NewestFirst)]
}

/// Time passes mostly between sweeps (see [`play`]), so that many rows share a moment.
fn edit() -> impl Strategy<Value = Edit> {
    let pass = prop_oneof![Just(0), 0..3_i64, 0..2 * OVERLAP];
    (0..9_u8, 0..OVERLAP / 4, pass).prop_map(|(id, lag, pass)| Edit { id, lag, pass })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(prop_oneof![edit().prop_map(Step::Edit), (1..4_usize).prop_map(Step::Page)], 0..60)
}

/// Lets the steps happen. A sweep is over within the overlap.
fn play(order: Order, steps: &[Step]) -> (Tool, Reader) {
    let (mut tool, mut reader) = (Tool::default(), Reader::new(order));
    for step in steps {
        match step {
            Step::Edit(edit) if reader.sweep.is_some() => tool.edit(Edit { pass: edit.pass.min(1), ..*edit }),
            Step::Edit(edit) => tool.edit(*edit),
            Step::Page(size) => drop(reader.read(&tool, *size)),
        }
    }
    (tool, reader)
}

proptest! {
    #[test]
    fn every_split_of_pages_gives_the_same_rows(order in order(), steps in steps(), a in 1..20_usize, b in 1..20_usize) {
        let (tool, mut reader) = play(order, &steps);
        reader.finish(&tool, 3);
        let (mut one, mut other) = (reader.clone(), reader);
        let mut changed = tool;
        (0..9).for_each(|id| changed.edit(Edit { id, lag: i64::from(id), pass: 0 }));
        prop_assert_eq!(one.finish(&changed, a), other.finish(&changed, b));
        prop_assert_eq!(one.scan, other.scan);
    }

    #[test]
    fn nothing_is_missed_however_rows_tie_and_move(order in order(), steps in steps(), size in 1..5_usize) {
        let (tool, mut reader) = play(order, &steps);
        reader.finish(&tool, size);
        reader.finish(&tool, size);
        for (id, updated) in &tool.rows {
            prop_assert!(reader.given.contains(&(id.clone(), *updated)), "{id} at {updated} is missing");
        }
    }

    #[test]
    fn a_poll_without_changes_gives_nothing(order in order(), steps in steps(), size in 1..5_usize) {
        let (tool, mut reader) = play(order, &steps);
        reader.finish(&tool, size);
        reader.finish(&tool, size);
        prop_assert!(reader.finish(&tool, size).is_empty());
    }

    #[test]
    fn polling_again_from_a_cursor_gives_at_least_the_same(order in order(), steps in steps(), size in 1..5_usize) {
        let (tool, reader) = play(order, &steps);
        let stored = serde_json::to_value(&reader.scan).unwrap();
        let mut again = Reader { scan: serde_json::from_value(stored).unwrap(), ..reader.clone() };
        let (first, second) = (reader.clone().finish(&tool, size), again.finish(&tool, size));
        prop_assert!(second.is_superset(&first), "{first:?} then {second:?}");
        let mut later = tool;
        later.edit(Edit { id: 1, lag: 0, pass: 1 });
        let ids = |rows: &BTreeSet<(String, Millis)>| rows.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>();
        let mut once_more = reader;
        let third = once_more.finish(&later, size).union(&once_more.finish(&later, size)).cloned().collect();
        prop_assert!(ids(&third).is_superset(&ids(&first)));
    }

    #[test]
    fn the_watermark_stays_within_the_limit_and_never_moves_back(
        order in order(),
        steps in steps(),
        ahead in 0..10 * OVERLAP,
    ) {
        let (mut tool, mut reader) = play(order, &steps);
        reader.finish(&tool, 4);
        let before = reader.scan.watermark;
        tool.rows.insert("ahead".to_owned(), at(tool.clock + ahead));
        reader.finish(&tool, 4);
        prop_assert!(reader.scan.watermark <= Some(at(tool.clock)).max(before));
        prop_assert!(reader.scan.watermark >= before);
        tool.edit(Edit { id: 3, lag: 0, pass: 1 });
        let given = reader.finish(&tool, 4);
        prop_assert!(given.contains(&("3".to_owned(), tool.rows["3"])), "hidden behind a row dated ahead");
    }

    #[test]
    fn what_was_missing_is_given_after_an_incomplete_sweep(order in order(), steps in steps(), hidden in 0..9_u8) {
        let (mut tool, mut reader) = play(order, &steps);
        reader.finish(&tool, 4);
        tool.edit(Edit { id: hidden, lag: 0, pass: 1 });
        let row = (hidden.to_string(), tool.rows[&hidden.to_string()]);
        let mut without = tool.clone();
        without.rows.remove(&row.0);
        reader.sweep = Some((Sweep { incomplete: true, ..Sweep::default() }, None));
        let watermark = reader.scan.watermark;
        reader.finish(&without, 4);
        prop_assert_eq!(reader.scan.watermark, watermark);
        tool.clock += 5 * OVERLAP;
        prop_assert!(reader.finish(&tool, 4).contains(&row));
    }
}
