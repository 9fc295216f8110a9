//! People and the account that owns everything: users, the organisation, the viewer.

use super::ids::NodeId;
use super::view::View;
use crate::graphql::{Answer, Arguments, Failure, Object, Value, connection};
use crate::world::{ProjectId, UserId};

/// Somebody with a login.
#[derive(Clone, Copy)]
pub(super) enum Person<'w> {
    User {
        view: View<'w>,
        id: UserId,
    },
    /// The organisation, or the user, that owns the repositories and projects.
    Owner {
        view: View<'w>,
    },
    /// Whoever the token belongs to.
    Viewer {
        view: View<'w>,
    },
    /// GitHub's own workflows.
    Workflow {
        view: View<'w>,
    },
}

impl<'w> Person<'w> {
    fn view(&self) -> View<'w> {
        match self {
            Self::User { view, .. } | Self::Owner { view } | Self::Viewer { view } | Self::Workflow { view } => *view,
        }
    }

    fn login(&self) -> String {
        match self {
            Self::User { view, id } => login(*view, *id),
            Self::Owner { view } => view.options.owner.clone(),
            Self::Viewer { view } => view.caller.login(),
            Self::Workflow { .. } => "github-project-automation".to_owned(),
        }
    }

    fn id(&self) -> String {
        match self {
            Self::User { id, .. } => NodeId::User(*id).to_string(),
            Self::Owner { .. } => NodeId::Owner.to_string(),
            Self::Viewer { .. } => "U_kwDOviewer".to_owned(),
            Self::Workflow { .. } => "BOT_kwDOautomation".to_owned(),
        }
    }
}

/// A user's login: the first name in small letters.
pub(super) fn login(view: View<'_>, id: UserId) -> String {
    view.world.users[usize::from(id.0)].name.to_lowercase()
}

/// Whether a user is an App.
pub(super) fn is_bot(view: View<'_>, id: UserId) -> bool {
    view.world.users[usize::from(id.0)].is_bot
}

impl Object for Person<'_> {
    fn type_name(&self) -> &str {
        match self {
            Self::Owner { view } if !view.options.owner_is_user => "Organization",
            Self::Workflow { .. } => "Bot",
            Self::User { view, id } if is_bot(*view, *id) => "Bot",
            _ => "User",
        }
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let view = self.view();
        Ok(match (name, self) {
            ("id", _) => self.id().into(),
            ("login", _) => self.login().into(),
            ("name", Self::User { id, .. }) => view.world.users[usize::from(id.0)].name.as_str().into(),
            ("url", _) => format!("{}/{}", view.site(), self.login()).into(),
            ("resourcePath", _) => format!("/{}", self.login()).into(),
            ("avatarUrl", _) => format!("{}/{}.png", view.site(), self.login()).into(),
            ("projectV2", Self::Owner { .. }) => return self.project(arguments),
            ("projectsV2", _) => {
                let owned = matches!(self, Self::Owner { .. });
                return view.projects(if owned { view.world.boards.iter().collect() } else { vec![] }, arguments);
            }
            ("organizations", Self::Viewer { .. }) => {
                let found = if view.options.owner_is_user { vec![] } else { vec![()] };
                let node = move |(): &()| Value::object(Person::Owner { view });
                let key = |(): &()| view.options.owner.clone();
                Value::object(connection("OrganizationConnection", found, arguments, 100, key, node)?)
            }
            ("repositories", Self::Owner { .. }) => return self.repositories(arguments),
            ("repository", Self::Owner { .. }) => {
                return view.find_repository(&view.options.owner, arguments.text("name").unwrap_or_default());
            }
            _ => Value::NULL,
        })
    }
}

impl<'w> Person<'w> {
    fn project(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view();
        let number = arguments.int("number").unwrap_or_default();
        view.caller.needs("projects", "projectV2")?;
        // Tokens of one owner, and Apps, do not reach users' projects: they look as if they were not there.
        let reached = !view.options.owner_is_user || view.caller.reaches_user_projects();
        let board = u32::try_from(number).ok().and_then(|number| view.board(number)).filter(|_| reached);
        match board {
            Some(board) => view.project_value(board),
            None => {
                let message = format!("Could not resolve to a ProjectV2 with the number {number}.");
                Err(Failure::new("NOT_FOUND", message))
            }
        }
    }

    fn repositories(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let view = self.view();
        let found = (0..view.world.projects.len() as u16).map(ProjectId).filter(|id| view.sees_project(*id)).collect();
        let node = move |id: &ProjectId| view.repository(*id).unwrap_or(Value::NULL);
        Ok(Value::object(connection("RepositoryConnection", found, arguments, 100, ProjectId::to_string, node)?))
    }
}

impl<'w> View<'w> {
    pub(super) fn user(self, id: UserId) -> Value<'w> {
        Value::object(Person::User { view: self, id })
    }

    pub(super) fn users(self, found: Vec<UserId>, arguments: &Arguments<'_>) -> Answer<'w> {
        let key = |user: &UserId| user.to_string();
        Ok(Value::object(connection("UserConnection", found, arguments, 100, key, move |user| self.user(*user))?))
    }
}
