//! A share of the seeds of the simulation. `cargo bench --bench simulation` runs ten thousand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod disk;
mod life;
mod machine;
mod network;
#[path = "../rig/outcome.rs"]
mod outcome;

/// Seeds that failed once. They stay here for good.
const KEPT: &[u64] = &[95, 111];

#[test]
fn no_history_of_kills_and_faults_loses_or_doubles_anything() {
    let from = number("CONTEXTCORE_SIMULATION_FROM").unwrap_or(0);
    let count = number("CONTEXTCORE_SIMULATION_SEEDS").unwrap_or(60);
    for seed in KEPT.iter().copied().chain(from..from + count) {
        life::live(seed);
    }
}

/// A number out of the environment.
#[expect(clippy::disallowed_methods, reason = "a knob of this test, no setting of the product")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
