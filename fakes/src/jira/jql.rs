//! A small parser of JQL: what connectors send, and a refusal, in Jira's words, of the rest.
//!
//! Read [`Query`] first. Fields: project, key, id, created, updated, status, statusCategory, issuetype, labels, assignee,
//! sprint, parent, resolution, and `cf[10036]` of custom fields that are empty or not. Operators: `=`, `!=`, `<`, `<=`, `>`, `>=`, `IN`, `NOT IN`, `IS`, `IS NOT`; AND, OR, NOT
//! and parentheses; ORDER BY created, updated, key, id. Times are read in the account's zone, to the minute; a bare number
//! is epoch milliseconds; `-5d` counts back from now.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A query understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) order: Vec<Order>,
}

/// A condition on an issue.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Is {
        field: Field,
        values: Vec<String>,
    },
    Empty(Field),
    /// A time of the issue compared with an instant.
    Time {
        field: TimeField,
        compare: Compare,
        at: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Project,
    Key,
    Id,
    Status,
    StatusCategory,
    Type,
    Labels,
    Assignee,
    Sprint,
    Parent,
    Resolution,
    /// A custom field, by its number.
    Custom(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeField {
    Created,
    Updated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) field: OrderField,
    pub(super) descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderField {
    Created,
    Updated,
    Key,
    Id,
}

/// What times are read against.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) zone: TimeZone,
    pub(super) now: i64,
}

/// Most sort fields a query may have.
const MAX_ORDER: usize = 7;

/// Reserved words of JQL (an excerpt); as a value they need quotes.
const RESERVED: [&str; 40] = [
    "add", "after", "all", "alter", "and", "any", "as", "asc", "before", "begin", "between", "by", "changed", "create",
    "delete", "desc", "distinct", "else", "empty", "end", "from", "function", "group", "if", "in", "is", "like",
    "limit", "not", "null", "on", "or", "order", "select", "set", "table", "union", "update", "was", "where",
];

/// Reads a query.
///
/// # Errors
/// A text as Jira would put into `errorMessages`.
pub(super) fn parse(jql: &str, reading: &Reading) -> Result<Query, String> {
    let tokens = lex(jql)?;
    let mut parser = Parser { tokens: &tokens, at: 0, reading };
    let filter = if parser.at_order() || parser.peek().is_none() { None } else { Some(parser.either()?) };
    let order = parser.order()?;
    match parser.peek() {
        None => Ok(Query { filter, order }),
        Some(token) => {
            Err(format!("Error in the JQL Query: Expecting either 'OR' or 'AND' but got {}", token.quoted()))
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    kind: Kind,
    text: String,
    /// In the query, counted from 1, as the messages do.
    place: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Quoted,
    Sign,
}

impl Token {
    fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    fn quoted(&self) -> String {
        format!("'{}'. (line 1, character {})", self.text, self.place)
    }
}

fn lex(jql: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = jql.chars().collect();
    let mut tokens = vec![];
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let (kind, text) = match chars[at] {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            quote @ ('"' | '\'') => (Kind::Quoted, lex_quoted(&chars, &mut at, quote)?),
            '(' | ')' | ',' | '=' | '~' => (Kind::Sign, take(&chars, &mut at, 1)),
            '<' | '>' | '!' => {
                let double = chars.get(at + 1).is_some_and(|next| matches!(next, '=' | '~'));
                (Kind::Sign, take(&chars, &mut at, if double { 2 } else { 1 }))
            }
            _ => (Kind::Word, lex_word(&chars, &mut at)),
        };
        tokens.push(Token { kind, text, place: start + 1 });
    }
    Ok(tokens)
}

fn take(chars: &[char], at: &mut usize, count: usize) -> String {
    let text = chars[*at..*at + count].iter().collect();
    *at += count;
    text
}

fn lex_word(chars: &[char], at: &mut usize) -> String {
    let ends = |c: &char| c.is_whitespace() || "()\"',=<>!~".contains(*c);
    let length = chars[*at..].iter().position(ends).unwrap_or(chars.len() - *at);
    take(chars, at, length)
}

fn lex_quoted(chars: &[char], at: &mut usize, quote: char) -> Result<String, String> {
    let start = *at;
    let mut text = String::new();
    *at += 1;
    loop {
        match chars.get(*at) {
            None => {
                let began: String = chars[start..].iter().collect();
                return Err(format!(
                    "Error in the JQL Query: The quoted string '{}' has not been completed. (line 1, character {})",
                    &began[1..],
                    start + 1
                ));
            }
            Some(c) if *c == quote => break,
            Some('\\') => {
                *at += 1;
                text.extend(chars.get(*at));
            }
            Some(c) => text.push(*c),
        }
        *at += 1;
    }
    *at += 1;
    Ok(text)
}

struct Parser<'q> {
    tokens: &'q [Token],
    at: usize,
    reading: &'q Reading,
}

impl<'q> Parser<'q> {
    fn peek(&self) -> Option<&'q Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self, expected: &str) -> Result<&'q Token, String> {
        let token = self.peek().ok_or_else(|| {
            let got = "Error in the JQL Query: Expecting";
            format!("{got} {expected} before the end of the query.")
        })?;
        self.at += 1;
        Ok(token)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_word(word));
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_sign(sign));
        self.at += usize::from(found);
        found
    }

    fn at_order(&self) -> bool {
        self.peek().is_some_and(|token| token.is_word("order"))
    }

    fn either(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.both()?];
        while self.take_word("or") {
            parts.push(self.both()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Or(parts) })
    }

    fn both(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.single()?];
        while self.take_word("and") {
            parts.push(self.single()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::And(parts) })
    }

    fn single(&mut self) -> Result<Filter, String> {
        if self.take_word("not") || self.take_sign("!") {
            return Ok(Filter::Not(Box::new(self.single()?)));
        }
        if self.take_sign("(") {
            let inner = self.either()?;
            let close = self.next("')'")?;
            return if close.is_sign(")") {
                Ok(inner)
            } else {
                Err(format!("Error in the JQL Query: Expecting ')' but got {}", close.quoted()))
            };
        }
        self.clause()
    }

    fn clause(&mut self) -> Result<Filter, String> {
        let field = self.next("a field name")?;
        if field.kind == Kind::Sign || field.kind == Kind::Word && is_reserved(&field.text) {
            return Err(format!("Error in the JQL Query: Expecting a field name but got {}", field.quoted()));
        }
        match field.text.to_ascii_lowercase().as_str() {
            "created" | "createddate" => self.time(TimeField::Created, &field.text),
            "updated" | "updateddate" => self.time(TimeField::Updated, &field.text),
            name => match field_of(name) {
                Some(field) => self.member(field),
                None => Err(format!("Field '{}' does not exist or you do not have permission to view it.", field.text)),
            },
        }
    }

    fn time(&mut self, field: TimeField, name: &str) -> Result<Filter, String> {
        let compare = match self.operator()? {
            Operator::Compare(compare) => compare,
            Operator::In | Operator::NotIn | Operator::Is | Operator::IsNot => {
                return Err(format!("The operator is not supported by the '{name}' field here."));
            }
        };
        let value = self.value()?;
        let at = instant(value, self.reading).ok_or_else(|| {
            format!(
                "Date value '{}' for field '{name}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', \
                 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'.",
                value.text
            )
        })?;
        Ok(Filter::Time { field, compare, at })
    }

    fn member(&mut self, field: Field) -> Result<Filter, String> {
        let (values, negated) = match self.operator()? {
            Operator::Compare(Compare::Equal) => (vec![self.value()?.text.clone()], false),
            Operator::Compare(Compare::NotEqual) => (vec![self.value()?.text.clone()], true),
            Operator::In => (self.list()?, false),
            Operator::NotIn => (self.list()?, true),
            Operator::Is => return self.empty(field),
            Operator::IsNot => return Ok(Filter::Not(Box::new(self.empty(field)?))),
            Operator::Compare(_) => {
                return Err("The operator is not supported by this field in the fake.".to_owned());
            }
        };
        let is = Filter::Is { field, values };
        Ok(if negated { Filter::Not(Box::new(is)) } else { is })
    }

    fn empty(&mut self, field: Field) -> Result<Filter, String> {
        let word = self.next("EMPTY")?;
        if word.is_word("empty") || word.is_word("null") {
            Ok(Filter::Empty(field))
        } else {
            Err(format!("Error in the JQL Query: Expecting EMPTY or NULL but got {}", word.quoted()))
        }
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let token = self.next("an operator")?;
        let refuse = || {
            Err(format!(
                "Error in the JQL Query: Expecting operator but got '{}'. The valid operators are '=', '!=', '<', '>', \
                 '<=', '>=', '~', '!~', 'IN', 'NOT IN', 'IS' and 'IS NOT'. (line 1, character {})",
                token.text, token.place
            ))
        };
        let compare = match token.text.to_ascii_lowercase().as_str() {
            _ if token.kind == Kind::Quoted => return refuse(),
            "=" => Compare::Equal,
            "!=" => Compare::NotEqual,
            "<" => Compare::Less,
            "<=" => Compare::LessOrEqual,
            ">" => Compare::Greater,
            ">=" => Compare::GreaterOrEqual,
            "in" => return Ok(Operator::In),
            "not" if self.take_word("in") => return Ok(Operator::NotIn),
            "is" if self.take_word("not") => return Ok(Operator::IsNot),
            "is" => return Ok(Operator::Is),
            _ => return refuse(),
        };
        Ok(Operator::Compare(compare))
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        let open = self.next("'('")?;
        if !open.is_sign("(") {
            return Err(format!("Error in the JQL Query: Expecting '(' but got {}", open.quoted()));
        }
        let mut values = vec![self.value()?.text.clone()];
        while self.take_sign(",") {
            values.push(self.value()?.text.clone());
        }
        let close = self.next("')'")?;
        if close.is_sign(")") {
            Ok(values)
        } else {
            Err(format!("Error in the JQL Query: Expecting ')' or ',' but got {}", close.quoted()))
        }
    }

    fn value(&mut self) -> Result<&'q Token, String> {
        let token = self.next("a value")?;
        match token.kind {
            Kind::Sign => Err(format!(
                "Error in the JQL Query: Expecting either a value, list or function but got {}",
                token.quoted()
            )),
            Kind::Word if is_reserved(&token.text) => Err(format!(
                "Error in the JQL Query: '{}' is a reserved JQL word. You must surround it in quotation marks to use it \
                 in a query. (line 1, character {})",
                token.text, token.place
            )),
            _ => Ok(token),
        }
    }

    fn order(&mut self) -> Result<Vec<Order>, String> {
        if !self.take_word("order") {
            return Ok(vec![]);
        }
        let by = self.next("'by'")?;
        if !by.is_word("by") {
            return Err(format!("Error in the JQL Query: Expecting 'by' but got {}", by.quoted()));
        }
        let mut order = vec![self.order_field()?];
        while self.take_sign(",") {
            order.push(self.order_field()?);
        }
        if order.len() > MAX_ORDER {
            return Err(format!("Maximum number of ORDER BY fields is {MAX_ORDER}."));
        }
        Ok(order)
    }

    fn order_field(&mut self) -> Result<Order, String> {
        let name = self.next("a field name")?;
        let field = match name.text.to_ascii_lowercase().as_str() {
            "created" | "createddate" => OrderField::Created,
            "updated" | "updateddate" => OrderField::Updated,
            "key" | "issuekey" | "issue" => OrderField::Key,
            "id" => OrderField::Id,
            _ => return Err(format!("Not able to sort using field '{}'.", name.text)),
        };
        let descending = self.take_word("desc");
        if !descending {
            self.take_word("asc");
        }
        Ok(Order { field, descending })
    }
}

enum Operator {
    Compare(Compare),
    In,
    NotIn,
    Is,
    IsNot,
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn field_of(name: &str) -> Option<Field> {
    Some(match name {
        "project" => Field::Project,
        "key" | "issuekey" | "issue" => Field::Key,
        "id" => Field::Id,
        "status" => Field::Status,
        "statuscategory" => Field::StatusCategory,
        "issuetype" | "type" => Field::Type,
        "labels" => Field::Labels,
        "assignee" => Field::Assignee,
        "sprint" => Field::Sprint,
        "parent" => Field::Parent,
        "resolution" => Field::Resolution,
        _ => Field::Custom(name.strip_prefix("cf[")?.strip_suffix(']')?.parse().ok()?),
    })
}

/// The instant a value means, if it means one.
fn instant(value: &Token, reading: &Reading) -> Option<i64> {
    let text = value.text.trim();
    if let Ok(millis) = text.parse::<i64>() {
        // A quoted number is text to Jira, and no date.
        return (value.kind == Kind::Word && millis >= 0).then_some(millis);
    }
    if text.starts_with('-') || text.starts_with('+') {
        return period(text).map(|back| reading.now + back);
    }
    let text = text.replace('/', "-");
    let full = if text.contains(' ') { text } else { format!("{text} 00:00") };
    let local = DateTime::strptime("%Y-%m-%d %H:%M", &full).ok()?;
    Some(reading.zone.to_ambiguous_timestamp(local).compatible().ok()?.as_millisecond())
}

/// `-4w 2d`, in milliseconds.
fn period(text: &str) -> Option<i64> {
    let (sign, rest) = if let Some(rest) = text.strip_prefix('-') { (-1, rest) } else { (1, text.strip_prefix('+')?) };
    let parts = rest.split_whitespace().map(|part| {
        let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
        let unit = match unit {
            "w" => 7 * 24 * 60,
            "d" => 24 * 60,
            "h" => 60,
            "m" => 1,
            _ => return None,
        };
        Some(number.parse::<i64>().ok()? * unit * 60_000)
    });
    Some(sign * parts.sum::<Option<i64>>()?)
}

impl Filter {
    /// A bound that every match respects: nothing updated before it can match.
    pub(super) fn updated_from(&self) -> i64 {
        match self {
            Self::Time {
                field: TimeField::Updated,
                compare: Compare::Equal | Compare::GreaterOrEqual | Compare::Greater,
                at,
            } => *at,
            Self::And(parts) => parts.iter().map(Self::updated_from).max().unwrap_or(i64::MIN),
            _ => i64::MIN,
        }
    }

    /// The values a field is compared with anywhere in the filter.
    pub(super) fn values_of(&self, wanted: Field) -> Vec<&str> {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(|part| part.values_of(wanted)).collect(),
            Self::Not(part) => part.values_of(wanted),
            Self::Is { field, values } if *field == wanted => values.iter().map(String::as_str).collect(),
            _ => vec![],
        }
    }
}

impl Compare {
    pub(super) fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::GreaterOrEqual => left >= right,
            Self::Greater => left > right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(jql: &str) -> Result<Query, String> {
        let zone = TimeZone::get("America/New_York").unwrap();
        parse(jql, &Reading { zone, now: 1_000_000_000_000 })
    }

    fn updated_from(jql: &str) -> i64 {
        read(jql).unwrap().filter.unwrap().updated_from()
    }

    #[test]
    fn a_connectors_query_is_understood() {
        let query =
            read(r#"project in ("SHOP", "OPS") AND updated >= "2024-11-29 05:44" ORDER BY updated ASC, key ASC"#);
        let query = query.unwrap();
        assert_eq!(query.order.len(), 2);
        let filter = query.filter.unwrap();
        assert_eq!(filter.values_of(Field::Project), ["SHOP", "OPS"]);
    }

    #[test]
    fn times_are_read_in_the_accounts_zone() {
        // 05:44 in New York in winter is 10:44 UTC.
        let utc = "2024-11-29T10:44:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!(updated_from(r#"updated >= "2024-11-29 05:44""#), utc);
        assert_eq!(updated_from(r#"updated >= '2024/11/29 05:44'"#), utc);
        assert_eq!(updated_from(&format!("updated >= {utc}")), utc);
        assert_eq!(updated_from("updated >= -1d"), 1_000_000_000_000 - 86_400_000);
    }

    #[test]
    fn seconds_and_zones_are_refused() {
        for value in ["\"2024-11-29 05:44:10\"", "\"2024-11-29T05:44:00Z\"", "\"1732877091000\"", "2024-13-01"] {
            let refusal = read(&format!("updated >= {value}")).unwrap_err();
            assert!(refusal.starts_with("Date value '"), "{refusal}");
        }
    }

    #[test]
    fn a_wrong_query_is_explained() {
        let refusal = |jql: &str| read(jql).unwrap_err();
        assert!(refusal("summary ~ x").contains("Field 'summary' does not exist"));
        assert!(refusal("project = ADD").contains("'ADD' is a reserved JQL word"));
        assert!(refusal("project in (\"A\" \"B\")").contains("Expecting ')' or ','"));
        assert!(refusal("project = \"A").contains("has not been completed"));
        assert!(refusal("project = A updated > 1").contains("Expecting either 'OR' or 'AND' but got 'updated'"));
        assert!(refusal("project SHOP").contains("Expecting operator but got 'SHOP'"));
        assert!(refusal("project = A order by rank").contains("Not able to sort"));
        assert!(refusal("project =").contains("before the end"));
    }

    #[test]
    fn and_binds_closer_than_or() {
        let query = read("project = A and (id = 1 or not key in (A-1)) or labels is not empty").unwrap();
        let Some(Filter::Or(parts)) = query.filter else { panic!("an or") };
        assert_eq!(parts.len(), 2);
        assert!(matches!(&parts[0], Filter::And(inner) if matches!(inner[1], Filter::Or(_))));
    }

    #[test]
    fn an_order_alone_has_no_filter() {
        assert_eq!(read("order by created desc").unwrap().filter, None);
        assert_eq!(read("").unwrap().filter, None);
    }
}
