//! Runs the fuzz targets of `fuzz/` without an instrumented build: the committed corpus, and random changes of it.
//!
//! `CONTEXTCORE_FUZZ_SECONDS` is the time for each target, `CONTEXTCORE_FUZZ_SEED` where its changes begin.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Time for each target in every run of the tests.
const SECONDS: u64 = 4;
/// Inputs are not made longer than this.
const LONGEST: usize = 8_192;

/// The committed inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Changes an input at some places, as fuzzers do that know nothing of it.
fn changed(input: &[u8], others: &[Vec<u8>], chance: &mut StdRng) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..chance.random_range(1..5) {
        let at = chance.random_range(0..=input.len());
        let end = (at + chance.random_range(0..9)).min(input.len());
        match chance.random_range(0..5) {
            0 => drop(input.splice(at..end, [])),
            1 => input.insert(at, chance.random()),
            2 => input[at..end].iter_mut().for_each(|byte| *byte = chance.random()),
            3 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let other = others.choose(chance).unwrap();
                let from = chance.random_range(0..=other.len());
                let to = (from + chance.random_range(0..64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// Runs one input. One that fails is printed, so that it can become a file of the corpus.
fn run(target: &str, function: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| function(input))) {
        eprintln!("{target} fails with b\"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn fuzz(target: &str, function: fn(&[u8])) {
    let corpus = corpus(target);
    corpus.iter().for_each(|input| run(target, function, input));
    let (began, time) = (Instant::now(), Duration::from_secs(number("CONTEXTCORE_FUZZ_SECONDS").unwrap_or(SECONDS)));
    let mut chance = StdRng::seed_from_u64(number("CONTEXTCORE_FUZZ_SEED").unwrap_or(0));
    let mut inputs = 0;
    while began.elapsed() < time {
        let input = changed(corpus.choose(&mut chance).unwrap(), &corpus, &mut chance);
        run(target, function, &input);
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
}

/// A number out of the environment.
#[expect(clippy::disallowed_methods, reason = "a knob of this test, no setting of the product")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_spoiled_row_of_jira_costs_only_itself() {
    fuzz("jira", targets::jira::run);
}

#[test]
fn a_spoiled_row_of_github_costs_only_itself() {
    fuzz("github", targets::github::run);
}

#[test]
fn a_spoiled_row_of_linear_costs_only_itself() {
    fuzz("linear", targets::linear::run);
}

#[test]
fn a_spoiled_line_of_a_file_costs_only_itself() {
    fuzz("file", targets::file::run);
}

#[test]
fn an_odd_answer_of_a_backend_is_no_acceptance() {
    fuzz("otlp", targets::otlp::run);
}

#[test]
fn a_webhook_is_believed_only_with_our_signature() {
    fuzz("webhooks", targets::webhooks::run);
}

#[test]
fn a_changed_export_is_refused_and_a_damaged_value_costs_only_itself() {
    fuzz("export", targets::export::run);
}
