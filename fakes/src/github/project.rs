//! Projects: their fields, their items and the values on them.
//!
//! A board of the world is a project, its sprints are iterations.

use std::cell::Cell;

use super::ailing::STUCK;
use super::ids::NodeId;
use super::people::Person;
use super::view::{View, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Value, connection};
use crate::world::{Board, BoardKind, Content, IssueId, Note};
use fields::{FIELDS, FieldNumber, ITERATION};

mod fields;
mod item;

pub(super) use fields::field;
pub(super) use item::ItemNode;

/// A project.
#[derive(Clone, Copy)]
pub(super) struct ProjectNode<'w> {
    pub(super) view: View<'w>,
    pub(super) board: &'w Board,
}

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
        if arguments.json("orderBy")["direction"] == "DESC" {
            found.reverse();
        }
        let project = *self;
        let is_stuck = Cell::new(false);
        let key = |content: &Content| {
            let id = NodeId::Item(project.board.id, *content).to_string();
            is_stuck.set(is_stuck.get() || project.view.stuck.contains(&id));
            format!("{content:?}")
        };
        let node = move |content: &Content| Value::object(ItemNode { project, content: *content });
        let page = connection("ProjectV2ItemConnection", found, arguments, 100, key, node)?;
        if is_stuck.get() { Err(Failure::new("", STUCK)) } else { Ok(Value::object(page)) }
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
