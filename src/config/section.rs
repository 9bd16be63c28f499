//! A table of the configuration while it is read: every setting is asked for once, what is wrong with it is noted, and what
//! nobody asked for is unknown. Reading goes on after a mistake, so that all are told at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::mistake::{Fault, Mistake};

/// Where mistakes are noted.
pub(super) struct Report<'i> {
    text: &'i str,
    /// Where its lines end. A file of ten thousand tenants has ten times as many settings, whose lines are not counted one by one.
    ends: Vec<usize>,
    mistakes: RefCell<Vec<Mistake>>,
}

/// A table, by what has not been asked for yet. When it is dropped, the rest is reported as unknown.
pub(super) struct Section<'r, 'i> {
    report: &'r Report<'i>,
    place: String,
    line: Option<usize>,
    rest: BTreeMap<String, Spanned<DeValue<'i>>>,
    lines: BTreeMap<String, usize>,
    known: Vec<&'static str>,
}

/// A value with its place.
pub(super) struct Entry<'r, 'i> {
    report: &'r Report<'i>,
    place: String,
    line: usize,
    value: DeValue<'i>,
}

impl<'i> Report<'i> {
    pub(super) fn new(text: &'i str) -> Self {
        Self {
            text,
            ends: text.match_indices('\n').map(|(end, _)| end).collect(),
            mistakes: RefCell::default(),
        }
    }

    /// The whole file. What is not TOML is noted, and the rest read nevertheless.
    pub(super) fn root(&self) -> Section<'_, 'i> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            // Its message only: the error's own text shows the line, which may hold a secret.
            let line = error.span().map(|span| self.line(span.start));
            self.note("", line, Fault::Syntax(error.message().to_owned()));
        }
        Section::new(self, String::new(), None, table.into_inner())
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    fn note(&self, place: &str, line: Option<usize>, fault: Fault) {
        self.mistakes.borrow_mut().push(Mistake {
            place: place.to_owned(),
            line,
            fault,
        });
    }

    fn line(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end < offset) + 1
    }
}

impl<'r, 'i> Section<'r, 'i> {
    fn new(report: &'r Report<'i>, place: String, line: Option<usize>, table: DeTable<'i>) -> Self {
        let mut lines = BTreeMap::new();
        let mut rest = BTreeMap::new();
        for (key, value) in table {
            lines.insert(key.get_ref().to_string(), report.line(key.span().start));
            rest.insert(key.into_inner().into_owned(), value);
        }
        Self {
            report,
            place,
            line,
            rest,
            lines,
            known: Vec::new(),
        }
    }

    /// Notes a mistake of one of this table's settings, present or not; of the table itself if `key` is empty.
    pub(super) fn wrong(&self, key: &str, fault: impl Into<Fault>) {
        let whole = key.split('[').next().unwrap_or(key);
        let line = self.lines.get(whole).copied().or(self.line);
        self.report.note(&self.place_of(key), line, fault.into());
    }

    /// Asks for a setting that may be absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'r, 'i>> {
        self.known.push(key);
        let value = self.rest.remove(key)?;
        Some(Entry {
            report: self.report,
            place: self.place_of(key),
            line: self.lines.get(key).copied().unwrap_or_default(),
            value: value.into_inner(),
        })
    }

    /// Asks for a setting that must not be absent.
    pub(super) fn need(&mut self, key: &'static str) -> Option<Entry<'r, 'i>> {
        let entry = self.take(key);
        if entry.is_none() {
            self.wrong(key, Fault::Missing);
        }
        entry
    }

    /// Asks for a table of settings; an absent one is empty.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        self.take(key)
            .and_then(Entry::section)
            .unwrap_or_else(|| Self::new(self.report, self.place_of(key), self.line, DeTable::new()))
    }

    /// Asks for tables by name, at least one: `[store.main]`, `[store.other]`.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Self)> {
        let Some(mut outer) = self.need(key).and_then(Entry::section) else {
            return Vec::new();
        };
        let rest = std::mem::take(&mut outer.rest);
        if rest.is_empty() {
            outer.wrong("", Fault::Missing);
        }
        let inner = rest.into_iter().filter_map(|(name, value)| {
            let entry = Entry {
                report: outer.report,
                place: outer.place_of(&name),
                line: outer.lines.get(&name).copied().unwrap_or_default(),
                value: value.into_inner(),
            };
            Some((name, entry.section()?))
        });
        inner.collect()
    }

    /// Whether a setting is there that nobody has asked for yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.rest.contains_key(key)
    }

    /// Asks for tables by name; there may be none.
    pub(super) fn maybe_named(&mut self, key: &'static str) -> Vec<(String, Self)> {
        match self.rest.contains_key(key) {
            true => self.named(key),
            false => {
                self.known.push(key);
                Vec::new()
            }
        }
    }

    /// Asks for tables in order, at least one: `[[listener]]`.
    pub(super) fn several(&mut self, key: &'static str) -> Vec<Self> {
        let entries = self.need(key).and_then(Entry::list);
        if entries.as_ref().is_some_and(Vec::is_empty) {
            self.wrong(key, Fault::Missing);
        }
        entries.into_iter().flatten().filter_map(Entry::section).collect()
    }

    /// Reads no further: a mistake has left open which settings are known here.
    pub(super) fn give_up(mut self) {
        self.rest.clear();
    }

    /// The place of a setting, or of the table itself.
    pub(super) fn place_of(&self, key: &str) -> String {
        match (self.place.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.place.clone(),
            _ => format!("{}.{key}", self.place),
        }
    }
}

impl Drop for Section<'_, '_> {
    fn drop(&mut self) {
        for key in self.rest.keys() {
            let known = self.known.join(", ");
            self.wrong(key, Fault::Unknown { known });
        }
    }
}

impl<'r, 'i> Entry<'r, 'i> {
    /// Notes a mistake of this value.
    pub(super) fn wrong(&self, fault: impl Into<Fault>) {
        self.report.note(&self.place, Some(self.line), fault.into());
    }

    /// The value, or the mistake noted.
    pub(super) fn check<T>(&self, checked: Result<T, impl Into<Fault>>) -> Option<T> {
        checked.map_err(|fault| self.wrong(fault)).ok()
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            DeValue::String(text) => Some(text),
            _ => self.not("text"),
        }
    }

    /// Text of a certain form.
    pub(super) fn parsed<T, F: Into<Fault>>(&self, parse: impl FnOnce(&str) -> Result<T, F>) -> Option<T> {
        self.text().and_then(|text| self.check(parse(text)))
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let chosen = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, chosen)| *chosen);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.wrong(Fault::Choice {
                choices: words.join(", "),
            });
        }
        chosen
    }

    /// The name of something that the configuration has elsewhere, as `[kind.name]`.
    pub(super) fn one_of<T>(&self, kind: &'static str, all: &BTreeMap<String, T>) -> Option<String> {
        let name = self.text()?.to_owned();
        match all.contains_key(&name) {
            true => Some(name),
            false => {
                self.wrong(Fault::NoSuch { kind, name });
                None
            }
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match &self.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.not("true or false"),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, least: u32, most: u32) -> Option<u32> {
        let DeValue::Integer(digits) = &self.value else {
            return self.not("a whole number");
        };
        let number = u32::from_str_radix(digits.as_str(), digits.radix());
        self.check(
            number
                .ok()
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| Fault::Range {
                    least: least.to_string(),
                    most: most.to_string(),
                }),
        )
    }

    /// The values of a list, each with its place.
    pub(super) fn list(self) -> Option<Vec<Self>> {
        let DeValue::Array(values) = self.value else {
            return self.not("a list");
        };
        let entries = values.into_iter().enumerate().map(|(number, value)| Self {
            report: self.report,
            place: format!("{}[{number}]", self.place),
            line: self.report.line(value.span().start),
            value: value.into_inner(),
        });
        Some(entries.collect())
    }

    pub(super) fn section(self) -> Option<Section<'r, 'i>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(self.report, self.place, Some(self.line), table)),
            _ => self.not("a table"),
        }
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// Whether it is a bare text.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    fn not<T>(&self, expected: &'static str) -> Option<T> {
        let found = match &self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(Fault::Kind { expected, found });
        None
    }
}
