//! The fragment of strategy `consistent` in a real Collector: each service's rate without anybody waiting for a trace to end, and in
//! what is kept how probable that was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::sampling::{Collector, Kind, Output, rate, says_whose_it_is, services};
use super::{property, rig};

const SETTINGS: &str = "sampling: {strategy: consistent}\n";
/// Pipelines that export to our connector, and receive from the other what was kept.
const TRACES: &str =
    "    traces: {receivers: [otlp], processors: [transform/contextcore], exporters: [routing/contextcore]}
    traces/kept: {receivers: [forward/contextcore], exporters: [file/traces]}
";
/// OpenTelemetry's randomness that every rate keeps, as an application could claim it.
const LUCKY: &str = "vendor=x,ot=rv:ffffffffffffff;th:8";

/// Requests of a kind, the share that is kept, and how many of the three spans of each.
fn kinds() -> Vec<(Kind, f64, usize)> {
    let shop = |name, service, count| Kind::new(name, "shop", service, count);
    vec![
        (shop("all", "all", 1_000), 1.0, 3),
        (shop("half", "half", 2_000), 0.5, 3),
        (shop("tenth", "tenth", 2_000), 0.1, 3),
        (shop("hundredth", "hundredth", 1_500), 0.01, 3),
        (Kind { state: LUCKY, priority: true, ..shop("claiming", "hundredth", 1_500) }, 0.01, 3),
        (shop("none", "none", 300), 0.0, 3),
        (Kind { state: LUCKY, priority: true, ..shop("claiming-none", "none", 100) }, 0.0, 3),
        (Kind { has_failed: true, ..shop("error", "none", 200) }, 1.0, 1),
        (Kind { method: "POST", ..shop("write", "none", 100) }, 0.0, 1),
        (shop("audited-read", "audited", 100), 0.0, 3),
        (Kind { method: "DELETE", ..shop("audited-write", "audited", 200) }, 1.0, 1),
        (Kind::new("other", "elsewhere", "half", 1_000), 0.05, 3),
    ]
}

/// Sends all, and returns what is kept of it.
fn kept(kinds: &[Kind]) -> Option<Output> {
    let collector = Collector::start_with(&services(), SETTINGS, TRACES)?;
    kinds.iter().flat_map(Kind::requests).flatten().for_each(|request| collector.send("/v1/traces", &request));
    Some(collector.stop())
}

#[test]
fn ten_thousand_traces_are_kept_at_rates_that_their_spans_state() {
    let kinds = kinds();
    assert_eq!(kinds.iter().map(|(kind, ..)| kind.count).sum::<usize>(), 10_000);
    let Some(kept) = kept(&kinds.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>()) else { return };
    let mut by_kind: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for span in &kept.spans {
        *by_kind.entry(&span.name).or_default().entry(&span.trace).or_default() += 1;
    }
    for (kind, share, spans) in kinds {
        let traces = by_kind.remove(kind.name).unwrap_or_default();
        assert!(traces.values().all(|kept| *kept == spans), "{}: not {spans} spans of each", kind.name);
        let (count, kept) = (kind.count as f64, traces.len() as f64);
        let deviation = (count * share * (1.0 - share)).sqrt();
        println!("{}: {kept} of {count}, {share} asked for, sigma {deviation:.1}", kind.name);
        assert!((kept - count * share).abs() <= 3.0 * deviation, "{}: {kept} of {count} at {share}", kind.name);
    }
    kept.spans.iter().for_each(says_whose_it_is);
    // How many spans each one stands for can be read in it: th is the part of all numbers that are not kept, in hexadecimal.
    let states =
        |name: &str| kept.spans.iter().filter(|span| span.name == name).map(|span| span.state.as_str()).collect();
    let wanted = [
        ("all", "ot=th:0"),
        ("half", "ot=th:8"),
        ("tenth", "ot=th:e666"),
        ("hundredth", "ot=th:fd70a"),
        ("error", "ot=th:0"),
        ("audited-write", "ot=th:0"),
        ("other", "ot=th:f3333"),
    ];
    for (name, state) in wanted {
        let found: BTreeSet<&str> = states(name);
        assert_eq!(found, BTreeSet::from([state]), "{name}");
    }
    let claimed: BTreeSet<&str> = states("claiming");
    assert!(claimed.iter().all(|state| state.contains("vendor=x") && state.contains("ot=th:fd70a")), "{claimed:?}");
}

/// Two collectors decide alike about the parts of a trace that each of them sees.
#[test]
fn what_a_lower_rate_keeps_a_higher_one_keeps_as_well() {
    let crossing = Kind { calls: ("shop", "half"), ..Kind::new("crossing", "shop", "tenth", 1_000) };
    let requests: Vec<_> = crossing.requests().collect();
    let mut kept: Vec<BTreeSet<String>> = Vec::new();
    for part in 0..2 {
        let Some(collector) = Collector::start_with(&services(), SETTINGS, TRACES) else { return };
        requests.iter().for_each(|request| collector.send("/v1/traces", &request[part]));
        let spans = collector.stop().spans.into_iter();
        let service = if part == 0 { "tenth" } else { "half" };
        kept.push(spans.filter(|span| span.resource["service.name"] == service).map(|span| span.trace).collect());
    }
    let [tenth, half] = &kept[..] else { panic!() };
    assert!(tenth.len() > 50 && half.len() > 400 && tenth.is_subset(half), "{} and {}", tenth.len(), half.len());
}

/// What an earlier sampler has said is not made more probable.
#[test]
fn what_was_sampled_before_keeps_its_weight() {
    let early = Kind { state: "ot=th:c", ..Kind::new("early", "shop", "half", 1_000) };
    let Some(kept) = kept(&[early]) else { return };
    let (traces, states): (BTreeSet<_>, BTreeSet<_>) =
        kept.spans.iter().map(|span| (&span.trace, &*span.state)).unzip();
    // Of those that a sampler at a quarter lets pass, all stay; the others cannot have come from it.
    assert!(traces.len().abs_diff(250) <= 41, "{}", traces.len());
    assert_eq!(states, BTreeSet::from(["ot=th:c"]));
}

#[test]
fn the_fragment_of_any_contexts_starts_when_sampling_is_consistent() {
    let smallest =
        [1e-7, 1e-15, 1e-17, 1e-30, f64::MIN_POSITIVE].map(|share: f64| rate(&format!("a{}", share.to_bits()), share));
    for contexts in [Vec::new(), property::contexts(100), smallest.into()] {
        let with_marker = format!("{SETTINGS}prometheus: {{url: 'http://prometheus'}}\n");
        for settings in [format!("{SETTINGS}limits: {{}}\n"), with_marker] {
            let Some(collector) = Collector::start_with(&contexts, &settings, TRACES) else { return };
            let log = collector.stop().log;
            assert!(!log.contains("error"), "{log}");
        }
    }
    let none = "sampling: {strategy: consistent, others: 0}\n";
    let Some(collector) = Collector::start_with(
        &[rig::context("shop", "a", &json!({"observability": {"traceSampling": 0}}))],
        none,
        TRACES,
    ) else {
        return;
    };
    collector.stop();
}
