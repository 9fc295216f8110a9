//! Reads values.yaml with its comments: what users can set, and what each key is for.

use std::fs;

use serde_json::Value;

use super::chart;

/// A key with a comment above it.
#[derive(Debug)]
pub(super) struct ChartValue {
    /// From the root.
    pub(super) path: Vec<String>,
    /// What it is for.
    pub(super) comment: String,
    /// What it is when nobody sets it.
    pub(super) default: Value,
    /// The keys within that have comments of their own. None: the key is one value.
    pub(super) children: Vec<ChartValue>,
}

impl ChartValue {
    pub(super) fn key(&self) -> &str {
        self.path.last().unwrap()
    }

    pub(super) fn name(&self) -> String {
        self.path.join(".")
    }
}

/// All entries of values.yaml.
pub(super) fn entries() -> Vec<ChartValue> {
    parse(&fs::read_to_string(chart().join("values.yaml")).unwrap())
}

/// The entries of a text in which each level is two spaces deeper.
fn parse(text: &str) -> Vec<ChartValue> {
    let values: Value = serde_saphyr::from_str(text).unwrap();
    let (mut roots, mut path, mut comment) = (Vec::new(), Vec::<String>::new(), String::new());
    for line in text.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        if let Some(part) = line.trim_start().strip_prefix('#') {
            comment = format!("{comment} {}", part.trim()).trim().to_owned();
        } else if let Some((key, _)) = line.trim_start().split_once(':') {
            path.truncate(depth);
            path.push(key.to_owned());
            let comment = std::mem::take(&mut comment);
            if let Some(list) = list(&mut roots, &path[..depth]).filter(|_| !comment.is_empty()) {
                let default = path.iter().fold(&values, |value, key| &value[key]).clone();
                list.push(ChartValue { path: path.clone(), comment, default, children: Vec::new() });
            }
        } else {
            comment.clear();
        }
    }
    roots
}

/// Where the entries below this path are, if all on the way are entries.
fn list<'a>(roots: &'a mut Vec<ChartValue>, path: &[String]) -> Option<&'a mut Vec<ChartValue>> {
    path.iter().try_fold(roots, |list, key| Some(&mut list.iter_mut().find(|entry| entry.key() == key)?.children))
}

#[test]
fn keys_are_read_with_their_comments() {
    let all = parse("# About\n\n# A\n# b\na:\n  # C\n  c: {x: 1}\n  # D\n  d:\n    e: [1]\nf: 2\n# G\ng: x\n");
    let names =
        |list: &[ChartValue]| list.iter().map(|entry| (entry.name(), entry.comment.clone())).collect::<Vec<_>>();
    let pair = |name: &str, comment: &str| (name.to_owned(), comment.to_owned());
    assert_eq!(names(&all), [pair("a", "A b"), pair("g", "G")]);
    assert_eq!(names(&all[0].children), [pair("a.c", "C"), pair("a.d", "D")]);
    assert_eq!(all[0].children[1].default, serde_json::json!({"e": [1]}));
}

#[test]
fn every_key_of_the_chart_is_described() {
    fn check(entries: &[ChartValue], values: &Value) {
        let keys = values.as_object().unwrap();
        for key in keys.keys() {
            let entry = entries.iter().find(|entry| entry.key() == key);
            let entry = entry.unwrap_or_else(|| panic!("values.yaml: `{key}` has no comment"));
            if !entry.children.is_empty() {
                check(&entry.children, &entry.default);
            }
        }
    }
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    check(&entries(), &serde_saphyr::from_str(&text).unwrap());
}
