//! The documents of multipart uploads: small, flat, and read strictly.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// The namespace of S3's answers.
pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The texts of an element's children, by name.
pub(super) type Fields = BTreeMap<String, String>;

/// A document of two levels: the root's own texts, and those of its entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flat {
    pub(super) root: String,
    pub(super) fields: Fields,
    pub(super) entries: Vec<Fields>,
}

impl Flat {
    /// Reads a document whose root holds any number of elements named `entry`. What lies one step deeper in another of the root's
    /// children is kept as `child/name`; all else is left out. `None` if it is no
    /// XML, or not all of it, or has a document type, whose entities two readers could take for different things.
    pub(super) fn read(document: &[u8], entry: &str) -> Option<Self> {
        let mut reader = Reader::from_reader(document);
        let mut flat = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut ended = false;
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => {
                    if ended {
                        return None;
                    }
                    let name = std::str::from_utf8(tag.local_name().as_ref()).ok()?.to_owned();
                    if path.is_empty() {
                        flat.root.clone_from(&name);
                    }
                    if path.len() == 1 && name == entry {
                        flat.entries.push(Fields::new());
                    }
                    path.push(name);
                    text.clear();
                }
                Event::Empty(tag) => {
                    let name = std::str::from_utf8(tag.local_name().as_ref()).ok()?.to_owned();
                    match path.len() {
                        0 => {
                            flat.root = name;
                            ended = true;
                        }
                        1 if name == entry => flat.entries.push(Fields::new()),
                        _ => flat.keep(&path, &name, String::new(), entry),
                    }
                }
                Event::Text(part) => text.push_str(&part.decode().ok()?),
                Event::CData(part) => text.push_str(&part.decode().ok()?),
                Event::GeneralRef(entity) => text.push(resolve(&entity)?),
                Event::End(_) => {
                    let name = path.pop()?;
                    flat.keep(&path, &name, std::mem::take(&mut text), entry);
                    ended |= path.is_empty();
                }
                Event::DocType(_) => return None,
                Event::Eof => return (ended && path.is_empty()).then_some(flat),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            }
        }
    }

    /// The text of one of the root's children.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn keep(&mut self, path: &[String], name: &str, text: String, entry: &str) {
        match path {
            [_] if name != entry => {
                self.fields.entry(name.to_owned()).or_insert(text);
            }
            [_, within] if within == entry => {
                if let Some(last) = self.entries.last_mut() {
                    last.entry(name.to_owned()).or_insert(text);
                }
            }
            [_, within] => {
                self.fields.entry(format!("{within}/{name}")).or_insert(text);
            }
            _ => {}
        }
    }
}

/// A character that stands for itself nowhere in XML.
fn resolve(entity: &BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return Some(character);
    }
    match &*entity.decode().ok()? {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// One element with a text in it.
pub(super) fn element(out: &mut String, name: &str, text: &str) {
    let text = quick_xml::escape::escape(text);
    for piece in ["<", name, ">", &text, "</", name, ">"] {
        out.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_entries_are_told_apart() {
        let document = br#"<?xml version="1.0"?>
            <R xmlns="x"><A>1 &amp; 2</A><E><N>1</N><T>&quot;x&#34;</T><Deep><N>9</N></Deep></E><Owner><ID>i</ID></Owner><E/><B/></R> "#;
        let flat = Flat::read(document, "E").unwrap();
        assert_eq!(flat.root, "R");
        assert_eq!(
            (flat.get("A"), flat.get("B"), flat.get("ID")),
            (Some("1 & 2"), Some(""), None)
        );
        assert_eq!(flat.get("Owner/ID"), Some("i"));
        assert_eq!(flat.entries.len(), 2);
        assert_eq!(flat.entries[0].get("N").map(String::as_str), Some("1"));
        assert_eq!(flat.entries[0].get("T").map(String::as_str), Some("\"x\""));
    }

    #[test]
    fn what_is_cut_or_odd_is_refused() {
        for odd in [
            &b""[..],
            b"<R><E>",
            b"<R></R><R></R>",
            b"<R><E></R></E>",
            b"<!DOCTYPE R [<!ENTITY k '1'>]><R>&k;</R>",
            b"<R>&unknown;</R>",
            b"{}",
        ] {
            assert_eq!(Flat::read(odd, "E"), None, "{}", String::from_utf8_lossy(odd));
        }
    }
}
