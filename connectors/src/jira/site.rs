//! What a site is: the account, the product and the reference data.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::model::time::{DAY, HOUR};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use jiff::tz::TimeZone;
use tracing::warn;

use super::api::{Api, Myself, ServerInfo, Site, is_bearable, is_refusal};
use super::boards::{Board, BoardAnswer, Columns};
use super::field_names::FieldNames;
use super::fields::{self, FieldAnswer, Fields, Unnamed};
use super::listed::Listed;
use super::reference::Reference;
use super::renamed;
use super::settings::Settings;
use super::wire::{IssueType, LinkKind, StatusValue};
use crate::refusal::{Notes, is_refused, pause};

/// Up to so many configured projects are asked for their boards one by one; with more, all boards are listed.
const PROJECTS_ASKED: usize = 20;
/// Boards whose configuration is read.
const CONFIGURATIONS: usize = 100;

/// Whose token it is.
#[derive(Debug)]
pub(super) struct Account {
    /// For people.
    pub(super) shown: String,
    /// The zone in which this account's JQL is read; `None` when it is unknown.
    pub(super) zone: Option<TimeZone>,
}

/// Proves the credential. Jira answers many calls of anonymous callers too, with empty lists. So an empty list counts only
/// after this answer, which names an account.
///
/// # Errors
/// [`ErrorKind::Auth`] when the answer names no account.
pub(super) async fn account(api: &Api, site: Site) -> Result<Account> {
    let myself = api.myself(site).await.map_err(|error| match (error.kind(), site) {
        (ErrorKind::NotFound, Site::Cloud) => {
            let text = "no Jira Cloud answers here: check the url, and leave auth.email out for Data Center";
            Error::new(ErrorKind::NotFound, text).caused_by(error)
        }
        _ => error,
    })?;
    let Some(id) = myself.id(site) else {
        let text = "Jira does not know the account: the token is wrong or expired, make a new one";
        return Err(Error::new(ErrorKind::Auth, text));
    };
    let Myself { display_name, email_address, time_zone, .. } = &myself;
    let name = display_name.as_deref().unwrap_or(id);
    let shown = match email_address.as_deref().filter(|email| !email.is_empty()) {
        Some(email) => format!("{name} <{email}>"),
        None => name.to_owned(),
    };
    let zone = time_zone.as_deref().and_then(|zone| TimeZone::get(zone).ok());
    if zone.is_none() {
        warn!(time_zone, "the account has no known time zone, searches look back half a day more");
    }
    Ok(Account { shown, zone })
}

/// What is known of the site beyond doubt before anything is asked: an e-mail address goes with Cloud's API tokens only.
pub(super) fn known_site(settings: &Settings, reference: Option<&Reference>) -> Option<Site> {
    let known = reference.filter(|reference| reference.is_known());
    let kept = known.map(|reference| if reference.data_center { Site::DataCenter } else { Site::Cloud });
    settings.email.as_ref().map(|_| Site::Cloud).or(kept)
}

/// Reference data, and what is to be said of it.
pub(super) struct Fetched {
    pub(super) reference: Reference,
    pub(super) notes: Notes,
}

/// Fetches the reference data. What `old` knew of statuses that vanished since is kept.
///
/// # Errors
/// As the session's. A list that fails costs its own data: what was known of it stays, and it is asked for again within the
/// hour. What was always refused is left out: not every token may see boards and their configuration.
pub(super) async fn fetch(
    api: &Api,
    settings: &Settings,
    site: Site,
    info: Option<&ServerInfo>,
    old: Reference,
    now: Millis,
) -> Result<Fetched> {
    let (notes, failed, refused, left_out) = Default::default();
    let mut lists = Lists { api, settings, site, old, now, notes, failed, refused, left_out };
    let fields = lists.fields().await?;
    let statuses = lists.statuses().await?;
    let (mut boards, columns) = lists.boards().await?;
    let (types, links) = (lists.types().await?, lists.links().await?);
    let (fields, field_names) = lists.choose_fields(fields, &mut boards).await?;
    Ok(lists.learn(info, Answers { fields, field_names, statuses, boards, columns, types, links }))
}

/// What the site answered; none for a list of which the known is kept.
struct Answers {
    fields: Fields,
    field_names: FieldNames,
    statuses: Option<Vec<StatusValue>>,
    boards: BTreeMap<u64, Board>,
    columns: Columns,
    types: Option<Vec<IssueType>>,
    links: Option<Vec<LinkKind>>,
}

/// What is said of a list that did not come whole.
pub(super) fn torn(what: &str, lacks: &str) -> String {
    format!("{what} are not complete, what was known of them stays: {lacks}")
}

fn product(site: Site, info: Option<&ServerInfo>) -> String {
    match (site, info) {
        (Site::Cloud, _) => "Jira Cloud".to_owned(),
        (Site::DataCenter, Some(info)) => format!("Jira Data Center {}", info.version),
        (Site::DataCenter, None) => "Jira Data Center".to_owned(),
    }
}

/// Scoped tokens go through a gateway, where people cannot open an issue.
fn browse(settings: &Settings, info: &ServerInfo) -> Option<String> {
    let base = info.base_url.as_deref().filter(|_| is_gateway(settings))?;
    Some(base.trim_end_matches('/').to_owned())
}

/// Whether the configured address is Atlassian's gateway (`https://api.atlassian.com/ex/jira/CLOUD_ID`).
pub(super) fn is_gateway(settings: &Settings) -> bool {
    settings.url.contains("/ex/jira/")
}

/// The lists of a site, and what came of asking for them.
struct Lists<'a> {
    api: &'a Api,
    settings: &'a Settings,
    site: Site,
    /// What was known before.
    old: Reference,
    now: Millis,
    notes: Notes,
    /// One of them failed, and may be there next time.
    failed: bool,
    /// Since when lists are refused that were read before.
    refused: Option<Millis>,
    /// Since when lists are refused that were never read.
    left_out: Option<Millis>,
}

impl Lists<'_> {
    async fn fields(&mut self) -> Result<Option<Vec<FieldAnswer>>> {
        let known = self.old.is_known().then_some(None);
        let fields = self.bear(self.api.fields(self.site).await.map(Some), "fields", known)?;
        Ok(self.kept(fields, "fields", self.old.is_known()))
    }

    /// Every Jira has statuses, but lists none to anonymous callers, and every status of every history would be a guess.
    async fn statuses(&mut self) -> Result<Option<Vec<StatusValue>>> {
        let known = self.old.is_known().then_some(None);
        let statuses = self.bear(self.api.statuses(self.site).await.map(Some), "statuses", known)?;
        if statuses.as_ref().is_some_and(|statuses| statuses.seen() == 0) {
            let text = "the site lists no statuses, as for an anonymous caller: check the token";
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        Ok(self.kept(statuses, "statuses", false))
    }

    async fn types(&mut self) -> Result<Option<Vec<IssueType>>> {
        match self.old.types {
            Some(_) => {
                let types = self.bear(self.api.issue_types(self.site).await.map(Some), "issue types", Some(None))?;
                Ok(self.kept(types, "issue types", false))
            }
            None => Ok(None),
        }
    }

    async fn links(&mut self) -> Result<Option<Vec<LinkKind>>> {
        match self.api.link_types(self.site).await {
            Err(error) if is_refused(&error) && !self.old.blocking.is_known() => {
                self.note(&error, "the types of links cannot be read".to_owned(), false);
                Ok(None)
            }
            Err(error) if is_refusal(error.kind()) && !is_refused(&error) => Ok(Some(Vec::new())),
            links => {
                let links = self.bear(links.map(Some), "types of links", Some(None))?;
                Ok(self.kept(links, "types of links", self.old.blocking.is_known()))
            }
        }
    }

    /// The rows of a list. Of one that did not come whole, none where what was known goes before what came.
    fn kept<T>(&mut self, list: Option<Listed<T>>, what: &str, known: bool) -> Option<Vec<T>> {
        let list = list?;
        let lacks = list.lacks();
        if let Some(lacks) = &lacks {
            self.note_torn(&format!("the {what}"), lacks);
        }
        (lacks.is_none() || !known).then_some(list.rows)
    }

    /// How long the answers are good for: what holds back the export is asked for on the next run, what failed within the hour,
    /// what was always refused after growing pauses.
    fn good_for(&self) -> i64 {
        let failed = if self.failed { HOUR } else { DAY };
        match (self.notes.withheld.is_empty(), self.left_out) {
            (false, _) => 1,
            (true, Some(since)) => pause(since, self.now).min(failed),
            (true, None) => failed,
        }
    }

    /// Which field means what, and what the fields were called so far. A field that nothing but its name says is looked for in
    /// histories when the site is read for the first time.
    async fn choose_fields(
        &self,
        answers: Option<Vec<FieldAnswer>>,
        boards: &mut BTreeMap<u64, Board>,
    ) -> Result<(Fields, FieldNames)> {
        if self.settings.field("story_points").is_some() {
            // A field that was configured goes before those the boards estimate in.
            boards.values_mut().for_each(|board| board.estimate = None);
        }
        let by_board: BTreeSet<Box<str>> = boards.values().filter_map(|board| board.estimate.clone()).collect();
        let mut names = self.old.field_names.clone();
        self.old.fields.note_names(&mut names);
        let Some(answers) = answers else { return Ok((self.old.fields.clone(), names)) };
        let mut found = fields::discover(self.settings, &answers, &by_board, &names);
        if self.site == Site::Cloud && !self.old.is_known() {
            let learned = renamed::learn(self.api, &answers, Unnamed::of(&answers, &found), &mut names).await?;
            if learned {
                found = fields::discover(self.settings, &answers, &by_board, &names);
            }
        }
        if self.site == Site::DataCenter {
            found.add_translated_names(&answers);
        }
        found.note_names(&mut names);
        Ok((found, names))
    }

    /// Reference data from the answers, and from what was known where there is none.
    fn learn(self, info: Option<&ServerInfo>, answers: Answers) -> Fetched {
        let Answers { fields, field_names, statuses, boards, columns, types, links } = answers;
        let settings = self.settings;
        let fetched_at = self.now.plus(self.good_for() - DAY);
        let mut new = Reference {
            fetched_at,
            refused: self.refused,
            left_out: self.left_out,
            data_center: self.site == Site::DataCenter,
            product: product(self.site, info),
            browse: info.and_then(|info| browse(settings, info)),
            fields,
            field_names,
            boards,
            missing: BTreeSet::new(),
            ..self.old
        };
        new.learn_statuses(statuses.unwrap_or_default(), &columns);
        types.into_iter().for_each(|types| new.learn_types(types));
        links.into_iter().for_each(|links| new.learn_links(&links));
        Fetched { reference: new, notes: self.notes }
    }

    /// Takes what is known instead of a list that cannot be had.
    fn bear<T>(&mut self, list: Result<T>, what: &str, known: Option<T>) -> Result<T> {
        match (list, known) {
            (Err(error), Some(known)) if is_bearable(error.kind()) => {
                self.note(&error, format!("the {what} cannot be read"), true);
                Ok(known)
            }
            (list, _) => list,
        }
    }

    /// Notes that something cannot be read, which was read before or never.
    fn note(&mut self, error: &Error, what: String, known: bool) {
        warn!(error = error.full(), "{what}");
        let text = format!("{what}, what was known of it stays: {error}");
        if known && is_refused(error) {
            let since = *self.refused.insert(self.old.refused.unwrap_or(self.now));
            self.notes.refused_since(since, self.now, text);
        } else if is_refused(error) {
            self.left_out = Some(self.old.left_out.unwrap_or(self.now));
        } else if !is_refusal(error.kind()) {
            self.failed = true;
            self.notes.warnings.push(text);
        }
    }

    /// Notes that a list did not come whole.
    fn note_torn(&mut self, what: &str, lacks: &str) {
        self.failed = true;
        self.notes.warnings.push(torn(what, lacks));
    }

    /// The boards of our projects, and which columns show which statuses.
    async fn boards(&mut self) -> Result<(BTreeMap<u64, Board>, Columns)> {
        let mut columns = Columns::default();
        let mut may_configure = true;
        let (answers, complete) = self.list_boards().await?;
        let mut boards = if complete { BTreeMap::new() } else { self.old.boards.clone() };
        for (n, answer) in answers.into_iter().enumerate() {
            let (id, known) = (answer.id, self.old.boards.get(&answer.id));
            let project = answer.project().map(Box::from);
            let unnamed = answer.name.is_empty() || answer.kind.is_empty();
            let known = known.filter(|_| unnamed).map(|known| (known.name.clone(), known.kind.clone()));
            let (name, kind) = known.unwrap_or((answer.name, answer.kind));
            let mut board = Board { name, kind, project, estimate: None, configured: false };
            if may_configure && n < CONFIGURATIONS {
                may_configure = self.configure(id, &mut board, &mut columns).await?;
            }
            boards.insert(id, board);
        }
        Ok((boards, columns))
    }

    /// Reads the configuration of a board. Whether that of others may be read.
    async fn configure(&mut self, id: u64, board: &mut Board, columns: &mut Columns) -> Result<bool> {
        match self.api.board_configuration(id).await {
            Ok(configuration) => {
                if !columns.learn(&configuration) {
                    self.note_torn(&format!("the columns of board {id}"), "some did not come or cannot be read");
                }
                board.configured = true;
                let home = configuration.location.and_then(|location| location.key);
                board.project = board.project.take().or(home);
                let field = configuration.estimation.and_then(|estimation| estimation.field);
                board.estimate = field.map(|field| field.field_id).filter(|id| id.starts_with("customfield_"));
                Ok(true)
            }
            Err(error) if is_bearable(error.kind()) => {
                let was_read = self.old.boards.get(&id).is_some_and(|board| board.configured);
                self.note(&error, format!("the configuration of board {id} cannot be read"), was_read);
                let known = self.old.boards.get(&id);
                board.project = board.project.take().or_else(|| known.and_then(|known| known.project.clone()));
                board.estimate = known.and_then(|known| known.estimate.clone());
                board.configured = was_read;
                columns.incomplete = true;
                Ok(!matches!(error.kind(), ErrorKind::Auth | ErrorKind::Permission))
            }
            Err(error) => Err(error),
        }
    }

    /// Boards that live in our projects, or in none; and whether the lists of them are complete.
    async fn list_boards(&mut self) -> Result<(Vec<BoardAnswer>, bool)> {
        let mut found: BTreeMap<u64, BoardAnswer> = BTreeMap::new();
        let mut complete = true;
        for project in scopes(self.settings) {
            match self.api.boards(project).await {
                Ok(answers) => {
                    if let Some(lacks) = answers.lacks() {
                        complete = false;
                        let of = project.map(|project| format!(" of {project}")).unwrap_or_default();
                        self.note_torn(&format!("the boards{of}"), &lacks);
                    }
                    found.extend(answers.rows.into_iter().map(|answer| (answer.id, answer)));
                }
                Err(error) if is_bearable(error.kind()) => {
                    let is_ours = |board: &Board| project.is_none_or(|ours| board.project.as_deref() == Some(ours));
                    let known = self.old.boards.values().any(is_ours);
                    complete &= is_refusal(error.kind()) && !(known && is_refused(&error));
                    let of = project.map(|project| format!(" of {project}")).unwrap_or_default();
                    let what = format!("the boards{of} cannot be listed, sprints are known from issues");
                    self.note(&error, what, known);
                }
                Err(error) => return Err(error),
            }
        }
        let is_ours = |answer: &BoardAnswer| answer.project().is_none_or(|project| self.settings.wants(project));
        Ok((found.into_values().filter(is_ours).collect(), complete))
    }
}

fn scopes(settings: &Settings) -> Vec<Option<&str>> {
    match settings.projects.len() {
        1..=PROJECTS_ASKED => settings.projects.iter().map(|project| Some(project.as_str())).collect(),
        _ => vec![None],
    }
}
