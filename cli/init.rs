//! `contextcore init`: writes a commented `contextcore.yaml` from a few answers or flags, and checks it. Never writes a token.

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use contextcore_core::config::{self, FILE_NAME};

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::{check, terminal};

const ENDPOINT: &str = "http://127.0.0.1:4317";

/// Everything the file needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answers {
    kind: String,
    name: String,
    place: Place,
    projects: Vec<String>,
    endpoint: String,
}

/// Where the work is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In a tool.
    Tool { url: String, email: Option<String>, token_env: String },
    /// In a file.
    File(String),
}

/// The kind that reads a file, and so needs neither address nor token.
const FILE: &str = "file";

pub(crate) async fn run(context: &Context, arguments: &args::Init) -> Outcome {
    context.is_json("init")?;
    let path = context.global.config.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
    if path.exists() && !arguments.force {
        let message =
            format!("{} is there already: give --force to overwrite it, or --config to write another", path.display());
        return Err(Failure::usage(message));
    }
    let answers = if terminal::is_interactive() {
        ask(arguments, &mut io::stdin().lock(), &mut io::stderr())?
    } else {
        ask(arguments, &mut io::empty(), &mut io::sink())?
    };
    let text = text(&answers);
    // What we write must be what we would read.
    config::parse(&text, &path.display().to_string(), &app::kinds())?;
    write(&path, &text, arguments.force)?;
    eprintln!("wrote {}", path.display());
    if arguments.no_check {
        return Ok(Exit::Done);
    }
    let context =
        Context { global: args::Global { config: Some(path), ..context.global.clone() }, bars: context.bars.clone() };
    check::run(&context, &args::Check { sources: Vec::new(), doctor: args::Doctor::default() }).await
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |error| Failure::usage(format!("write {}: {error}", path.display()));
    let mut options = OpenOptions::new();
    options.write(true).truncate(true);
    // Somebody may have written it while we asked.
    if force {
        options.create(true)
    } else {
        options.create_new(true)
    };
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

/// Takes what the flags say and asks for the rest. What has no default and no answer is named with its flag.
fn ask(arguments: &args::Init, input: &mut impl BufRead, out: &mut impl Write) -> Result<Answers, Failure> {
    let mut form = Form { input, out };
    let kinds = app::kinds();
    let kind = form.field("--kind", &format!("Tool ({})", kinds.join(", ")), &arguments.kind, Some("jira"))?;
    if !kinds.contains(&kind.as_str()) {
        return Err(Failure::usage(format!("there is no connector for `{kind}`; known: {}", kinds.join(", "))));
    }
    let (name, place) = if kind == FILE {
        let path = form.field("--path", "File of JSON lines", &arguments.path, None)?;
        (form.field("--name", "Name of the source", &arguments.name, Some("my-file"))?, Place::File(path))
    } else {
        tool(&mut form, arguments, &kind)?
    };
    let projects = match arguments.projects.as_slice() {
        [] => form.optional("Projects, separated by commas (empty for all the token can see)", &None)?.map(split),
        given => Some(given.iter().cloned().flat_map(split).collect()),
    };
    let endpoint = form.field("--endpoint", "OTLP backend", &arguments.endpoint, Some(ENDPOINT))?;
    Ok(Answers { kind, name, place, projects: projects.unwrap_or_default(), endpoint })
}

/// A source's name, and how its tool is reached.
fn tool(
    form: &mut Form<'_, impl BufRead, impl Write>,
    arguments: &args::Init,
    kind: &str,
) -> Result<(String, Place), Failure> {
    let url = form.field("--url", "Address, e.g. https://acme.atlassian.net", &arguments.url, usual_url(kind))?;
    let name = form.field("--name", "Name of the source", &arguments.name, Some(&usual_name(kind, &url)))?;
    let email = if kind == "jira" {
        form.optional("E-mail of the token's account (Jira Cloud; empty for Data Center)", &arguments.email)?
    } else {
        arguments.email.clone()
    };
    let variable = format!("{}_TOKEN", kind.to_uppercase());
    let token_env =
        form.field("--token-env", "Environment variable that holds the token", &arguments.token_env, Some(&variable))?;
    Ok((name, Place::Tool { url, email, token_env }))
}

/// The keys that say where a source's work is.
fn place_text(place: &Place) -> String {
    match place {
        Place::File(path) => format!("    path: {}", quoted(path)),
        Place::Tool { url, email, token_env } => {
            let email = email.as_ref().map(|email| format!("email: {}, ", quoted(email))).unwrap_or_default();
            format!(
                "    url: {}\n    # The token itself stays in the environment, or in a {{file: PATH}}.\n    \
                 auth: {{{email}token: {{env: {}}}}}",
                quoted(url),
                quoted(token_env)
            )
        }
    }
}

/// Asks questions, one a line. Where nobody answers, the input is at its end.
struct Form<'a, R, W> {
    input: &'a mut R,
    out: &'a mut W,
}

impl<R: BufRead, W: Write> Form<'_, R, W> {
    fn question(&mut self, question: &str, usual: Option<&str>) -> Result<Option<String>, Failure> {
        let usual = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
        write!(self.out, "{question}{usual}: ")?;
        self.out.flush()?;
        let mut line = String::new();
        let failed = |error| Failure::new(Exit::Internal, format!("read the answer: {error}"));
        self.input.read_line(&mut line).map_err(failed)?;
        let answer = line.trim().to_owned();
        Ok((!answer.is_empty()).then_some(answer))
    }

    /// The value of a flag, else the answer, else what is usual.
    fn field(
        &mut self,
        flag: &str,
        question: &str,
        given: &Option<String>,
        usual: Option<&str>,
    ) -> Result<String, Failure> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let answer = self.question(question, usual)?.or_else(|| usual.map(str::to_owned));
        answer.ok_or_else(|| Failure::usage(format!("missing: give {flag}, or run `contextcore init` on a terminal")))
    }

    fn optional(&mut self, question: &str, given: &Option<String>) -> Result<Option<String>, Failure> {
        if given.is_some() { Ok(given.clone()) } else { self.question(question, None) }
    }
}

fn split(text: String) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The address of tools that have only one.
fn usual_url(kind: &str) -> Option<&'static str> {
    match kind {
        "github" => Some("https://api.github.com"),
        "linear" => Some("https://api.linear.app"),
        _ => None,
    }
}

/// `acme-jira` for `https://acme.atlassian.net`.
fn usual_name(kind: &str, url: &str) -> String {
    let host = url.split("://").nth(1).unwrap_or(url).split(['/', ':']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let word = match labels.as_slice() {
        [first, _, ..] if first.chars().any(char::is_alphabetic) && *first != "api" && *first != "jira" => *first,
        ["jira", second, _, ..] => *second,
        _ => "my",
    };
    format!("{word}-{kind}")
}

/// A text as YAML writes it. JSON strings are YAML.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let is_safe =
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain) && !text.ends_with(':');
    let is_word =
        matches!(text.to_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n");
    if is_safe && !is_word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn text(answers: &Answers) -> String {
    let Answers { kind, name, place, projects, endpoint } = answers;
    let projects = match projects.as_slice() {
        [] => "    #projects: [PROJ]".to_owned(),
        some => {
            format!("    projects: [{}]", some.iter().map(|project| quoted(project)).collect::<Vec<_>>().join(", "))
        }
    };
    format!(
        "\
# Configuration of contextcore. What is not here has its default; `contextcore schema` describes every key.
# Check it with `contextcore check`, then run `contextcore sync` once, or `contextcore serve` for good.

# What was heard from the tools, and what the backend was told.
store:
  path: ./data

export:
  # How far back the first sync replays; the backend must accept times that old.
  history: 400d
  otlp:
    endpoint: {}

sources:
  # The name becomes part of every id: do not change it later.
  - name: {}
    kind: {}
{}
    # Absent: all that there are.
{projects}
    # Cron, UTC; for `contextcore serve`.
    schedule: \"*/5 * * * *\"

# Projects as the business knows them, made of native projects of one or more sources:
#projects:
#  - id: commerce-platform
#    name: Commerce Platform
#    owner: commerce-team
#    # critical | high | medium | low
#    criticality: critical
#    include: [{{source: {}, project: PROJ}}]
",
        quoted(endpoint),
        quoted(name),
        quoted(kind),
        place_text(place),
        quoted(name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> args::Init {
        args::Init {
            kind: None,
            name: None,
            url: Some("https://acme.atlassian.net".into()),
            path: None,
            email: Some("bot@acme.example".into()),
            token_env: None,
            projects: vec!["PROJ".into(), "OPS,HR".into()],
            endpoint: None,
            force: false,
            no_check: true,
        }
    }

    #[test]
    fn flags_and_defaults_are_enough_without_a_terminal() {
        let answers = ask(&flags(), &mut io::empty(), &mut io::sink()).unwrap();
        let text = text(&answers);
        insta::assert_snapshot!("init", text);
        let config = config::parse(&text, "x.yaml", &["jira"]).unwrap();
        assert_eq!(config.sources[0].projects, ["PROJ", "OPS", "HR"]);
        assert_eq!(config.sources[0].name, "acme-jira");
    }

    #[test]
    fn what_is_missing_is_named_with_its_flag() {
        let none = args::Init { url: None, ..flags() };
        let failure = ask(&none, &mut io::empty(), &mut io::sink()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].contains("--url"));
    }

    #[test]
    fn answers_on_a_terminal_take_the_place_of_flags() {
        let none = args::Init { url: None, email: None, projects: vec![], ..flags() };
        let mut typed = "jira\nhttps://jira.acme.example/x\n\n\nDC_TOKEN\nA, B\n\n".as_bytes();
        let mut asked = Vec::new();
        let answers = ask(&none, &mut typed, &mut asked).unwrap();
        let Place::Tool { email, token_env, .. } = answers.place else { panic!("{:?}", answers.place) };
        assert_eq!((answers.name.as_str(), email, token_env.as_str()), ("acme-jira", None, "DC_TOKEN"));
        assert_eq!((answers.projects, answers.endpoint.as_str()), (vec!["A".to_owned(), "B".to_owned()], ENDPOINT));
        assert_eq!(String::from_utf8(asked).unwrap().matches(": ").count(), 7);
    }

    #[test]
    fn whatever_is_answered_the_file_holds_it_and_no_more() {
        let odd = Answers {
            kind: "jira".into(),
            name: "a-b".into(),
            place: Place::Tool {
                url: "http://127.0.0.1:8080/jira".into(),
                email: Some("o'neil+\"x\"@acme.example".into()),
                token_env: "T".into(),
            },
            projects: vec!["ON".into(), "12".into(), "A: {b}".into()],
            endpoint: "https://otlp.acme.example:443/x".into(),
        };
        let config = config::parse(&text(&odd), "x.yaml", &["jira"]).unwrap();
        let source = &config.sources[0];
        let Place::Tool { url, email, .. } = &odd.place else { panic!() };
        assert_eq!((&source.projects, &source.email, &source.url), (&odd.projects, email, url));
    }

    #[test]
    fn a_file_needs_a_path_and_no_token() {
        let flags = || args::Init { kind: Some("file".into()), url: None, email: None, ..flags() };
        let failure = ask(&flags(), &mut io::empty(), &mut io::sink()).unwrap_err();
        assert!(failure.lines[0].contains("--path"), "{failure}");
        let path = "/var/lib/my tracker/tasks.jsonl";
        let answers =
            ask(&args::Init { path: Some(path.into()), ..flags() }, &mut io::empty(), &mut io::sink()).unwrap();
        let config = config::parse(&text(&answers), "x.yaml", &["file"]).unwrap();
        assert_eq!(config.sources[0].path.as_deref(), Some(Path::new(path)));
    }

    #[test]
    fn a_file_is_only_overwritten_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contextcore.yaml");
        write(&path, "a", false).unwrap();
        assert_eq!(write(&path, "b", false).unwrap_err().exit, Exit::Usage);
        write(&path, "c", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "c");
    }
}
