//! A page in one pass over its text, as Azure and its kin write it: what is listed is read where it stands, and all that stays is
//! copied as it is. Whatever looks unusual is left to [`super::tree`], which reads anything: attributes below the root, prefixes,
//! comments, CDATA, what comes twice or is missing.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use quick_xml::escape::unescape;

use crate::azure::list::entry::{Listed, Told};
use crate::azure::metadata::{Hidden, is_hidden_name};
use crate::azure::xml::Element;
use crate::seal::SealedLen;

/// What a listing's document is called.
const ROOT: &str = "EnumerationResults";
/// Elements that the gate does not know, within each other deeper than this, are for the tree.
const DEEPEST: usize = 8;

/// A page whose text was read.
pub struct Page<'d> {
    text: &'d str,
    /// The first tag, without what is in it.
    root: Element<'static>,
    /// Where what is in the root begins.
    inside: usize,
    entries: Vec<Listed<'d>>,
    /// In the order of the text; none overlaps another.
    cuts: Vec<Cut<'d>>,
}

/// A stretch of the page that its client sees otherwise.
struct Cut<'d> {
    from: usize,
    to: usize,
    /// Whose it is, by its number.
    entry: usize,
    seen: Seen<'d>,
}

/// What is seen in place of a stretch.
enum Seen<'d> {
    Nothing,
    Len,
    Md5,
    Source(Cow<'d, str>),
    Progress(Cow<'d, str>),
}

impl<'d> Page<'d> {
    /// Reads a page; `None` if it is for the tree to read, or to refuse.
    pub fn read(document: &'d [u8], with_metadata: bool) -> Option<Self> {
        let text = std::str::from_utf8(document).ok()?;
        let mut page = text.strip_prefix('\u{feff}').unwrap_or(text);
        if page.starts_with("<?xml ") {
            page = page.split_once("?>")?.1;
        }
        let (root, inside) = page.trim_ascii_start().strip_prefix('<')?.split_once('>')?;
        if root.ends_with('/') || root.split(' ').next() != Some(ROOT) {
            return None;
        }
        let inside = text.len() - inside.len();
        let root = Element::of_tag(root)?;
        let mut reader = Reader {
            text,
            at: inside,
            with_metadata,
            entries: Vec::new(),
            cuts: Vec::new(),
        };
        reader.root()?;
        Some(Self {
            text,
            root,
            inside,
            entries: reader.entries,
            cuts: reader.cuts,
        })
    }

    /// The blobs, in their order.
    pub fn entries(&self) -> &[Listed<'d>] {
        &self.entries
    }

    /// The page as its client sees it. `source` and `progress` as for [`super::tree::show`].
    pub fn shown(
        mut self,
        endpoint: &str,
        told: &[Told],
        source: &dyn Fn(&str) -> String,
        progress: &dyn Fn(&str, u64) -> Option<String>,
    ) -> Vec<u8> {
        super::set_endpoint(&mut self.root, endpoint);
        let mut out = Vec::with_capacity(self.text.len() + 256);
        self.root.begin_document(&mut out);
        let mut done = self.inside;
        for cut in &self.cuts {
            let Some(told) = told.get(cut.entry) else { continue };
            let seen = match &cut.seen {
                Seen::Nothing => Some(Cow::Borrowed("")),
                Seen::Len => told.len.map(|len| len.to_string().into()),
                Seen::Md5 => {
                    let md5 = told.md5.as_deref();
                    md5.map(|md5| format!("<Content-MD5>{md5}</Content-MD5>").into())
                }
                Seen::Source(text) => Some(escaped(&source(text))),
                Seen::Progress(text) => progress(text, told.len.unwrap_or_default()).map(Cow::Owned),
            };
            if let Some(seen) = seen {
                out.extend_from_slice(self.text.as_bytes().get(done..cut.from).unwrap_or_default());
                out.extend_from_slice(seen.as_bytes());
                done = cut.to;
            }
        }
        out.extend_from_slice(self.text.as_bytes().get(done..).unwrap_or_default());
        out
    }
}

fn escaped(text: &str) -> Cow<'static, str> {
    quick_xml::escape::escape(text).into_owned().into()
}

/// One pass over the text.
struct Reader<'d> {
    text: &'d str,
    /// Behind the tag that was read last.
    at: usize,
    with_metadata: bool,
    entries: Vec<Listed<'d>>,
    cuts: Vec<Cut<'d>>,
}

/// A tag, without attributes.
enum Tag<'d> {
    Open(&'d str),
    Empty(&'d str),
    Close(&'d str),
}

/// The text of an element that has no elements in it, and where it lies.
struct Leaf<'d> {
    text: Cow<'d, str>,
    from: usize,
    to: usize,
}

impl<'d> Reader<'d> {
    fn root(&mut self) -> Option<()> {
        let mut blobs = false;
        loop {
            match self.tag()?.0 {
                Tag::Close(ROOT) => break,
                Tag::Open("Blobs") if !blobs => {
                    blobs = true;
                    self.blobs()?;
                }
                Tag::Empty("Blobs") if !blobs => blobs = true,
                Tag::Open("Blobs") | Tag::Empty("Blobs") | Tag::Close(_) => return None,
                Tag::Open(name) => self.pass(name, 0)?,
                Tag::Empty(_) => {}
            }
        }
        self.rest().trim_ascii().is_empty().then_some(())
    }

    fn blobs(&mut self) -> Option<()> {
        loop {
            match self.tag()?.0 {
                Tag::Close("Blobs") => return Some(()),
                Tag::Open("Blob") => self.blob()?,
                Tag::Empty("Blob") | Tag::Close(_) => return None,
                Tag::Open(name) => self.pass(name, 0)?,
                Tag::Empty(_) => {}
            }
        }
    }

    fn blob(&mut self) -> Option<()> {
        let (mut name, mut snapshot, mut version, mut deleted) = (None, None, None, None);
        let (mut properties, mut hidden) = (None, None);
        loop {
            let (tag, start) = self.tag()?;
            match tag {
                Tag::Close("Blob") => break,
                Tag::Close(_) => return None,
                Tag::Open("Name") => once(&mut name, self.leaf("Name")?.text)?,
                Tag::Open("Properties") => {
                    let read = self.properties()?;
                    once(&mut properties, read)?;
                }
                Tag::Open("Metadata") => {
                    let read = self.metadata(start)?;
                    once(&mut hidden, read)?;
                }
                Tag::Empty("Metadata") => {
                    once(&mut hidden, Hidden::default())?;
                    self.cut(start, self.at, Seen::Nothing);
                }
                Tag::Open("Snapshot") => once(&mut snapshot, self.leaf("Snapshot")?.text)?,
                Tag::Open("VersionId") => once(&mut version, self.leaf("VersionId")?.text)?,
                Tag::Open("Deleted") => once(&mut deleted, self.leaf("Deleted")?.text)?,
                Tag::Open(name) => self.pass(name, 0)?,
                // What the gate looks for has a text, or is not there.
                Tag::Empty("Name" | "Properties" | "Snapshot" | "VersionId" | "Deleted") => return None,
                Tag::Empty(_) => {}
            }
        }
        let (stored, append) = properties?;
        self.entries.push(Listed {
            name: name?,
            snapshot: snapshot.unwrap_or_default(),
            version: version.unwrap_or_default(),
            deleted: deleted.is_some_and(|deleted| deleted == "true"),
            append,
            stored: Some(stored),
            hidden: hidden.unwrap_or_default(),
        });
        Some(())
    }

    /// The length, and whether it is an append blob.
    fn properties(&mut self) -> Option<(SealedLen, bool)> {
        let (mut len, mut kind, mut source, mut progress) = (None, None, None, None);
        let first = self.cuts.len();
        // Where Azure has a blob's MD5: behind what else is said of the content.
        let mut md5 = None;
        loop {
            let (tag, start) = self.tag()?;
            match tag {
                Tag::Close("Properties") => break,
                Tag::Close(_) => return None,
                Tag::Open("Content-Length") => {
                    let leaf = self.leaf("Content-Length")?;
                    once(&mut len, SealedLen(leaf.text.parse().ok()?))?;
                    self.cut(leaf.from, leaf.to, Seen::Len);
                    md5 = Some(self.at);
                }
                Tag::Open(name @ ("Content-Type" | "Content-Encoding" | "Content-Language")) => {
                    self.pass(name, 0)?;
                    md5 = Some(self.at);
                }
                Tag::Empty("Content-Type" | "Content-Encoding" | "Content-Language") => md5 = Some(self.at),
                Tag::Open(name @ ("Content-MD5" | "Content-CRC64")) => {
                    self.pass(name, 0)?;
                    self.cut(start, self.at, Seen::Nothing);
                }
                Tag::Empty("Content-MD5" | "Content-CRC64") => self.cut(start, self.at, Seen::Nothing),
                Tag::Open("BlobType") => once(&mut kind, self.leaf("BlobType")?.text)?,
                Tag::Open("CopySource") => {
                    let leaf = self.leaf("CopySource")?;
                    once(&mut source, ())?;
                    self.cut(leaf.from, leaf.to, Seen::Source(leaf.text));
                }
                Tag::Open("CopyProgress") => {
                    let leaf = self.leaf("CopyProgress")?;
                    once(&mut progress, ())?;
                    self.cut(leaf.from, leaf.to, Seen::Progress(leaf.text));
                }
                Tag::Open(name) => self.pass(name, 0)?,
                Tag::Empty("Content-Length" | "BlobType" | "CopySource" | "CopyProgress") => return None,
                Tag::Empty(_) => {}
            }
        }
        let (len, at) = (len?, md5?);
        let own = self.cuts.get(first..)?;
        let place = first + own.iter().take_while(|cut| cut.from < at).count();
        let cut = Cut {
            from: at,
            to: at,
            entry: self.entries.len(),
            seen: Seen::Md5,
        };
        self.cuts.insert(place, cut);
        Some((len, kind.is_some_and(|kind| kind == "AppendBlob")))
    }

    /// What the gate keeps there, which no client sees; nor does it see the rest unasked.
    fn metadata(&mut self, start: usize) -> Option<Hidden> {
        let first = self.cuts.len();
        let mut pairs = Vec::new();
        let mut shown = false;
        loop {
            let (tag, start) = self.tag()?;
            let (name, text) = match tag {
                Tag::Close("Metadata") => break,
                Tag::Close(_) => return None,
                Tag::Open(name) => (name, self.leaf(name)?.text),
                Tag::Empty(name) => (name, Cow::Borrowed("")),
            };
            if is_hidden_name(name) {
                pairs.push((name, text));
                self.cut(start, self.at, Seen::Nothing);
            } else {
                shown = true;
            }
        }
        if !(self.with_metadata && shown) {
            self.cuts.truncate(first);
            self.cut(start, self.at, Seen::Nothing);
        }
        Some(Hidden::listed(pairs.iter().map(|(name, text)| (*name, &**text))))
    }

    /// An element that stays as it is: held to what the tree takes.
    fn pass(&mut self, name: &str, depth: usize) -> Option<()> {
        if self.leaf(name).is_some() {
            return Some(());
        }
        if depth >= DEEPEST {
            return None;
        }
        loop {
            match self.tag()?.0 {
                Tag::Close(found) => return (found == name).then_some(()),
                Tag::Open(name) => self.pass(name, depth + 1)?,
                Tag::Empty(_) => {}
            }
        }
    }

    /// The text of the element that was just opened, and its end; `None`, and nothing is read, if it holds more than text.
    fn leaf(&mut self, name: &str) -> Option<Leaf<'d>> {
        let rest = self.rest();
        let mut len = memchr2(b'<', b'&', rest.as_bytes())?;
        let decoded = rest.as_bytes().get(len) == Some(&b'&');
        if decoded {
            len += memchr(b'<', rest.as_bytes().get(len..)?)?;
        }
        let (text, end) = rest.split_at_checked(len)?;
        if !end.strip_prefix("</")?.strip_prefix(name)?.starts_with('>') {
            return None;
        }
        let text = if decoded {
            unescape(text).ok()?
        } else {
            Cow::Borrowed(text)
        };
        let from = self.at;
        let to = from + len;
        self.at = to + name.len() + "</>".len();
        Some(Leaf { text, from, to })
    }

    /// The next tag and where it begins; only white space may stand before it.
    fn tag(&mut self) -> Option<(Tag<'d>, usize)> {
        let rest = self.rest();
        let tag = rest.trim_ascii_start();
        let start = self.at + (rest.len() - tag.len());
        let tag = tag.strip_prefix('<')?;
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let is_named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let len = tag.as_bytes().iter().take_while(|byte| is_named(byte)).count();
        let (name, end) = tag.split_at_checked(len)?;
        if name.is_empty() {
            return None;
        }
        let name_ends = start + 1 + usize::from(closes) + len;
        let (tag, ends) = match (closes, end.as_bytes()) {
            (true, [b'>', ..]) => (Tag::Close(name), 1),
            (false, [b'>', ..]) => (Tag::Open(name), 1),
            (false, [b'/', b'>', ..]) => (Tag::Empty(name), 2),
            (false, [b' ', b'/', b'>', ..]) => (Tag::Empty(name), 3),
            _ => return None,
        };
        self.at = name_ends + ends;
        Some((tag, start))
    }

    fn rest(&self) -> &'d str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn cut(&mut self, from: usize, to: usize, seen: Seen<'d>) {
        let entry = self.entries.len();
        self.cuts.push(Cut { from, to, entry, seen });
    }
}

/// What comes twice is for the tree.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}
