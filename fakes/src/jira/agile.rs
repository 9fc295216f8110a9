//! Boards and sprints: the agile API, the same in both editions.

use super::auth::Caller;
use super::fields::Field;
use super::json::{self, Json};
use super::render::state;
use super::{Site, agile_time, refuse};
use crate::message::{Call, Reply};
use crate::world::{Board, BoardKind, Sprint, SprintState, StatusId, Visibility, World};

/// Most boards or sprints on a page.
const MAX_PAGE: usize = 50;

impl Site {
    pub(super) fn agile(&self, call: &Call, caller: Caller, path: &[&str]) -> Reply {
        let world = self.world();
        let known = caller == Caller::Known;
        match (call.method.as_str(), path) {
            ("GET", ["board"]) => self.boards(call, &world, known),
            ("GET", ["board", id]) => self.with_board(&world, id, known, |board| self.board(call, &world, board)),
            ("GET", ["board", id, "configuration"]) => {
                self.with_board(&world, id, known, |board| self.configuration(call, &world, board))
            }
            ("GET", ["board", id, "sprint"]) => {
                self.with_board(&world, id, known, |board| board_sprints(call, &world, board))
            }
            ("GET", ["sprint", id]) => sprint(call, &world, id, known),
            _ => Reply::json(404, r#"{"message":"null for uri: no such resource","status-code":404}"#),
        }
    }

    fn boards(&self, call: &Call, world: &World, known: bool) -> Reply {
        let kinds = call.param("type").map(|kinds| kinds.split(',').collect::<Vec<_>>());
        if kinds.iter().flatten().any(|kind| !["scrum", "kanban", "simple"].contains(kind)) {
            return refuse(400, "Valid values for type are: scrum, kanban, simple.");
        }
        let name = call.param("name").map(str::to_lowercase);
        let project = match call.param("projectKeyOrId").map(|text| find_project(world, text).ok_or(text)) {
            Some(Err(text)) => return refuse(400, &format!("No project could be found with key or id '{text}'.")),
            Some(Ok(project)) => Some(project),
            None => None,
        };
        let visible = |board: &&Board| world.project(board.project).visibility != Visibility::Hidden;
        let fits = |board: &&Board| {
            kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind_of(board)))
                && project.is_none_or(|project| board.project == project)
                && name.as_ref().is_none_or(|name| board.name.to_lowercase().contains(name))
        };
        let found: Vec<_> = world.boards.iter().filter(|_| known).filter(visible).filter(fits).collect();
        page(call, &found, true, |board, json| self.write_board(call, world, board, json))
    }

    fn with_board(&self, world: &World, id: &str, known: bool, answer: impl FnOnce(&Board) -> Reply) -> Reply {
        let board = world.boards.iter().find(|board| board.id.to_string() == id).filter(|_| known);
        let missing = || {
            refuse(
                404,
                "Requested board cannot be viewed because it either does not exist or you do not have permission to view it.",
            )
        };
        match board {
            None => missing(),
            Some(board) => match board.trouble {
                Some(404) => missing(),
                Some(403) => refuse(403, "You do not have a valid license to access this board."),
                Some(422) => refuse(422, "The board has no columns with a mapped status."),
                Some(status) => refuse(status, "The board cannot be shown."),
                None => answer(board),
            },
        }
    }

    fn board(&self, call: &Call, world: &World, board: &Board) -> Reply {
        let mut json = Json::default();
        self.write_board(call, world, board, &mut json);
        Reply::json(200, json.finish())
    }

    fn write_board(&self, call: &Call, world: &World, board: &Board, json: &mut Json) {
        let project = world.project(board.project);
        let shown = format!("{} ({})", project.name, project.key);
        json.object(|json| {
            json.name("id").plain(board.id);
            json.name("self").text(&format!("{}/rest/agile/1.0/board/{}", call.base, board.id));
            json.name("name").text(&board.name);
            json.name("type").text(kind_of(board));
            // Older servers have no location.
            if self.is_cloud() {
                json.name("location").object(|json| {
                    json.name("projectId").plain(project.id);
                    json.name("displayName").text(&shown);
                    json.name("projectName").text(&project.name);
                    json.name("projectKey").text(&project.key);
                    json.name("projectTypeKey").text("software");
                    json.name("name").text(&shown);
                });
            }
        });
    }

    fn configuration(&self, call: &Call, world: &World, board: &Board) -> Reply {
        let project = world.project(board.project);
        let body = json::object(|json| {
            json.name("id").plain(board.id);
            json.name("name").text(&board.name);
            json.name("type").text(kind_of(board));
            json.name("self").text(&format!("{}/rest/agile/1.0/board/{}/configuration", call.base, board.id));
            json.name("location").object(|json| {
                json.name("type").text("project");
                json.name("key").text(&project.key);
                json.name("id").shown(project.id);
                json.name("self").text(&format!("{}/rest/api/2/project/{}", call.base, project.id));
                json.name("name").text(&project.name);
            });
            json.name("filter").object(|json| {
                json.name("id").shown(10_000 + board.id.0);
                json.name("self").text(&format!("{}/rest/api/2/filter/{}", call.base, 10_000 + board.id.0));
            });
            if board.kind == BoardKind::Kanban {
                let released = "fixVersion in unreleasedVersions() OR fixVersion is EMPTY";
                json.name("subQuery").object(|json| json.name("query").text(released));
            }
            json.name("columnConfig").object(|json| {
                json.name("columns").array(|json| {
                    columns(board).iter().for_each(|column| write_column(call, world, column, json));
                });
                json.name("constraintType").text("issueCount");
            });
            if board.kind != BoardKind::Kanban {
                json.name("estimation").object(|json| self.estimation(json));
            }
            json.name("ranking").object(|json| {
                let rank = Field::Rank.id(self.options.edition);
                json.name("rankCustomFieldId").plain(rank.trim_start_matches("customfield_"));
            });
        });
        Reply::json(200, body)
    }

    fn estimation(&self, json: &mut Json) {
        json.name("type").text("field");
        json.name("field").object(|json| {
            json.name("fieldId").text(&Field::StoryPoints.id(self.options.edition));
            json.name("displayName").text("Story Points");
        });
    }
}

/// A column: its name, its statuses, its limit.
type Column = (&'static str, &'static [StatusId], Option<u32>);

/// A kanban board begins with its backlog; a scrum board's backlog is no column, but its status is mapped to the first.
fn columns(board: &Board) -> &'static [Column] {
    const SCRUM: &[Column] = &[
        ("To Do", &[StatusId::BACKLOG, StatusId::TO_DO, StatusId::SELECTED], None),
        ("In Progress", &[StatusId::IN_PROGRESS], None),
        ("Review", &[StatusId::IN_REVIEW], None),
        ("Done", &[StatusId::DONE], None),
    ];
    const KANBAN: &[Column] = &[
        ("Backlog", &[StatusId::BACKLOG], None),
        ("Ready", &[StatusId::TO_DO, StatusId::SELECTED], None),
        ("In Progress", &[StatusId::IN_PROGRESS], Some(6)),
        ("Review", &[StatusId::IN_REVIEW], Some(4)),
        ("Done", &[StatusId::DONE], None),
    ];
    if board.kind == BoardKind::Kanban { KANBAN } else { SCRUM }
}

fn write_column(call: &Call, world: &World, (name, statuses, most): &Column, json: &mut Json) {
    json.object(|json| {
        json.name("name").text(name);
        json.name("statuses").array(|json| {
            for status in statuses.iter().map(|id| world.status(*id)) {
                json.object(|json| {
                    json.name("id").shown(status.id);
                    json.name("self").text(&format!("{}/rest/api/2/status/{}", call.base, status.id));
                });
            }
        });
        if let Some(most) = most {
            json.name("max").plain(most);
        }
    });
}

fn board_sprints(call: &Call, world: &World, board: &Board) -> Reply {
    if board.kind != BoardKind::Scrum {
        return refuse(400, "The board does not support sprints");
    }
    let wanted: Option<Vec<_>> = call.param("state").map(|states| states.split(',').map(str::trim).collect());
    if wanted.iter().flatten().any(|state| !["future", "active", "closed"].contains(state)) {
        return refuse(400, "Valid values for state are: future, active, closed.");
    }
    let on_board = |sprint: &&Sprint| sprint.board == board.id || sprint.also_on.contains(&board.id);
    let fits = |sprint: &&Sprint| wanted.as_ref().is_none_or(|wanted| wanted.contains(&state(sprint)));
    let mut found: Vec<_> = world.sprints.iter().filter(on_board).filter(fits).collect();
    found.sort_by_key(|sprint| {
        (sprint.state, sprint.completed.filter(|_| sprint.state == SprintState::Closed), sprint.id)
    });
    page(call, &found, false, |sprint, json| write_sprint(call, sprint, json))
}

fn sprint(call: &Call, world: &World, id: &str, known: bool) -> Reply {
    let found = world.sprints.iter().find(|sprint| sprint.id.to_string() == id).filter(|_| known);
    let Some(sprint) = found.filter(|sprint| world.board(sprint.board).trouble.is_none()) else {
        return refuse(404, "Sprint does not exist or you do not have permission to view it.");
    };
    let mut json = Json::default();
    write_sprint(call, sprint, &mut json);
    Reply::json(200, json.finish())
}

fn write_sprint(call: &Call, sprint: &Sprint, json: &mut Json) {
    json.object(|json| {
        json.name("id").plain(sprint.id);
        json.name("self").text(&format!("{}/rest/agile/1.0/sprint/{}", call.base, sprint.id));
        json.name("state").text(state(sprint));
        json.name("name").text(&sprint.name);
        let dates = [
            ("startDate", sprint.start),
            ("endDate", sprint.end),
            ("completeDate", sprint.completed),
            ("createdDate", Some(sprint.created)),
        ];
        for (name, at) in dates {
            if let Some(at) = at {
                json.name(name).text(&agile_time(at));
            }
        }
        json.name("originBoardId").plain(sprint.board);
        json.name("goal").text(&sprint.goal);
    });
}

/// A page by offset. The list of boards has a total, that of sprints (as recorded) has none.
fn page<T>(call: &Call, found: &[&T], total: bool, write: impl Fn(&T, &mut Json)) -> Reply {
    let number = |name| call.param(name).map(str::parse::<usize>).transpose();
    let (Ok(start), Ok(size)) = (number("startAt"), number("maxResults")) else {
        return refuse(400, "startAt and maxResults must be numbers.");
    };
    let start = start.unwrap_or(0);
    let size = size.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let body = json::object(|json| {
        json.name("maxResults").plain(size);
        json.name("startAt").plain(start);
        if total {
            json.name("total").plain(found.len());
        }
        json.name("isLast").plain(start + size >= found.len());
        json.name("values").array(|json| found.iter().skip(start).take(size).for_each(|item| write(item, json)));
    });
    Reply::json(200, body)
}

fn kind_of(board: &Board) -> &'static str {
    match board.kind {
        BoardKind::Scrum => "scrum",
        BoardKind::Kanban => "kanban",
        BoardKind::Simple => "simple",
    }
}

fn find_project(world: &World, text: &str) -> Option<crate::world::ProjectId> {
    let by_id = || world.projects.iter().position(|project| project.id.to_string() == text);
    let found = world.find_project(text).or_else(|| by_id().map(|at| crate::world::ProjectId(at as u16)))?;
    (world.project(found).visibility != Visibility::Hidden).then_some(found)
}
