//! `contextcore insight review` and `insight revert`: a person says which insights hold, and takes back what an agent recorded.

use std::io::{self, BufRead, Write};

use contextcore_core::clock;
use contextcore_core::config::nearest_known;
use contextcore_core::model::insight::{
    AuthorKind, Insight, InsightAction, InsightType, Review as State, identity, lifecycle,
};
use contextcore_core::model::operation::{InsightUpdate, Operation};
use contextcore_core::model::printable;
use contextcore_core::query::{Found, FoundInsight, InsightQuery};
use serde_json::{Value, json};

use super::source::{self, Source, agents};
use super::{change, emit, fields, find};
use crate::app::Context;
use crate::args::{Place, ReadPlace, Revert, Review, Speaker};
use crate::failure::{Exit, Failure, Outcome};
use crate::project::{self, NamedBy, Project};
use crate::{humanize, moment, output, terminal};

pub(super) async fn run(context: &Context, review: Review) -> Outcome {
    let json = context.is_json("insight review")?;
    let source = source::open(context, &read_place(&review.place)).await?;
    if !review.ids.is_empty() {
        return review_ids(json, &source, &review).await;
    }
    let mut waiting = waiting(&source, review.insight_type).await?;
    let before = waiting.insights.len();
    waiting.insights.retain(|each| review.all || is_used(&each.insight));
    let unused = before - waiting.insights.len();
    if unused > 0 {
        let number = humanize::plural(unused as u64, "insight");
        eprintln!("{number} asked for less than {USED} times: --all shows them too");
    } else if waiting.insights.is_empty() {
        eprintln!("no insight waits for a review; `contextcore insight query --status all` shows the others");
    }
    if json {
        let insights: Vec<&Insight> = waiting.insights.iter().map(|found| &found.insight).collect();
        output::print(true, &insights, |_| String::new())?;
    } else if terminal::is_interactive() && !waiting.insights.is_empty() {
        ask_for_each(&waiting, &review)?;
    } else if !waiting.insights.is_empty() {
        let table = find::table(&waiting.insights, waiting.as_of, source.project.is_none());
        output::print(false, &(), |()| table.render(terminal::width()))?;
        eprintln!("`contextcore insight review ID` confirms one; --contradict or --retract says that it does not hold");
    }
    Ok(Exit::Done)
}

fn read_place(place: &Place) -> ReadPlace {
    ReadPlace { project: place.project.clone(), state: place.state.clone(), ..ReadPlace::default() }
}

/// People review what matters: what was given to somebody so often.
const USED: u64 = 3;

/// Whether an insight is asked for. Nobody counted the older ones.
fn is_used(insight: &Insight) -> bool {
    insight.served.is_none_or(|served| served >= USED)
}

/// What claims something and nobody has confirmed: what is asked for and reported most often first.
async fn waiting(source: &Source<'_>, insight_type: Option<InsightType>) -> Result<Found, Failure> {
    let query = InsightQuery { types: insight_type.into_iter().collect(), ..InsightQuery::default() };
    let mut found = source.find(&query).await?;
    found.insights.retain(|each| can_be_confirmed(&each.insight) && each.insight.review != State::Confirmed);
    found.insights.sort_by_key(|each| std::cmp::Reverse((each.insight.served, each.insight.seen)));
    Ok(found)
}

fn can_be_confirmed(insight: &Insight) -> bool {
    lifecycle::after(insight.insight_type, insight.status, InsightAction::Confirm, true).is_ok()
}

/// Reviews the named ones; either all or none.
async fn review_ids(json: bool, source: &Source<'_>, review: &Review) -> Outcome {
    let action = match (review.contradict, review.retract) {
        (true, _) => InsightAction::Contradict,
        (_, true) => InsightAction::Retract,
        _ => InsightAction::Confirm,
    };
    let mut changes = Vec::new();
    for id in &review.ids {
        changes.push(reviewed(source, id, action, review).await?);
    }
    record_all(&review.place, &changes)?;
    if action == InsightAction::Confirm && !change::is_sent_to_service(&review.place) {
        eprintln!("{UNPROVEN}");
    }
    print(json, &changes)
}

/// The review of an insight, with its project. One that nobody knows here may be in the store of the service that it is sent to.
async fn reviewed(source: &Source<'_>, id: &str, action: InsightAction, review: &Review) -> Result<Changed, Failure> {
    let place = &review.place;
    let (reason, by) = (review.reason.clone(), review.by.clone());
    match source.insight(id, place.project.as_deref()).await {
        Ok(view) => {
            let update = of_person(&view.insight.id, action, reason, by, place)?;
            change::allow(&view, &update, place)?;
            Ok((view.insight.project, update))
        }
        Err(failure) if failure.exit == Exit::Usage && change::is_sent_to_service(place) => {
            match (identity::is_id(id), project::named(place.project.as_deref())?) {
                (true, Some(project)) => Ok((project.name, of_person(id, action, reason, by, place)?)),
                _ => Err(whole_id_is_needed(failure)),
            }
        }
        Err(failure) => Err(failure),
    }
}

fn whole_id_is_needed(mut failure: Failure) -> Failure {
    if let Some(line) = failure.lines.last_mut() {
        line.push_str(
            "; for one that only the service has, give its whole id, as agents and the service show it, and --project",
        );
    }
    failure
}

/// What a person should know who confirms without proof.
const UNPROVEN: &str = "recorded as a vote; nothing here proves that a person confirms: with --endpoint of a `serve`, and the token of a \
                        person in OTEL_EXPORTER_OTLP_HEADERS, it is confirmed";

/// A change with the project of its insight.
type Changed = (String, InsightUpdate);

/// What a person does with an insight.
fn of_person(
    id: &str,
    action: InsightAction,
    reason: Option<String>,
    by: Option<String>,
    place: &Place,
) -> Result<InsightUpdate, Failure> {
    let update = InsightUpdate {
        id: id.to_owned(),
        action: action.to_string(),
        text: reason,
        ..change::spoken(Speaker::default(), by.or_else(|| place.actor.clone()))
    };
    let (update, cut) = fields::change(update).map_err(Failure::usage)?;
    emit::warn(&cut);
    Ok(update)
}

/// Writes changes into the spools of their projects.
fn record_all(place: &Place, changes: &[Changed]) -> Result<(), Failure> {
    let mut rest: Vec<&Changed> = changes.iter().collect();
    while let Some((first, _)) = rest.first() {
        let project = Project { name: first.clone(), by: NamedBy::Subject };
        let (these, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(name, _)| *name == project.name);
        let operations = these.iter().map(|(_, update)| (Operation::InsightUpdate(Box::new(update.clone())), None));
        change::write(&project, place, operations.collect())?;
        rest = others;
    }
    Ok(())
}

fn print(json: bool, changes: &[Changed]) -> Outcome {
    let one = |(project, update): &Changed| json!({"id": update.id, "action": update.action, "project": project, "by": update.by});
    let view: Vec<Value> = changes.iter().map(one).collect();
    output::print(json, &view, |_| {
        let line = |(project, update): &Changed| {
            format!("{} {} ({})\n", update.action, update.id, printable::one_line(project))
        };
        changes.iter().map(line).collect()
    })?;
    Ok(Exit::Done)
}

/// Asks on the terminal about one after the other. Each answer is recorded at once.
fn ask_for_each(waiting: &Found, review: &Review) -> Result<(), Failure> {
    let number = waiting.insights.len();
    for (place, found) in waiting.insights.iter().enumerate() {
        eprint!("{}", described(found, place + 1, number));
        let action = match choice()? {
            Choice::Do(action) => action,
            Choice::Skip => continue,
            Choice::Quit => return Ok(()),
        };
        let (id, project) = (&found.insight.id, found.insight.project.clone());
        let update = of_person(id, action, review.reason.clone(), review.by.clone(), &review.place)?;
        record_all(&review.place, &[(project, update)])?;
        eprintln!("{action} {}", found.insight.id);
    }
    Ok(())
}

fn described(found: &FoundInsight, place: usize, number: usize) -> String {
    let insight = &found.insight;
    let mut text = format!("\n{place} of {number}: {}  {}\n", insight.id, insight.insight_type);
    let scopes =
        if insight.applies_to.is_empty() { "the whole project".to_owned() } else { insight.applies_to.join(", ") };
    let evidence =
        insight.evidence.iter().map(|each| format!("{}:{}", each.kind, each.reference)).collect::<Vec<_>>().join(", ");
    let caution = if insight.from_untrusted { "rests on a ticket or an address".to_owned() } else { String::new() };
    for (name, value) in [
        ("", insight.summary.clone()),
        ("why: ", insight.rationale.clone().unwrap_or_default()),
        ("by: ", find::author(insight)),
        ("about: ", scopes),
        ("evidence: ", evidence),
        ("caution: ", caution),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("  {name}{}\n", printable::one_line(&value)));
        }
    }
    text
}

#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Do(InsightAction),
    Skip,
    Quit,
}

fn choice() -> Result<Choice, Failure> {
    loop {
        eprint!("  [c]onfirm, c[o]ntradict, [r]etract, [s]kip, [q]uit? ");
        io::stderr().flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(Choice::Quit);
        }
        if let Some(choice) = chosen(&line) {
            return Ok(choice);
        }
    }
}

fn chosen(line: &str) -> Option<Choice> {
    Some(match line.trim().to_lowercase().as_str() {
        "c" | "confirm" => Choice::Do(InsightAction::Confirm),
        "o" | "contradict" => Choice::Do(InsightAction::Contradict),
        "r" | "retract" => Choice::Do(InsightAction::Retract),
        "s" | "skip" | "" => Choice::Skip,
        "q" | "quit" => Choice::Quit,
        _ => return None,
    })
}

/// Takes back what an agent recorded.
pub(super) async fn revert(context: &Context, arguments: Revert) -> Outcome {
    let json = context.is_json("insight revert")?;
    let Revert { agent, since, reason, by, dry_run, place } = arguments;
    let since = since.map(|text| moment::past(&text, clock::now())).transpose()?;
    let source = source::open(context, &read_place(&place)).await?;
    let (all, before) = (source.find(&source::everything()).await?, source.pending());
    let of_agent =
        |insight: &Insight| insight.author.kind == AuthorKind::Agent && insight.author.id.as_deref() == Some(&agent);
    if !all.insights.iter().any(|found| of_agent(&found.insight)) {
        return Err(nobody(&agent, &all));
    }
    let reason = reason.unwrap_or_else(|| format!("all of {agent} was reverted"));
    let mut changes = Vec::new();
    for FoundInsight { insight, .. } in all.insights {
        let is_live = lifecycle::is_live(insight.insight_type, insight.status);
        if of_agent(&insight) && is_live && since.is_none_or(|since| insight.created >= since) {
            let update = of_person(&insight.id, InsightAction::Retract, Some(reason.clone()), by.clone(), &place)?;
            changes.push((insight.project, update));
        }
    }
    if !dry_run {
        record_all(&place, &changes)?;
    }
    let number = humanize::plural(changes.len() as u64, "insight");
    let shown = printable::one_line(&agent);
    output::note(&format!("{} {number} of {shown}", if dry_run { "would retract" } else { "retracted" }));
    if let Some(pending) = before.filter(|_| !dry_run) {
        output::note(&format!("{pending}; what of it is by {shown} is taken back when this is run again"));
    }
    print(json, &changes)
}

fn nobody(agent: &str, all: &Found) -> Failure {
    let known: Vec<&str> = agents(all).into_iter().collect();
    let near = nearest_known(agent, &known).map(|near| format!("did you mean `{near}`?"));
    let hint = near.unwrap_or_else(|| match known.as_slice() {
        [] => "nobody has recorded any".to_owned(),
        known => format!("known: {}", known.join(", ")),
    });
    Failure::usage(format!("no insight was recorded by `{agent}`; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_have_letters_and_words() {
        assert_eq!(chosen("c\n"), Some(Choice::Do(InsightAction::Confirm)));
        assert_eq!(chosen(" Retract \n"), Some(Choice::Do(InsightAction::Retract)));
        assert_eq!((chosen("\n"), chosen("q"), chosen("x")), (Some(Choice::Skip), Some(Choice::Quit), None));
    }
}
