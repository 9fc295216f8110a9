//! `contextcore sources`: the sources, the replicas that have them, and moving one to another replica.

use std::time::{Duration, Instant};

use contextcore_core::engine::placement;
use contextcore_core::query::SourceView;
use contextcore_core::store::{Lease, LeaseRow, Unit};
use contextcore_core::{Error, ErrorKind};
use serde::Serialize;

use crate::app::{self, Context};
use crate::failure::{Exit, Failure, Outcome};
use crate::reader::Reader;
use crate::table::{Column, Table};
use crate::{args, humanize, output, status, terminal};

/// How much longer than a lease a source may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn run(context: &Context, arguments: &args::Sources) -> Outcome {
    let json = context.is_json("sources")?;
    match &arguments.command {
        None => list(context, json).await,
        Some(args::SourcesCommand::Move(chosen)) => hand_over(context, json, chosen).await,
    }
}

/// One source as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    tool: String,
    /// The replica that has it; null when none has, and where only one process works on the store.
    replica: Option<String>,
    /// The replica that was chosen for it.
    wanted: Option<String>,
    /// Seconds for which the replica has it unless it renews its lease.
    seconds_left: Option<u64>,
    /// Seconds since the start of the run that its cursors cover.
    cursor_age: Option<f64>,
    /// Journal items that are not exported yet, over all signals.
    backlog: u64,
}

impl Listed {
    fn of(source: &SourceView) -> Self {
        let lease = source.lease.as_ref();
        Self {
            name: source.name.clone(),
            tool: source.tool.clone(),
            replica: lease.and_then(|lease| lease.owner.clone()),
            wanted: lease.and_then(|lease| lease.wanted.clone()),
            seconds_left: lease.map(|lease| lease.seconds_left),
            cursor_age: source.cursor_age,
            backlog: source.backlog.values().sum(),
        }
    }
}

async fn list(context: &Context, json: bool) -> Outcome {
    let view = Reader::open(context.config()?).await?.status().await?;
    let listed: Vec<Listed> = view.sources.iter().map(Listed::of).collect();
    output::print(json, &listed, |_| table(&view.sources, terminal::width()))?;
    Ok(Exit::Done)
}

fn table(sources: &[SourceView], width: Option<usize>) -> String {
    if sources.is_empty() {
        return "no source is configured\n".to_owned();
    }
    let columns = [
        ("SOURCE", Column::Left),
        ("TOOL", Column::Left),
        ("CURSOR AGE", Column::Right),
        ("BACKLOG", Column::Right),
        ("REPLICA", Column::Flexible),
    ];
    let mut table = Table::new(&columns);
    for source in sources {
        let age = source.cursor_age.map_or_else(|| "none yet".to_owned(), humanize::duration);
        let backlog = humanize::count(source.backlog.values().sum::<u64>());
        let replica = source.lease.as_ref().map(status::owner).unwrap_or_default();
        table.row([source.name.clone(), source.tool.clone(), age, backlog, replica]);
    }
    table.render(width)
}

/// A source that was handed over.
#[derive(Debug, Serialize)]
struct Moved {
    source: String,
    from: Option<String>,
    to: String,
}

async fn hand_over(context: &Context, json: bool, chosen: &args::MoveSource) -> Outcome {
    let config = context.config()?;
    app::chosen(&config, std::slice::from_ref(&chosen.source))?;
    let store = app::open_copy(&config).await?;
    let lease = store.lease().ok_or_else(|| {
        Failure::usage("only replicas that share a store in PostgreSQL hand sources over: set `store.postgres`")
    })?;
    let unit = Unit::source(&chosen.source);
    let rows = lease.survey()?;
    let from = owner_of(&rows, &unit);
    let to = target(&rows, &unit, chosen.to.as_deref(), from.as_deref())?;
    lease.want(&unit, &to)?;
    arrived(lease, &unit, &to).await?;
    let moved = Moved { source: chosen.source.clone(), from, to };
    output::print(json, &moved, |Moved { source, from, to }| match from {
        Some(from) if from == to => format!("{to} has {source} already, and keeps it\n"),
        Some(from) => format!("moved {source} from {from} to {to}\n"),
        None => format!("{to} has {source} now\n"),
    })?;
    Ok(Exit::Done)
}

fn owner_of(rows: &[LeaseRow], unit: &Unit) -> Option<String> {
    let row = rows.iter().find(|row| row.unit.as_ref() == Some(unit));
    row.map(|row| row.owner.clone()).filter(|owner| !owner.is_empty())
}

/// The replica that is meant: by its name, by its host if one replica runs there, or the next in line. Pure.
fn target(rows: &[LeaseRow], unit: &Unit, to: Option<&str>, from: Option<&str>) -> Result<String, Failure> {
    let able = rows.iter().filter(|row| row.is_live_replica() && row.units.contains(unit));
    let able: Vec<&str> = able.map(|row| row.owner.as_str()).collect();
    let Some(to) = to else {
        let next = placement::ranked(unit, able.into_iter()).into_iter().find(|replica| Some(*replica) != from);
        return next
            .map(str::to_owned)
            .ok_or_else(|| Failure::usage("there is no other replica that has this source configured"));
    };
    let host = |name: &str| placement::host(name) == to;
    let meant: Vec<&str> = match able.iter().find(|name| **name == to) {
        Some(name) => vec![name],
        None => able.iter().copied().filter(|name| host(name)).collect(),
    };
    match meant[..] {
        [name] => Ok(name.to_owned()),
        [] => Err(Failure::usage(format!("no replica {to} runs and has this source configured: {}", listed(&able)))),
        _ => Err(Failure::usage(format!("several replicas run on {to}; name one of {}", listed(&meant)))),
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none does".to_owned() } else { names.join(", ") }
}

/// Waits until a replica has a source.
async fn arrived(lease: &Lease, unit: &Unit, to: &str) -> Result<(), Error> {
    let begun = Instant::now();
    let limit = lease.length() + PATIENCE;
    loop {
        let rows = lease.survey()?;
        if owner_of(&rows, unit).as_deref() == Some(to) {
            return Ok(());
        }
        if begun.elapsed() > limit {
            let text = "hand a source over: the replica has not taken it yet; it still will if it lives";
            return Err(Error::new(ErrorKind::Unavailable, text).with("replica", to));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str) -> LeaseRow {
        LeaseRow {
            unit: None,
            token: 1,
            owner: name.to_owned(),
            left: Duration::from_secs(9),
            units: Unit::all(["jira"]).into_iter().collect(),
            wanted: String::new(),
        }
    }

    #[test]
    fn a_replica_is_meant_by_its_name_or_by_its_host_or_as_the_next_in_line() {
        let rows: Vec<LeaseRow> = ["one (pid 1)", "two (pid 1)", "two (pid 2)"].map(replica).into();
        let unit = Unit::source("jira");
        let meant = |to, from| target(&rows, &unit, to, from).map_err(|failure| failure.lines.join(" "));
        assert_eq!(meant(Some("two (pid 2)"), None), Ok("two (pid 2)".to_owned()));
        assert_eq!(meant(Some("one"), None), Ok("one (pid 1)".to_owned()));
        assert!(meant(Some("two"), None).unwrap_err().contains("several replicas run on two"));
        assert!(meant(Some("three"), None).unwrap_err().contains("one (pid 1), two (pid 1)"));
        let first = meant(None, None).unwrap();
        assert_ne!(meant(None, Some(&first)).unwrap(), first);
        let other = target(&rows, &Unit::source("unknown"), None, None).unwrap_err();
        assert!(other.lines.join(" ").contains("no other replica"));
    }
}
