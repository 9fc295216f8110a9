//! What a site is: the account, the product and the reference data.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::{Error, ErrorKind, Millis, Result};
use jiff::tz::TimeZone;
use tracing::warn;

use super::api::{Api, Myself, ServerInfo, Site, is_refusal};
use super::reference::{self, Board, BoardAnswer, Columns, Reference};
use super::settings::Settings;

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
    let kept = reference.map(|reference| if reference.data_center { Site::DataCenter } else { Site::Cloud });
    settings.email.as_ref().map(|_| Site::Cloud).or(kept)
}

/// Fetches the reference data. What `old` knew of statuses that vanished since is kept.
///
/// # Errors
/// As the session's. Boards and their configuration are left out where they are refused: not every token may see them.
pub(super) async fn fetch(
    api: &Api,
    settings: &Settings,
    site: Site,
    info: Option<&ServerInfo>,
    old: Reference,
    now: Millis,
) -> Result<Reference> {
    let answers = api.fields(site).await?;
    let statuses = api.statuses(site).await?;
    if statuses.is_empty() {
        // Every Jira has statuses, but lists none to anonymous callers, and every status of every history would be a guess.
        return Err(Error::new(
            ErrorKind::Protocol,
            "the site lists no statuses, as for an anonymous caller: check the token",
        ));
    }
    let (mut boards, columns) = boards(api, settings).await?;
    if settings.field("story_points").is_some() {
        // A field that was configured goes before those the boards estimate in.
        boards.values_mut().for_each(|board| board.estimate = None);
    }
    let by_board: BTreeSet<Box<str>> = boards.values().filter_map(|board| board.estimate.clone()).collect();
    let types = match old.types {
        Some(_) => Some(api.issue_types(site).await?),
        None => None,
    };
    let mut new = Reference {
        fetched_at: now,
        data_center: site == Site::DataCenter,
        product: product(site, info),
        browse: info.and_then(|info| browse(settings, info)),
        fields: reference::discover(settings, &answers, &by_board),
        statuses: old.statuses,
        types: None,
        boards,
        missing: BTreeSet::new(),
    };
    new.learn_statuses(statuses, &columns);
    if let Some(types) = types {
        new.learn_types(types);
    }
    Ok(new)
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

/// The boards of our projects, and which columns show which statuses.
async fn boards(api: &Api, settings: &Settings) -> Result<(BTreeMap<u64, Board>, Columns)> {
    let mut boards = BTreeMap::new();
    let mut columns = Columns::default();
    let mut may_configure = true;
    for answer in list_boards(api, settings).await? {
        let project = answer.location.and_then(|location| location.project_key);
        let mut board = Board { name: answer.name, kind: answer.kind, project, estimate: None };
        if may_configure && boards.len() < CONFIGURATIONS {
            match api.board_configuration(answer.id).await {
                Ok(configuration) => {
                    columns.learn(&configuration);
                    let home = configuration.location.and_then(|location| location.key);
                    board.project = board.project.or(home);
                    let field = configuration.estimation.and_then(|estimation| estimation.field);
                    board.estimate = field.map(|field| field.field_id).filter(|id| id.starts_with("customfield_"));
                }
                Err(error) if is_refusal(error.kind()) => {
                    warn!(board = answer.id, error = error.full(), "the board's configuration is left out");
                    may_configure = error.kind() == ErrorKind::NotFound;
                }
                Err(error) => return Err(error),
            }
        }
        boards.insert(answer.id, board);
    }
    Ok((boards, columns))
}

/// Boards that live in our projects, or in none.
async fn list_boards(api: &Api, settings: &Settings) -> Result<Vec<BoardAnswer>> {
    let mut found: BTreeMap<u64, BoardAnswer> = BTreeMap::new();
    for project in scopes(settings) {
        match api.boards(project).await {
            Ok(answers) => found.extend(answers.into_iter().map(|answer| (answer.id, answer))),
            Err(error) if is_refusal(error.kind()) => {
                warn!(
                    project,
                    error = error.full(),
                    "boards cannot be listed, their sprints are known from issues only"
                );
            }
            Err(error) => return Err(error),
        }
    }
    let home = |answer: &BoardAnswer| answer.location.as_ref().and_then(|location| location.project_key.clone());
    Ok(found.into_values().filter(|answer| home(answer).is_none_or(|project| settings.wants(&project))).collect())
}

fn scopes(settings: &Settings) -> Vec<Option<&str>> {
    match settings.projects.len() {
        1..=PROJECTS_ASKED => settings.projects.iter().map(|project| Some(project.as_str())).collect(),
        _ => vec![None],
    }
}
