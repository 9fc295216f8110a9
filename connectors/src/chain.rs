//! The order of changes that share a moment. The order in which a tool lists them means nothing, but what a change made of a
//! value is what the next one changes. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use contextcore_core::Millis;

/// What a change does to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Which value.
    pub(crate) field: String,
    /// What it was; empty for none.
    pub(crate) from: String,
    /// What it became; empty for none.
    pub(crate) to: String,
}

/// Orders changes, which come oldest first, within each moment: each value by itself, in the places that its changes have.
/// `today` is what a value is now, where it is known.
pub(crate) fn order<T>(
    changes: &mut [T],
    at: impl Fn(&T) -> Millis,
    link: impl Fn(&T) -> Option<Link>,
    today: impl Fn(&str) -> Option<String>,
) {
    if changes.windows(2).all(|pair| at(&pair[0]) != at(&pair[1])) {
        return;
    }
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut begin = 0;
    while begin < changes.len() {
        let moment = at(&changes[begin]);
        let end = begin + changes[begin..].iter().take_while(|change| at(change) == moment).count();
        if end - begin > 1 {
            order_moment(changes, begin..end, &link, &values, &today);
        }
        for link in changes[begin..end].iter().filter_map(&link) {
            values.insert(link.field, link.to);
        }
        begin = end;
    }
}

fn order_moment<T>(
    changes: &mut [T],
    range: Range<usize>,
    link: &impl Fn(&T) -> Option<Link>,
    before: &BTreeMap<String, String>,
    today: &impl Fn(&str) -> Option<String>,
) {
    let mut fields: BTreeMap<String, Vec<(usize, Link)>> = BTreeMap::new();
    for place in range.clone() {
        if let Some(link) = link(&changes[place]) {
            fields.entry(link.field.clone()).or_default().push((place, link));
        }
    }
    for (field, links) in fields.into_iter().filter(|(_, links)| links.len() > 1) {
        let later = changes[range.end..].iter().filter_map(link).find(|link| link.field == field);
        let after = later.map(|link| link.from).or_else(|| today(&field));
        let edges: Vec<(&str, &str)> = links.iter().map(|(_, link)| (&*link.from, &*link.to)).collect();
        if let Some(path) = path(&edges, before.get(&field).map(String::as_str), after.as_deref()) {
            let places: Vec<usize> = links.iter().map(|(place, _)| *place).collect();
            permute(changes, &places, path);
        }
    }
}

/// Puts those things that have ends (what a change leads from, and what to) in an order in which each begins where the one
/// before it ends, if there is one and they are not in it already. The others stay where they are.
pub(crate) fn join<T: Copy>(things: &mut [T], ends: impl for<'a> Fn(&'a T) -> Option<(&'a str, &'a str)>) {
    if things.len() < 2 {
        return;
    }
    let of_all = things.to_vec();
    let places: Vec<usize> = (0..of_all.len()).filter(|place| ends(&of_all[*place]).is_some()).collect();
    let edges: Vec<(&str, &str)> = of_all.iter().filter_map(&ends).collect();
    if edges.windows(2).all(|pair| pair[0].1 == pair[1].0) {
        return;
    }
    if let Some(path) = path(&edges, None, None) {
        permute(things, &places, path);
    }
}

/// Puts what is in these places in this order.
fn permute<T>(things: &mut [T], places: &[usize], mut order: Vec<usize>) {
    for at in 0..order.len() {
        let from = order[at];
        things.swap(places[at], places[from]);
        // What was here is now where the other came from.
        for later in order.iter_mut().skip(at + 1).filter(|later| **later == at) {
            *later = from;
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
        order(&mut events, |(at, _)| *at, |(_, event)| link(event), |_| Some(today.to_owned()));
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

    fn chained(links: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        let mut links = links.to_vec();
        join(&mut links, |link| (!link.0.is_empty()).then_some((link.0, link.1)));
        links
    }

    #[test]
    fn each_begins_where_the_one_before_it_ends() {
        let want = [("a", "b"), ("b", "c"), ("c", "d")];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(chained(&order.map(|n| want[n])), want);
        }
        // There and back again, and on.
        assert_eq!(chained(&[("b", "a"), ("a", "c"), ("a", "b")]), [("a", "b"), ("b", "a"), ("a", "c")]);
    }

    #[test]
    fn what_has_no_ends_or_no_path_stays() {
        assert_eq!(chained(&[("b", "c"), ("", "x"), ("a", "b")]), [("a", "b"), ("", "x"), ("b", "c")]);
        assert_eq!(chained(&[("c", "d"), ("a", "b")]), [("c", "d"), ("a", "b")]);
    }
}
