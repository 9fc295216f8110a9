//! `contextcore init`: writes a commented `contextcore.yaml` from a few answers or flags, and checks it. Never writes a token.

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use contextcore_connectors::ALL;
use contextcore_core::config::{self, FILE_NAME};
use contextcore_core::ingest::connector::{InitQuestion, Registration};
use contextcore_core::model::printable;

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::{check, output, terminal};

const ENDPOINT: &str = "http://127.0.0.1:4317";

/// Everything the file needs.
#[derive(Clone)]
struct Answers {
    registration: &'static Registration,
    name: String,
    /// The keys of the kind that were answered, in the order of its questions.
    keys: Vec<(&'static str, String)>,
    projects: Vec<String>,
    endpoint: String,
}

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
    // The file must be one that we would read.
    config::parse(&text, &path.display().to_string(), &app::kinds())?;
    write(&path, &text, arguments.force)?;
    output::note(&printable::one_line(&format!("wrote {}", path.display())));
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
    // It may have been written while we asked.
    if force {
        options.create(true)
    } else {
        options.create_new(true)
    };
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

/// Takes the values of flags and asks for the rest. What has neither a default nor an answer is an error that names the flag.
fn ask(arguments: &args::Init, input: &mut impl BufRead, out: &mut impl Write) -> Result<Answers, Failure> {
    let mut form = Form { input, out };
    let kinds: Vec<&str> = ALL.iter().map(|registration| registration.kind).collect();
    let kind = form.field("--kind", &format!("Tool ({})", kinds.join(", ")), &arguments.kind, Some("jira"))?;
    let unknown = || Failure::usage(format!("there is no connector for `{kind}`; known: {}", kinds.join(", ")));
    let registration = contextcore_connectors::registration(&kind).ok_or_else(unknown)?;
    let mut keys = Vec::new();
    let mut name = None;
    for question in registration.init.questions {
        if let Some(answer) = key(&mut form, arguments, &kind, question)? {
            keys.push((question.key, answer));
        }
        // The first question says where the work is, and so what to call it.
        if name.is_none() {
            let default = usual_name(&kind, keys.iter().find(|(key, _)| *key == "url").map(|(_, url)| url.as_str()));
            name = Some(form.field("--name", "Name of the source", &arguments.name, Some(&default))?);
        }
    }
    let projects = match arguments.projects.as_slice() {
        [] => form.optional("Projects, separated by commas (empty for all the token can see)", &None)?.map(split),
        given => Some(given.iter().cloned().flat_map(split).collect()),
    };
    let endpoint = form.field("--endpoint", "OTLP backend", &arguments.endpoint, Some(ENDPOINT))?;
    let name = name.unwrap_or_else(|| usual_name(&kind, None));
    Ok(Answers { registration, name, keys, projects: projects.unwrap_or_default(), endpoint })
}

/// The value of a key of the kind; `None` for an optional one without an answer.
fn key(
    form: &mut Form<'_, impl BufRead, impl Write>,
    arguments: &args::Init,
    kind: &str,
    question: &InitQuestion,
) -> Result<Option<String>, Failure> {
    let given = match question.flag {
        "--url" => &arguments.url,
        "--path" => &arguments.path,
        "--email" => &arguments.email,
        "--token-env" => &arguments.token_env,
        _ => &None,
    };
    if question.optional {
        return form.optional(question.question, given);
    }
    let variable = format!("{}_TOKEN", kind.to_uppercase());
    let default = question.default.or(is_secret(question.key).then_some(variable.as_str()));
    form.field(question.flag, question.question, given, default).map(Some)
}

/// Whether the answer for a key is the name of an environment variable.
fn is_secret(key: &str) -> bool {
    key.ends_with("token")
}

/// The keys of the kind as YAML; those of one mapping, such as `auth`, on one line.
fn keys_text(answers: &Answers) -> String {
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    for (key, answer) in &answers.keys {
        let value = if is_secret(key) { format!("{{env: {}}}", quoted(answer)) } else { quoted(answer) };
        let (group, text) = match key.split_once('.') {
            Some((group, key)) => (group, format!("{key}: {value}")),
            None => (*key, value),
        };
        match lines.iter_mut().find(|(known, _)| *known == group) {
            Some((_, texts)) => texts.push(text),
            None => lines.push((group, vec![text])),
        }
    }
    let line = |(group, texts): &(&str, Vec<String>)| match answers.keys.iter().any(|(key, _)| key == group) {
        true => format!("    {group}: {}\n", texts.join(", ")),
        false => format!("{}    {group}: {{{}}}\n", secret_comment(answers), texts.join(", ")),
    };
    lines.iter().map(line).collect()
}

fn secret_comment(answers: &Answers) -> String {
    let page = answers.registration.init.token_page;
    let page = page.map(|page| format!("    # Make a token at {page}.\n")).unwrap_or_default();
    format!("{page}    # The token itself stays in the environment, or in a {{file: PATH}}.\n")
}

/// Asks questions, one a line. Without a terminal the input is at its end.
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

/// `acme-jira` for `https://acme.atlassian.net`.
fn usual_name(kind: &str, url: Option<&str>) -> String {
    let url = url.unwrap_or_default();
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
    let Answers { registration, name, projects, endpoint, .. } = answers;
    let projects = match projects.as_slice() {
        [] => "    #projects: [PROJ]".to_owned(),
        some => {
            format!("    projects: [{}]", some.iter().map(|project| quoted(project)).collect::<Vec<_>>().join(", "))
        }
    };
    format!(
        "\
# Configuration of contextcore. What is not here has its default; `contextcore schema` describes every key.
# Check it with `contextcore check`, then run `contextcore sync` once, or `contextcore serve` as a service.

# What was read from the tools, and how far it has been exported.
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
{}    # Absent: all that the token can see.
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
        quoted(registration.kind),
        keys_text(answers),
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
        let config = config::parse(&text, "x.yaml", &app::kinds()).unwrap();
        assert_eq!(config.sources[0].projects, ["PROJ", "OPS", "HR"]);
        assert_eq!(config.sources[0].name, "acme-jira");
    }

    #[test]
    fn what_is_missing_is_named_with_its_flag() {
        let none = args::Init { url: None, ..flags() };
        let failure = ask(&none, &mut io::empty(), &mut io::sink()).err().unwrap();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].contains("--url"));
    }

    #[test]
    fn answers_on_a_terminal_take_the_place_of_flags() {
        let none = args::Init { url: None, email: None, projects: vec![], ..flags() };
        let mut typed = "jira\nhttps://jira.acme.example/x\n\n\nDC_TOKEN\nA, B\n\n".as_bytes();
        let mut asked = Vec::new();
        let answers = ask(&none, &mut typed, &mut asked).unwrap();
        assert_eq!(answers.name, "acme-jira");
        let url = "https://jira.acme.example/x".to_owned();
        assert_eq!(answers.keys, [("url", url), ("auth.token", "DC_TOKEN".to_owned())]);
        assert_eq!((answers.projects, answers.endpoint.as_str()), (vec!["A".to_owned(), "B".to_owned()], ENDPOINT));
        assert_eq!(String::from_utf8(asked).unwrap().matches(": ").count(), 7);
    }

    #[test]
    fn whatever_is_answered_the_file_holds_it_and_no_more() {
        let keys =
            [("url", "http://127.0.0.1:8080/jira"), ("auth.email", "o'neil+\"x\"@acme.example"), ("auth.token", "T")];
        let odd = Answers {
            registration: contextcore_connectors::registration("jira").unwrap(),
            name: "a-b".into(),
            keys: keys.map(|(key, answer)| (key, answer.to_owned())).to_vec(),
            projects: vec!["ON".into(), "12".into(), "A: {b}".into()],
            endpoint: "https://otlp.acme.example:443/x".into(),
        };
        let config = config::parse(&text(&odd), "x.yaml", &app::kinds()).unwrap();
        let source = &config.sources[0];
        assert_eq!((&source.projects, source.url.as_str()), (&odd.projects, keys[0].1));
        let auth = serde_json::json!({"auth": {"email": keys[1].1, "token": {"env": "T"}}});
        assert_eq!(source.settings, auth);
    }

    #[test]
    fn every_kind_can_be_written_from_its_own_questions() {
        for registration in ALL {
            let mut typed = format!("{}\n", registration.kind);
            for (index, question) in registration.init.questions.iter().enumerate() {
                typed.push_str(if question.key == "url" { "https://tool.example\n" } else { "VALUE\n" });
                typed.push_str(if index == 0 { "\n" } else { "" });
            }
            let none = args::Init { url: None, email: None, projects: vec![], ..flags() };
            let answers = ask(&none, &mut typed.as_bytes(), &mut io::sink()).unwrap();
            let config = config::parse(&text(&answers), "x.yaml", &app::kinds()).unwrap();
            assert_eq!(config.sources[0].kind, registration.kind);
        }
    }

    #[test]
    fn a_file_needs_a_path_and_no_token() {
        let flags = || args::Init { kind: Some("file".into()), url: None, email: None, ..flags() };
        let failure = ask(&flags(), &mut io::empty(), &mut io::sink()).err().unwrap();
        assert!(failure.lines[0].contains("--path"), "{failure}");
        let path = "/var/lib/my tracker/tasks.jsonl";
        let answers =
            ask(&args::Init { path: Some(path.into()), ..flags() }, &mut io::empty(), &mut io::sink()).unwrap();
        let config = config::parse(&text(&answers), "x.yaml", &app::kinds()).unwrap();
        assert_eq!(config.sources[0].place(), path);
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
