//! The order of changes of one moment: acts of one millisecond come in no order that means anything, but what a change made of
//! a value is what the next one changes. Pure.

use std::collections::BTreeMap;

use contextcore_core::Millis;

/// More changes of one value in one moment stay as they were listed.
const MOST: usize = 12;

/// What a change does to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) field: &'static str,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

/// Orders changes, which come oldest first, within each moment: each value by itself, in the places that its changes have.
pub(super) fn order<T>(changes: &mut [T], at: impl Fn(&T) -> Millis, edge: impl Fn(&T) -> Option<Edge>) {
    let mut values: BTreeMap<&'static str, Option<String>> = BTreeMap::new();
    let mut begin = 0;
    while begin < changes.len() {
        let moment = at(&changes[begin]);
        let end = begin + changes[begin..].iter().take_while(|change| at(change) == moment).count();
        if end - begin > 1 {
            order_moment(changes, begin, end, &edge, &values);
        }
        let edges = changes[begin..end].iter().filter_map(&edge);
        values.extend(edges.map(|edge| (edge.field, edge.to)));
        begin = end;
    }
}

fn order_moment<T>(
    changes: &mut [T],
    begin: usize,
    end: usize,
    edge: &impl Fn(&T) -> Option<Edge>,
    before: &BTreeMap<&'static str, Option<String>>,
) {
    let mut fields: BTreeMap<&'static str, Vec<(usize, Edge)>> = BTreeMap::new();
    for (n, change) in changes[begin..end].iter().enumerate() {
        if let Some(edge) = edge(change) {
            fields.entry(edge.field).or_default().push((begin + n, edge));
        }
    }
    for (field, edges) in fields.into_iter().filter(|(_, edges)| (2..=MOST).contains(&edges.len())) {
        let next = changes[end..].iter().filter_map(edge).find(|edge| edge.field == field).map(|edge| edge.from);
        let (places, edges): (Vec<usize>, Vec<Edge>) = edges.into_iter().unzip();
        let Some(path) = path(&edges, before.get(field), next.as_ref()) else { continue };
        permute(changes, &places, path);
    }
}

/// The order in which the edges form one chain, if there is one: from the value before, if that is known, and to the value after.
/// Where several orders do, the one that is nearest to theirs.
fn path(edges: &[Edge], before: Option<&Option<String>>, after: Option<&Option<String>>) -> Option<Vec<usize>> {
    let tries = [(before, after), (before, None), (None, after), (None, None)];
    tries.into_iter().find_map(|(before, after)| {
        let mut path = Vec::new();
        walk(edges, before, after, &mut path).then_some(path)
    })
}

fn walk(edges: &[Edge], at: Option<&Option<String>>, after: Option<&Option<String>>, path: &mut Vec<usize>) -> bool {
    if path.len() == edges.len() {
        return after.is_none_or(|after| at == Some(after));
    }
    let mut tried: Vec<(&Option<String>, &Option<String>)> = Vec::new();
    for (n, edge) in edges.iter().enumerate() {
        // Of two equal edges one is as good as the other.
        let ends = (&edge.from, &edge.to);
        if path.contains(&n) || tried.contains(&ends) || at.is_some_and(|at| *at != edge.from) {
            continue;
        }
        tried.push(ends);
        path.push(n);
        if walk(edges, Some(&edge.to), after, path) {
            return true;
        }
        path.pop();
    }
    false
}

/// Puts the changes of these places in this order.
fn permute<T>(changes: &mut [T], places: &[usize], mut order: Vec<usize>) {
    for at in 0..order.len() {
        let from = order[at];
        changes.swap(places[at], places[from]);
        // What was here is now where the other came from.
        for later in order.iter_mut().skip(at + 1).filter(|later| **later == at) {
            *later = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Given = (i64, &'static str, &'static str, &'static str);

    fn ordered(given: &[Given]) -> Vec<String> {
        let mut changes = given.to_vec();
        let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        order(
            &mut changes,
            |change| Millis(change.0),
            |&(_, field, from, to)| (field != "other").then(|| Edge { field, from: text(from), to: text(to) }),
        );
        changes.iter().map(|(_, field, from, to)| format!("{field}:{from}>{to}")).collect()
    }

    #[test]
    fn what_a_change_made_is_what_the_next_one_changes() {
        let mixed = [(1, "s", "", "A"), (2, "s", "B", "C"), (2, "t", "x", "y"), (2, "s", "A", "B"), (3, "s", "C", "A")];
        assert_eq!(ordered(&mixed), ["s:>A", "s:A>B", "t:x>y", "s:B>C", "s:C>A"]);
        // Forth and back in one moment: the value before says which came first.
        assert_eq!(ordered(&[(1, "s", "", "B"), (2, "s", "A", "B"), (2, "s", "B", "A")]), ["s:>B", "s:B>A", "s:A>B"]);
        // What forms no chain stays as it is listed.
        assert_eq!(ordered(&[(1, "s", "X", "Y"), (1, "s", "A", "B")]), ["s:X>Y", "s:A>B"]);
        assert_eq!(ordered(&[(1, "other", "B", "C"), (1, "other", "A", "B")]), ["other:B>C", "other:A>B"]);
    }

    proptest! {
        #[test]
        fn any_order_of_the_list_gives_a_chain(
            values in prop::collection::vec(0usize..4, 2..8),
            shuffled in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            const NAMES: [&str; 4] = ["A", "B", "C", "D"];
            let chain: Vec<Given> = values.windows(2).map(|pair| (1, "s", NAMES[pair[0]], NAMES[pair[1]])).collect();
            let mut listed = vec![(0, "s", "", NAMES[values[0]])];
            listed.extend(shuffled.iter().filter_map(|at| chain.get(*at)));
            listed.push((2, "s", NAMES[values[values.len() - 1]], "end"));
            let ends: Vec<(String, String)> = ordered(&listed)
                .iter()
                .map(|text| text[2..].split_once('>').map(|(from, to)| (from.to_owned(), to.to_owned())).unwrap())
                .collect();
            prop_assert_eq!(ends.len(), chain.len() + 2);
            for pair in ends.windows(2) {
                prop_assert_eq!(&pair[0].1, &pair[1].0);
            }
        }
    }
}
