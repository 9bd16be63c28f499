//! Binding: which object a segment belongs to, as a hash over its length-prefixed context. A segment found under
//! another name, part number or block id has another binding, and is refused.
//!
//! `binding = SHA-256(len ‖ field ‖ len ‖ field …)`, each len 4 bytes big-endian, the first field a label:
//!
//! | label | fields |
//! |---|---|
//! | `s3 object`, `azure object` | container, name |
//! | `s3 part` | container, name, upload id, part number as 4 bytes big-endian |
//! | `azure block` | container, name, block id as sent upstream, its raw bytes |
//! | `azure append` | container, name, index and plaintext offset, each 8 bytes big-endian |

use aws_lc_rs::digest;

/// The cloud whose names these are: a bucket and a container of one name are two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    S3,
    Azure,
}

/// Where an object lives, as its client names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub domain: Domain,
    /// The container's configured logical name (`sealed_as`), by default its own: a replica or a restored bucket under
    /// another name stays readable.
    pub container: &'a str,
    pub name: &'a str,
}

/// SHA-256 over a segment's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding([u8; 32]);

impl Binding {
    /// Of a whole object, of a footer, and of an alias.
    #[must_use]
    pub fn whole(place: &Place<'_>) -> Self {
        let label = match place.domain {
            Domain::S3 => "s3 object",
            Domain::Azure => "azure object",
        };
        Self::over(label, place, &[])
    }

    /// Of a part of an S3 multipart upload.
    #[must_use]
    pub fn part(container: &str, name: &str, upload_id: &str, number: u32) -> Self {
        let place = Place {
            domain: Domain::S3,
            container,
            name,
        };
        Self::over("s3 part", &place, &[upload_id.as_bytes(), &number.to_be_bytes()])
    }

    /// Of an Azure block. `upstream_id` is the whole id sent upstream, as raw bytes, so the table pins the very
    /// segment.
    #[must_use]
    pub fn block(container: &str, name: &str, upstream_id: &[u8]) -> Self {
        let place = Place {
            domain: Domain::Azure,
            container,
            name,
        };
        Self::over("azure block", &place, &[upstream_id])
    }

    /// Of one Append Block: the `index`th from 0, whose plaintext begins at `offset` of the blob's.
    #[must_use]
    pub fn append(container: &str, name: &str, index: u64, offset: u64) -> Self {
        let place = Place {
            domain: Domain::Azure,
            container,
            name,
        };
        Self::over("azure append", &place, &[&index.to_be_bytes(), &offset.to_be_bytes()])
    }

    /// The bytes as they stand in a header and in a table.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn from_array(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn over(label: &str, place: &Place<'_>, more: &[&[u8]]) -> Self {
        let room = [label.len(), place.container.len(), place.name.len(), 64];
        let mut context = Vec::with_capacity(room.iter().sum());
        for field in [label.as_bytes(), place.container.as_bytes(), place.name.as_bytes()]
            .iter()
            .chain(more)
        {
            prefixed(&mut context, field);
        }
        Self(sha256(&context))
    }
}

/// Appends `field` behind its length, 4 bytes big-endian: no two lists of fields make the same bytes.
pub(super) fn prefixed(out: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX); // names are a KiB or so; nothing near 4 GiB gets here
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field);
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_moves_the_binding() {
        let bindings = [
            Binding::whole(&Place {
                domain: Domain::S3,
                container: "a",
                name: "bc",
            }),
            Binding::whole(&Place {
                domain: Domain::S3,
                container: "ab",
                name: "c",
            }),
            Binding::whole(&Place {
                domain: Domain::S3,
                container: "a",
                name: "bd",
            }),
            Binding::whole(&Place {
                domain: Domain::Azure,
                container: "a",
                name: "bc",
            }),
            Binding::part("a", "bc", "u", 1),
            Binding::part("a", "bc", "u", 2),
            Binding::part("a", "bc", "v", 1),
            Binding::part("a", "b", "cu", 1),
            Binding::block("a", "bc", b"u"),
            Binding::block("a", "bc", b"u\0\0\0\x01"),
            Binding::append("a", "bc", 0, 0),
            Binding::append("a", "bc", 1, 0),
            Binding::append("a", "bc", 0, 1),
        ];
        let distinct: std::collections::HashSet<_> = bindings.iter().collect();
        assert_eq!(distinct.len(), bindings.len());
    }
}
