//! Azure's documents as a tree: read, changed where it must be, and written again. A page of a listing has some 25,000 elements, so
//! names that are known and texts that need no decoding are not copied.

use std::borrow::Cow;

use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

use crate::azure::error::AzureError;

/// Elements within elements deeper than this are no document of Azure's.
const DEEPEST: usize = 16;

/// What stands before a document.
const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"utf-8\"?>";

/// What the elements of a listing are called, the commonest first.
/// <https://learn.microsoft.com/rest/api/storageservices/list-blobs>
const KNOWN: &[&str] = &[
    "Name",
    "Properties",
    "Metadata",
    "Blob",
    "portcullis_core",
    "portcullis_sums",
    "Creation-Time",
    "Last-Modified",
    "Etag",
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-CRC64",
    "Content-MD5",
    "Cache-Control",
    "Content-Disposition",
    "BlobType",
    "LeaseStatus",
    "LeaseState",
    "LeaseDuration",
    "ServerEncrypted",
    "AccessTier",
    "AccessTierInferred",
    "AccessTierChangeTime",
    "VersionId",
    "IsCurrentVersion",
    "Snapshot",
    "Deleted",
    "OrMetadata",
    "CopyId",
    "CopyStatus",
    "CopySource",
    "CopyProgress",
    "CopyCompletionTime",
    "CustomerProvidedKeySha256",
    "TagCount",
    "BlobPrefix",
    "portcullis_alias",
    "Block",
    "Size",
];

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'d> {
    /// Its name, without a namespace.
    pub name: Cow<'static, str>,
    /// Its attributes, decoded.
    pub attributes: Vec<(String, String)>,
    /// Its text, decoded.
    pub text: Cow<'d, str>,
    /// The elements in it.
    pub children: Vec<Self>,
}

impl<'d> Element<'d> {
    /// An element with text.
    pub fn new(name: &'static str, text: impl Into<Cow<'d, str>>) -> Self {
        Self {
            name: Cow::Borrowed(name),
            text: text.into(),
            ..Self::default()
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn parse(document: &'d [u8]) -> Result<Self, AzureError> {
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        parse(document).ok_or(AzureError::InvalidXml)
    }

    /// The element that a tag begins, given as it stands between `<` and `>`; `None` if it is none.
    pub fn of_tag(tag: &str) -> Option<Element<'static>> {
        Some(parse(format!("<{tag}/>").as_bytes())?.into_owned())
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first child of that name, to be changed.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// The text of the first child of that name; empty where there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &*child.text)
    }

    /// Sets the text of the child of that name, which is made if missing.
    pub fn set(&mut self, name: &'static str, text: impl Into<Cow<'d, str>>) {
        match self.child_mut(name) {
            Some(child) => child.text = text.into(),
            None => self.children.push(Self::new(name, text)),
        }
    }

    /// Takes the children of that name away.
    pub fn remove(&mut self, name: &str) {
        self.children.retain(|child| child.name != name);
    }

    /// The same, of no document.
    #[must_use]
    pub fn into_owned(self) -> Element<'static> {
        Element {
            name: self.name,
            attributes: self.attributes,
            text: Cow::Owned(self.text.into_owned()),
            children: self.children.into_iter().map(Element::into_owned).collect(),
        }
    }

    /// The document of this element, as Azure writes one.
    pub fn document(&self) -> Vec<u8> {
        let mut out = DECLARATION.to_vec();
        let mut writer = Writer::new(&mut out);
        // Writing into memory does not fail.
        let _ = self.write(&mut writer);
        out
    }

    /// The beginning of such a document: all before what is in the element.
    pub fn begin_document(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(DECLARATION);
        // Writing into memory does not fail.
        let _ = Writer::new(out).write_event(Event::Start(self.start()));
    }

    fn start(&self) -> BytesStart<'_> {
        let mut start = BytesStart::new(&*self.name);
        for (name, value) in &self.attributes {
            start.push_attribute((name.as_str(), value.as_str()));
        }
        start
    }

    fn write(&self, writer: &mut Writer<&mut Vec<u8>>) -> std::io::Result<()> {
        let start = self.start();
        if self.text.is_empty() && self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if !self.text.is_empty() {
            writer.write_event(Event::Text(BytesText::new(&self.text)))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(&*self.name)))
    }
}

fn parse(document: &[u8]) -> Option<Element<'_>> {
    let mut reader = Reader::from_reader(document);
    let mut open: Vec<Element<'_>> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                if open.len() >= DEEPEST || root.is_some() {
                    return None;
                }
                open.push(begin(&tag)?);
            }
            Event::Empty(tag) => close(begin(&tag)?, &mut open, &mut root)?,
            Event::End(_) => {
                let mut element = open.pop()?;
                // White space between elements is none of theirs.
                if !element.children.is_empty() {
                    element.text = Cow::Borrowed("");
                }
                close(element, &mut open, &mut root)?;
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    add(&mut element.text, text.decode().ok()?);
                }
            }
            Event::CData(text) => add(&mut open.last_mut()?.text, text.decode().ok()?),
            Event::GeneralRef(reference) => {
                let name = reference.decode().ok()?;
                let text = open.last_mut()?.text.to_mut();
                match reference.resolve_char_ref().ok()? {
                    Some(character) => text.push(character),
                    None => text.push_str(quick_xml::escape::resolve_predefined_entity(&name)?),
                }
            }
            Event::Eof => return root.filter(|_| open.is_empty()),
            Event::Decl(_) | Event::Comment(_) => {}
            // Entities of one's own, and what else nobody sends.
            Event::DocType(_) | Event::PI(_) => return None,
        }
    }
}

/// Text goes on: a reference or a comment may lie in it.
fn add<'d>(text: &mut Cow<'d, str>, more: Cow<'d, str>) {
    match text.is_empty() {
        true => *text = more,
        false => text.to_mut().push_str(&more),
    }
}

/// A name; that of anything in a listing is not copied.
fn name(name: &[u8]) -> Option<Cow<'static, str>> {
    let name = std::str::from_utf8(name).ok()?;
    let known = KNOWN.iter().find(|known| **known == name);
    Some(known.map_or_else(|| Cow::Owned(name.to_owned()), |known| Cow::Borrowed(*known)))
}

fn begin<'d>(tag: &BytesStart<'_>) -> Option<Element<'d>> {
    let name = name(tag.local_name().as_ref())?;
    let attributes = tag.attributes().map(|attribute| {
        let attribute = attribute.ok()?;
        let name = String::from_utf8(attribute.key.as_ref().to_vec()).ok()?;
        let raw = String::from_utf8(attribute.value.to_vec()).ok()?;
        Some((name, quick_xml::escape::unescape(&raw).ok()?.into_owned()))
    });
    Some(Element {
        name,
        attributes: attributes.collect::<Option<_>>()?,
        ..Element::default()
    })
}

fn close<'d>(element: Element<'d>, open: &mut [Element<'d>], root: &mut Option<Element<'d>>) -> Option<()> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        let document = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<R a=\"x&amp;y\">\n <N> a &lt;b&#x26;c </N>\n <E/> \n</R>";
        let root = Element::parse(document.as_bytes()).unwrap();
        assert_eq!(root.text_of("N"), " a <b&c ");
        let written = String::from_utf8(root.document()).unwrap();
        assert_eq!(
            written,
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><R a=\"x&amp;y\"><N> a &lt;b&amp;c </N><E/></R>"
        );
        assert_eq!(Element::parse(written.as_bytes()).unwrap(), root);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(20) + &"</a>".repeat(20);
        for wrong in [
            "",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<!DOCTYPE x [<!ENTITY y 'z'>]><a>&y;</a>",
            "<a>&y;</a>",
            &deep,
        ] {
            assert!(Element::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
