//! A page however it is written: read into a tree, changed there, and written again. It is the fallback of [`super::text`], and
//! what that is held to.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::azure::list::entry::{Listed, Told};
use crate::azure::metadata::{Hidden, is_hidden_name};
use crate::azure::xml::Element;
use crate::seal::SealedLen;

/// The blobs of a page, in their order.
pub fn listed<'p>(page: &'p Element<'_>) -> Vec<Listed<'p>> {
    let entries = page.child("Blobs").map_or(&[][..], |blobs| &blobs.children);
    entries.iter().filter(|entry| entry.name == "Blob").map(of).collect()
}

fn of<'p>(entry: &'p Element<'_>) -> Listed<'p> {
    let properties = entry.child("Properties");
    let property = |name| properties.map_or("", |properties| properties.text_of(name));
    let pairs = entry.child("Metadata").map(|metadata| metadata.children.iter());
    let pairs = pairs.into_iter().flatten();
    Listed {
        name: name(entry),
        snapshot: Cow::Borrowed(entry.text_of("Snapshot")),
        version: Cow::Borrowed(entry.text_of("VersionId")),
        deleted: entry.text_of("Deleted") == "true",
        append: property("BlobType") == "AppendBlob",
        stored: property("Content-Length").parse().ok().map(SealedLen),
        hidden: Hidden::listed(pairs.map(|pair| (&*pair.name, &*pair.text))),
    }
}

/// Names with characters that XML has not are told percent-encoded, and marked as such.
/// <https://learn.microsoft.com/rest/api/storageservices/list-blobs#response-body>
fn name<'p>(entry: &'p Element<'_>) -> Cow<'p, str> {
    let Some(name) = entry.child("Name") else {
        return Cow::Borrowed("");
    };
    let is_encoded = |(name, value): &(String, String)| name == "Encoded" && value == "true";
    if !name.attributes.iter().any(is_encoded) {
        return Cow::Borrowed(&name.text);
    }
    let decoded = percent_decode_str(&name.text).decode_utf8();
    decoded.unwrap_or(Cow::Borrowed(&name.text))
}

/// Makes of each blob what its client is to see. `source` makes the client's address of one in the store, `progress` says how much of
/// a copy of that length is done.
pub fn show(
    page: &mut Element<'_>,
    told: &[Told],
    with_metadata: bool,
    source: &dyn Fn(&str) -> String,
    progress: &dyn Fn(&str, u64) -> Option<String>,
) {
    let Some(blobs) = page.child_mut("Blobs") else { return };
    let entries = blobs.children.iter_mut().filter(|entry| entry.name == "Blob");
    for (entry, told) in entries.zip(told) {
        metadata(entry, with_metadata);
        if let Some(properties) = entry.child_mut("Properties") {
            show_properties(properties, told, source, progress);
        }
    }
}

fn metadata(entry: &mut Element<'_>, with_metadata: bool) {
    if !with_metadata {
        entry.remove("Metadata");
    } else if let Some(metadata) = entry.child_mut("Metadata") {
        metadata.children.retain(|pair| !is_hidden_name(&pair.name));
        if metadata.children.is_empty() {
            entry.remove("Metadata");
        }
    }
}

fn show_properties(
    properties: &mut Element<'_>,
    told: &Told,
    source: &dyn Fn(&str) -> String,
    progress: &dyn Fn(&str, u64) -> Option<String>,
) {
    properties.remove("Content-MD5");
    properties.remove("Content-CRC64");
    if let Some(from) = properties.child_mut("CopySource") {
        from.text = source(&from.text).into();
    }
    if let Some(done) = properties.child_mut("CopyProgress")
        && let Some(plain) = progress(&done.text, told.len.unwrap_or_default())
    {
        done.text = plain.into();
    }
    if properties.text_of("Content-Length").parse::<u64>().is_err() {
        return;
    }
    if let Some(len) = told.len {
        properties.set("Content-Length", len.to_string());
    }
    if let Some(md5) = &told.md5 {
        // Where Azure has it: behind what else is said of the content.
        let before = ["Content-Length", "Content-Type", "Content-Encoding", "Content-Language"];
        let is_before = |child: &Element<'_>| before.contains(&&*child.name);
        let at = properties.children.iter().rposition(is_before);
        let at = at.map_or(properties.children.len(), |at| at + 1);
        properties.children.insert(at, Element::new("Content-MD5", md5.clone()));
    }
}
