//! The order of changes that share a moment: each begins with what the one before it ended with. Pure.

/// Things of one moment that are put in another order at most: more would take long to try, and nobody changes a status so often
/// in a millisecond.
const MOST: usize = 8;

/// Puts those things that have ends (what a change leads from, and what to) in an order in which each begins where the one
/// before it ends, if there is one and they are not in it already. The others stay where they are.
pub(super) fn chain<T: Copy>(things: &mut [T], ends: impl for<'a> Fn(&'a T) -> Option<(&'a str, &'a str)>) {
    let places: Vec<usize> = (0..things.len()).filter(|place| ends(&things[*place]).is_some()).collect();
    if !(2..=MOST).contains(&places.len()) {
        return;
    }
    let of_all = things.to_vec();
    let links: Vec<(&str, &str)> = places.iter().filter_map(|place| ends(&of_all[*place])).collect();
    if links.windows(2).all(|pair| pair[0].1 == pair[1].0) {
        return;
    }
    if let Some(order) = path(&links, &mut Vec::new()) {
        for (place, next) in places.iter().zip(order) {
            things[*place] = of_all[places[next]];
        }
    }
}

/// Continues a path to one that takes every link once. Links are tried in the order they came.
fn path(links: &[(&str, &str)], taken: &mut Vec<usize>) -> Option<Vec<usize>> {
    if taken.len() == links.len() {
        return Some(taken.clone());
    }
    for next in 0..links.len() {
        let fits = taken.last().is_none_or(|last| links[*last].1 == links[next].0);
        if fits && !taken.contains(&next) {
            taken.push(next);
            if let Some(found) = path(links, taken) {
                return Some(found);
            }
            taken.pop();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(links: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        let mut links = links.to_vec();
        chain(&mut links, |link| (!link.0.is_empty()).then_some((link.0, link.1)));
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
