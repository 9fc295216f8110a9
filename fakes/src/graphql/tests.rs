use super::page::{cursor, find, window};
use super::*;
use serde_json::json;

const SDL: &str = "
    interface Node { id: ID! }
    type Query { node(id: ID!): Node nodes(ids: [ID!]!): [Node]! size: Float tags: [String!] tasks(first: Int, after: String,
      last: Int, before: String, kind: Kind = BUG): TaskConnection! }
    type Task implements Node { id: ID! title: String! parts: [Part!] secret: String parent: Task }
    type Note implements Node { id: ID! text: String }
    type Part { name: String, weight: Int }
    enum Kind { BUG STORY }
    type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
    type TaskEdge { cursor: String! node: Task }
    type TaskConnection { totalCount: Int! pageInfo: PageInfo! nodes: [Task] edges: [TaskEdge] }
";

struct Root {
    tasks: Vec<u32>,
}

struct Task(u32);

impl Object for Root {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        let node = |id: &str| match id {
            "note" => Value::Json(json!({"__typename": "Note", "id": "note", "text": "a"})),
            id if id.starts_with('t') => Value::object(Task(id[1..].parse().unwrap())),
            id => Value::Failed(Failure::new("NOT_FOUND", format!("no node {id}")).with("retry", false)),
        };
        Ok(match name {
            "node" => node(arguments.text("id").unwrap()),
            "nodes" => Value::List(arguments.texts("ids").unwrap().into_iter().map(node).collect()),
            "tasks" => {
                assert_eq!(arguments.text("kind"), Some("BUG"), "defaults are filled in");
                let key = |number: &u32| number.to_string();
                let node = |number: &u32| Value::object(Task(*number));
                Value::object(connection("TaskConnection", self.tasks.clone(), arguments, 50, key, node)?)
            }
            "size" => 3.into(),
            "tags" => json!(["a", "b"]).into(),
            _ => Value::NULL,
        })
    }
}

impl Object for Task {
    fn type_name(&self) -> &str {
        "Task"
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        match name {
            "id" => Ok(format!("t{}", self.0).into()),
            "title" if self.0 == 9 => Err(Failure::new("FORBIDDEN", "not yours")),
            "title" => Ok(format!("Task {}", self.0).into()),
            "parts" => Ok(json!([{"name": "one", "weight": 2}, {"name": "two"}]).into()),
            "secret" => Err(Failure::new("FORBIDDEN", "not yours")),
            _ => Ok(Value::NULL),
        }
    }
}

fn engine() -> Engine {
    Engine::parse(SDL).unwrap()
}

fn run(query: &str, variables: serde_json::Value) -> Outcome {
    let engine = engine();
    let query = Query { query: query.to_owned(), variables: variables.as_object().cloned(), operation_name: None };
    let prepared = engine.prepare(&query).unwrap();
    prepared.execute(&Root { tasks: (1..=5).collect() })
}

fn refused(query: &str, variables: serde_json::Value) -> Vec<Refusal> {
    let query = Query { query: query.to_owned(), variables: variables.as_object().cloned(), operation_name: None };
    engine().prepare(&query).err().unwrap()
}

#[test]
fn both_real_schemas_are_in_order() {
    let query = |text: &str| Query { query: text.to_owned(), ..Query::default() };
    assert!(github().unwrap().prepare(&query("{ viewer { login } rateLimit { cost } }")).is_ok());
    assert!(linear().unwrap().prepare(&query("{ viewer { id } teams { nodes { key } } }")).is_ok());
    assert!(github().unwrap().prepare(&query("{ teams { nodes { key } } }")).is_err());
}

#[test]
fn values_of_every_kind_are_resolved() {
    let outcome = run(
        r#"query($ids: [ID!]!) { size tags __typename nodes(ids: $ids) { __typename id
            ... on Task { parts { name weight } parent { id } } ... on Note { text } } }"#,
        json!({"ids": ["t1", "note"]}),
    );
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    assert_eq!(
        outcome.data,
        Some(json!({"size": 3.0, "tags": ["a", "b"], "__typename": "Query", "nodes": [
            {"__typename": "Task", "id": "t1", "parts": [{"name": "one", "weight": 2}, {"name": "two", "weight": null}],
             "parent": null},
            {"__typename": "Note", "id": "note", "text": "a"},
        ]}))
    );
}

#[test]
fn a_failed_field_is_null_with_an_error_and_the_rest_arrives() {
    let outcome = run(
        r#"{ nodes(ids: ["t1", "x", "t2"]) { id ... on Task { secret } } lost: node(id: "t9") { ... on Task { title } } }"#,
        json!({}),
    );
    let wanted = json!({"nodes": [{"id": "t1", "secret": null}, null, {"id": "t2", "secret": null}], "lost": null});
    assert_eq!(outcome.data, Some(wanted));
    assert_eq!(outcome.paths().collect::<Vec<_>>(), ["nodes.0.secret", "nodes.1", "nodes.2.secret", "lost.title"]);
    let failure = &outcome.errors[1].failure;
    assert_eq!((failure.kind.as_str(), failure.message.as_str()), ("NOT_FOUND", "no node x"));
    assert_eq!(failure.extensions["retry"], false);
    assert_eq!(outcome.errors[1].places, [Place { line: 1, column: 3 }]);
}

#[test]
fn pages_join_without_gap_whichever_way_they_are_read() {
    let page = |arguments: &str| {
        let query = format!(
            "{{ tasks({arguments}) {{ totalCount pageInfo {{ hasNextPage hasPreviousPage endCursor }} nodes {{ id }} edges {{ cursor node {{ id }} }} }} }}"
        );
        run(&query, json!({})).data.unwrap()["tasks"].clone()
    };
    let first = page("first: 2");
    assert_eq!(first["nodes"], json!([{"id": "t1"}, {"id": "t2"}]));
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&json!(5), &json!(true)));
    assert_eq!(first["edges"][1]["cursor"], first["pageInfo"]["endCursor"]);
    let next = page(&format!("first: 10, after: {}", first["pageInfo"]["endCursor"]));
    assert_eq!(next["nodes"], json!([{"id": "t3"}, {"id": "t4"}, {"id": "t5"}]));
    assert_eq!((&next["pageInfo"]["hasNextPage"], &next["pageInfo"]["hasPreviousPage"]), (&json!(false), &json!(true)));
    let back = page(&format!("last: 1, before: {}", next["edges"][0]["cursor"]));
    assert_eq!(back["nodes"], json!([{"id": "t2"}]));
    assert_eq!(page("last: 2")["nodes"], json!([{"id": "t4"}, {"id": "t5"}]));
    assert_eq!(page("kind: BUG")["nodes"].as_array().unwrap().len(), 5);
    let bad = run(r#"{ tasks(first: 1, after: "x") { totalCount } }"#, json!({}));
    assert_eq!((bad.data, bad.errors[0].failure.kind.as_str()), (None, "INVALID_CURSOR"));
}

#[test]
fn a_cursor_outlives_its_item() {
    let items = [4, 5, 6];
    let found = find(&cursor(1, "5"), &items, &|item| item.to_string()).unwrap();
    assert_eq!((found.index, found.present), (1, true));
    let moved = find(&cursor(7, "6"), &items, &|item| item.to_string()).unwrap();
    assert_eq!((moved.index, moved.present), (2, true));
    let gone = find(&cursor(1, "9"), &items, &|item| item.to_string()).unwrap();
    assert_eq!(window(3, (Some(gone), None), (Some(9), None), 50), 1..3);
}

#[test]
fn what_the_schema_does_not_allow_is_refused_with_names() {
    let found = refused("{ size\n  colour tasks(kind: CHORE) { totalCount } }", json!({}));
    assert_eq!(found[0].rule, "UndefinedField");
    assert_eq!(found[0].names, ["Query", "colour"]);
    assert_eq!(found[0].message, r#"Cannot query field "colour" on type "Query"."#);
    assert_eq!(found[0].place, Some(Place { line: 2, column: 3 }));
    assert_eq!((found[1].rule, found[1].names[0].as_str()), ("UndefinedEnumValue", "CHORE"));
    assert_eq!(
        refused("{ node(id: 1) { ... on Epic { id } } }", json!({}))[0].rule,
        "UndefinedTypeInInlineFragmentTypeCondition"
    );
    assert_eq!(refused("{ node { id } }", json!({}))[0].rule, "RequiredArgument");
    assert_eq!(refused("{ size ", json!({}))[0].rule, "Syntax");
    assert_eq!(refused("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({}))[0].rule, "Variables");
}

#[test]
fn introspection_is_answered_from_the_schema() {
    let outcome = run(r#"{ a: __type(name: "Task") { name } b: __type(name: "Epic") { name } }"#, json!({}));
    assert_eq!(outcome.data, Some(json!({"a": {"name": "Task"}, "b": null})));
}

#[test]
fn a_plan_has_no_fragments_and_no_variables() {
    let engine = engine();
    let query = Query {
        query: "query($n: Int!, $no: Boolean!) { size @include(if: $no) tasks(first: $n) { ...T nodes { title } } }
            fragment T on TaskConnection { nodes { id parts { name } } }"
            .to_owned(),
        variables: json!({"n": 7, "no": false}).as_object().cloned(),
        operation_name: None,
    };
    let prepared = engine.prepare(&query).unwrap();
    let plan = prepared.plan();
    assert_eq!(plan.len(), 1, "what is left out is not planned");
    let tasks = &plan[0];
    assert!(tasks.is_connection() && !tasks.leaf);
    assert_eq!((tasks.page_size(), tasks.arguments["kind"].as_str()), (Some(7), Some("BUG")));
    let nodes = &tasks.children[0];
    assert_eq!((nodes.name, nodes.kind, nodes.list, tasks.children.len()), ("nodes", "Task", true, 1));
    let names: Vec<_> = nodes.children.iter().map(|child| (child.name, child.leaf)).collect();
    assert_eq!(names, [("id", true), ("parts", false), ("title", true)]);
}

#[test]
fn a_document_is_checked_once_and_executed_with_what_is_asked_each_time() {
    let engine = engine();
    let query = |variables: serde_json::Value| Query {
        query: "query Of($ids: [ID!]!) { nodes(ids: $ids) { id } }".to_owned(),
        variables: variables.as_object().cloned(),
        operation_name: None,
    };
    let ids = |variables| {
        let outcome = engine.prepare(&query(variables)).unwrap().execute(&Root { tasks: vec![1, 2] });
        outcome.data.unwrap()["nodes"].clone()
    };
    assert_eq!(ids(json!({"ids": ["t1"]})), json!([{"id": "t1"}]));
    assert_eq!(ids(json!({"ids": ["t2", "t1"]})), json!([{"id": "t2"}, {"id": "t1"}]));
    assert_eq!(engine.checked.lock().unwrap().len(), 1);
    assert_eq!(engine.prepare(&query(json!({}))).err().unwrap()[0].rule, "Variables");
    let named = Query { operation_name: Some("Other".to_owned()), ..query(json!({"ids": []})) };
    assert_eq!(engine.prepare(&named).err().unwrap()[0].rule, "Variables");
}

#[test]
fn no_more_documents_are_remembered_than_a_client_has() {
    let engine = engine();
    for n in 0..=REMEMBERED {
        let query = Query { query: format!("{{ a{n}: size }}"), ..Query::default() };
        assert!(engine.prepare(&query).is_ok());
    }
    assert_eq!(engine.checked.lock().unwrap().len(), 1);
    let refused = Query { query: "{ nothing }".to_owned(), ..Query::default() };
    assert!(engine.prepare(&refused).is_err() && engine.prepare(&refused).is_err());
    assert_eq!(engine.checked.lock().unwrap().len(), 1);
}
