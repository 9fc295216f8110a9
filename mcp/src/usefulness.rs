//! Is what an agent needs to know in the first answer? Forty questions, as the personas of the blueprint ask them, each with the insight
//! that answers it in other words, among 5,000 that are about the same things and do not.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::definitions::Definition;
use crate::fake::Fake;
use crate::tools;
use contextcore_core::model::insight::identity;
use contextcore_core::model::operation::InsightEmit;

#[derive(Debug, Deserialize)]
struct Question {
    persona: String,
    question: String,
    #[serde(rename = "type")]
    insight_type: String,
    summary: String,
    rationale: String,
    tags: Vec<String>,
}

impl Question {
    /// The insight that answers it, as an agent records it.
    fn fact(&self, number: usize) -> InsightEmit {
        InsightEmit {
            id: identity::random_id((number as u64 + 1).to_be_bytes()),
            insight_type: self.insight_type.clone(),
            summary: self.summary.clone(),
            rationale: Some(self.rationale.clone()),
            tags: self.tags.clone(),
            confidence: Some(0.8),
            agent: Some("recorder".to_owned()),
            ..InsightEmit::default()
        }
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of[usize::try_from(self.0 >> 33).unwrap_or(0) % of.len()]
    }
}

const TYPES: [&str; 8] =
    ["decision", "decision", "lesson", "lesson", "discovery", "recommendation", "risk", "analysis"];
const SUBJECTS: [&str; 48] = [
    "the payment service",
    "the login page",
    "our Kafka topics",
    "the search index",
    "the invoice export",
    "customer data",
    "the checkout tests",
    "Redis keys",
    "the mobile app",
    "the deployment pipeline",
    "Grafana panels",
    "the API gateway",
    "database migrations",
    "the order queue",
    "webhook signatures",
    "the staging cluster",
    "nightly jobs",
    "trace sampling",
    "feature flags",
    "the design system",
    "user profiles",
    "Terraform modules",
    "the release notes",
    "sprint planning",
    "story estimates",
    "the vendor contract",
    "translations",
    "the cart",
    "the currency table",
    "log retention",
    "the container images",
    "alert rules",
    "the on-call rota",
    "password resets",
    "the CSV import",
    "email templates",
    "the tax calculator",
    "product images",
    "npm packages",
    "the metrics endpoint",
    "Helm charts",
    "stock levels",
    "the refund flow",
    "audit events",
    "session tokens",
    "the recommendation engine",
    "the support inbox",
    "TLS certificates",
];
const SAYINGS: [&str; 40] = [
    "are versioned with a number and a date",
    "need an owner before they grow",
    "moved to the shared library",
    "are validated at the boundary",
    "use UTC everywhere",
    "are tested against a recorded response",
    "follow the naming convention of the platform",
    "must be reviewed by two people",
    "are cached for five minutes",
    "fail when the locale is Turkish",
    "were split into smaller parts",
    "are slower on Mondays",
    "depend on the old client",
    "are read through the replica",
    "have no dashboard yet",
    "are generated from the schema",
    "cost more than expected",
    "are owned by the commerce team",
    "break when two instances start at once",
    "are encrypted at rest",
    "should be paged in hundreds",
    "are limited to 500 requests per minute",
    "ignore empty values",
    "are rebuilt each night",
    "keep their history for a quarter",
    "need a second approval in production",
    "are documented in the handbook",
    "lost updates during the switch to winter time",
    "are deployed on Tuesdays",
    "share a connection pool",
    "are compressed before upload",
    "run out of memory with large inputs",
    "are announced in the weekly mail",
    "have a budget of forty hours",
    "are measured at the edge",
    "wait for the answer of legal",
    "are archived after a year",
    "retry three times with backoff",
    "use the new error format",
    "are behind a flag until launch",
];
const REASONS: [&str; 24] = [
    "It was agreed with the platform team",
    "Two incidents had this cause",
    "The previous approach did not scale",
    "Measured over four weeks",
    "Support asked for it",
    "The vendor recommends it",
    "It halves the time to restore",
    "Customers complained about it",
    "The tests showed it",
    "An audit found it",
    "It is cheaper by a third",
    "Latency fell from 800 to 200 ms",
    "The team lost a day to it",
    "It came up in the retrospective",
    "Security wants it",
    "Old browsers need it",
    "The queue filled up during the sale",
    "Nobody knew who was responsible",
    "The deadline does not allow more",
    "It is the default of the framework",
    "Estimates were off by half",
    "The database was locked meanwhile",
    "Traces show it clearly",
    "It keeps the price low",
];

fn distractors(count: usize) -> impl Iterator<Item = InsightEmit> {
    let mut dice = Dice(42);
    (0..count).map(move |number| InsightEmit {
        id: identity::random_id((1_000_000 + number as u64).to_be_bytes()),
        insight_type: dice.pick(&TYPES).to_owned(),
        summary: format!("{} {} ({number})", dice.pick(&SUBJECTS), dice.pick(&SAYINGS)),
        rationale: Some(format!("{}. {}", dice.pick(&REASONS), dice.pick(&REASONS))),
        tags: vec![dice.pick(&["testing", "storage", "process", "operations", "security", "cost"]).to_owned()],
        confidence: dice.pick(&["0.5", "0.7", "0.8", "0.9", "1"]).parse().ok(),
        agent: Some(dice.pick(&["one", "two", "three"]).to_owned()),
        ..InsightEmit::default()
    })
}

/// The questions whose answer is not in the first answer of a tool.
fn missed(fake: &Fake, questions: &[Question], tool: &str, argument: &str) -> Vec<String> {
    let definition = Definition::of(tool).unwrap();
    let is_missed = |(number, question): &(usize, &Question)| {
        let arguments = json!({"project": "shop", argument: question.question});
        let arguments = arguments.as_object().unwrap();
        let answer = tools::call(fake, &Caller::default(), definition, arguments, tools::CallContext::of(7)).unwrap();
        !mentions(&answer.value, &question.fact(*number).id)
    };
    let missed = questions.iter().enumerate().filter(is_missed);
    missed.map(|(_, question)| format!("{}: {} ({})", question.persona, question.question, question.summary)).collect()
}

fn mentions(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => text == id,
        Value::Array(items) => items.iter().any(|item| mentions(item, id)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, id)),
        _ => false,
    }
}

fn check(questions: &str) {
    let questions: Vec<Question> = serde_json::from_str(questions).unwrap();
    assert_eq!(questions.len(), 40);
    let fake = Fake::default();
    fake.emit("shop", distractors(5_000));
    fake.emit("shop", questions.iter().enumerate().map(|(number, question)| question.fact(number)));
    // The ten best of all types are fewer than the lists of a context, and leave out what is merely on record.
    for (tool, argument, most) in [("get_context", "question", 2), ("find_insights", "text", 10)] {
        let missed = missed(&fake, &questions, tool, argument);
        assert!(missed.len() <= most, "{tool} missed {}:\n{}", missed.len(), missed.join("\n"));
    }
}

#[test]
fn the_first_answer_has_what_a_persona_needs_to_know() {
    check(include_str!("usefulness/questions.json"));
}

#[test]
fn it_has_it_for_other_questions_too() {
    check(include_str!("usefulness/others.json"));
}
