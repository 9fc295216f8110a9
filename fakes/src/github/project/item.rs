//! The items of a project, and the values on them. Values have no history; they say only when they last changed.

use serde_json::{Map, Value as Json, json};

use super::super::facts::labels;
use super::super::ids::NodeId;
use super::super::people::{Person, login};
use super::super::view::time;
use super::ProjectNode;
use super::fields::{
    DUE, ESTIMATE, FieldNumber, ITERATION, PRIORITY, STATUS, field, field_of, iterations, priority_option,
    status_option,
};
use crate::graphql::{Answer, Arguments, Object, Plain, Value, connection};
use crate::world::{CardMismatch, Content, Fields, Issue, SprintId};

/// An item: a card and what it shows.
#[derive(Clone, Copy)]
pub(in super::super) struct ItemNode<'w> {
    pub(in super::super) project: ProjectNode<'w>,
    pub(in super::super) content: Content,
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

    pub(in super::super) fn is_archived(&self) -> bool {
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
    pub(in super::super) fn updated(&self) -> i64 {
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
