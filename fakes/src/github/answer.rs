//! Handles a request: authenticates the caller, validates the document, charges its price, executes it, and words the answer.

use super::Site;
use super::ailing::{Effect, Part, strike};
use super::auth::Caller;
use super::price::{Price, flaw, price, too_heavy};
use super::query::Root;
use super::view::{Budget, View};
use crate::graphql::{FieldError, Outcome, Place, Prepared, Query, Refusal};
use crate::lock;
use crate::message::{Call, Reply};
use http::header::USER_AGENT;
use serde_json::{Map, Value as Json, json};

const HOUR: i64 = 3_600_000;

/// Points spent: in the running hour, which starts with the first call, and ever.
#[derive(Debug, Default)]
pub(super) struct Meter {
    since: Option<i64>,
    used: i64,
    pub(super) spent: i64,
}

impl Meter {
    /// Takes points, if the hour has that many left. A limit of 0 is none.
    fn take(&mut self, points: i64, limit: i64, now: i64) -> Result<Budget, Budget> {
        let since = self.since.filter(|since| now < since + HOUR).unwrap_or_else(|| {
            self.used = 0;
            now
        });
        self.since = Some(since);
        let reset = since + HOUR;
        if limit > 0 && self.used + points > limit {
            return Err(Budget { limit, used: self.used, remaining: 0, reset });
        }
        self.spent += points;
        if limit == 0 {
            return Ok(Budget { reset, ..Budget::default() });
        }
        self.used += points;
        Ok(Budget { limit, used: self.used, remaining: limit - self.used, reset })
    }
}

impl Site {
    pub(super) fn respond(&self, call: &Call) -> Reply {
        if call.header(USER_AGENT).is_none_or(str::is_empty) {
            let message =
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
            return Reply::html(403, message);
        }
        let segments: Vec<_> = call.path.split('/').skip(1).collect();
        let (graphql, rest): (&[&str], &[&str]) =
            if self.options.is_enterprise() { (&["api", "graphql"], &["api", "v3"]) } else { (&["graphql"], &[]) };
        if call.method == http::Method::POST && segments == graphql {
            return self.caller(call).map_or_else(|denied| denied, |caller| self.graphql(call, &caller));
        }
        match segments.strip_prefix(rest) {
            Some(["app", "installations", id, "access_tokens"]) if call.method == http::Method::POST => {
                self.mint(call, id)
            }
            _ => Reply::json(404, json!({"message": "Not Found", "status": "404"}).to_string()),
        }
    }

    fn graphql(&self, call: &Call, caller: &Caller) -> Reply {
        let Ok(query) = serde_json::from_slice::<Query>(&call.body) else {
            return Reply::json(400, json!({"message": "Problems parsing JSON", "status": "400"}).to_string());
        };
        let prepared = match self.engine.prepare(&query) {
            Ok(prepared) => prepared,
            Err(refusals) => {
                let errors: Vec<_> = refusals.iter().map(refused).collect();
                return self.reply(caller, &json!({"errors": errors}), self.budget(0));
            }
        };
        let plan = prepared.plan();
        let price = price(&plan);
        if let Some((failure, path)) = flaw(&plan, price) {
            let error = FieldError { failure, places: vec![], path: path.into_iter().map(Json::from).collect() };
            return self.reply(caller, &json!({"errors": [drawn(&error)]}), self.budget(0));
        }
        match self.pay(price) {
            Ok(budget) => {
                let heavy = too_heavy(&plan, self.heavy_page.load(std::sync::atomic::Ordering::Relaxed));
                let outcome = self.execute(&prepared, caller, (price, budget), &heavy);
                let body = body(&outcome);
                match strike(&body, &lock(&self.ailing)) {
                    None => self.reply(caller, &body, budget),
                    Some(Effect::Body(body)) => self.reply(caller, &body, budget),
                    Some(Effect::Gateway) => Reply::html(502, "<title>502 Bad Gateway</title>"),
                }
            }
            Err(budget) => self.reply(caller, &exceeded(), budget),
        }
    }

    fn pay(&self, price: Price) -> Result<Budget, Budget> {
        lock(&self.meter).take(price.points, i64::from(self.options.points), self.now())
    }

    fn budget(&self, points: i64) -> Budget {
        self.pay(Price { points, ..Price::default() }).unwrap_or_else(|budget| budget)
    }

    fn execute(
        &self,
        prepared: &Prepared<'_>,
        caller: &Caller,
        (price, budget): (Price, Budget),
        heavy: &[Vec<String>],
    ) -> Outcome {
        let world = self.world();
        let forbidden = lock(&self.forbidden).clone();
        let (options, now) = (&self.options, self.now());
        let iterations = self.iterations.load(std::sync::atomic::Ordering::Relaxed);
        let ailing = lock(&self.ailing).clone();
        let stuck: Vec<String> = ailing.into_iter().filter(|one| one.part == Part::Place).map(|one| one.id).collect();
        let (forbidden, stuck) = (&forbidden, &stuck);
        let view = View { world: &world, options, caller, forbidden, stuck, iterations, now, price, budget };
        let mut outcome = prepared.execute(&Root(view));
        for path in heavy {
            give_up(&mut outcome, path);
        }
        outcome
    }

    fn reply(&self, caller: &Caller, body: &Json, budget: Budget) -> Reply {
        let headers = [
            ("x-ratelimit-limit", budget.limit.to_string()),
            ("x-ratelimit-remaining", budget.remaining.to_string()),
            ("x-ratelimit-used", budget.used.to_string()),
            ("x-ratelimit-reset", (budget.reset / 1_000).to_string()),
            ("x-ratelimit-resource", "graphql".to_owned()),
            ("x-github-request-id", format!("C0DE:{:X}", self.now())),
        ];
        let reply = headers
            .into_iter()
            .fold(Reply::json(200, body.to_string()), |reply, (name, value)| reply.with_header(name, value));
        let reply = match caller.scopes() {
            Some(scopes) => reply.with_header("x-oauth-scopes", scopes),
            None => reply,
        };
        if self.options.is_enterprise() {
            return reply.with_header("x-github-enterprise-version", "enterprise-server@3.13.0");
        }
        reply
    }
}

/// The body of an answer: data first, errors after it, as GitHub sends them.
fn body(outcome: &Outcome) -> Json {
    let mut body = json!({"data": outcome.data});
    if !outcome.errors.is_empty() {
        body["errors"] = outcome.errors.iter().map(drawn).collect();
    }
    body
}

/// The hour's points are spent: 200, and no data.
pub(super) fn exceeded() -> Json {
    json!({"errors": [{
        "type": "RATE_LIMITED", "code": "graphql_rate_limit",
        "message": "API rate limit exceeded for user ID 4711.",
    }]})
}

fn drawn(error: &FieldError) -> Json {
    let mut drawn = json!({
        "type": error.failure.kind, "path": error.path, "locations": places(&error.places), "message": error.failure.message,
    });
    if !error.failure.extensions.is_empty() {
        drawn["extensions"] = Json::Object(error.failure.extensions.clone());
    }
    drawn
}

fn places<'p>(places: impl IntoIterator<Item = &'p Place>) -> Json {
    places.into_iter().map(|place| json!({"line": place.line, "column": place.column})).collect()
}

/// A refusal in GitHub's words.
fn refused(refusal: &Refusal) -> Json {
    let name = |at: usize| refusal.names.get(at).map_or("", String::as_str);
    let (code, message) = match refusal.rule {
        "UndefinedField" => ("undefinedField", format!("Field '{}' doesn't exist on type '{}'", name(1), name(0))),
        "UndefinedTypeInInlineFragmentTypeCondition" | "UndefinedTypeInNamedFragmentTypeCondition" => {
            ("undefinedType", format!("No such type {}, so it can't be a fragment condition", name(0)))
        }
        "UndefinedDefinition" => ("undefinedType", format!("{} isn't a defined input type", name(0))),
        "UndefinedEnumValue" | "UnsupportedValueType" => {
            ("argumentLiteralsIncompatible", format!("Argument has an invalid value: {}", refusal.message))
        }
        "UndefinedArgument" => ("argumentNotAccepted", format!("{} doesn't accept argument '{}'", name(1), name(0))),
        "RequiredArgument" => ("missingRequiredArguments", refusal.message.clone()),
        "UndefinedVariable" => ("variableNotDefined", refusal.message.clone()),
        "UnusedVariable" => ("variableNotUsed", format!("Variable ${} is declared but not used", name(0))),
        "UnusedFragment" => ("useAndDefineFragment", refusal.message.clone()),
        "MissingSubselection" => ("selectionMismatch", refusal.message.clone()),
        "DisallowedVariableUsage" => ("variableMismatch", refusal.message.clone()),
        "Variables" => ("variableInvalid", refusal.message.clone()),
        "Syntax" => ("parseError", refusal.message.clone()),
        _ => ("invalid", refusal.message.clone()),
    };
    let mut extensions = Map::new();
    extensions.insert("code".to_owned(), code.into());
    if refusal.rule == "UndefinedField" {
        extensions.insert("typeName".to_owned(), name(0).into());
        extensions.insert("fieldName".to_owned(), name(1).into());
    }
    json!({"path": [], "extensions": extensions, "locations": places(&refusal.place), "message": message})
}

/// The list at this path was too much work: every node of it is null, with an error each.
fn give_up(outcome: &mut Outcome, path: &[String]) {
    let Some(data) = &mut outcome.data else { return };
    let mut found = vec![];
    void(data, path, &mut vec![], &mut found);
    let within = |error: &FieldError| found.iter().any(|path| error.path.starts_with(path));
    outcome.errors.retain(|error| !within(error));
    let failure = crate::graphql::Failure::new("RESOURCE_LIMITS_EXCEEDED", "Resource limits for this query exceeded.");
    outcome.errors.extend(found.into_iter().map(|path| FieldError { failure: failure.clone(), places: vec![], path }));
}

/// Makes the entries of every list at a path null; collects where they were.
fn void(data: &mut Json, rest: &[String], at: &mut Vec<Json>, found: &mut Vec<Vec<Json>>) {
    match (data, rest) {
        (Json::Array(items), []) => {
            for (index, item) in items.iter_mut().enumerate() {
                *item = Json::Null;
                found.push(at.iter().cloned().chain([index.into()]).collect());
            }
        }
        (Json::Array(items), _) => {
            for (index, item) in items.iter_mut().enumerate() {
                at.push(index.into());
                void(item, rest, at, found);
                at.pop();
            }
        }
        (Json::Object(fields), [key, rest @ ..]) => {
            if let Some(inner) = fields.get_mut(key) {
                at.push(key.as_str().into());
                void(inner, rest, at, found);
                at.pop();
            }
        }
        _ => {}
    }
}
