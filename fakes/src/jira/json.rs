//! Writes JSON straight into one string. Pages hold thousands of histories, each with an author's whole description; a tree
//! of values for each would cost more than the product under test.

use std::fmt::{Display, Write};

/// A JSON text in the making.
#[derive(Default)]
pub(super) struct Json {
    text: String,
    /// A value precedes the next one.
    comma: bool,
}

impl Json {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), comma: false }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// An object of what `fill` writes.
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.enclosed('{', fill, '}');
    }

    /// An array of what `fill` writes.
    pub(super) fn array(&mut self, fill: impl FnOnce(&mut Self)) {
        self.enclosed('[', fill, ']');
    }

    /// A field's name; its value must follow.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.next();
        self.quoted(name);
        self.text.push(':');
        self.comma = false;
        self
    }

    pub(super) fn text(&mut self, value: &str) {
        self.next();
        self.quoted(value);
    }

    /// A value whose display is JSON already: a number, or `true`.
    pub(super) fn plain(&mut self, value: impl Display) {
        self.next();
        // Writing to a string cannot fail.
        write!(self.text, "{value}").unwrap_or_default();
    }

    /// A value in quotes whose display needs no escapes: an id.
    pub(super) fn shown(&mut self, value: impl Display) {
        self.next();
        write!(self.text, "\"{value}\"").unwrap_or_default();
    }

    /// Text or null.
    pub(super) fn text_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.plain("null"),
        }
    }

    /// JSON written before.
    pub(super) fn raw(&mut self, json: &str) {
        self.next();
        self.text.push_str(json);
    }

    fn enclosed(&mut self, open: char, fill: impl FnOnce(&mut Self), close: char) {
        self.next();
        self.text.push(open);
        self.comma = false;
        fill(self);
        self.text.push(close);
        self.comma = true;
    }

    fn next(&mut self) {
        if self.comma {
            self.text.push(',');
        }
        self.comma = true;
    }

    fn quoted(&mut self, value: &str) {
        self.text.push('"');
        let mut rest = value;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, tail) = rest.split_at(at);
            self.text.push_str(plain);
            let mut tail = tail.chars();
            if let Some(special) = tail.next() {
                self.escaped(special);
            }
            rest = tail.as_str();
        }
        self.text.push_str(rest);
        self.text.push('"');
    }

    fn escaped(&mut self, special: char) {
        if special < ' ' {
            write!(self.text, "\\u{:04x}", u32::from(special)).unwrap_or_default();
        } else {
            self.text.push('\\');
            self.text.push(special);
        }
    }
}

/// A text that is one object.
pub(super) fn object(fill: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::default();
    json.object(fill);
    json.finish()
}

/// A text that is one array.
pub(super) fn array(fill: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::default();
    json.array(fill);
    json.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_can_be_read() {
        let text = object(|json| {
            json.name("a\"b").text("line\nand \\ tab\t and é");
            json.name("list").array(|json| {
                json.plain(1);
                json.object(|json| json.name("x").text_or_null(None));
                json.raw("[true]");
                json.array(|_| {});
            });
            json.name("id").shown(7);
        });
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"a\"b": "line\nand \\ tab\t and é", "list": [1, {"x": null}, [true], []], "id": "7"}));
    }
}
