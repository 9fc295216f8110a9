//! Files as people write them: the blueprint's are valid word for word, and what is wrong is named with its line.

use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{Input, check, read};

fn input(text: &str) -> Input {
    Input { file: "ctx.yaml".to_owned(), text: text.to_owned() }
}

fn lines(text: &str) -> Vec<String> {
    read(&[input(text)]).err().unwrap_or_default()
}

const HEAD: &str = "apiVersion: contextcore.io/v1\nkind: ProjectContext\n";

#[test]
fn the_blueprint_is_valid_word_for_word() {
    for text in [include_str!("cases/blueprint.yaml"), include_str!("cases/blueprint-action-5.yaml")] {
        assert_eq!(lines(text), [""; 0]);
    }
}

/// Where the project's own materials are at hand, the cases are compared with them.
#[test]
fn the_cases_are_those_of_the_blueprint() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/seed/blueprint.md");
    let Ok(blueprint) = std::fs::read_to_string(path) else { return };
    assert!(blueprint.contains(&format!("```yaml\n{}```", include_str!("cases/blueprint.yaml"))));
}

#[test]
fn problems_have_file_line_and_field_in_the_order_of_the_file() {
    let text = format!(
        "# first\n{HEAD}metadata: {{name: a}}\nspec:\n  project:\n    id: shop\n  requirements:\n    availability: 99.9\n  \
         targets:\n    - kind: Rollout\n      name: x\n---\n{HEAD}metadata: {{name: B}}\nspec: {{}}\n"
    );
    assert_eq!(
        lines(&text),
        [
            "ctx.yaml:9: spec.requirements.availability: needs text, not a number: put it in quotes, \"99.9\"",
            "ctx.yaml:11: spec.targets[0].kind: `Rollout` is none of Deployment, StatefulSet, DaemonSet, CronJob, Job",
            "ctx.yaml:16: metadata.name: `B` may have only a-z, 0-9, - and .",
            "ctx.yaml:17: spec.project: is missing: add `project`",
        ]
    );
}

#[test]
fn wrong_files_say_so() {
    for (text, wanted) in [
        ("", "ctx.yaml: has no ProjectContext: is it the right file?".to_owned()),
        (
            "kind: Deployment\napiVersion: apps/v1\n",
            "ctx.yaml: has no ProjectContext: is it the right file?".to_owned(),
        ),
        ("a: [", "ctx.yaml:1: is not valid YAML here".to_owned()),
        (
            "apiVersion: contextcore.io/v1alpha1\nkind: ProjectContext\nmetadata: {name: a}\nspec: {project: {id: a}}\n",
            "ctx.yaml:1: apiVersion: \"contextcore.io/v1alpha1\" is not served: write contextcore.io/v1".to_owned(),
        ),
        (
            "apiVersion: contextcore.io/v1\nkind: Project\nmetadata: {name: a}\nspec: {project: {id: a}}\n",
            "ctx.yaml:2: kind: \"Project\" is unknown: write ProjectContext".to_owned(),
        ),
        (
            &format!("{HEAD}metadata: {{}}\nspec: {{project: {{id: a}}}}\n"),
            "ctx.yaml:3: metadata.name: is missing".to_owned(),
        ),
        (&format!("{HEAD}metadata: {{name: a}}\n"), "ctx.yaml:1: spec: is missing: add `spec`".to_owned()),
    ] {
        let found = lines(text).join("\n");
        assert!(found.contains(&wanted), "{text}\n{found}");
    }
}

#[test]
fn lists_exports_and_other_kinds_are_read() {
    let item = "- apiVersion: contextcore.io/v1\n  kind: ProjectContext\n  metadata: {name: NAME, resourceVersion: '1'}\n  \
                spec: {project: {id: shop, name: null}}\n  status: {anything: goes}\n";
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: x}}\n---\napiVersion: v1\nkind: List\nitems:\n{}{}",
        item.replace("NAME", "a"),
        item.replace("NAME", "b")
    );
    assert_eq!(read(&[input(&text)]).unwrap().len(), 2);
    let broken = text.replace("{name: b,", "{name: B,");
    assert_eq!(lines(&broken), ["ctx.yaml:15: items[1].metadata.name: `B` may have only a-z, 0-9, - and ."]);
}

#[test]
fn the_same_context_twice_is_named() {
    let one = format!("{HEAD}metadata: {{name: a, namespace: n}}\nspec: {{project: {{id: shop}}}}\n");
    assert_eq!(
        lines(&format!("{one}---\n{one}")),
        ["ctx.yaml:8: metadata.name: n/a is also defined in ctx.yaml:3: keep one"]
    );
}

#[test]
fn promql_that_does_not_parse_is_named_with_its_place() {
    for (sli, wanted) in [
        (
            "{profile: custom, total: 'sum(rate(a[{{window}}])'}",
            "total: is not PromQL: unclosed left parenthesis, at its end",
        ),
        ("{profile: custom, total: 'rate(a[{{window}}]) +'}", "total: is not PromQL: invalid promql query, at its end"),
        (
            "{profile: custom, total: 'rate(a[{{window}}])) / 2'}",
            "unexpected right parenthesis ')', at character 20, `)`",
        ),
        ("{profile: custom, total: '\"{{window}}\"'}", "spec.requirements.sli.total: must be a rate"),
        (
            "{profile: custom, total: 'rate(contextcore:sli_bad:rate5m[{{window}}])'}",
            "spec.requirements.sli.total: names a metric that is derived from it",
        ),
        (
            "{profile: custom, total: 'rate({__name__=~\"contextcore.+\"}[{{window}}])'}",
            "spec.requirements.sli.total: names a metric that is derived from it",
        ),
        ("{matchers: '{a=b}'}", ", at character 4, `b`"),
        ("{matchers: '{a=b}'}", "spec.requirements.sli.matchers: are no matchers"),
        ("{matchers: 'a=\"b\"} or vector(1'}", "spec.requirements.sli.matchers: are no matchers"),
        ("{matchers: '{__name__=\"x\"}'}", "spec.requirements.sli.matchers: are no matchers"),
        ("{matchers: '{a=\"b\" or c=\"d\"}'}", "spec.requirements.sli.matchers: write labels only"),
        ("{matchers: '{}'}", "spec.requirements.sli.matchers: write labels only"),
    ] {
        let text = format!(
            "{HEAD}metadata: {{name: a}}\nspec:\n  project: {{id: a}}\n  requirements:\n    availability: '99'\n    sli: {sli}\n"
        );
        let found = lines(&text).join("\n");
        assert!(found.starts_with("ctx.yaml:8: ") && found.contains(wanted), "{sli}\n{found}");
    }
}

#[test]
fn a_day_that_does_not_exist_is_refused() {
    let found = |until: &str| {
        let text = format!(
            "{HEAD}metadata: {{name: a}}\nspec:\n  project: {{id: a}}\n  requirements: {{availability: '99'}}\n  observability:\n    \
             disableAlerts: {{until: '{until}', reason: x}}\n  risks: [{{risk: a, due: '2026-12-31'}}]\n"
        );
        lines(&text)
    };
    for good in ["2027-01-31", "2028-02-29", "2027-12-01T23:59:59Z"] {
        assert_eq!(found(good), Vec::<String>::new(), "{good}");
    }
    for bad in ["2027-02-30", "2027-13-01", "2027-04-31", "2027-00-10", "2027-01-31T24:00:00Z", "soon"] {
        let found = found(bad).join("\n");
        assert!(
            found.starts_with(&format!("ctx.yaml:8: spec.observability.disableAlerts.until: `{bad}` does not fit")),
            "{found}"
        );
    }
}

#[test]
fn what_is_wrong_between_contexts_or_with_the_settings_has_a_line_too() {
    let text = format!(
        "{HEAD}metadata: {{name: a, namespace: n}}\nspec:\n  project: {{id: shop}}\n  targets: [{{kind: Job, name: x}}]\n---\n\
         {HEAD}metadata: {{name: b, namespace: n}}\nspec:\n  project: {{id: shop}}\n  targets: [{{kind: Job, name: x}}]\n---\n\
         {HEAD}metadata: {{name: c, namespace: n}}\nspec:\n  project: {{id: other}}\n  observability: {{alertChannels: [oncal]}}\n"
    );
    let settings = Settings::parse("s", "projects: {other: {namespaces: [m]}}").unwrap();
    let (derivation, refused) = check(&[input(&text)], &settings).unwrap();
    assert_eq!(derivation.outcomes.iter().filter(|outcome| outcome.is_accepted()).count(), 1);
    assert_eq!(
        refused,
        [
            "ctx.yaml:13: spec.targets: service n/x is claimed by n/a, which is older: remove it from spec.targets of one of the two (ConflictingTarget)",
            "ctx.yaml:19: spec.project.id: other may not be used in namespace n: choose another id, or ask the platform team to add the namespace to `projects` of the settings (NotPermitted)",
        ]
    );
    let settings = Settings::parse("s", "channels: {oncall: {webhookConfigs: [{url: x}]}}").unwrap();
    let (_, refused) = check(&[input(&text)], &settings).unwrap();
    assert!(refused[1].contains("ctx.yaml:20: spec.observability.alertChannels: there is no channel oncal: did you mean oncall? (UnknownChannel)"), "{refused:?}");
}

#[test]
fn a_folder_may_have_other_files_too() {
    let context = format!("{HEAD}metadata: {{name: a, namespace: n}}\nspec: {{project: {{id: shop}}}}\n");
    let file = |name: &str, text: &str| Input { file: name.to_owned(), text: text.to_owned() };
    let others = [
        file("kustomization.yaml", "resources: [bp.yaml]\n"),
        file("README.md", "# Contexts\n\n- `a`: the shop: [not YAML\n"),
    ];
    let [one, two] = others.clone();
    let (derivation, refused) = check(&[file("bp.yaml", &context), one, two], &Settings::default()).unwrap();
    assert_eq!((derivation.outcomes.len(), refused.len()), (1, 0));
    let lines = check(&others, &Settings::default()).unwrap_err();
    assert_eq!(
        lines,
        [
            "kustomization.yaml: has no ProjectContext: is it the right file?",
            "README.md: has no ProjectContext: is it the right file?",
        ]
    );
    // What calls itself YAML has to be.
    assert!(check(&[file("bp.yaml", &context), file("b.yaml", "a: [\n")], &Settings::default()).is_err());
}

#[test]
fn labels_of_selectors_are_those_of_kubernetes() {
    let targets = |labels: &str| {
        lines(&format!(
            "{HEAD}metadata: {{name: a}}\nspec:\n  project: {{id: shop}}\n  targets:\n  - kind: Job\n    selector:\n      matchLabels: {labels}\n"
        ))
    };
    assert_eq!(targets("{app.kubernetes.io/name: a, tier: ''}"), Vec::<String>::new());
    for (labels, wanted) in [
        ("{tier: 'a b'}", "`a b` does not fit"),
        ("{tier: -a}", "`-a` does not fit"),
        ("{'a b': c}", "`a b` is not the name of a label"),
        ("{'A/': c}", "`A/` is not the name of a label"),
    ] {
        let found = targets(labels).join("\n");
        assert!(
            found.starts_with("ctx.yaml:9: spec.targets[0].selector.matchLabels") && found.contains(wanted),
            "{found}"
        );
    }
    let scrape = lines(&format!(
        "{HEAD}metadata: {{name: a}}\nspec:\n  project: {{id: shop}}\n  observability:\n    scrape: {{port: http, selector: {{'a,b': c}}}}\n"
    ));
    assert!(scrape.join("\n").starts_with("ctx.yaml:7: spec.observability.scrape.selector: `a,b`"), "{scrape:?}");
}
