//! Ten thousand seeds of the simulation (`-- N` for another number). It prints how long they took, and the seeds that failed.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on shall fail at once")]

#[path = "../tests/simulation/disk.rs"]
mod disk;
#[path = "../tests/simulation/life.rs"]
mod life;
#[path = "../tests/simulation/machine.rs"]
mod machine;
#[path = "../tests/simulation/network.rs"]
mod network;
#[path = "../tests/rig/outcome.rs"]
mod outcome;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let count: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let began = Instant::now();
    let failed: Vec<u64> = (0..count).filter(|seed| std::panic::catch_unwind(|| life::live(*seed)).is_err()).collect();
    println!("{count} seeds in {:.0} s, {} failed {failed:?}", began.elapsed().as_secs_f64(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
