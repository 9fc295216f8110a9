//! An insight as agents see it: data that another agent or a person wrote, with who said it, when, and how far others stand behind it.

use contextcore_core::model::insight::{Answer, Insight, InsightType};
use serde_json::{Map, Value, json};

/// Who said it: `claude-checkout for ada`.
pub(crate) fn by(insight: &Insight) -> Option<String> {
    let who = insight.author.id.clone().or_else(|| insight.author.name.clone())?;
    Some(match &insight.author.on_behalf_of {
        Some(person) => format!("{who} for {person}"),
        None => who,
    })
}

/// The fields that every short form has.
fn common(insight: &Insight) -> Map<String, Value> {
    let fields = json!({
        "id": insight.id, "summary": insight.summary, "by": by(insight), "on": insight.created.date(), "review": insight.review,
        "from_untrusted": insight.from_untrusted.then_some(true),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// As a decision, lesson or recommendation stands in a context.
pub(crate) fn finding(insight: &Insight) -> Value {
    let mut fields = common(insight);
    fields.insert("confidence".to_owned(), json!(insight.confidence));
    fields.insert("category".to_owned(), json!(insight.category));
    if !matches!(insight.insight_type, InsightType::Decision | InsightType::Lesson) {
        fields.insert("type".to_owned(), json!(insight.insight_type));
    }
    Value::Object(fields)
}

/// What was answered, by whom and how.
fn add_answer(fields: &mut Map<String, Value>, insight: &Insight) {
    if let Some(Answer { text, by, via, from_untrusted, .. }) = &insight.answer {
        fields.insert("answer_from_untrusted".to_owned(), json!(from_untrusted.then_some(true)));
        fields.insert("answer".to_owned(), json!(text));
        fields.insert("answered_by".to_owned(), json!(by));
        fields.insert("answered_via".to_owned(), json!(via));
    }
}

/// As a question stands in a context.
pub(crate) fn question(insight: &Insight) -> Value {
    let mut fields = common(insight);
    fields.remove("review");
    fields.insert("status".to_owned(), json!(insight.status));
    fields.insert("blocking".to_owned(), json!(insight.blocking.then_some(true)));
    fields.insert("options".to_owned(), json!(insight.options));
    add_answer(&mut fields, insight);
    if insight.answer.as_ref().is_some_and(|answer| answer.from_untrusted) {
        // It waits until a person answers, and is read by who asks for the question.
        fields.remove("answer");
    }
    Value::Object(fields)
}

/// As a handoff stands in a context.
pub(crate) fn handoff(insight: &Insight) -> Value {
    let mut fields = common(insight);
    fields.remove("review");
    fields.insert("to".to_owned(), json!(insight.to));
    fields.insert("status".to_owned(), json!(insight.status));
    fields.insert("task".to_owned(), json!(insight.task));
    fields.insert("done".to_owned(), json!(insight.done));
    fields.insert("remaining".to_owned(), json!(insight.remaining));
    Value::Object(fields)
}

/// As a risk or a blocker stands in a context.
pub(crate) fn risk(insight: &Insight) -> Value {
    json!({
        "id": insight.id, "risk": insight.summary, "priority": insight.severity, "by": by(insight), "review": insight.review,
        "blocks": (insight.insight_type == InsightType::Blocker).then_some(true),
    })
}

/// As one of a list.
pub(crate) fn row(insight: &Insight) -> Value {
    let mut fields = common(insight);
    fields.insert("type".to_owned(), json!(insight.insight_type));
    fields.insert("status".to_owned(), json!(insight.status));
    fields.insert("confidence".to_owned(), json!(insight.confidence));
    fields.insert("applies_to".to_owned(), json!(insight.applies_to));
    fields.insert("task".to_owned(), json!(insight.task));
    fields.insert("to".to_owned(), json!(insight.to));
    add_answer(&mut fields, insight);
    Value::Object(fields)
}

/// In full.
pub(crate) fn whole(insight: &Insight) -> Value {
    let mut value = crate::answer::json(insight);
    if let Value::Object(fields) = &mut value {
        for name in ["confirmed", "contradicted"] {
            if fields.get(name).and_then(Value::as_u64) == Some(0) {
                fields.remove(name);
            }
        }
        fields.remove("answer");
        add_answer(fields, insight);
    }
    value
}
