//! What a query costs, and which queries are too large: GitHub's rules, worked out from the query alone.
//!
//! Price: the number of connections the query makes GitHub read, divided by 100 and rounded, at least 1 point. Nodes: how many
//! it may give, at most 500,000. Sources: GitHub's "Rate limits and query limits for the GraphQL API".

use crate::graphql::{Failure, Selected};

/// The most nodes a query may ask for.
const MAX_NODES: i64 = 500_000;
/// The largest page.
const MAX_PAGE: i64 = 100;

/// A query's price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Price {
    /// Connections read.
    pub(super) requests: i64,
    pub(super) points: i64,
    /// Nodes it may give.
    pub(super) nodes: i64,
}

/// Works out a price.
pub(super) fn price(plan: &[Selected<'_>]) -> Price {
    let mut price = Price::default();
    plan.iter().for_each(|field| add(field, 1, &mut price));
    price.points = ((price.requests + 50) / 100).max(1);
    price
}

/// Adds a field that is there `times` times.
fn add(field: &Selected<'_>, times: i64, price: &mut Price) {
    let mut times = times;
    if field.is_connection() {
        price.requests += times;
        times *= field.page_size().unwrap_or(0);
        price.nodes += times;
    } else if let Some(ids) = field.count("ids") {
        times *= ids as i64;
        price.nodes += times;
    }
    field.children.iter().for_each(|child| add(child, times, price));
}

/// What makes GitHub refuse a query before it runs: a page without a size or of a size it does not give, too many nodes.
pub(super) fn flaw(plan: &[Selected<'_>], price: Price) -> Option<(Failure, Vec<String>)> {
    if price.nodes > MAX_NODES {
        let message = format!(
            "This query requests up to {} possible nodes which exceeds the maximum limit of {MAX_NODES}.",
            price.nodes
        );
        return Some((Failure::new("MAX_NODE_LIMIT_EXCEEDED", message), vec![]));
    }
    plan.iter().find_map(|field| page_flaw(field, &[]))
}

fn page_flaw(field: &Selected<'_>, above: &[String]) -> Option<(Failure, Vec<String>)> {
    let mut path = above.to_vec();
    path.push(field.key.to_owned());
    if field.is_connection() {
        let name = field.name;
        match field.page_size() {
            None => {
                let message =
                    format!("You must provide a `first` or `last` value to properly paginate the `{name}` connection.");
                return Some((Failure::new("MISSING_PAGINATION_BOUNDARIES", message), path));
            }
            Some(size) if !(0..=MAX_PAGE).contains(&size) => {
                let message = format!(
                    "Requesting {size} records on the `{name}` connection exceeds the `first` limit of {MAX_PAGE} records."
                );
                return Some((Failure::new("EXCESSIVE_PAGINATION", message), path));
            }
            Some(_) => {}
        }
    }
    field.children.iter().find_map(|child| page_flaw(child, &path))
}

/// The response keys down to every list that is more than a page of `most` entries with two connections each: GitHub gives up
/// on those.
pub(super) fn too_heavy(plan: &[Selected<'_>], most: usize) -> Vec<Vec<String>> {
    let mut found = vec![];
    plan.iter().for_each(|field| weigh(field, &[], most as i64, &mut found));
    found
}

fn weigh(field: &Selected<'_>, above: &[String], most: i64, found: &mut Vec<Vec<String>>) {
    let mut path = above.to_vec();
    path.push(field.key.to_owned());
    let size = field.count("ids").map(|ids| ids as i64).or_else(|| field.page_size().filter(|_| field.is_connection()));
    let (list, entries): (Vec<_>, &Selected<'_>) = match field.children.iter().find(|child| child.name == "nodes") {
        Some(nodes) if field.is_connection() => (path.iter().cloned().chain([nodes.key.to_owned()]).collect(), nodes),
        _ => (path.clone(), field),
    };
    if size.is_some_and(|size| size > most) && connections(entries) >= 2 {
        found.push(list);
        return;
    }
    field.children.iter().for_each(|child| weigh(child, &path, most, found));
}

/// The connections of one entry: its own, and those of the objects it holds.
fn connections(field: &Selected<'_>) -> usize {
    let nested = |child: &Selected<'_>| if child.is_connection() { 1 } else { connections(child) };
    field.children.iter().map(nested).sum()
}
