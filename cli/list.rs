//! Printing a list: as a table, JSON or CSV, whole or by pages, with all fields or chosen ones.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Seek, Write};

use contextcore_core::model::printable;
use contextcore_core::query::{Cursor, Fields, List, ListOptions, ListQuery, SprintFilter, fields_of};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::SpooledTempFile;

use crate::app::Context;
use crate::args::Output;
use crate::failure::{Exit, Failure, Outcome};
use crate::reader::Reader;
use crate::table::{Cell, Column, Table};
use crate::terminal;

/// A list that a command prints.
pub(crate) trait Printed: List {
    /// The fields of an item that a row of the table needs.
    type Row: DeserializeOwned;
    /// The columns of the table.
    const COLUMNS: &'static [(&'static str, Column)];
    /// The fields that do not fit into a cell of CSV.
    const NESTED: &'static [&'static str];
    /// Whether JSON is indented. Long lists have a line for each item instead.
    const INDENTED: bool;

    /// The cells of a row, one for each column.
    fn cells(row: Self::Row) -> Vec<Cell>;
}

/// A result is collected before it is printed, so that a pager on stdout does not keep the store locked. What is larger than
/// this goes through a temporary file.
const IN_MEMORY: usize = 16 << 20;

type Spool = BufWriter<SpooledTempFile>;

/// Prints what matches, and on stderr how to get the next page.
pub(crate) async fn print<F: Printed>(context: &Context, query: ListQuery<F>) -> Outcome {
    let reader = Reader::open(context.config()?).await?;
    let mut spool = BufWriter::new(SpooledTempFile::new(IN_MEMORY));
    let next = match context.global.output {
        Output::Json if F::INDENTED && query.options.fields.is_none() => indented(&reader, &query, &mut spool).await?,
        Output::Json => json(&reader, &query, &mut spool).await?,
        Output::Csv => csv(&reader, query, &mut spool).await?,
        _ => table(&reader, query, &mut spool).await?,
    };
    drop(reader);
    let mut result = spool.into_inner().map_err(io::IntoInnerError::into_error)?;
    result.rewind()?;
    let mut out = io::stdout().lock();
    io::copy(&mut result, &mut out)?;
    out.flush()?;
    if let Some(cursor) = next {
        eprintln!("there are more {}: --cursor {cursor} continues here", F::NAME);
    }
    Ok(Exit::Done)
}

/// An array with a line for each item, written as the items arrive.
pub(crate) async fn json<F: List>(
    reader: &Reader,
    query: &ListQuery<F>,
    out: &mut impl Write,
) -> Result<Option<Cursor>, Failure> {
    let mut separator = "[\n";
    let next = reader
        .list(query, &mut |item| {
            out.write_all(separator.as_bytes())?;
            separator = ",\n";
            Ok(out.write_all(printable::json(item.get()).as_bytes())?)
        })
        .await?;
    out.write_all(if separator == "[\n" { b"[\n]\n" } else { b"\n]\n" })?;
    Ok(next)
}

/// An indented array.
async fn indented<F: List>(
    reader: &Reader,
    query: &ListQuery<F>,
    out: &mut impl Write,
) -> Result<Option<Cursor>, Failure> {
    let mut items: Vec<F::View> = Vec::new();
    let next = reader
        .list(query, &mut |item| {
            items.push(serde_json::from_str(item.get())?);
            Ok(())
        })
        .await?;
    out.write_all(printable::json(&serde_json::to_string_pretty(&items)?).as_bytes())?;
    out.write_all(b"\n")?;
    Ok(next)
}

/// A record for each item. Lists are joined with `;`, and an absent value is empty.
async fn csv<F: Printed>(reader: &Reader, mut query: ListQuery<F>, out: &mut Spool) -> Result<Option<Cursor>, Failure> {
    let flat = || Fields::new(F::fields().iter().copied().filter(|name| !F::NESTED.contains(name)));
    let fields = query.options.fields.get_or_insert_with(flat).clone();
    let mut records = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    records.write_record(fields.names()).map_err(io::Error::from)?;
    let next = reader
        .list(&query, &mut |item| Ok(records.write_record(csv_cells(item, &fields)?).map_err(io::Error::from)?))
        .await?;
    records.flush()?;
    Ok(next)
}

async fn table<F: Printed>(
    reader: &Reader,
    mut query: ListQuery<F>,
    out: &mut impl Write,
) -> Result<Option<Cursor>, Failure> {
    let chosen = query.options.fields.clone();
    let mut table = match &chosen {
        Some(fields) => plain_table(fields),
        None => Table::new(F::COLUMNS),
    };
    query.options.fields.get_or_insert_with(|| Fields::new(fields_of::<F::Row>().iter().copied()));
    let sprints = match chosen.as_ref().is_some_and(|fields| fields.names().iter().any(|name| is_sprint(name))) {
        true => sprint_names(reader).await?,
        false => SprintNames::new(),
    };
    if !sprints.is_empty()
        && let Some(asked) = &mut query.options.fields
        && !asked.names().iter().any(|name| name == "source")
    {
        // Not shown unless it was chosen: it says whose sprint it is.
        *asked = Fields::new(asked.names().iter().map(String::as_str).chain(["source"]));
    }
    let next = reader
        .list(&query, &mut |item| {
            table.row(match &chosen {
                Some(fields) => named_cells(item, fields, &sprints)?,
                None => F::cells(serde_json::from_str(item.get())?),
            });
            Ok(())
        })
        .await?;
    if table.is_empty() {
        eprintln!("no {} match; `contextcore status` shows what the store holds", F::NAME);
    } else {
        out.write_all(table.render(terminal::width()).as_bytes())?;
    }
    Ok(next)
}

/// A table of chosen fields; any of its columns may be cut.
pub(crate) fn plain_table(fields: &Fields) -> Table {
    let headings: Vec<String> = fields.names().iter().map(|name| name.to_uppercase()).collect();
    let columns: Vec<_> = headings.iter().map(|heading| (heading.as_str(), Column::Flexible)).collect();
    Table::new(&columns)
}

/// The names of sprints by source and native id: two sources may use the same. People read names; programs read the ids.
pub(crate) type SprintNames = BTreeMap<(String, String), String>;

/// Whether a field of a task holds ids of sprints.
fn is_sprint(field: &str) -> bool {
    matches!(field, "sprint" | "sprints")
}

pub(crate) async fn sprint_names(reader: &Reader) -> Result<SprintNames, Failure> {
    #[derive(serde::Deserialize)]
    struct Named {
        source: String,
        native_id: String,
        name: String,
    }
    let options = ListOptions { fields: Some(Fields::new(["source", "native_id", "name"])), ..ListOptions::default() };
    let mut names = SprintNames::new();
    let visit = &mut |item: &RawValue| {
        let Named { source, native_id, name } = serde_json::from_str(item.get())?;
        names.insert((source, native_id), name);
        Ok(())
    };
    reader.list(&ListQuery { filter: SprintFilter::default(), options }, visit).await?;
    Ok(names)
}

/// The values of an item by field, in the order of `fields`.
fn values<'a>(item: &'a RawValue, fields: &'a Fields) -> serde_json::Result<Vec<(&'a str, Option<&'a RawValue>)>> {
    let values: BTreeMap<&str, &RawValue> = serde_json::from_str(item.get())?;
    Ok(fields.names().iter().map(|name| (name.as_str(), values.get(name.as_str()).copied())).collect())
}

/// The source of an item.
fn source_of(item: &RawValue) -> serde_json::Result<String> {
    #[derive(serde::Deserialize)]
    struct Sourced {
        source: String,
    }
    serde_json::from_str(item.get()).map(|Sourced { source }| source)
}

/// The values of an item as cells of a table.
pub(crate) fn named_cells(item: &RawValue, fields: &Fields, sprints: &SprintNames) -> serde_json::Result<Vec<Cell>> {
    let source = if sprints.is_empty() { String::new() } else { source_of(item)? };
    let named = |id: &str| sprints.get(&(source.clone(), id.to_owned())).cloned().unwrap_or_else(|| id.to_owned());
    let text = |(name, value): (&str, Option<&RawValue>)| {
        let text = value.map(cell).unwrap_or_default();
        if is_sprint(name) { text.split(';').map(named).collect::<Vec<_>>().join("; ") } else { text }
    };
    Ok(values(item, fields)?.into_iter().map(|value| text(value).into()).collect())
}

/// The values of an item as cells of CSV.
pub(crate) fn csv_cells(item: &RawValue, fields: &Fields) -> serde_json::Result<Vec<String>> {
    let text = |value: &RawValue| if is_number(value) { value.get().to_owned() } else { csv_text(&cell(value)) };
    Ok(values(item, fields)?.into_iter().map(|(_, value)| value.map(text).unwrap_or_default()).collect())
}

fn is_number(value: &RawValue) -> bool {
    value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// A text that a spreadsheet shows as it is. One that it would read as a formula gets an apostrophe before it, which is how a
/// person enters such a text.
fn csv_text(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let unix = text.replace("\r\n", "\n");
    let visible = printable::lines(&unix);
    if is_formula { format!("'{visible}") } else { visible.into_owned() }
}

fn cell(value: &RawValue) -> String {
    let json = || value.get().to_owned();
    match serde_json::from_str(value.get()) {
        Ok(Value::Null) => String::new(),
        Ok(Value::String(text)) => text,
        Ok(Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.map_or_else(json, |texts| texts.join(";"))
        }
        _ => json(),
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::query::{ListOptions, SprintFilter, TaskFilter, TaskView};

    use super::*;
    use crate::fixture;

    fn query(fields: Option<&str>) -> ListQuery<TaskFilter> {
        let fields = fields.map(|names| Fields::from(names.to_owned()));
        ListQuery { options: ListOptions { fields, ..ListOptions::default() }, ..ListQuery::default() }
    }

    fn text(spool: Spool) -> String {
        let mut file = spool.into_inner().unwrap();
        file.rewind().unwrap();
        io::read_to_string(file).unwrap()
    }

    fn spool() -> Spool {
        BufWriter::new(SpooledTempFile::new(IN_MEMORY))
    }

    #[test]
    fn rows_and_nested_fields_are_fields_of_the_view() {
        fn check<F: Printed>() {
            let known = |name: &&&str| F::fields().contains(*name);
            assert_eq!(F::NESTED.iter().filter(known).count(), F::NESTED.len());
            assert_eq!(fields_of::<F::Row>().iter().filter(known).count(), fields_of::<F::Row>().len());
        }
        check::<TaskFilter>();
        check::<SprintFilter>();
    }

    #[tokio::test]
    async fn csv_quotes_where_it_must() {
        let (reader, _dir) = fixture::reader();
        let mut out = spool();
        csv(&reader, query(None), &mut out).await.unwrap();
        insta::assert_snapshot!("tasks_csv", text(out).replace('\r', "␍"));
        let mut out = spool();
        csv(&reader, query(Some("title,labels,assignee,subtasks")), &mut out).await.unwrap();
        assert_eq!(
            text(out).lines().nth(3),
            Some(
                "\"Pay by card, \"\"one click\"\" and invoice, in every currency we sell in\",frontend;payment,Grace,\
                 \"{\"\"total\"\":0,\"\"completed\"\":0}\""
            )
        );
    }

    #[test]
    fn csv_holds_no_formula_and_nothing_that_moves_a_terminal() {
        let table = [
            ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
            ("+1", "'+1"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\\u{d}=1"),
            ("a=b", "a=b"),
            ("two\r\nlines\u{1b}[2J\u{202e}", "two\nlines\\u{1b}[2J\\u{202e}"),
        ];
        for (text, want) in table {
            assert_eq!(csv_text(text), want, "{text:?}");
        }
        let item = RawValue::from_string(r#"{"estimate":-2.5,"title":"-2.5","labels":["=a","b"]}"#.to_owned()).unwrap();
        let fields = Fields::from("estimate,title,labels".to_owned());
        assert_eq!(csv_cells(&item, &fields).unwrap(), ["-2.5", "'-2.5", "'=a;b"]);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_an_error_with_the_nearest() {
        let (reader, _dir) = fixture::reader();
        let filters = [
            ("source", "acmee", Some("`acme`")),
            ("project", "comerce-platform", Some("`commerce-platform`")),
            ("project", "PROG", Some("`PROJ`")),
            ("assignee", "Grase", Some("`Grace`")),
            ("assignee", "Zoe", Some("known: Ada, Grace")),
            ("sprint", "Sprint 24", Some("`Sprint 42`")),
            ("assignee", "grace", None),
            ("sprint", "43", None),
            ("source", "acme", None),
        ];
        for (name, typed, near) in filters {
            // Nothing is cancelled, so that nothing matches, whatever else is right.
            let value = serde_json::json!({name: typed, "status": "cancelled"});
            let query =
                ListQuery { filter: serde_json::from_value::<TaskFilter>(value).unwrap(), ..ListQuery::default() };
            let mut out = Vec::new();
            let asked = table(&reader, query, &mut out).await;
            match near {
                None => assert!(asked.is_ok(), "{typed}: {asked:?}"),
                Some(near) => {
                    let failure = asked.unwrap_err();
                    assert!(failure.exit == Exit::Usage && failure.lines[0].contains(near), "{failure}");
                }
            }
        }
        let filter = SprintFilter { project: Some("nope".into()), ..SprintFilter::default() };
        let asked = table(&reader, ListQuery { filter, ..ListQuery::default() }, &mut Vec::new()).await;
        assert_eq!(asked.unwrap_err().exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_table_shows_sprints_by_name() {
        let (reader, _dir) = fixture::reader();
        let mut out = Vec::new();
        table(&reader, query(Some("id,sprint,sprints")), &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("PROJ-9   Sprint 42  Sprint 42"), "{text}");
    }

    #[test]
    fn sprints_of_two_sources_with_one_id_keep_their_names() {
        let key = |source: &str| (source.to_owned(), "7".to_owned());
        let names = SprintNames::from([(key("acme"), "Sprint A".to_owned()), (key("ops"), "Sprint B".to_owned())]);
        let fields = Fields::new(["id", "sprint", "sprints"]);
        for (source, want) in [("acme", "Sprint A"), ("ops", "Sprint B"), ("old", "7")] {
            let item = serde_json::json!({"id": "X-1", "sprint": "7", "sprints": ["7", "8"], "source": source});
            let item = RawValue::from_string(item.to_string()).unwrap();
            let mut table = plain_table(&fields);
            table.row(named_cells(&item, &fields, &names).unwrap());
            let text = table.render(None);
            assert!(text.contains(&format!("X-1  {want}")) && text.contains(&format!("{want}; 8")), "{source}: {text}");
        }
    }

    #[tokio::test]
    async fn json_is_one_array_of_whole_objects() {
        let (reader, _dir) = fixture::reader();
        let mut out = Vec::new();
        json(&reader, &query(None), &mut out).await.unwrap();
        let tasks: Vec<TaskView> = serde_json::from_slice(&out).unwrap();
        assert_eq!(tasks.len(), fixture::tasks().len());
        let mut out = Vec::new();
        let none = TaskFilter { status: Some("cancelled".parse().unwrap()), ..TaskFilter::default() };
        json(&reader, &ListQuery { filter: none, ..ListQuery::default() }, &mut out).await.unwrap();
        assert_eq!(out, b"[\n]\n");
    }

    #[tokio::test]
    async fn chosen_fields_keep_their_order_in_every_format() {
        let (reader, _dir) = fixture::reader();
        let mut out = Vec::new();
        json(&reader, &query(Some("title,id")), &mut out).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().nth(1), Some("{\"title\":\"Checkout\",\"id\":\"PROJ-7\"},"));
        let mut out = Vec::new();
        table(&reader, query(Some("id,trace_id,percent_complete")), &mut out).await.unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        ID       TRACE_ID                          PERCENT_COMPLETE
        PROJ-7   eef6bcbc97a64c8f462784cce72cadcd  27.272727272727273
        PROJ-9   eef6bcbc97a64c8f462784cce72cadcd  100.0
        PROJ-12  eef6bcbc97a64c8f462784cce72cadcd  0.0
        PROJ-13  8a52ff8a264eba999e35d2bdaedf0806  0.0
        ");
    }

    #[tokio::test]
    async fn pages_are_the_whole_list_in_its_order() {
        let (reader, _dir) = fixture::reader();
        let (mut cursor, mut pages) = (None, Vec::new());
        loop {
            let options = ListOptions { limit: "3".parse().ok(), cursor, fields: Some(Fields::new(["id"])) };
            let mut page = Vec::new();
            let query = ListQuery { filter: TaskFilter::default(), options };
            let mut visit = |item: &RawValue| {
                page.push(item.get().to_owned());
                Ok(())
            };
            cursor = reader.list(&query, &mut visit).await.unwrap();
            pages.push(page.join(" "));
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(pages, [r#"{"id":"PROJ-7"} {"id":"PROJ-9"} {"id":"PROJ-12"}"#, r#"{"id":"PROJ-13"}"#]);
    }
}
