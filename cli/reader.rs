//! Access for the commands that read: the store itself, or, while another process holds it, the socket of that process. Both
//! answer with the same functions of [`contextcore_core::query`].

use std::sync::Arc;

use contextcore_core::clock;
use contextcore_core::config::Config;
use contextcore_core::http::local::{Local, Refusal};
use contextcore_core::model::guidance::forge::ForgeGuidance;
use contextcore_core::model::guidance::stored::AllGuidance;
use contextcore_core::query::{
    Cursor, DeadLetterItem, Found, InsightQuery, InsightSelector, InsightView, List, ListLine, ListQuery, PageEnd,
    ShowView, StatusView, TaskSelector, Viewer,
};
use contextcore_core::store::{Copies, Store};
use contextcore_core::{Error, ErrorKind, Millis};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::app::{self, Access};
use crate::failure::Failure;

/// Reads the store, directly or through the process that holds it.
pub(crate) enum Reader {
    /// This process holds the store.
    Here {
        /// The store.
        store: Arc<Store>,
        /// The configuration.
        config: Box<Config>,
        /// The moment of every view.
        now: Millis,
    },
    /// Another process holds it.
    There(Local),
}

impl Reader {
    /// Opens the store, or connects to the process that holds it.
    pub(crate) async fn open(config: Config) -> Result<Self, Failure> {
        let access = app::read_store(&config, &Copies::default()).await?;
        Ok(Self::of(access, config))
    }

    /// The same, or nothing where there is no store.
    pub(crate) async fn open_if_any(config: Config) -> Result<Option<Self>, Error> {
        Self::open_kept(config, &Copies::default()).await
    }

    /// The same with the copies that this process has open.
    pub(crate) async fn open_kept(config: Config, copies: &Copies) -> Result<Option<Self>, Error> {
        let access = app::read_store_if_any(&config, copies).await?;
        Ok(access.map(|access| Self::of(access, config)))
    }

    fn of(access: Access, config: Config) -> Self {
        match access {
            Access::Store(store) => Self::Here { store, config: Box::new(config), now: clock::now() },
            Access::Held(local) => Self::There(local),
        }
    }

    /// Visits the items of a page as JSON, and gives the cursor of the next page.
    pub(crate) async fn list<F: List>(
        &self,
        query: &ListQuery<F>,
        visit: &mut dyn FnMut(&RawValue) -> Result<(), Failure>,
    ) -> Result<Option<Cursor>, Failure> {
        self.page(query, visit).await.map(|end| end.next)
    }

    /// Visits the items of a page as JSON, and gives how many there are on all pages too.
    pub(crate) async fn page<F: List>(
        &self,
        query: &ListQuery<F>,
        visit: &mut dyn FnMut(&RawValue) -> Result<(), Failure>,
    ) -> Result<PageEnd, Failure> {
        let local = match self {
            Self::Here { store, config, now } => {
                return Viewer::new(store, config, *now).each_json(query, |item| visit(&item));
            }
            Self::There(local) => local,
        };
        let mut end = None;
        let read = |line: &[u8]| match serde_json::from_slice(line).map_err(torn)? {
            ListLine::Item(item) => visit(&item).map_err(Stop),
            ListLine::End { next_cursor, total } => {
                end = Some(PageEnd { next: next_cursor, total });
                Ok(())
            }
            ListLine::Error(Refusal { kind, message }) => Err(Error::new(kind, message).into()),
        };
        local.lines(&format!("/v1/{}", F::NAME), query, read).await.map_err(|Stop(failure)| failure)?;
        end.ok_or_else(|| Error::new(ErrorKind::Protocol, "read the whole answer of the running contextcore").into())
    }

    /// One task with its neighbourhood.
    pub(crate) async fn show(&self, selector: &TaskSelector) -> Result<ShowView, Failure> {
        let view = self.view("show", selector, |viewer| viewer.show(selector)).await;
        view.map_err(|error| match error.kind() {
            // The key is wrong; no source failed.
            ErrorKind::NotFound => Failure::usage(error.full()),
            _ => error.into(),
        })
    }

    /// The insights that fit a question.
    pub(crate) async fn insights(&self, query: &InsightQuery) -> Result<Found, Error> {
        match self {
            Self::Here { store, config, now } => Viewer::new(store, config, *now).find_insights(query),
            Self::There(local) => local.post("/v1/insights", query).await.map_err(unanswered),
        }
    }

    /// One insight with its history.
    pub(crate) async fn insight(&self, selector: &InsightSelector) -> Result<InsightView, Error> {
        self.view("insight", selector, |viewer| viewer.insight(selector)).await
    }

    /// The state of every source, backend and of the store.
    pub(crate) async fn status(&self) -> Result<StatusView, Failure> {
        Ok(self.view("status", &(), |viewer| viewer.status()).await?)
    }

    /// Every dead letter.
    pub(crate) async fn dead_letters(&self) -> Result<Vec<DeadLetterItem>, Failure> {
        Ok(self.view("dead-letters", &(), |viewer| viewer.dead_letters()).await?)
    }

    /// The guidance files that sources read from their forges.
    pub(crate) async fn guidance_files(&self) -> Result<Vec<ForgeGuidance>, Failure> {
        Ok(self.view("guidance/files", &(), |viewer| viewer.guidance_files()).await?)
    }

    /// The guidance that was reported.
    pub(crate) async fn guidance(&self) -> Result<AllGuidance, Failure> {
        Ok(self.view("guidance", &(), |viewer| viewer.guidance()).await?)
    }

    pub(crate) async fn view<T: DeserializeOwned>(
        &self,
        name: &str,
        query: &impl Serialize,
        read: impl FnOnce(&Viewer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Here { store, config, now } => read(&Viewer::new(store, config, *now)),
            Self::There(local) => local.get(&format!("/v1/{name}"), query).await.map_err(unanswered),
        }
    }
}

/// Why reading lines ended early.
struct Stop(Failure);

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self(unanswered(error).into())
    }
}

fn torn(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Protocol, "understand the running contextcore; is it of another version?").caused_by(error)
}

/// The process that holds the store does not answer: one that compacts it, or is of an older version.
pub(crate) fn unanswered(error: Error) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    let message = "read the store: another contextcore holds it and does not answer; wait until it has ended, or stop it (a \
                   running `sync` or `serve` answers on this socket)";
    let socket = error.context("socket").unwrap_or_default().to_owned();
    Error::new(ErrorKind::Store, message).with("socket", socket)
}

#[cfg(test)]
mod tests {
    use contextcore_core::config;

    use super::*;
    use crate::failure::Exit;

    #[tokio::test]
    async fn a_store_held_by_a_process_that_does_not_answer_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::parse(&format!("store: {{path: '{}'}}", dir.path().display()), "x.yaml", &[]).unwrap();
        let _held = Store::open(dir.path()).unwrap();
        let reader = Reader::open(config).await.unwrap();
        let failure = reader.status().await.unwrap_err();
        assert!(failure.lines[0].contains("wait until it has ended"), "{failure}");
        assert_eq!(failure.exit, Exit::Internal);
    }
}
