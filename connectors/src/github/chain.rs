//! The order of changes of one moment. GitHub's times are whole seconds, and the order in which it lists what happened within one
//! means nothing: what a change made of a value is what the next one changes. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use contextcore_core::Millis;

/// What an event does to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Which value.
    pub(super) field: String,
    pub(super) from: String,
    pub(super) to: String,
}

/// Orders events, which come oldest first, within each moment. `today` is what a value is now, where it is known.
pub(super) fn order<T: Copy>(
    events: &mut [(Millis, T)],
    link: impl Fn(&T) -> Option<Link>,
    today: impl Fn(&str) -> Option<String>,
) {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut begin = 0;
    while begin < events.len() {
        let end = begin + events[begin..].iter().take_while(|(at, _)| *at == events[begin].0).count();
        if end - begin > 1 {
            moment(events, begin..end, &link, &values, &today);
        }
        for link in events[begin..end].iter().filter_map(|(_, event)| link(event)) {
            values.insert(link.field, link.to);
        }
        begin = end;
    }
}

/// Orders the events of one moment; each value by itself, in the places that its events have.
fn moment<T: Copy>(
    events: &mut [(Millis, T)],
    range: Range<usize>,
    link: &impl Fn(&T) -> Option<Link>,
    before: &BTreeMap<String, String>,
    today: &impl Fn(&str) -> Option<String>,
) {
    let mut places: BTreeMap<String, Vec<(usize, Link)>> = BTreeMap::new();
    for place in range.clone() {
        if let Some(link) = link(&events[place].1) {
            places.entry(link.field.clone()).or_default().push((place, link));
        }
    }
    for (field, links) in places.into_iter().filter(|(_, links)| links.len() > 1) {
        let later = events[range.end..].iter().filter_map(|(_, event)| link(event)).find(|link| link.field == field);
        let after = later.map(|link| link.from).or_else(|| today(&field));
        let edges: Vec<(&str, &str)> = links.iter().map(|(_, link)| (&*link.from, &*link.to)).collect();
        let Some(path) = path(&edges, before.get(&field).map(String::as_str), after.as_deref()) else { continue };
        let moved: Vec<T> = path.into_iter().map(|at| events[links[at].0].1).collect();
        for ((place, _), event) in links.iter().zip(moved) {
            events[*place].1 = event;
        }
    }
}

/// The order in which all edges form one path, if there is one. It begins at `before` where that is known; a path that ends where
/// it begins does so at `after`.
fn path(edges: &[(&str, &str)], before: Option<&str>, after: Option<&str>) -> Option<Vec<usize>> {
    let begins = |node: &str| edges.iter().filter(|(from, _)| *from == node).count();
    let ends = |node: &str| edges.iter().filter(|(_, to)| *to == node).count();
    let odd = edges.iter().map(|(from, _)| *from).find(|node| begins(node) == ends(node) + 1);
    let known = [before, after].into_iter().flatten().find(|node| begins(node) > 0 && begins(node) >= ends(node));
    let start = odd.or(known).or_else(|| edges.iter().map(|(from, _)| *from).min())?;
    // Hierholzer: walk until there is no way on, and insert the circles that were passed by.
    let mut left: Vec<usize> = (0..edges.len()).collect();
    left.sort_by_key(|at| edges[*at]);
    let (mut stack, mut walked) = (vec![(start, None)], Vec::new());
    while let Some((node, edge)) = stack.last().copied() {
        match left.iter().position(|at| edges[*at].0 == node) {
            Some(position) => {
                let at = left.remove(position);
                stack.push((edges[at].1, Some(at)));
            }
            None => {
                walked.extend(edge);
                stack.pop();
            }
        }
    }
    walked.reverse();
    let joins = walked.windows(2).all(|pair| edges[pair[0]].1 == edges[pair[1]].0);
    (walked.len() == edges.len() && joins).then_some(walked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Event = (&'static str, &'static str, &'static str);

    fn link(&(field, from, to): &Event) -> Option<Link> {
        let text = str::to_owned;
        (field != "other").then(|| Link { field: text(field), from: text(from), to: text(to) })
    }

    fn ordered(events: &[(i64, Event)], today: &str) -> Vec<String> {
        let mut events: Vec<(Millis, Event)> = events.iter().map(|(at, event)| (Millis(*at), *event)).collect();
        order(&mut events, link, |_| Some(today.to_owned()));
        events.iter().map(|(_, (field, from, to))| format!("{field}:{from}>{to}")).collect()
    }

    #[test]
    fn what_a_change_made_is_what_the_next_one_changes() {
        let events = [
            (1, ("s", "", "A")),
            (2, ("s", "B", "C")),
            (2, ("t", "x", "y")),
            (2, ("s", "A", "B")),
            (3, ("s", "C", "A")),
        ];
        assert_eq!(ordered(&events, "A"), ["s:>A", "s:A>B", "t:x>y", "s:B>C", "s:C>A"]);
        // The end of a circle is what the next change, or today, begins with.
        for (today, want) in [("A", ["s:A>B", "s:B>A"]), ("B", ["s:B>A", "s:A>B"])] {
            assert_eq!(ordered(&[(1, ("s", "A", "B")), (1, ("s", "B", "A"))], today), want);
        }
        let forth_and_back = [(1, ("s", "", "B")), (2, ("s", "A", "B")), (2, ("s", "B", "A"))];
        assert_eq!(ordered(&forth_and_back, "B"), ["s:>B", "s:B>A", "s:A>B"]);
        // What forms no chain stays as it is listed.
        assert_eq!(ordered(&[(1, ("s", "X", "Y")), (1, ("s", "A", "B"))], "B"), ["s:X>Y", "s:A>B"]);
        assert_eq!(ordered(&[(1, ("other", "B", "C")), (1, ("other", "A", "B"))], "C"), ["other:B>C", "other:A>B"]);
    }

    proptest! {
        #[test]
        fn the_order_of_the_list_means_nothing(
            steps in prop::collection::vec(0usize..4, 2..8),
            shuffled in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            const NAMES: [&str; 4] = ["A", "B", "C", "D"];
            let chain: Vec<(i64, Event)> =
                steps.windows(2).map(|pair| (1, ("s", NAMES[pair[0]], NAMES[pair[1]]))).collect();
            let first = (0, ("s", "", NAMES[steps[0]]));
            let listed = |places: &[usize]| {
                let order = places.iter().filter_map(|at| chain.get(*at).copied());
                let all: Vec<_> = std::iter::once(first).chain(order).collect();
                ordered(&all, NAMES[*steps.last().unwrap()])
            };
            let want = listed(&[0, 1, 2, 3, 4, 5, 6]);
            prop_assert_eq!(listed(&shuffled), want.clone());
            let ends = |text: &String| text[2..].split_once('>').map(|(from, to)| (from.to_owned(), to.to_owned())).unwrap();
            for pair in want.windows(2) {
                prop_assert_eq!(ends(&pair[0]).1, ends(&pair[1]).0);
            }
        }
    }
}
