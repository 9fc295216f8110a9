//! The agents that are known by name, and how a person of a commit or a trailer is recognised as one of them.
//!
//! An address or an account decides. A name alone decides only where no person has it: somebody may be called Claude. Programs
//! that raise versions of dependencies or format code are automation and no agents, so they are in neither list.

use super::{AgentAssisted, Author, Shown};

/// An agent: its name, its accounts, its addresses, and names that no person has.
struct Agent {
    name: &'static str,
    logins: &'static [&'static str],
    emails: &'static [&'static str],
    names: &'static [&'static str],
}

const fn agent(
    name: &'static str,
    logins: &'static [&'static str],
    emails: &'static [&'static str],
    names: &'static [&'static str],
) -> Agent {
    Agent { name, logins, emails, names }
}

/// All in lower case but the name. Accounts stand here without `[bot]`.
const AGENTS: [Agent; 23] = [
    agent("Claude", &["claude"], &["noreply@anthropic.com", "claude@anthropic.com"], &["claude code", "claude-code"]),
    agent(
        "GitHub Copilot",
        &["copilot", "copilot-swe-agent", "github-copilot"],
        &["copilot@github.com"],
        &["github copilot", "copilot-swe-agent", "copilot coding agent", "copilot"],
    ),
    agent(
        "Codex",
        &["chatgpt-codex-connector", "openai-codex"],
        &["codex@openai.com", "noreply@openai.com"],
        &["openai codex", "codex cli", "chatgpt"],
    ),
    agent("Cursor", &["cursor", "cursoragent"], &["cursoragent@cursor.com"], &["cursor agent", "cursoragent"]),
    agent("Devin", &["devin-ai-integration"], &["devin@cognition.ai"], &["devin ai", "devin-ai"]),
    agent("Jules", &["google-labs-jules"], &["jules@google.com"], &["google jules", "google-labs-jules"]),
    agent(
        "Gemini",
        &["gemini-code-assist", "gemini-cli"],
        &["gemini-cli-agent@google.com", "gemini@google.com"],
        &["gemini cli", "gemini-cli", "gemini code assist", "google gemini"],
    ),
    agent("aider", &["aider-chat-bot"], &["aider@aider.chat", "noreply@aider.chat"], &["aider"]),
    agent("Amp", &["amp-agent"], &["amp@ampcode.com"], &["sourcegraph amp", "ampcode"]),
    agent("opencode", &["opencode-agent"], &["noreply@opencode.ai", "opencode@sst.dev"], &["opencode"]),
    agent("OpenHands", &["openhands-agent"], &["openhands@all-hands.dev"], &["openhands"]),
    agent("Factory Droid", &["factory-droid"], &["droid@factory.ai"], &["factory-droid", "factory droid"]),
    agent("Amazon Q", &["amazon-q-developer"], &["amazon-q@amazon.com"], &["amazon q", "amazon q developer"]),
    agent("Kiro", &["kiro-agent"], &["noreply@kiro.dev"], &["kiro-agent", "kiro agent"]),
    agent("Junie", &["junie-agent", "jetbrains-junie"], &["junie@jetbrains.com"], &["jetbrains junie", "junie-agent"]),
    agent("Crush", &["charmcrush"], &[concat!("crush@charm.", "land")], &["charm crush"]),
    agent("Qwen Code", &["qwen-code"], &["qwen-coder@alibabacloud.com"], &["qwen code", "qwen-coder", "qwen-code"]),
    agent("Warp", &["warp-agent"], &["agent@warp.dev", "oz-agent@warp.dev"], &["warp agent"]),
    agent("Windsurf", &["windsurf-bot"], &["cascade@windsurf.com"], &["windsurf", "windsurf cascade"]),
    agent("goose", &["goose-agent"], &["goose@block.xyz"], &["block goose"]),
    agent("Sweep", &["sweep-ai"], &[], &["sweep ai"]),
    agent("Rovo Dev", &["rovo-dev", "rovodev"], &["rovodev@atlassian.com"], &["rovo dev", "atlassian rovo dev"]),
    agent("Replit Agent", &["replit-agent"], &["agent@replit.com"], &["replit agent"]),
];

/// First words by which the trailer `Assisted-by` names a program: what would be a person elsewhere is none there.
const WORDS: [(&str, &str); 22] = [
    ("claude", "Claude"),
    ("copilot", "GitHub Copilot"),
    ("codex", "Codex"),
    ("chatgpt", "Codex"),
    ("gpt", "Codex"),
    ("openai", "Codex"),
    ("cursor", "Cursor"),
    ("devin", "Devin"),
    ("jules", "Jules"),
    ("gemini", "Gemini"),
    ("aider", "aider"),
    ("amp", "Amp"),
    ("opencode", "opencode"),
    ("openhands", "OpenHands"),
    ("kiro", "Kiro"),
    ("junie", "Junie"),
    ("crush", "Crush"),
    ("qwen", "Qwen Code"),
    ("warp", "Warp"),
    ("windsurf", "Windsurf"),
    ("goose", "goose"),
    ("rovo", "Rovo Dev"),
];

/// Programs that change code by fixed rules: a trailer that names one shows no agent.
const AUTOMATION: [&str; 16] = [
    "dependabot",
    "dependabot-preview",
    "renovate",
    "renovate-bot",
    "greenkeeper",
    "snyk-bot",
    "pyup-bot",
    "depfu",
    "github-actions",
    "pre-commit-ci",
    "mergify",
    "semantic-release-bot",
    "allcontributors",
    "imgbot",
    "web-flow",
    "coccinelle",
];

/// The end of the addresses that GitHub gives to accounts: `ID+LOGIN@users.noreply.github.com`.
const NOREPLY: &str = "@users.noreply.github.com";

/// The agents that are known, and those that the configuration adds by name, account or address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownAgents {
    /// As they are written.
    more: Vec<String>,
}

impl KnownAgents {
    /// The known agents, and these besides.
    #[must_use]
    pub fn with(more: &[String]) -> Self {
        Self { more: more.to_vec() }
    }

    /// What the author of a commit or a pull request shows.
    pub(super) fn author(&self, author: &Author) -> Option<Shown> {
        let by_login = author.login.as_deref().filter(|login| author.is_bot || is_program(login));
        let known = by_login.and_then(|login| self.login(login)).or_else(|| {
            author.login.as_deref().and_then(|login| self.configured(login)).or_else(|| self.account(author))
        });
        if let Some(name) = known {
            return Some((AgentAssisted::Delegated, name));
        }
        // aider commits as the person that it works for.
        let with_aider = author.name.as_deref().is_some_and(|name| name.to_lowercase().ends_with("(aider)"));
        with_aider.then(|| (AgentAssisted::Assisted, "aider".to_owned()))
    }

    fn account(&self, author: &Author) -> Option<String> {
        author.email.as_deref().and_then(|email| self.email(email)).or_else(|| self.name(author.name.as_deref()?))
    }

    /// The agent that `Name <address>` means.
    pub(super) fn person(&self, value: &str) -> Option<String> {
        let (name, email) = match value.split_once('<') {
            Some((name, email)) => (name.trim(), email.trim_end().trim_end_matches('>')),
            None => (value.trim(), ""),
        };
        self.email(email).or_else(|| self.name(name))
    }

    /// The agent that `Assisted-by` means: `NAME:MODEL` with tools behind it, a known name, or `Name <address>`.
    pub(super) fn helper(&self, value: &str) -> Option<String> {
        if let Some(known) = self.person(value) {
            return Some(known);
        }
        if value.contains(['<', '@']) {
            return None;
        }
        let first = value.split_whitespace().next()?;
        let named = first.split_once(':').filter(|(name, model)| !name.is_empty() && is_model(model));
        let name = named.map_or(first, |(name, _)| name);
        let lower = plain(name);
        if AUTOMATION.contains(&lower.as_str()) {
            return None;
        }
        let word = lower.split(['-', '_', '.', '/', ' ']).next().unwrap_or_default();
        let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, name)| (*name).to_owned());
        let full = self.name(name).or_else(|| {
            // `GitHub Copilot` and `Claude Code` are two words.
            let words: Vec<&str> = value.split([' ', ':', ',', '(']).filter(|word| !word.is_empty()).take(2).collect();
            self.name(&words.join(" "))
        });
        known.or(full).or_else(|| named.map(|(name, _)| name.to_owned()))
    }

    /// The agent that a name means which no person has.
    pub fn name(&self, name: &str) -> Option<String> {
        let lower = plain(name);
        let known = AGENTS.iter().find(|agent| agent.names.contains(&lower.as_str()));
        known.map(|agent| agent.name.to_owned()).or_else(|| self.configured(name))
    }

    fn login(&self, login: &str) -> Option<String> {
        let lower = plain(login);
        let known = AGENTS.iter().find(|agent| agent.logins.contains(&lower.as_str()));
        known.map(|agent| agent.name.to_owned()).or_else(|| self.configured(login))
    }

    fn email(&self, email: &str) -> Option<String> {
        let lower = email.trim().to_lowercase();
        if let Some(account) = lower.strip_suffix(NOREPLY) {
            return self.login(account.split_once('+').map_or(account, |(_, login)| login));
        }
        let known = AGENTS.iter().find(|agent| agent.emails.contains(&lower.as_str()));
        known.map(|agent| agent.name.to_owned()).or_else(|| self.configured(email))
    }

    fn configured(&self, text: &str) -> Option<String> {
        let wanted = plain(text);
        let found = self.more.iter().find(|more| !wanted.is_empty() && plain(more) == wanted);
        found.map(|more| more.trim().to_owned())
    }
}

/// Whether an account is marked as a program, or is one that only a program has.
fn is_program(login: &str) -> bool {
    login.to_lowercase().ends_with("[bot]")
        || ["copilot-swe-agent", "devin-ai-integration"].contains(&plain(login).as_str())
}

fn is_model(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// In lower case, without the mark of programs.
fn plain(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    lower.strip_suffix("[bot]").unwrap_or(&lower).to_owned()
}
