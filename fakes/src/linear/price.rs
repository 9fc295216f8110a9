//! What queries cost, and the two quotas they are charged to.
//!
//! The vendor's rule: 0.1 for a scalar, 1 for an object, and a connection multiplies the price of its nodes by `first`, 50 when
//! that is left out; rows that do not exist are charged too. A query may cost 10,000. Both quotas are leaky buckets that are
//! refilled continuously over an hour.

use super::{Options, errors, time};
use crate::graphql::Selected;
use crate::message::Reply;

/// Rows of a connection when the caller does not say how many.
const USUAL_ROWS: i64 = 50;
/// How long an empty bucket takes to fill, in milliseconds.
const PERIOD: f64 = 3_600_000.0;

/// The price of what is asked for.
pub(super) fn of(fields: &[Selected<'_>]) -> f64 {
    fields.iter().map(price).sum()
}

fn price(field: &Selected<'_>) -> f64 {
    if field.leaf {
        return 0.1;
    }
    if field.is_connection() {
        let rows = field.page_size().unwrap_or(USUAL_ROWS).max(0);
        let (lists, others): (Vec<_>, Vec<_>) =
            field.children.iter().partition(|child| matches!(child.name, "nodes" | "edges"));
        let row: f64 = lists.into_iter().map(price).sum();
        return rows as f64 * row + others.into_iter().map(price).sum::<f64>();
    }
    1.0 + of(&field.children)
}

/// A leaky bucket.
#[derive(Clone, Copy, Debug)]
struct Pool {
    limit: f64,
    left: f64,
}

impl Pool {
    fn refill(&mut self, elapsed: f64) {
        self.left = (self.left + self.limit * elapsed / PERIOD).min(self.limit);
    }

    /// When it will be full again, in epoch milliseconds.
    fn reset(&self, now: i64) -> i64 {
        now + ((self.limit - self.left) / self.limit * PERIOD).ceil() as i64
    }
}

/// The two buckets of the credential.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    requests: Pool,
    points: Pool,
    at: Option<i64>,
    /// Points charged in all.
    pub(super) charged: f64,
}

impl Pools {
    pub(super) fn new(options: &Options) -> Self {
        let full = |limit| Pool { limit, left: limit };
        Self { requests: full(options.requests), points: full(options.points), at: None, charged: 0.0 }
    }

    /// Lets the time pass.
    pub(super) fn refill(&mut self, now: i64) {
        let elapsed = (now - self.at.unwrap_or(now)).max(0) as f64;
        self.requests.refill(elapsed);
        self.points.refill(elapsed);
        self.at = Some(now);
    }

    /// Charges a query, or refuses it.
    pub(super) fn charge(&mut self, price: f64, options: &Options) -> Result<(), Reply> {
        if price > options.most {
            return Err(too_complex(price, options.most));
        }
        if self.requests.left < 1.0 || self.points.left < price {
            // Whoever asks for more than there is has nothing left.
            self.points.left = if self.requests.left < 1.0 { self.points.left } else { 0.0 };
            let body = errors("Rate limit exceeded", "RATELIMITED", "ratelimited", 429);
            return Err(Reply::json(400, body.to_string()));
        }
        self.requests.left -= 1.0;
        self.points.left -= price;
        self.charged += price;
        Ok(())
    }

    /// An answer with what is left.
    pub(super) fn headers(&self, reply: Reply, now: i64) -> Reply {
        let kinds = [("Requests", &self.requests), ("Complexity", &self.points)];
        kinds.into_iter().fold(reply, |reply, (name, pool)| {
            reply
                .with_header(&format!("X-RateLimit-{name}-Limit"), format!("{}", pool.limit))
                .with_header(&format!("X-RateLimit-{name}-Remaining"), format!("{}", (pool.left + 1e-6).floor()))
                .with_header(&format!("X-RateLimit-{name}-Reset"), pool.reset(now).to_string())
        })
    }

    /// The same for whoever asks in a query.
    pub(super) fn status(options: &Options, now: i64) -> serde_json::Value {
        let limit = |kind: &str, allowed: f64| {
            serde_json::json!({"type": kind, "allowedAmount": allowed, "remainingAmount": allowed, "requestedAmount": 1.0,
                "period": PERIOD, "reset": now as f64})
        };
        let limits = [limit("requests", options.requests), limit("complexity", options.points)];
        serde_json::json!({"identifier": time(now), "kind": "apiKey", "limits": limits})
    }
}

fn too_complex(price: f64, most: f64) -> Reply {
    let message = format!("Your query is too complex. Complexity: {price:.2}. Maximum allowed complexity: {most:.0}.");
    let mut body = errors("Query too complex", "INPUT_ERROR", "invalid input", 400);
    body["errors"][0]["extensions"]["userPresentableMessage"] = message.into();
    Reply::json(400, body.to_string())
}
