//! `contextcore dead-letters`: what backends permanently refused: list it, send it again, or forget it.

use std::sync::Arc;

use contextcore_core::Millis;
use contextcore_core::export::RetriedDead;
use contextcore_core::query::DeadLetterItem;
use contextcore_core::store::{DeadId, DeadLetter, Store};
use serde_json::json;

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::reader::Reader;
use crate::table::{Column, Table};
use crate::{humanize, output, progress, stop, terminal};

pub(crate) async fn run(context: &Context, command: &args::DeadLetters) -> Outcome {
    let json = context.is_json("dead-letters")?;
    match command {
        args::DeadLetters::List => list(context, json).await,
        args::DeadLetters::Retry(chosen) => retry(context, json, &chosen.ids).await,
        args::DeadLetters::Drop(chosen) => drop_letters(context, json, &chosen.ids).await,
    }
}

async fn list(context: &Context, json: bool) -> Outcome {
    let letters = Reader::open(context.config()?).await?.dead_letters().await?;
    let now = contextcore_core::clock::now();
    output::print(json, &letters, |letters| table(letters, now, terminal::width()))?;
    Ok(Exit::Done)
}

fn table(letters: &[DeadLetterItem], now: Millis, width: Option<usize>) -> String {
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let columns = [
        ("ID", Column::Left),
        ("SIGNAL", Column::Left),
        ("ITEMS", Column::Right),
        ("WHEN", Column::Left),
        ("REASON", Column::Flexible),
    ];
    let mut table = Table::new(&columns);
    for letter in letters {
        let reason = match (&letter.hint, letter.can_retry) {
            (_, false) => format!("{} (not kept: use `replay`)", letter.reason),
            (Some(hint), true) => format!("{} ({hint})", letter.reason),
            (None, true) => letter.reason.clone(),
        };
        let (items, when) = (humanize::count(letter.items), humanize::ago(letter.at, now));
        table.row([letter.id.clone(), letter.signal.clone(), items, when, reason]);
    }
    table.render(width)
}

async fn retry(context: &Context, json: bool, ids: &[DeadId]) -> Outcome {
    let config = context.config()?;
    app::warn_in_the_clear(&config);
    let store = app::open_store(&config).await?;
    let letters = chosen(&store, ids)?;
    let engine = Arc::new(app::engine(config, store, progress::watcher(&context.bars)));
    let sinks = engine.sinks()?;
    let config = engine.config();
    let exporter = engine.replayer(&config, &sinks, false);
    let retried = stop::stoppable(&engine.cancel, exporter.retry_dead(&letters)).await?;
    progress::end(&context.bars);
    let retried = retried?;
    output::print(json, &retried, retry_text)?;
    Ok(if retried.refused > 0 || retried.kept > 0 { Exit::Backend } else { Exit::Done })
}

fn retry_text(retried: &RetriedDead) -> String {
    let RetriedDead { letters, accepted, refused, kept } = retried;
    let mut text = format!("sent {} again: ", humanize::plural(*letters, "dead letter"));
    text.push_str(&format!(
        "{} accepted, {} refused\n",
        humanize::plural(*accepted, "item"),
        humanize::count(*refused)
    ));
    if *kept > 0 {
        let kept = humanize::plural(*kept, "dead letter");
        text.push_str(&format!("{kept} cannot be sent, the request is not kept: use `contextcore replay`\n"));
    }
    text
}

async fn drop_letters(context: &Context, json: bool, ids: &[DeadId]) -> Outcome {
    let config = context.config()?;
    let store = app::open_store(&config).await?;
    let letters = chosen(&store, ids)?;
    let mut transaction = store.begin()?;
    letters.iter().for_each(|(id, _)| transaction.remove_dead(*id));
    transaction.commit()?;
    let dropped = letters.len() as u64;
    output::print(json, &json!({"dropped": dropped}), |_| {
        format!("dropped {}\n", humanize::plural(dropped, "dead letter"))
    })?;
    Ok(Exit::Done)
}

/// The letters with these ids, or all of them when none is given.
fn chosen(store: &Store, ids: &[DeadId]) -> Result<Vec<(DeadId, DeadLetter)>, Failure> {
    let all = store.dead_letters_by_id()?;
    if let Some(unknown) = ids.iter().find(|id| all.iter().all(|(known, _)| known != *id)) {
        return Err(Failure::usage(format!(
            "there is no dead letter `{unknown}`: `contextcore dead-letters list` has them"
        )));
    }
    Ok(all.into_iter().filter(|(id, _)| ids.is_empty() || ids.contains(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn letters_are_listed_with_what_to_do_and_an_unknown_id_is_an_error() {
        let (store, config, _dir) = fixture::world();
        let mut transaction = store.begin().unwrap();
        let letter = DeadLetter {
            signal: "logs".into(),
            reason: "HTTP 400: too old".into(),
            hint: Some("Loki: raise it".into()),
            items: 1_204,
            at: fixture::NOW.plus(-120_000),
        };
        transaction.put_dead(&letter, b"request").unwrap();
        transaction.commit().unwrap();
        let listed = contextcore_core::query::Viewer::new(&store, &config, fixture::NOW).dead_letters().unwrap();
        let text = table(&listed, fixture::NOW, None);
        for part in ["1,204", "HTTP 400: too old (Loki: raise it)", &listed[0].id] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let id: DeadId = listed[0].id.parse().unwrap();
        assert_eq!(chosen(&store, &[id]).unwrap().len(), 1);
        assert_eq!(chosen(&store, &[]).unwrap().len(), 1);
        let unknown = "999999-0".parse().unwrap();
        assert!(chosen(&store, &[unknown]).unwrap_err().lines[0].contains("dead-letters list"));
        assert_eq!(table(&[], fixture::NOW, None), "no dead letters\n");
    }
}
