//! Which replica works on what. Pure: replicas that see the same leases decide the same.
//!
//! Each unit goes to the replica that scores highest for it (rendezvous hashing). So when a replica comes or goes, only the units move
//! that it gets or had. A person may say which replica shall have a unit; that counts while it lives.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{LeaseRow, Unit};

/// What a replica shall change.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Units to take, which nobody holds.
    pub take: Vec<Unit>,
    /// Units to give back.
    pub give: Vec<Unit>,
}

/// What the replica `me`, which holds `held`, shall change; `known` are the units of its configuration.
pub fn changes(me: &str, rows: &[LeaseRow], known: &[Unit], held: &BTreeSet<Unit>) -> Changes {
    let live: Vec<&LeaseRow> = rows.iter().filter(|row| row.is_live_replica()).collect();
    let by_unit: BTreeMap<&Unit, &LeaseRow> = rows.iter().filter_map(|row| Some((row.unit.as_ref()?, row))).collect();
    let mut changes = Changes::default();
    for unit in known {
        let row = by_unit.get(unit);
        let able = live.iter().filter(|row| row.units.contains(unit)).map(|row| row.owner.as_str());
        let wanted = row.map(|row| row.wanted.as_str()).unwrap_or_default();
        // Before its own lease is seen nothing is decided.
        let Some(owner) = owner(unit, able, wanted) else { continue };
        if owner == me && !held.contains(unit) && row.is_none_or(|row| row.owner.is_empty()) {
            changes.take.push(unit.clone());
        } else if owner != me && held.contains(unit) {
            changes.give.push(unit.clone());
        }
    }
    changes.give.extend(held.iter().filter(|unit| !known.contains(unit)).cloned());
    changes
}

/// The replica that shall have a unit: the one that is wanted, or one that follows it on its host, or the first in line.
pub fn owner<'a>(unit: &Unit, replicas: impl Iterator<Item = &'a str>, wanted: &str) -> Option<&'a str> {
    let ranked = ranked(unit, replicas);
    let is_wanted = |replica: &&str| *replica == wanted;
    // One that was started again has another number, or another name while its former self counts as alive.
    let follows = |replica: &&str| !wanted.is_empty() && host(replica) == host(wanted);
    let chosen = ranked.iter().copied().find(is_wanted).or_else(|| ranked.iter().copied().find(follows));
    chosen.or_else(|| ranked.first().copied())
}

/// The host in the name of a replica, such as `host (pid 7)`: in containers, the name of the pod.
pub fn host(replica: &str) -> &str {
    replica.split(" (pid ").next().unwrap_or(replica)
}

/// Replicas in the order in which they get a unit.
pub fn ranked<'a>(unit: &Unit, replicas: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = replicas.collect();
    all.sort_by_cached_key(|replica| std::cmp::Reverse((score(unit, replica), *replica)));
    all
}

fn score(unit: &Unit, replica: &str) -> [u8; 32] {
    *blake3::hash(format!("{replica}\0{}", unit.lease()).as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn row(unit: Option<Unit>, owner: &str) -> LeaseRow {
        let (units, wanted) = (Unit::all(["a", "b"]).into_iter().collect(), String::new());
        LeaseRow { unit, token: 1, owner: owner.to_owned(), left: Duration::from_secs(9), units, wanted }
    }

    fn units(number: usize) -> Vec<Unit> {
        (0..number).map(|number| Unit::source(&format!("source-{number}"))).collect()
    }

    fn owners(units: &[Unit], replicas: &[String]) -> Vec<String> {
        let of = |unit| owner(unit, replicas.iter().map(String::as_str), "").unwrap_or_default().to_owned();
        units.iter().map(of).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// In whatever order replicas are listed, all decide the same, and who comes takes from the others without moving anything
        /// between them. The same, read backwards, holds for one that goes.
        #[test]
        fn replicas_agree_and_a_change_moves_only_what_it_must(
            names in proptest::collection::hash_set("[a-z]{1,8}-[0-9]", 2..8), number in 1_usize..200, seed in any::<prop::sample::Index>(),
        ) {
            let all: Vec<String> = names.into_iter().collect();
            let units = units(number);
            let with = owners(&units, &all);
            let backwards: Vec<String> = all.iter().rev().cloned().collect();
            prop_assert_eq!(&with, &owners(&units, &backwards));
            let comes = seed.get(&all).clone();
            let others: Vec<String> = all.iter().filter(|name| **name != comes).cloned().collect();
            for (with, without) in with.iter().zip(owners(&units, &others)) {
                prop_assert!(*with == without || *with == comes, "{} moved to {}", without, with);
            }
        }
    }

    #[test]
    fn work_is_shared_about_evenly() {
        let replicas: Vec<String> = (0..3).map(|number| format!("contextcore-{number} (pid 1)")).collect();
        let owners = owners(&units(900), &replicas);
        for replica in &replicas {
            let share = owners.iter().filter(|owner| *owner == replica).count();
            assert!((220..=380).contains(&share), "{replica} has {share} of 900");
        }
    }

    /// Several replicas that act in any order, each on what it sees: no unit is given back for nothing, and all end at one owner.
    #[test]
    fn replicas_that_follow_their_plans_come_to_rest() {
        let known = Unit::all(["a", "b"]);
        let mut held: BTreeMap<&str, BTreeSet<Unit>> = BTreeMap::new();
        for live in [&["one"][..], &["one", "two"], &["one", "two", "three"], &["two", "three"]] {
            held.retain(|name, _| live.contains(name));
            let mut moved = 0;
            for me in live.iter().cycle().take(3 * live.len()) {
                let replicas = live.iter().map(|name| row(None, name));
                let of_units =
                    held.iter().flat_map(|(name, units)| units.iter().map(|unit| row(Some(unit.clone()), name)));
                let rows: Vec<LeaseRow> = replicas.chain(of_units).collect();
                let mine = held.entry(me).or_default();
                let Changes { take, give } = changes(me, &rows, &known, mine);
                moved += give.len();
                mine.extend(take);
                mine.retain(|unit| !give.contains(unit));
            }
            let all: Vec<&Unit> = held.values().flatten().collect();
            assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (known.len(), known.len()), "{live:?}");
            assert!(moved < known.len(), "{moved} units moved for {live:?}");
        }
    }

    #[test]
    fn what_a_person_wants_counts_while_that_replica_lives_and_knows_the_unit() {
        let unit = Unit::source("a");
        let first = ranked(&unit, ["one", "two"].into_iter())[0];
        let other = if first == "one" { "two" } else { "one" };
        assert_eq!(owner(&unit, ["one", "two"].into_iter(), other), Some(other));
        assert_eq!(owner(&unit, ["one", "two"].into_iter(), "gone"), Some(first));
        assert_eq!(owner(&unit, std::iter::empty(), "gone"), None);
    }

    /// A process has another number after a start, or none that differs but a namesake that is not gone yet.
    #[test]
    fn what_a_person_wants_counts_for_the_next_process_on_that_host() {
        let unit = Unit::source("a");
        let own = |live: &[&str], wanted: &str| owner(&unit, live.iter().copied(), wanted).unwrap().to_owned();
        for wanted in ["one (pid 7)", "two (pid 7)"] {
            let again = wanted.replace("7", "8");
            let namesake = format!("{wanted} #2");
            assert_eq!(own(&["one (pid 7)", "two (pid 7)", &namesake], wanted), wanted);
            let other = if wanted.starts_with("one") { "two (pid 7)" } else { "one (pid 7)" };
            assert_eq!(own(&[other, &again], wanted), again);
            assert_eq!(own(&[other, &namesake], wanted), namesake);
        }
        let live = ["one (pid 1)", "two (pid 1)"];
        assert_eq!(own(&live, ""), ranked(&unit, live.into_iter())[0], "nobody said");
        assert_eq!(own(&live, "three (pid 1)"), ranked(&unit, live.into_iter())[0]);
    }

    #[test]
    fn a_source_that_only_some_replicas_know_goes_to_those_and_one_that_nobody_here_knows_is_given_back() {
        let (new, old) = (Unit::source("new"), Unit::source("a"));
        let mut knows = row(None, "one");
        knows.units.insert(new.clone());
        let rows = [knows, row(None, "two")];
        let changes = changes("one", &rows, std::slice::from_ref(&new), &BTreeSet::from([old.clone()]));
        assert_eq!(changes, Changes { take: vec![new], give: vec![old] });
    }
}
