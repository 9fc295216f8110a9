//! The root of every query.

use super::people::Person;
use super::view::{View, time};
use crate::graphql::{Answer, Arguments, Failure, Object, Value};
use serde_json::json;

/// The most ids that `nodes` takes.
const MAX_IDS: usize = 100;

pub(super) struct Root<'w>(pub(super) View<'w>);

impl Object for Root<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let view = self.0;
        let login = arguments.text("login").unwrap_or_default();
        let is_owner = login.eq_ignore_ascii_case(&view.options.owner);
        Ok(match name {
            "viewer" => Value::object(Person::Viewer { view }),
            "rateLimit" => self.rate_limit(),
            "organization" if is_owner && !view.options.owner_is_user => Value::object(Person::Owner { view }),
            "organization" => {
                return Err(missing(&format!("an Organization with the login of '{login}'.")));
            }
            "user" if is_owner && view.options.owner_is_user => Value::object(Person::Owner { view }),
            "user" => {
                let found = view.world.users.iter().position(|user| user.name.eq_ignore_ascii_case(login));
                let Some(found) = found else { return Err(missing(&format!("a User with the login of '{login}'."))) };
                view.user(crate::world::UserId(found as u16))
            }
            "repositoryOwner" => Value::maybe(is_owner.then_some(Person::Owner { view })),
            "repository" => {
                let [owner, name] = ["owner", "name"].map(|name| arguments.text(name).unwrap_or_default());
                return super::repository::find(view, owner, name);
            }
            "node" => return view.node(arguments.text("id").unwrap_or_default()),
            "nodes" => return self.nodes(&arguments.texts("ids").unwrap_or_default()),
            "id" => "Q_kwDO".into(),
            "relay" => Value::object(Root(view)),
            _ => Value::NULL,
        })
    }
}

impl<'w> Root<'w> {
    fn rate_limit(&self) -> Value<'w> {
        let View { price, budget, .. } = self.0;
        Value::Json(json!({
            "cost": price.points, "nodeCount": price.nodes, "limit": budget.limit, "used": budget.used,
            "remaining": budget.remaining, "resetAt": time(budget.reset),
        }))
    }

    /// Several nodes at once. What is not there is null with an error of its own; the others arrive.
    fn nodes(&self, ids: &[&str]) -> Answer<'w> {
        if ids.len() > MAX_IDS {
            let told = format!("You may not provide more than {MAX_IDS} node ids; you provided {}.", ids.len());
            return Err(Failure::new("ARGUMENT_LIMIT", told));
        }
        Ok(Value::List(ids.iter().map(|id| self.0.node(id).unwrap_or_else(Value::Failed)).collect()))
    }
}

fn missing(what: &str) -> Failure {
    Failure::new("NOT_FOUND", format!("Could not resolve to {what}"))
}
