//! The `.contextcore/guidance.yaml` of a repository: guidance for agents, with the keys of `spec.agentGuidance` of a
//! `ProjectContext`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;

use super::json_schema::WithoutNullDefaults;
use super::problems::{ConfigErrors, Problems};
use super::shape;
use crate::model::config::project::Guidance;
use crate::model::guidance::{Severity, until};
use crate::model::yaml;

/// Where the file is in a repository.
pub const PATH: &str = ".contextcore/guidance.yaml";
/// A file is no larger.
pub const MAX_BYTES: usize = 256 << 10;

/// What the file holds: the type of the title alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = ".contextcore/guidance.yaml")]
struct GuidanceFile(Guidance);

/// Reads and checks the text of a file; `origin` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(origin: &str, text: &str) -> Result<Guidance, ConfigErrors> {
    if text.len() > MAX_BYTES {
        let message = format!("is larger than {} KiB: keep what binds, and link the rest", MAX_BYTES >> 10);
        return Err(ConfigErrors::whole_file(origin, None, message));
    }
    let (mut document, lines) =
        yaml::document(text).map_err(|(line, message)| ConfigErrors::whole_file(origin, line, message))?;
    let mut problems = Problems::new(lines);
    shape::check(&schema(), &mut document, &mut problems);
    // Cannot fail while `shape` and the types agree; what is wrong must not pass if they ever do not.
    let GuidanceFile(guidance) = GuidanceFile::deserialize(document)
        .map_err(|error| ConfigErrors::whole_file(origin, None, format!("does not fit the schema: {error}")))?;
    check(&guidance, &mut problems);
    problems.into_result(origin, guidance)
}

/// The rules that the schema cannot express.
fn check(guidance: &Guidance, problems: &mut Problems) {
    let constraints = guidance.constraints.iter().map(|item| ("constraints", &item.id, ("rule", &item.rule)));
    let preferences =
        guidance.preferences.iter().map(|item| ("preferences", &item.id, ("preference", &item.preference)));
    let questions = guidance.questions.iter().map(|item| ("questions", &item.id, ("question", &item.question)));
    let mut known = BTreeSet::new();
    let mut place = (("", 0), 0);
    for (list, id, (key, text)) in constraints.chain(preferences).chain(questions) {
        place = if place.0.0 == list { ((list, place.1), place.1 + 1) } else { ((list, 0), 1) };
        let at = |key: &str| format!("{list}[{}].{key}", place.0.1);
        if !is_slug(id) {
            problems.add(&at("id"), "is not an id: use a-z, 0-9 and hyphens, such as no-breaking-api");
        } else if !known.insert((list, id)) {
            problems.add(&at("id"), format!("is the id of another one, too: {id}"));
        }
        if text.trim().is_empty() {
            problems.add(&at(key), "is missing");
        }
    }
    for (index, item) in guidance.constraints.iter().enumerate() {
        let said = item.severity.as_deref().map(str::parse::<Severity>);
        if let Some(Err(message)) = said {
            problems.add(&format!("constraints[{index}].severity"), message);
        }
        check_end(item.until.as_deref(), &format!("constraints[{index}].until"), problems);
    }
    let focus = guidance.focus.as_ref().and_then(|focus| focus.until.as_deref());
    check_end(focus, "focus.until", problems);
}

fn check_end(text: Option<&str>, path: &str, problems: &mut Problems) {
    if text.is_some_and(|text| until(text).is_none()) {
        problems.add(path, "is neither a date nor a time: write it like 2027-01-31 or 2027-01-31T12:00:00Z");
    }
}

/// Whether a text can be an id: letters in lower case, digits, and hyphens inside.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inside = text.bytes().all(|byte| plain(byte) || byte == b'-');
    inside && text.len() <= 63 && text.bytes().next().is_some_and(plain) && text.bytes().last().is_some_and(plain)
}

fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(WithoutNullDefaults);
    settings.into_generator().into_root_schema_for::<GuidanceFile>().to_value()
}

/// The JSON Schema of the file, as `config/guidance.schema.json` holds it and `contextcore schema --guidance` prints it.
pub fn json_schema() -> String {
    format!("{:#}\n", schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse("guidance.yaml", text).err().map(|errors| errors.lines().collect()).unwrap_or_default()
    }

    #[test]
    fn a_file_has_the_keys_of_a_context() {
        let text = "
focus: {areas: [src/checkout], until: 2027-01-31}
constraints:
- {id: no-breaking-api, rule: No breaking changes of /v1, severity: blocking, scope: 'src/checkout/**', until: 2027-01-31}
preferences: [{id: rust, preference: Prefer Rust}]
context: [{topic: Money, content: is in cents}]
";
        let guidance = parse("x", text).unwrap();
        assert_eq!(guidance.constraints[0].scope.as_deref(), Some("src/checkout/**"));
        assert_eq!((guidance.preferences.len(), guidance.context.len(), guidance.lines().count()), (1, 1, 3));
        assert!(parse("x", "").unwrap().constraints.is_empty());
    }

    #[test]
    fn what_is_wrong_names_line_and_key() {
        let text = "
constraints:
- {id: api, rule: Keep it, severity: fatal}
- {id: api, rule: ' '}
- {id: No Slug, rule: x, until: soon}
preferences:
- {id: api, preferance: x}
";
        let found = problems(text);
        for part in [
            "3: constraints[0].severity: `fatal` is none of",
            "4: constraints[1].id: is the id of another one",
            "4: constraints[1].rule: is missing",
            "5: constraints[2].id: is not an id",
            "5: constraints[2].until: is neither a date",
            "7: preferences[0].preferance: unknown key `preferance`: did you mean `preference`?",
        ] {
            assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
        }
        assert!(problems(&"#".repeat(MAX_BYTES + 1))[0].contains("larger than"));
    }

    #[test]
    fn the_committed_schema_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/guidance.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, json_schema()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == json_schema(), "config/guidance.schema.json is stale: run this test with UPDATE_SCHEMA=1");
    }
}
