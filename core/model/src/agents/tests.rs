use proptest::prelude::*;

use super::*;
use crate::samples::{artifact as sample, facts, stored};
use crate::{Change, Status};

fn activity(kind: &str, text: &str, author: Option<Author>) -> Activity {
    Activity {
        native_id: format!("{kind}:a1"),
        at: Millis(5),
        actor: Some("Ada".into()),
        artifact: sample(kind, "a1"),
        tasks: vec!["I_7".into()],
        mentions: vec!["PROJ-1".into(), text.to_owned()],
        author,
    }
}

/// What a commit with this text shows: the word, and who.
fn shown(text: &str) -> Option<(String, String)> {
    let found = evidence(&activity("commit", text, None), &KnownAgents::default())?;
    Some((found.artifact.reference, found.artifact.summary))
}

#[test]
fn trailers_show_agents() {
    for (trailer, who) in [
        ("Co-authored-by: Claude <noreply@anthropic.com>", "Claude"),
        ("Co-Authored-By: Claude Opus 4.5 <noreply@anthropic.com>", "Claude"),
        ("co-authored-by: Copilot <175728472+Copilot@users.noreply.github.com>", "GitHub Copilot"),
        ("Co-authored-by: copilot-swe-agent[bot] <198982749+Copilot@users.noreply.github.com>", "GitHub Copilot"),
        ("Co-authored-by: Cursor <cursoragent@cursor.com>", "Cursor"),
        ("Co-authored-by: google-labs-jules[bot] <161369871+google-labs-jules[bot]@users.noreply.github.com>", "Jules"),
        ("Co-authored-by: aider (gpt-5) <aider@aider.chat>", "aider"),
        ("Co-authored-by: Claude Code", "Claude"),
        ("Assisted-by: claude-code:claude-opus-4-5", "Claude"),
        ("Assisted-by: Claude:claude-3-opus coccinelle sparse", "Claude"),
        ("Assisted-by: GitHub Copilot", "GitHub Copilot"),
        ("Assisted-by: Codex", "Codex"),
        ("Assisted-by: our-agent:llama-3", "our-agent"),
        ("Generated-by: Gemini CLI", "Gemini"),
        ("Task: PROJ-1\nAssisted-by: Cursor:auto\nSigned-off-by: Ada <ada@example.com>", "Cursor"),
    ] {
        let found = shown(&format!("Pay by card\n\nIt is safer.\n\n{trailer}\n"));
        assert_eq!(found, Some(("assisted".into(), who.into())), "{trailer}");
    }
}

#[test]
fn people_and_automation_are_no_agents() {
    for trailer in [
        "Co-authored-by: Claude Monet <claude@monet.example>",
        "Co-authored-by: Devin Booker <devin@example.com>",
        "Co-authored-by: dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>",
        "Co-authored-by: renovate[bot] <29139614+renovate[bot]@users.noreply.github.com>",
        "Co-authored-by: claudette <1+claudette@users.noreply.github.com>",
        "Assisted-by: Bob <bob@example.com>",
        "Assisted-by: Bob",
        "Assisted-by: dependabot:2",
        "Signed-off-by: Claude <noreply@anthropic.com>",
        "Reviewed-by: GitHub Copilot",
        "Assisted-by:",
        "the words co-authored-by: Claude <noreply@anthropic.com>\nin running text",
    ] {
        assert_eq!(shown(&format!("Pay by card\n\n{trailer}\n")), None, "{trailer}");
    }
}

#[test]
fn an_author_that_is_an_agent_was_given_the_work() {
    let author = |name: &str, email: &str, login: &str, is_bot| Author {
        name: Some(name.into()),
        email: Some(email.into()),
        login: Some(login.into()).filter(|login: &String| !login.is_empty()),
        is_bot,
    };
    for (author, want) in [
        (author("Copilot", "", "copilot-swe-agent", true), Some("delegated")),
        (author("copilot-swe-agent[bot]", "198982749+Copilot@users.noreply.github.com", "", false), Some("delegated")),
        (author("Claude", "noreply@anthropic.com", "", false), Some("delegated")),
        (author("Claude", "", "claude", true), Some("delegated")),
        (author("Ada (aider)", "ada@example.com", "ada", false), Some("assisted")),
        (author("Claude", "claude@monet.example", "claude", false), None),
        (author("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com", "dependabot", true), None),
        (author("Ada", "ada@example.com", "ada", false), None),
    ] {
        let found = evidence(&activity("pull_request", "", Some(author.clone())), &KnownAgents::default());
        assert_eq!(found.as_ref().map(|found| found.artifact.reference.as_str()), want, "{author:?}");
    }
}

#[test]
fn the_configuration_adds_agents_by_name_account_or_address() {
    let more = ["Acme Coder", "acme-bot", "coder@acme.example"].map(str::to_owned);
    let agents = KnownAgents::with(&more);
    for trailer in [
        "Co-authored-by: acme coder <x@y.example>",
        "Co-authored-by: X <1+acme-bot[bot]@users.noreply.github.com>",
        "Co-authored-by: X <Coder@acme.example>",
        "Assisted-by: acme-bot",
    ] {
        assert!(by_trailers(trailer, &agents).is_some(), "{trailer}");
        assert!(by_trailers(trailer, &KnownAgents::default()).is_none(), "{trailer}");
    }
}

#[test]
fn evidence_belongs_to_the_same_tasks_and_other_artifacts_have_none() {
    let text = "x\n\nAssisted-by: Claude:opus";
    let found = evidence(&activity("commit", text, None), &KnownAgents::default()).unwrap();
    assert_eq!((found.native_id.as_str(), found.at, found.tasks.len()), ("agent:commit:a1", Millis(5), 1));
    assert!(evidence(&activity("review", text, None), &KnownAgents::default()).is_none());
    assert!(evidence(&activity("merged", text, None), &KnownAgents::default()).is_none());
}

fn artifacts(all: Vec<Artifact>) -> AgentAssisted {
    let created = stored(0, Change::Created(Box::new(facts(Status::Todo))));
    let events = all.into_iter().zip(1..).map(|(artifact, at)| stored(at, Change::Artifact(artifact)));
    let timeline: Vec<StoredEvent> = std::iter::once(created).chain(events).collect();
    assistance(&timeline, Millis(i64::MAX))
}

#[test]
fn none_is_only_what_was_declared() {
    use AgentAssisted::{Assisted, Delegated, None, Unknown};
    let of = |assisted, who: &str| artifact(assisted, who, "");
    let commit = |id: &str| sample("commit", id);
    assert_eq!(artifacts(vec![]), Unknown);
    assert_eq!(artifacts(vec![commit("a1"), sample("merged", "acme/shop#1")]), Unknown, "missing evidence");
    assert_eq!(artifacts(vec![of(None, "")]), None);
    assert_eq!(artifacts(vec![of(None, ""), commit("a1")]), None, "declared of the whole task");
    assert_eq!(artifacts(vec![commit("a1"), of(None, "a1")]), None);
    assert_eq!(artifacts(vec![commit("a1"), of(None, "a1"), commit("b2")]), Unknown, "one commit says nothing");
    assert_eq!(artifacts(vec![of(None, ""), of(Assisted, "Claude")]), Assisted);
    assert_eq!(artifacts(vec![of(Delegated, "Devin"), of(Assisted, "Claude"), of(None, "")]), Delegated);
}

#[test]
fn evidence_counts_from_its_moment_on() {
    let timeline = [
        stored(0, Change::Created(Box::new(facts(Status::Todo)))),
        stored(10, Change::StatusArtifact(artifact(AgentAssisted::Assisted, "Claude", ""))),
    ];
    assert_eq!(assistance(&timeline, Millis(9)), AgentAssisted::Unknown);
    assert_eq!(assistance(&timeline, Millis(10)), AgentAssisted::Assisted);
}

fn any_evidence() -> impl Strategy<Value = Artifact> {
    prop_oneof![
        (0..4_usize).prop_map(|n| sample("commit", ["a1", "b2", "c3", "d4"][n])),
        (0..4_usize).prop_map(|n| artifact(AgentAssisted::None, ["", "a1", "b2", "c3"][n], "")),
        Just(artifact(AgentAssisted::Assisted, "Claude", "")),
        Just(artifact(AgentAssisted::Delegated, "Devin", "")),
    ]
}

proptest! {
    #[test]
    fn the_order_of_evidence_means_nothing(
        (all, shuffled) in proptest::collection::vec(any_evidence(), 0..12)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        prop_assert_eq!(artifacts(all), artifacts(shuffled));
    }

    #[test]
    fn more_evidence_of_agents_never_weakens_what_is_known(
        all in proptest::collection::vec(any_evidence(), 0..8), delegated in any::<bool>()
    ) {
        let more = if delegated { AgentAssisted::Delegated } else { AgentAssisted::Assisted };
        let before = artifacts(all.clone());
        let after = artifacts(all.into_iter().chain([artifact(more, "x", "")]).collect());
        prop_assert!(after >= before && after >= more);
    }

    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = shown(&text);
        let _ = KnownAgents::default().helper(&text);
    }
}
