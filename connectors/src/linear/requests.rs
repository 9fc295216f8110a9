//! What is asked of Linear, as variables of the documents in [`super::queries`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use serde::Serialize;

use super::queries::{Changed, ChangedInTeams, Issues, PaginationOrderBy, Plan, PlanRows, Reference, Whoami};
use super::reference::Cursors;
use super::sizes::{self, NARROW, Price, Width};
use super::wire::List;
use crate::graphql::Operation;

/// The lists beside that of issues, as requests and answers name them.
pub(super) const PLAN_LISTS: [&str; 4] = ["cycles", "projects", "initiatives", "attachments"];

/// What a page of changes asks for.
#[derive(Debug, Clone)]
pub(super) struct ChangesRequest<'a> {
    /// Keys of teams; empty means all.
    pub(super) teams: &'a [String],
    pub(super) since: Option<Millis>,
    pub(super) first: u32,
    pub(super) after: Option<&'a str>,
    /// By creation rather than by change: such a list of everything does not move while it is read.
    pub(super) all: bool,
    /// Without the rows of issues: only where the next page begins.
    pub(super) skips: bool,
    /// The page cursor of changed links, where they are listed too.
    pub(super) links: Option<Option<&'a str>>,
    /// The page cursor of changed comments, where they are listed too.
    pub(super) comments: Option<Option<&'a str>>,
}

/// Where a list of the plan continues: since when, and after which page cursor.
pub(super) type Start = (Option<Millis>, Option<String>);

/// What a page of the plan asks for: the lists by name, without those that are not read.
#[derive(Debug, Clone, Default)]
pub(super) struct PlanRequest {
    pub(super) first: u32,
    /// Only ids and when they changed: what may be had where the rows cannot.
    pub(super) outline: bool,
    pub(super) lists: BTreeMap<&'static str, Start>,
}

/// A list of an issue that did not fit on its first page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) issue: Box<str>,
    pub(super) list: List,
    pub(super) after: Box<str>,
}

/// The variables of the reference data's document.
pub(super) fn reference_variables(from: &Cursors) -> Reference {
    let with = |name: &str| from.contains_key(name);
    let after = |name: &str| from.get(name).cloned().flatten();
    Reference {
        with_teams: with("teams"),
        teams: after("teams"),
        with_states: with("states"),
        states: after("states"),
        with_labels: with("labels"),
        labels: after("labels"),
        with_users: with("users"),
        users: after("users"),
        with_cycles: with("cycles"),
        cycles: after("cycles"),
        // Only where cycles are listed for their own sake.
        with_ends: from.len() == 1,
        with_milestones: with("milestones"),
        milestones: after("milestones"),
    }
}

/// The variables of a sweep's document.
pub(super) fn changed_variables(request: &ChangesRequest<'_>) -> Changed {
    let text = |cursor: Option<&str>| cursor.map(str::to_owned);
    Changed {
        since: moment(request.since),
        first: i64::from(request.first),
        after: text(request.after),
        order: if request.all { PaginationOrderBy::CreatedAt } else { PaginationOrderBy::UpdatedAt },
        with_rows: !request.skips,
        with_sides: request.links.is_some(),
        sides: i64::from(sizes::SIDES),
        links: text(request.links.flatten()),
        with_comments: request.comments.is_some(),
        comments: text(request.comments.flatten()),
    }
}

/// The same for some teams only.
pub(super) fn in_teams(teams: &[String], all: Changed) -> ChangedInTeams {
    let Changed { since, first, after, order, with_rows, with_sides, sides, links, with_comments, comments } = all;
    let teams = teams.to_vec();
    ChangedInTeams { teams, since, first, after, order, with_rows, with_sides, sides, links, with_comments, comments }
}

/// The variables of the issues' document.
pub(super) fn issues_variables(ids: &[Box<str>], price: &Price, texts: bool) -> Issues {
    Issues {
        ids: ids.iter().map(ToString::to_string).collect(),
        first: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        history: i64::from(price.history),
        spans: i64::from(price.spans),
        links: i64::from(sizes::LINKS),
        with_comments: price.comments.is_some(),
        with_texts: texts,
        comments: i64::from(price.comments.unwrap_or(1)),
    }
}

/// The variables of the plan's document.
pub(super) fn plan_variables(request: &PlanRequest) -> Plan {
    let with = |name: &str| request.lists.contains_key(name);
    let after = |name: &str| request.lists.get(name).and_then(|(_, after)| after.clone());
    let since = |name: &str| moment(request.lists.get(name).and_then(|(since, _)| *since));
    Plan {
        first: i64::from(request.first),
        with_rows: !request.outline,
        own_teams: NARROW.teams.into(),
        own_initiatives: NARROW.initiatives.into(),
        own_projects: NARROW.projects.into(),
        their_teams: NARROW.project_teams.into(),
        with_cycles: with("cycles"),
        cycles: after("cycles"),
        cycles_since: since("cycles"),
        with_projects: with("projects"),
        projects: after("projects"),
        projects_since: since("projects"),
        with_initiatives: with("initiatives"),
        initiatives: after("initiatives"),
        initiatives_since: since("initiatives"),
        with_attachments: with("attachments"),
        attachments: after("attachments"),
        attachments_since: since("attachments"),
    }
}

/// The variables of the document of rows by their ids.
pub(super) fn plan_rows_variables(lists: &[&str], ids: &[Box<str>], width: &Width) -> PlanRows {
    let with = |name: &str| lists.contains(&name);
    PlanRows {
        ids: ids.iter().map(ToString::to_string).collect(),
        first: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        own_teams: width.teams.into(),
        own_initiatives: width.initiatives.into(),
        own_projects: width.projects.into(),
        their_teams: width.project_teams.into(),
        with_cycles: with("cycles"),
        with_projects: with("projects"),
        with_initiatives: with("initiatives"),
        with_attachments: with("attachments"),
    }
}

/// A moment as filters take it; the beginning of time for everything.
fn moment(since: Option<Millis>) -> String {
    since.unwrap_or_default().to_string()
}

/// A request for the rest of some lists.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RestBody {
    query: String,
    operation_name: &'static str,
    variables: BTreeMap<String, serde_json::Value>,
}

impl RestBody {
    pub(super) fn new(rests: &[Rest], first: u32, texts: bool) -> Self {
        let mut variables = BTreeMap::from([("first".to_owned(), first.into())]);
        let (mut head, mut fields) = ("$first: Int!".to_owned(), String::new());
        for (n, rest) in rests.iter().enumerate() {
            let (field, fixed, fragment) = field(rest.list);
            head.push_str(&format!(", $i{n}: ID!, $a{n}: String!"));
            fields.push_str(&format!(
                "  r{n}: issues(first: 1, includeArchived: true, filter: {{ id: {{ eq: $i{n} }} }}) {{ nodes {{ \
                 list: {field}(first: $first, after: $a{n}{fixed}) {{ ...{fragment} }} }} }}\n"
            ));
            variables.insert(format!("i{n}"), (*rest.issue).into());
            variables.insert(format!("a{n}"), (*rest.after).into());
        }
        if rests.iter().any(|rest| rest.list == List::Comments) {
            head.push_str(", $withTexts: Boolean!");
            variables.insert("withTexts".to_owned(), texts.into());
        }
        let used: BTreeSet<_> = rests.iter().map(|rest| field(rest.list).2).collect();
        let fragments: String = used.into_iter().map(fragment).collect();
        Self { query: format!("query Rests({head}) {{\n{fields}}}\n{fragments}"), operation_name: "Rests", variables }
    }
}

pub(super) fn whoami_variables(teams: &[&str]) -> Whoami {
    let count = i64::try_from(teams.len().max(1)).unwrap_or(1);
    Whoami { teams: teams.iter().map(ToString::to_string).collect(), count, named: !teams.is_empty() }
}

/// The field of a list, its fixed arguments, and the fragment of `issues.graphql` that says what is requested of it.
const fn field(list: List) -> (&'static str, &'static str, &'static str) {
    match list {
        List::History => ("history", ", includeArchived: true", "Acts"),
        List::Spans => ("stateHistory", "", "Spans"),
        List::Links => ("inverseRelations", ", includeArchived: true", "Links"),
        List::Comments => ("comments", "", "Comments"),
    }
}

/// The text of a fragment of `issues.graphql`.
fn fragment(name: &str) -> &'static str {
    let text = Issues::DOCUMENT;
    let start = text.find(&format!("fragment {name} on ")).unwrap_or(text.len());
    let end = text[start..].find("\n}\n").map_or(text.len(), |end| start + end + 3);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::super::sizes::WIDE;
    use super::*;

    #[test]
    fn the_rests_of_several_lists_are_requested_at_once() {
        let rest = |issue: &str, list, after: &str| Rest { issue: issue.into(), list, after: after.into() };
        let body = RestBody::new(&[rest("a", List::History, "x"), rest("b", List::Spans, "y")], 10, false);
        insta::assert_snapshot!(format!("{}\n{:?}", body.query, body.variables));
    }

    /// What the vendor charges for a query, as the fake counts it.
    fn charged(body: &impl Serialize) -> f64 {
        contextcore_fakes::linear::Linear::price(&serde_json::to_value(body).unwrap()).expect("it fits the schema")
    }

    fn body<O: Operation<Document = &'static str>>(operation: &O) -> serde_json::Value {
        serde_json::to_value(operation.request(O::DOCUMENT)).unwrap()
    }

    #[track_caller]
    fn assert_close(reckoned: f64, body: &impl Serialize) {
        let charged = charged(body);
        let most = charged * 1.06 + 5.0;
        assert!((charged..=most).contains(&reckoned), "reckoned {reckoned}, charged {charged}");
    }

    #[test]
    fn prices_are_those_the_vendor_charges() {
        for teams in [&[][..], &["t1", "t2"]] {
            assert_close(sizes::whoami(teams.len()), &body(&whoami_variables(teams)));
        }
        let from = super::super::reference::Reference::from_start();
        assert_close(sizes::REFERENCE, &body(&reference_variables(&from)));
        for comments in [false, true] {
            let price = sizes::Sizes::default().price(comments);
            let ids = vec![Box::from("id"); price.most()];
            assert_close(price.of(ids.len()), &body(&issues_variables(&ids, &price, true)));
        }
        let sides = Some(None);
        let (teams, first) = (vec!["ENG".to_owned()], sizes::IDS);
        let request = ChangesRequest {
            teams: &teams,
            since: None,
            first,
            after: None,
            all: false,
            skips: false,
            links: sides,
            comments: sides,
        };
        assert_close(sizes::changed(first), &body(&changed_variables(&request)));
        let variables = in_teams(&teams, changed_variables(&request));
        assert_close(sizes::changed(first), &body(&variables));
        let names = ["cycles", "projects", "initiatives", "attachments"];
        let lists = names.map(|name| (name, (None, None))).into();
        let request = PlanRequest { first: sizes::PLAN, outline: false, lists };
        assert_close(sizes::plan(sizes::PLAN), &body(&plan_variables(&request)));
        let ids = vec![Box::from("id"); 50];
        assert_close(sizes::plan(50), &body(&plan_rows_variables(&names, &ids, &NARROW)));
        for list in ["projects", "initiatives"] {
            let ids = vec![Box::from("id"); WIDE.most(list)];
            let charged = charged(&body(&plan_rows_variables(&[list], &ids, &WIDE)));
            assert!(charged <= WIDE.price(list, ids.len()) && charged < 9_000.0, "{list} {charged}");
        }
        for list in [List::History, List::Spans, List::Links, List::Comments] {
            let rests = vec![Rest { issue: "id".into(), list, after: "x".into() }; 3];
            assert_close(3.0 * sizes::rest(list, 10), &RestBody::new(&rests, 10, true));
        }
    }
}
