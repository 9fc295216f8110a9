//! Projects: their fields, their items and the values on them.
//!
//! A board of the world is a project, its sprints are iterations. Values have no history; they say only when they
//! last changed.

use super::facts::labels;
use super::ids::NodeId;
use super::people::{Person, login};
use super::view::{View, date, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Plain, Value, connection};
use crate::world::{
    Board, BoardKind, CardMismatch, Change, Content, DAY, Fields, Issue, IssueId, Note, PriorityId, Sprint, SprintId,
    StatusId, World,
};
use serde_json::{Map, Value as Json, json};

/// A project.
#[derive(Clone, Copy)]
pub(super) struct ProjectNode<'w> {
    pub(super) view: View<'w>,
    pub(super) board: &'w Board,
}

/// A field of a project, as its number: their order is the one of [`FIELDS`].
type FieldNumber = u32;

const STATUS: FieldNumber = 3;
const PRIORITY: FieldNumber = 11;
const ESTIMATE: FieldNumber = 12;
const ITERATION: FieldNumber = 13;
const DUE: FieldNumber = 14;

/// Name and kind of every field, from number 1.
const FIELDS: [(&str, &str); 14] = [
    ("Title", "TITLE"),
    ("Assignees", "ASSIGNEES"),
    ("Status", "SINGLE_SELECT"),
    ("Labels", "LABELS"),
    ("Linked pull requests", "LINKED_PULL_REQUESTS"),
    ("Milestone", "MILESTONE"),
    ("Repository", "REPOSITORY"),
    ("Reviewers", "REVIEWERS"),
    ("Parent issue", "PARENT_ISSUE"),
    ("Sub-issues progress", "SUB_ISSUES_PROGRESS"),
    ("Priority", "SINGLE_SELECT"),
    ("Estimate", "NUMBER"),
    ("Sprint", "ITERATION"),
    ("Due", "DATE"),
];

const COLORS: [&str; 6] = ["GRAY", "BLUE", "PURPLE", "YELLOW", "ORANGE", "GREEN"];

impl Object for ProjectNode<'_> {
    fn type_name(&self) -> &str {
        "ProjectV2"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let (view, board) = (self.view, self.board);
        let place = if view.options.owner_is_user { "users" } else { "orgs" };
        Ok(match name {
            "id" => self.id().into(),
            "number" => board.id.0.into(),
            "title" => board.name.as_str().into(),
            "url" => format!("{}/{place}/{}/projects/{}", view.site(), view.options.owner, board.id).into(),
            "resourcePath" => format!("/{place}/{}/projects/{}", view.options.owner, board.id).into(),
            "closed" | "template" | "viewerCanUpdate" | "viewerCanClose" | "viewerCanReopen" => false.into(),
            "public" => true.into(),
            "fullDatabaseId" => (1_000 + board.id.0).to_string().into(),
            "owner" => Value::object(Person::Owner { view }),
            "createdAt" => time(self.created()).into(),
            "updatedAt" => time(self.updated()).into(),
            "fields" => {
                let key = |field: &FieldNumber| field.to_string();
                let project = *self;
                let node = move |number: &FieldNumber| field(project, *number).unwrap_or(Value::NULL);
                let kind = "ProjectV2FieldConfigurationConnection";
                Value::object(connection(kind, self.fields(), arguments, 100, key, node)?)
            }
            "field" => {
                let wanted = arguments.text("name").unwrap_or_default();
                self.field_named(wanted).and_then(|number| field(*self, number)).unwrap_or(Value::NULL)
            }
            "items" => return self.items(arguments),
            _ => Value::NULL,
        })
    }
}

impl<'w> ProjectNode<'w> {
    pub(super) fn id(&self) -> String {
        NodeId::Project(self.board.id).to_string()
    }

    fn created(&self) -> i64 {
        let contents = self.contents();
        contents.iter().map(|content| self.created_of(*content)).min().unwrap_or(self.view.now)
    }

    fn updated(&self) -> i64 {
        let items = self.contents().into_iter().map(|content| ItemNode { project: *self, content }.updated());
        items.max().unwrap_or_else(|| self.created())
    }

    fn fields(&self) -> Vec<FieldNumber> {
        let scrum = self.board.kind == BoardKind::Scrum;
        (1..=FIELDS.len() as FieldNumber).filter(|number| *number != ITERATION || scrum).collect()
    }

    fn field_named(&self, name: &str) -> Option<FieldNumber> {
        let fits = |number: &FieldNumber| FIELDS[*number as usize - 1].0.eq_ignore_ascii_case(name);
        self.fields().into_iter().find(fits)
    }

    /// Whether it has a card of this content.
    pub(super) fn holds(&self, content: Content) -> bool {
        let world = self.view.world;
        let card = world.code_host.card(self.board.id, content);
        let stays = card.is_none_or(crate::world::Card::is_on_board);
        match content {
            Content::Issue(id) => {
                let shown = world.get(id).filter(|issue| issue.deleted.is_none() && self.board.shows(issue.project()));
                // A converted draft goes on under the card it had.
                stays && shown.is_some() && world.code_host.origin(id).is_none_or(|note| note.board != self.board.id)
            }
            Content::Pull(_) => stays && card.is_some_and(|card| !card.moves.is_empty()),
            Content::Note(id) => {
                let note = world.code_host.notes.get(id.0 as usize - 1).filter(|note| note.board == self.board.id);
                let gone = |note: &Note| note.converted.is_some_and(|(_, made)| world.issue(made).deleted.is_some());
                stays && note.is_some_and(|note| !gone(note))
            }
        }
    }

    /// Everything on the board: in the order of its creation, but for what was dragged elsewhere.
    pub(super) fn contents(&self) -> Vec<Content> {
        let world = self.view.world;
        let issues = world.issues().map(|issue| Content::Issue(issue.id));
        let pulls = world.code_host.pulls.iter().map(|pull| Content::Pull(pull.id));
        let notes = world.code_host.notes.iter().map(|note| Content::Note(note.id));
        let mut found: Vec<_> = issues.chain(pulls).chain(notes).filter(|content| self.holds(*content)).collect();
        found.sort_by_key(|content| (self.created_of(*content), *content));
        for (content, place) in world.code_host.dragged(self.board.id) {
            if let Some(at) = found.iter().position(|held| *held == content) {
                let content = found.remove(at);
                found.insert(place.min(found.len()), content);
            }
        }
        found
    }

    fn created_of(&self, content: Content) -> i64 {
        let world = self.view.world;
        match content {
            Content::Issue(id) => world.issue(id).created,
            Content::Pull(id) => world.code_host.pull(id).created,
            Content::Note(id) => world.code_host.notes[id.0 as usize - 1].created,
        }
    }

    fn items(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let mut found = self.contents();
        // Servers that do not know the argument give everything.
        if let Some(states) = arguments.texts("archivedStates") {
            found.retain(|content| {
                let archived = ItemNode { project: *self, content: *content }.is_archived();
                states.contains(&if archived { "ARCHIVED" } else { "NOT_ARCHIVED" })
            });
        }
        // The filter language knows no moment of update: a timestamp finds nothing, a bare date is passed over.
        let filter = arguments.text("query").unwrap_or_default();
        if filter.contains("updated:") && filter.contains('T') {
            found.clear();
        }
        let project = *self;
        let key = |content: &Content| format!("{content:?}");
        let node = move |content: &Content| Value::object(ItemNode { project, content: *content });
        Ok(Value::object(connection("ProjectV2ItemConnection", found, arguments, 100, key, node)?))
    }
}

/// A field's configuration; none when the project has no such field.
pub(super) fn field<'w>(project: ProjectNode<'w>, number: FieldNumber) -> Option<Value<'w>> {
    let view = project.view;
    let (name, kind) = FIELDS[project.fields().into_iter().find(|known| *known == number)? as usize - 1];
    let mut fields = json!({
        "id": field_id(project.board, number), "name": name, "dataType": kind, "databaseId": number,
        "createdAt": time(project.created()), "updatedAt": time(project.created()),
    });
    let type_name = match kind {
        "SINGLE_SELECT" => {
            fields["options"] =
                if number == STATUS { status_options(view.world) } else { priority_options(view.world) };
            "ProjectV2SingleSelectField"
        }
        "ITERATION" => {
            fields["configuration"] = configuration(view, project.board);
            "ProjectV2IterationField"
        }
        _ => "ProjectV2Field",
    };
    Some(Value::object(Plain::new(type_name, fields)))
}

fn field_id(board: &Board, number: FieldNumber) -> String {
    NodeId::Field(board.id, number).to_string()
}

fn status_options(world: &World) -> Json {
    let options = world.statuses.iter().enumerate();
    options.map(|(at, status)| option(&status_option(StatusId(at as u8)), &status.name, at)).collect()
}

fn priority_options(world: &World) -> Json {
    let options = world.priorities.iter().enumerate();
    options.map(|(at, step)| option(&priority_option(PriorityId(at as u8)), &step.name, at)).collect()
}

fn option(id: &str, name: &str, at: usize) -> Json {
    let color = COLORS[at % COLORS.len()];
    json!({"id": id, "name": name, "nameHTML": name, "color": color, "description": "", "descriptionHTML": ""})
}

/// Eight hexadecimal digits, as GitHub's options have.
fn status_option(id: StatusId) -> String {
    format!("f75ad8{:02x}", id.0)
}

fn priority_option(id: PriorityId) -> String {
    format!("79628d{:02x}", id.0)
}

/// The iterations of a board: those whose end has passed are completed, whatever people did.
fn configuration(view: View<'_>, board: &Board) -> Json {
    let (completed, coming): (Vec<_>, Vec<_>) =
        iterations(view.world, board).into_iter().partition(|span| span.end() * DAY <= view.now);
    let list = |spans: Vec<Span<'_>>| spans.iter().map(|span| span.json(view.iterations)).collect::<Json>();
    // The newest come first among the completed, as GitHub lists them.
    json!({
        "duration": 14, "startDay": 1, "iterations": list(coming),
        "completedIterations": list(completed.into_iter().rev().collect()),
    })
}

/// An iteration in whole days, as a day number and a length.
struct Span<'w> {
    sprint: &'w Sprint,
    first: i64,
    days: i64,
}

impl Span<'_> {
    /// The day after the last.
    fn end(&self) -> i64 {
        self.first + self.days
    }

    /// `made` is how often the iterations were made anew.
    fn json(&self, made: usize) -> Json {
        let title = &self.sprint.name;
        json!({
            "id": iteration_id(self.sprint.id, made), "title": title, "titleHTML": title, "startDate": date(self.first * DAY),
            "duration": self.days,
        })
    }
}

fn iteration_id(id: SprintId, made: usize) -> String {
    format!("cfc1{:02x}{:02x}", 0x6e + made, id.0)
}

/// A board's sprints as iterations. One without dates follows the one before it, for two weeks.
fn iterations<'w>(world: &'w World, board: &Board) -> Vec<Span<'w>> {
    let mut spans: Vec<Span<'w>> = vec![];
    for sprint in world.sprints.iter().filter(|sprint| sprint.board == board.id) {
        let next = spans.last().map_or(sprint.created.div_euclid(DAY), Span::end);
        let first = sprint.start.map_or(next, |start| start.div_euclid(DAY));
        let days = sprint.start.zip(sprint.end).map_or(14, |(start, end)| (end - start + DAY / 2) / DAY);
        spans.push(Span { sprint, first, days: days.max(1) });
    }
    spans
}

/// An item: a card and what it shows.
#[derive(Clone, Copy)]
pub(super) struct ItemNode<'w> {
    pub(super) project: ProjectNode<'w>,
    pub(super) content: Content,
}

impl Object for ItemNode<'_> {
    fn type_name(&self) -> &str {
        "ProjectV2Item"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let view = self.project.view;
        Ok(match name {
            "id" => self.id().into(),
            "fullDatabaseId" => self.database_id().to_string().into(),
            "databaseId" => self.database_id().into(),
            "type" => self.kind().into(),
            "isArchived" => self.is_archived().into(),
            "createdAt" => time(self.project.created_of(self.content)).into(),
            "updatedAt" => time(self.updated()).into(),
            "creator" => Value::object(Person::Workflow { view }),
            "project" => Value::object(self.project),
            "content" => return self.content(),
            "fieldValues" => {
                let item = *self;
                let key = |value: &FieldValue| value.field.to_string();
                let node = move |value: &FieldValue| item.value(value);
                let kind = "ProjectV2ItemFieldValueConnection";
                Value::object(connection(kind, self.values(), arguments, 100, key, node)?)
            }
            "fieldValueByName" => {
                let wanted = self.project.field_named(arguments.text("name").unwrap_or_default());
                let found = self.values().into_iter().find(|value| Some(value.field) == wanted);
                found.map_or(Value::NULL, |value| self.value(&value))
            }
            _ => Value::NULL,
        })
    }
}

/// A value on an item: its field, its own fields, and when it was first set and last changed.
struct FieldValue {
    field: FieldNumber,
    kind: &'static str,
    fields: Json,
    set: i64,
    changed: i64,
}

impl<'w> ItemNode<'w> {
    fn id(&self) -> String {
        NodeId::Item(self.project.board.id, self.content).to_string()
    }

    fn database_id(&self) -> u32 {
        let number = match self.content {
            Content::Issue(id) => id.0,
            Content::Pull(id) => 1_000_000 + id.0,
            Content::Note(id) => 2_000_000 + id.0,
        };
        self.project.board.id.0 * 10_000_000 + number
    }

    /// The issue it shows, hidden ones too; a converted draft shows the issue made of it.
    fn issue(&self) -> Option<&'w Issue> {
        let world = self.project.view.world;
        match self.content {
            Content::Issue(id) => Some(world.issue(id)),
            Content::Note(id) => world.code_host.notes[id.0 as usize - 1].converted.map(|(_, made)| world.issue(made)),
            Content::Pull(_) => None,
        }
    }

    fn is_redacted(&self) -> bool {
        let view = self.project.view;
        match (self.issue(), self.content) {
            // Who may not read issues at all sees cards without faces.
            (Some(issue), _) => !view.sees_issue(issue) || view.caller.needs("issues", "content").is_err(),
            (None, Content::Pull(id)) => !view.sees_project(view.world.code_host.pull(id).key.project),
            _ => false,
        }
    }

    fn kind(&self) -> &'static str {
        match (self.issue(), self.content) {
            _ if self.is_redacted() => "REDACTED",
            (None, Content::Note(_)) => "DRAFT_ISSUE",
            (None, Content::Pull(_)) => "PULL_REQUEST",
            _ => "ISSUE",
        }
    }

    pub(super) fn is_archived(&self) -> bool {
        let card = self.project.view.world.code_host.card(self.project.board.id, self.content);
        card.is_some_and(|card| card.archived)
    }

    fn content(&self) -> Answer<'w> {
        let view = self.project.view;
        if let Some(issue) = self.issue() {
            view.allowed(&view.issue_id(issue))?;
        }
        Ok(match (self.issue(), self.content) {
            _ if self.is_redacted() => Value::NULL,
            (Some(issue), _) => view.issue_object(issue),
            (None, Content::Pull(id)) => view.pull_object(view.world.code_host.pull(id)),
            (None, Content::Note(id)) => view.note(&view.world.code_host.notes[id.0 as usize - 1]),
            (None, Content::Issue(_)) => Value::NULL,
        })
    }

    /// When a value or the card changed. What changes about the content does not count.
    pub(super) fn updated(&self) -> i64 {
        let world = self.project.view.world;
        let card = world.code_host.card(self.project.board.id, self.content).map_or(i64::MIN, |card| card.touched);
        let own = match self.content {
            Content::Note(id) => {
                let note = &world.code_host.notes[id.0 as usize - 1];
                note.converted.map_or(note.updated, |(at, _)| at)
            }
            content => self.project.created_of(content),
        };
        let values = self.issue().map_or(i64::MIN, |issue| {
            let changed = issue.events().iter().rev().find(|event| field_of(&event.change).is_some());
            changed.map_or(issue.created, |event| event.at)
        });
        own.max(card).max(values)
    }

    fn value(&self, value: &FieldValue) -> Value<'w> {
        let FieldValue { kind, ref fields, set, changed, field } = *value;
        let item = *self;
        let mut fields = if let Json::Object(fields) = fields { fields.clone() } else { Map::new() };
        fields.insert("id".to_owned(), format!("PVTFV_{}_{field}", self.id()).into());
        fields.insert("createdAt".to_owned(), time(set).into());
        fields.insert("updatedAt".to_owned(), time(changed).into());
        Value::object(ValueNode { item, field, plain: Plain::new(kind, Json::Object(fields)) })
    }

    fn values(&self) -> Vec<FieldValue> {
        let view = self.project.view;
        let mut values = vec![];
        if !self.is_redacted() {
            let title = match (self.issue(), self.content) {
                (Some(issue), _) => &issue.fields.title,
                (None, Content::Pull(id)) => &view.world.code_host.pull(id).title,
                (None, Content::Note(id)) => &view.world.code_host.notes[id.0 as usize - 1].title,
                (None, Content::Issue(_)) => return values,
            };
            let set = self.project.created_of(self.content);
            let fields = json!({"text": title});
            values.push(FieldValue { field: 1, kind: "ProjectV2ItemFieldTextValue", fields, set, changed: set });
        }
        if let Some(issue) = self.issue() {
            self.content_values(issue, &mut values);
            self.own_values(issue, &mut values);
        }
        values.sort_by_key(|value| value.field);
        values
    }

    /// Values that are the issue's, shown again.
    fn content_values(&self, issue: &Issue, values: &mut Vec<FieldValue>) {
        if self.is_redacted() {
            return;
        }
        let (set, view) = (issue.created, self.project.view);
        let mut add = |field, kind, fields| values.push(FieldValue { field, kind, fields, set, changed: set });
        if let Some(user) = issue.fields.assignee {
            let users = json!({"totalCount": 1, "pageInfo": {"hasNextPage": false, "hasPreviousPage": false},
                "nodes": [{"login": login(view, user), "id": NodeId::User(user).to_string()}]});
            add(2, "ProjectV2ItemFieldUserValue", json!({"users": users}));
        }
        let labels = labels(issue);
        if !labels.is_empty() {
            let nodes: Json = labels.iter().map(|label| view.label(label)).collect();
            let info = json!({"hasNextPage": false, "hasPreviousPage": false});
            let labels = json!({"totalCount": labels.len(), "nodes": nodes, "pageInfo": info});
            add(4, "ProjectV2ItemFieldLabelValue", json!({"labels": labels}));
        }
        let repository = json!({"name": view.world.project(issue.project()).key.to_lowercase(),
            "nameWithOwner": view.repository_name(issue.project()), "id": NodeId::Repository(issue.project()).to_string()});
        add(7, "ProjectV2ItemFieldRepositoryValue", json!({"repository": repository}));
    }

    /// Values that live on the item.
    fn own_values(&self, issue: &Issue, values: &mut Vec<FieldValue>) {
        let mut now = issue.fields.clone();
        if let Some(CardMismatch::CardStays(left)) = self.project.view.world.code_host.card_mismatch(issue.id) {
            now.status = left;
        }
        for number in [STATUS, PRIORITY, ESTIMATE, ITERATION, DUE] {
            let Some((kind, fields)) = self.own_value(number, &now) else { continue };
            let newest = issue.events().iter().rfind(|event| field_of(&event.change) == Some(number));
            let changed = newest.map_or(issue.created, |event| event.at);
            let first = self.own_value(number, &issue.initial()).map(|_| issue.created);
            values.push(FieldValue { field: number, kind, fields, set: first.unwrap_or(changed), changed });
        }
    }

    fn own_value(&self, number: FieldNumber, fields: &Fields) -> Option<(&'static str, Json)> {
        let world = self.project.view.world;
        let select = |id: String, name: &str| {
            let fields = json!({"optionId": id, "name": name, "nameHTML": name, "color": "GRAY"});
            ("ProjectV2ItemFieldSingleSelectValue", fields)
        };
        match number {
            STATUS => Some(select(status_option(fields.status), &world.status(fields.status).name)),
            PRIORITY => {
                let name = &world.priorities[usize::from(fields.priority.0)].name;
                Some(select(priority_option(fields.priority), name))
            }
            ESTIMATE => fields.points.map(|points| ("ProjectV2ItemFieldNumberValue", json!({"number": points}))),
            ITERATION => self.iteration(fields.sprints.last().copied()?),
            DUE => fields.due.map(|due| ("ProjectV2ItemFieldDateValue", json!({"date": due.to_string()}))),
            _ => None,
        }
    }

    fn iteration(&self, id: SprintId) -> Option<(&'static str, Json)> {
        let spans = iterations(self.project.view.world, self.project.board);
        let span = spans.iter().find(|span| span.sprint.id == id)?;
        let mut fields = span.json(self.project.view.iterations);
        fields["iterationId"] = fields["id"].take();
        Some(("ProjectV2ItemFieldIterationValue", fields))
    }
}

/// The project field that a change of an issue changes.
fn field_of(change: &Change) -> Option<FieldNumber> {
    Some(match change {
        Change::Status(_) => STATUS,
        Change::Priority(_) => PRIORITY,
        Change::Points(_) => ESTIMATE,
        Change::Sprints(_) => ITERATION,
        Change::Due(_) => DUE,
        _ => return None,
    })
}

struct ValueNode<'w> {
    item: ItemNode<'w>,
    field: FieldNumber,
    plain: Plain,
}

impl Object for ValueNode<'_> {
    fn type_name(&self) -> &str {
        self.plain.type_name()
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        match name {
            "field" => Ok(field(self.item.project, self.field).unwrap_or(Value::NULL)),
            "item" => Ok(Value::object(self.item)),
            "creator" => Ok(Value::object(Person::Workflow { view: self.item.project.view })),
            _ => self.plain.field(name, arguments),
        }
    }
}

/// A draft.
struct NoteNode<'w> {
    view: View<'w>,
    note: &'w Note,
}

impl Object for NoteNode<'_> {
    fn type_name(&self) -> &str {
        "DraftIssue"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let note = self.note;
        Ok(match name {
            "id" => NodeId::Note(note.id).to_string().into(),
            "title" => note.title.as_str().into(),
            "body" | "bodyText" | "bodyHTML" => "".into(),
            "createdAt" => time(note.created).into(),
            "updatedAt" => time(note.updated).into(),
            "creator" => self.view.user(note.by),
            "assignees" => return self.view.users(vec![], arguments),
            _ => Value::NULL,
        })
    }
}

/// The boards that hold an issue.
pub(super) fn items_of<'w>(view: View<'w>, id: IssueId) -> Vec<ItemNode<'w>> {
    let items = view.world.boards_of(view.world.issue(id).project()).map(|board| {
        let origin = view.world.code_host.origin(id).filter(|note| note.board == board.id);
        let content = origin.map_or(Content::Issue(id), |note| Content::Note(note.id));
        ItemNode { project: view.project(board), content }
    });
    items.filter(|item| item.project.holds(item.content)).collect()
}

impl<'w> View<'w> {
    pub(super) fn project(self, board: &'w Board) -> ProjectNode<'w> {
        ProjectNode { view: self, board }
    }

    /// A page of projects.
    pub(super) fn projects(self, boards: Vec<&'w Board>, arguments: &Arguments<'_>) -> Answer<'w> {
        self.caller.needs("projects", "projectsV2")?;
        let boards = boards.into_iter().filter(|board| board.trouble.is_none()).collect();
        let key = |board: &&Board| board.id.to_string();
        let node = move |board: &&'w Board| Value::object(self.project(board));
        Ok(Value::object(connection("ProjectV2Connection", boards, arguments, 100, key, node)?))
    }

    /// A project, if the token may read projects at all.
    pub(super) fn project_value(self, board: &'w Board) -> Answer<'w> {
        self.caller.needs("projects", "ProjectV2")?;
        match board.trouble {
            None => Ok(Value::object(self.project(board))),
            Some(_) => Err(self.caller.forbidden()),
        }
    }

    pub(super) fn item(self, board: u32, content: Content) -> Result<Option<Value<'w>>, Failure> {
        let Some(board) = self.board(board) else { return Ok(None) };
        self.caller.needs("projects", "ProjectV2Item")?;
        let project = self.project(board);
        Ok(project.holds(content).then(|| Value::object(ItemNode { project, content })))
    }

    pub(super) fn note(self, note: &'w Note) -> Value<'w> {
        Value::object(NoteNode { view: self, note })
    }
}
