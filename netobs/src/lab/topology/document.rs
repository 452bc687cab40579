//! A TOML document held against the schema: every departure from it, each with its place, and all the rest as JSON.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::guess::nearest;
use super::mistake::{Place, Step};
use super::prefix::Prefix;
use super::size;

/// Where each part of what was read stands in the text.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Of this part, in bytes.
    pub(super) span: Range<usize>,
    /// Something in it was left out, being wrong.
    broken: bool,
    fields: BTreeMap<String, Spans>,
    elements: Vec<Spans>,
}

impl Spans {
    fn of(span: Range<usize>) -> Self {
        Self { span, ..Self::default() }
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Field(name) => self.fields.get(name),
            Step::Index(index) => self.elements.get(*index),
        }
    }

    /// Where the text says this, or where it would have to.
    pub(super) fn find(&self, place: &Place) -> Range<usize> {
        let mut here = self;
        for step in &place.0 {
            match here.step(step) {
                Some(next) => here = next,
                None => break,
            }
        }
        here.span.clone()
    }

    /// Whether something was left out at this place, or in it.
    pub(super) fn is_broken(&self, place: &[Step]) -> bool {
        match place.split_first() {
            Some((step, rest)) => self.step(step).is_none_or(|next| next.is_broken(rest)),
            None => self.broken || self.fields.values().chain(&self.elements).any(|part| part.is_broken(&[])),
        }
    }

    /// Whether an element of this list was left out.
    pub(super) fn lacks_elements(&self, list: &str) -> bool {
        self.fields.get(list).map_or(self.broken, |list| list.broken)
    }
}

/// A value that agrees with the schema, and where its parts stand.
type Read = (Value, Spans);

/// Reads documents.
pub(super) struct Reader<'a> {
    schema: &'a Value,
    /// What is wrong, and where in the text.
    pub(super) mistakes: Vec<(Range<usize>, String)>,
    /// The parts of the text that were left out.
    pub(super) lost: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    /// One that reads what this schema describes.
    pub(super) fn new(schema: &'a Value) -> Self {
        Self { schema, mistakes: Vec::new(), lost: Vec::new() }
    }

    /// Reads a whole document. What is wrong is left out of it.
    pub(super) fn read(&mut self, document: &Spanned<DeTable<'_>>) -> Read {
        let object = self.object(document.get_ref(), &(0..0), self.schema, &[]);
        object.unwrap_or_else(|| (Value::Object(Map::new()), Spans { broken: true, ..Spans::default() }))
    }

    fn wrong(&mut self, span: &Range<usize>, reason: impl Into<String>) {
        self.mistakes.push((span.clone(), reason.into()));
    }

    /// `None`: it was wrong, and is left out.
    fn value(&mut self, name: &str, value: &Spanned<DeValue<'_>>, schema: &'a Value) -> Option<Read> {
        let schema = self.resolve(schema);
        let span = value.span();
        if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
            return self.choice(name, value, choices);
        }
        match value.get_ref() {
            DeValue::Table(table) if is(schema, "object") => self.object(table, &span, schema, &[]),
            DeValue::Array(array) if is(schema, "array") => {
                let mut spans = Spans::of(span.clone());
                let mut elements = Vec::new();
                let items = schema.get("items").unwrap_or(&Value::Null);
                for element in array {
                    match self.value(name, element, items) {
                        Some((element, span)) => {
                            elements.push(element);
                            spans.elements.push(span);
                        }
                        None => {
                            self.lost.push(element.span());
                            spans.broken = true;
                        }
                    }
                }
                let (least, most) = (limit(schema, "minItems"), limit(schema, "maxItems"));
                if least.is_some_and(|least| array.len() < least) || most.is_some_and(|most| array.len() > most) {
                    let wanted = least.or(most).unwrap_or_default();
                    self.wrong(&span, format!("`{name}` takes {wanted} elements, not {}", array.len()));
                    return None;
                }
                // One of a fixed number was wrong, so the rest is no use.
                (least.is_none_or(|least| elements.len() >= least)).then_some((Value::Array(elements), spans))
            }
            DeValue::Boolean(value) if is(schema, "boolean") => Some((Value::Bool(*value), Spans::of(span))),
            DeValue::Integer(number) if is(schema, "integer") => {
                let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) else {
                    self.wrong(&span, format!("`{name}`: {number} is no number that can be meant"));
                    return None;
                };
                let bound = |end: &str| schema.get(end).and_then(Value::as_i64);
                let (least, most) = (bound("minimum"), bound("maximum"));
                if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
                    let range = match (least, most) {
                        (Some(least), Some(most)) => format!("between {least} and {most}"),
                        (Some(least), None) => format!("at least {least}"),
                        (None, most) => format!("at most {}", most.unwrap_or_default()),
                    };
                    self.wrong(&span, format!("`{name}` is {range}, not {number}"));
                    return None;
                }
                Some((Value::from(number), Spans::of(span)))
            }
            DeValue::String(text) if is(schema, "string") => {
                let choices = schema.get("enum").and_then(Value::as_array);
                if let Some(choices) = choices.filter(|choices| !choices.iter().any(|choice| choice == text.as_ref())) {
                    let known: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
                    self.wrong(&span, format!("`{name}` is not `{text}` but one of: {}", known.join(", ")));
                    return None;
                }
                let format = schema.get("format").and_then(Value::as_str);
                if let Err(reason) = format.map_or(Ok(()), |format| formatted(format, text)) {
                    self.wrong(&span, reason);
                    return None;
                }
                Some((Value::from(text.as_ref()), Spans::of(span)))
            }
            other => {
                let found = match other {
                    DeValue::Table(table) => table_in_place(name, table),
                    other => format!("a TOML {}", other.type_str()),
                };
                self.wrong(&span, format!("`{name}` is {}, not {found}", kinds(schema)));
                None
            }
        }
    }

    /// `known` are keys that the caller deals with.
    fn object(&mut self, table: &DeTable<'_>, span: &Range<usize>, schema: &'a Value, known: &[&str]) -> Option<Read> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut object = Map::new();
        let mut spans = Spans::of(span.clone());
        let mut whole = true;
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some(schema) = properties.and_then(|properties| properties.get(name)).or(others) else {
                if !known.contains(&name) {
                    let near = nearest(name, properties.into_iter().flat_map(Map::keys).map(String::as_str));
                    self.wrong(&key.span(), format!("`{name}` means nothing here{near}"));
                    spans.broken = true;
                }
                continue;
            };
            match self.value(name, value, schema) {
                Some((value, span)) => {
                    object.insert(name.to_owned(), value);
                    spans.fields.insert(name.to_owned(), span);
                }
                None => {
                    self.lost.push(value.span());
                    spans.broken = true;
                    whole &= !required.contains(&name);
                }
            }
        }
        for name in required {
            if !table.keys().any(|key| key.get_ref() == name) {
                self.wrong(span, format!("`{name}` is missing"));
                whole = false;
            }
        }
        whole.then_some((Value::Object(object), spans))
    }

    /// One of several kinds of table, told apart by a key whose value is fixed.
    fn choice(&mut self, name: &str, value: &Spanned<DeValue<'_>>, choices: &'a [Value]) -> Option<Read> {
        let span = value.span();
        let fixed: Vec<(&str, &str, &'a Value)> = choices.iter().filter_map(discriminant).collect();
        let DeValue::Table(table) = value.get_ref() else {
            // Plain words, each with a description of its own.
            let words: Vec<&str> = choices.iter().filter_map(|choice| choice.get("const")?.as_str()).collect();
            if let DeValue::String(text) = value.get_ref()
                && words.contains(&text.as_ref())
            {
                return Some((Value::from(text.as_ref()), Spans::of(span)));
            }
            let wanted = if words.is_empty() { "a table".to_owned() } else { format!("one of: {}", words.join(", ")) };
            self.wrong(&span, format!("`{name}` is {wanted}"));
            return None;
        };
        let (tag, ..) = fixed.first()?;
        let known = || fixed.iter().map(|(_, word, _)| *word).collect::<Vec<_>>().join(", ");
        let Some(told) = table.get(*tag) else {
            self.wrong(&span, format!("`{tag}` is missing; it is one of: {}", known()));
            return None;
        };
        let word = told.get_ref().as_str().unwrap_or_default();
        let Some((_, word, schema)) = fixed.iter().find(|(_, known, _)| *known == word) else {
            self.wrong(&told.span(), format!("`{tag}` is one of: {}", known()));
            return None;
        };
        let (mut object, spans) = self.object(table, &span, schema, &[tag])?;
        if let Value::Object(object) = &mut object {
            object.insert((*tag).to_owned(), Value::from(*word));
        }
        Some((object, spans))
    }

    /// Follows references, and leaves the "or nothing" of optional fields out: a TOML file has no null.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        loop {
            let reference = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
            if let Some(found) = reference.and_then(|path| self.schema.pointer(path)) {
                schema = found;
                continue;
            }
            let options = schema.get("anyOf").and_then(Value::as_array);
            match options.and_then(|options| options.iter().find(|option| !is(option, "null"))) {
                Some(found) => schema = found,
                None => return schema,
            }
        }
    }
}

/// The key and its fixed value by which a choice is known.
fn discriminant(choice: &Value) -> Option<(&str, &str, &Value)> {
    let properties = choice.get("properties")?.as_object()?;
    properties.iter().find_map(|(name, schema)| Some((name.as_str(), schema.get("const")?.as_str()?, choice)))
}

/// Whether a schema admits this JSON type.
fn is(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

fn kinds(schema: &Value) -> String {
    let names = [
        ("object", "a table"),
        ("array", "a list"),
        ("boolean", "true or false"),
        ("integer", "a whole number"),
        ("string", "a text in quotes"),
    ];
    let admitted: Vec<&str> = names.iter().filter(|(kind, _)| is(schema, kind)).map(|(_, name)| *name).collect();
    admitted.join(" or ")
}

fn limit(schema: &Value, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok())
}

/// `net.ipv4.ip_forward = 1` without quotes makes tables in tables.
fn table_in_place(name: &str, table: &DeTable<'_>) -> String {
    match table.keys().next() {
        Some(key) if name == "net" || key.get_ref() == "ipv4" || key.get_ref() == "ipv6" => {
            "a table: put the whole of a dotted name in quotes, \"net.ipv4.ip_forward\" = 1".to_owned()
        }
        _ => "a table".to_owned(),
    }
}

/// Checks a text whose form the schema only names.
fn formatted(format: &str, text: &str) -> Result<(), String> {
    match format {
        "prefix" => text.parse::<Prefix>().map(drop).map_err(|error| error.to_string()),
        "address" if text.parse::<IpAddr>().is_err() => Err(format!("`{text}` is not an address, like 10.40.0.1")),
        "size" => size::parse(text).map(drop),
        _ => Ok(()),
    }
}
