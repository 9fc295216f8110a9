//! Names and short titles for a world, as people might have written them.

use super::{TypeId, User};
use rand::Rng;
use rand::rngs::StdRng;

const NAMES: [&str; 10] = ["Ada", "Ben", "Chen", "Dina", "Emre", "Farah", "Goran", "Hana", "Ivan", "Jun"];

/// The vocabulary of one field of work.
pub(super) struct Vocabulary {
    pub(super) verbs: &'static [&'static str],
    pub(super) objects: &'static [&'static str],
    pub(super) faults: &'static [&'static str],
    pub(super) questions: &'static [&'static str],
    pub(super) labels: &'static [&'static str],
}

pub(super) const SHOP: Vocabulary = Vocabulary {
    verbs: &["Show", "Validate", "Remember", "Speed up", "Simplify", "Translate", "Retry", "Redesign", "Track", "Test"],
    objects: &[
        "saved addresses",
        "card errors",
        "gift card balances",
        "delivery slots",
        "the order summary",
        "promo codes",
        "guest e-mail capture",
        "wallet payments",
        "tax lines",
        "the payment form",
        "the empty basket",
        "refund notices",
        "the address lookup",
        "order confirmation e-mails",
        "instalment plans",
    ],
    faults: &[
        "are lost after a failed payment",
        "show twice on small screens",
        "round the wrong way",
        "stay open after sign-out",
        "ignore the chosen currency",
        "break when the basket is empty",
    ],
    questions: &["Which provider for", "How fast can we make", "Do customers need", "What would it take to replace"],
    labels: &["frontend", "payments", "accessibility", "mobile", "analytics"],
};

pub(super) const PLAT: Vocabulary = Vocabulary {
    verbs: &["Move", "Cache", "Document", "Harden", "Split", "Measure", "Upgrade", "Automate", "Retire", "Shard"],
    objects: &[
        "the build pipeline",
        "service certificates",
        "the artifact registry",
        "integration tests",
        "the event bus",
        "database migrations",
        "feature switches",
        "the API gateway",
        "developer sandboxes",
        "log retention",
        "queue consumers",
        "the secrets store",
        "container base images",
    ],
    faults: &[
        "time out under load",
        "leak connections",
        "fail on the first retry",
        "report success too early",
        "drift from their declared state",
    ],
    questions: &["Can we drop", "What limits", "Compare options for", "How do others run"],
    labels: &["build", "security", "cost", "reliability", "tooling"],
};

pub(super) const OPS: Vocabulary = Vocabulary {
    verbs: &["Rotate", "Rehearse", "Restore", "Resize", "Patch", "Audit", "Renew", "Clean up", "Monitor", "Write down"],
    objects: &[
        "the on-call handover",
        "database backups",
        "the status page",
        "disk alerts",
        "load balancer rules",
        "access reviews",
        "the failover drill",
        "certificate renewals",
        "old DNS records",
        "the capacity plan",
        "nightly batch jobs",
    ],
    faults: &["page the wrong team", "run past midnight", "fill the disk", "miss a failed run", "flap every morning"],
    questions: &["Why do we still run", "Who owns", "What would we lose without"],
    labels: &["oncall", "compliance", "capacity", "runbook"],
};

/// The people of every world.
pub(super) fn users() -> Vec<User> {
    NAMES
        .iter()
        .zip(0u64..)
        .map(|(name, n)| User {
            name: (*name).to_owned(),
            account: format!("5b10a2844c20165700ede{:03x}", 0x21 + n),
            is_bot: false,
        })
        .collect()
}

impl Vocabulary {
    /// A title for an issue of this kind.
    pub(super) fn title(&self, kind: TypeId, rng: &mut StdRng) -> String {
        let object = pick(self.objects, rng);
        match kind {
            TypeId::BUG | TypeId::INCIDENT => format!("{} {}", capital(plural(object)), pick(self.faults, rng)),
            TypeId::SPIKE => format!("{} {object}?", pick(self.questions, rng)),
            TypeId::STORY => format!("{} {object} for {}", pick(self.verbs, rng), pick(&AUDIENCES, rng)),
            _ => format!("{} {object}", pick(self.verbs, rng)),
        }
    }
}

const AUDIENCES: [&str; 8] = [
    "returning customers",
    "guests",
    "the support team",
    "phone users",
    "business accounts",
    "new markets",
    "the finance team",
    "partner shops",
];

/// What the parts of a story are called.
pub(super) const PARTS: [&str; 6] = [
    "Agree on the design",
    "Write the API",
    "Build the screen",
    "Add tests",
    "Update the docs",
    "Release behind a switch",
];

const REMARKS: [&str; 8] = [
    "Can you say how to see this happen?",
    "Looks good to me, one small remark in the review.",
    "Waiting for an answer from the provider.",
    "Seen on the test system as well.",
    "I will pick this up tomorrow.",
    "The numbers are in the report of last week.",
    "Agreed with support: this way round.",
    "Needs another look before we release it.",
];

/// The text of the comment of this number.
pub(super) fn remark(number: u32) -> &'static str {
    REMARKS[number as usize % REMARKS.len()]
}

/// One of the items.
pub(super) fn pick<T: Copy>(items: &[T], rng: &mut StdRng) -> T {
    items[rng.random_range(0..items.len())]
}

/// Faults use the plural: "the payment form" breaks as "payment form steps break".
fn plural(object: &str) -> String {
    match object.strip_prefix("the ") {
        Some(one) => format!("{one} entries"),
        None => object.to_owned(),
    }
}

fn capital(text: String) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
