//! Printing a list: as a table, JSON or CSV, whole or by pages, with all fields or chosen ones.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Seek, Write};

use contextcore_core::query::{Cursor, Fields, List, ListQuery, fields_of};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::SpooledTempFile;

use crate::app::Context;
use crate::args::Output;
use crate::failure::{Exit, Failure, Outcome};
use crate::reader::Reader;
use crate::table::{Column, Table};
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
    fn cells(row: Self::Row) -> Vec<String>;
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
            Ok(out.write_all(item.get().as_bytes())?)
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
    serde_json::to_writer_pretty(&mut *out, &items)?;
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
        .list(&query, &mut |item| Ok(records.write_record(cells(item, &fields)?).map_err(io::Error::from)?))
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
    let next = reader
        .list(&query, &mut |item| {
            table.row(match &chosen {
                Some(fields) => cells(item, fields)?,
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
fn plain_table(fields: &Fields) -> Table {
    let headings: Vec<String> = fields.names().iter().map(|name| name.to_uppercase()).collect();
    let columns: Vec<_> = headings.iter().map(|heading| (heading.as_str(), Column::Flexible)).collect();
    Table::new(&columns)
}

/// The values of an item as text, in the order of `fields`.
fn cells(item: &RawValue, fields: &Fields) -> serde_json::Result<Vec<String>> {
    let values: BTreeMap<&str, &RawValue> = serde_json::from_str(item.get())?;
    Ok(fields
        .names()
        .iter()
        .map(|name| values.get(name.as_str()).map(|value| cell(value)).unwrap_or_default())
        .collect())
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

    #[tokio::test]
    async fn json_is_one_array_of_whole_objects() {
        let (reader, _dir) = fixture::reader();
        let mut out = Vec::new();
        json(&reader, &query(None), &mut out).await.unwrap();
        let tasks: Vec<TaskView> = serde_json::from_slice(&out).unwrap();
        assert_eq!(tasks.len(), fixture::tasks().len());
        let mut out = Vec::new();
        let none = TaskFilter { source: Some("nowhere".into()), ..TaskFilter::default() };
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
