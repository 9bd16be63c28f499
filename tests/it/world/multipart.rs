//! Multipart objects as a gate would have completed them, sealed by the test under a tenant's own DEK.

use portcullis::seal::{
    Binding, Checksums, Dek, Entry, Envelope, PlainLen, Table, open_segment, seal_footer, seal_part,
};

use crate::world::object::Object;
use crate::world::theft::{Theft, segment};

/// S3's least part but the last.
pub const MIB5: usize = 5 << 20;

/// A sealed part, and the table's line about it.
#[derive(Clone)]
pub struct Part {
    pub entry: Entry,
    pub sealed: Vec<u8>,
}

impl Theft {
    /// A part of an upload.
    pub fn part(&self, name: &str, upload: &str, number: u32, plain: &[u8]) -> Part {
        self.part_under(&self.dek, &self.envelope, name, upload, number, plain)
    }

    /// A part under another DEK, or with another envelope.
    pub fn part_under(
        &self,
        dek: &Dek,
        envelope: &Envelope,
        name: &str,
        upload: &str,
        number: u32,
        plain: &[u8],
    ) -> Part {
        let binding = Binding::part(&self.bucket, name, upload, number);
        let plain_len = PlainLen(plain.len() as u64);
        let (header, sealer) = seal_part(dek, &self.tenant, binding, plain_len, envelope).unwrap();
        let entry = Entry {
            binding,
            plain_len,
            number,
        };
        Part {
            entry,
            sealed: segment(&header, sealer, plain),
        }
    }

    /// Zeros and footer of these parts.
    pub fn tail(&self, name: &str, upload: &str, parts: &[Part], checksums: &Checksums) -> Vec<u8> {
        let entries = parts.iter().map(|part| part.entry).collect();
        let table = Table::new(Some(upload), entries, checksums.clone()).unwrap();
        let tail = seal_footer(&self.dek, &self.tenant, &self.place(name), &table, &self.envelope).unwrap();
        let zeros = vec![0; usize::try_from(tail.padding().0).unwrap()];
        [&zeros, tail.footer()].concat()
    }

    /// The object that these parts make.
    pub fn tied(&self, name: &str, upload: &str, parts: &[Part], checksums: &Checksums) -> Object {
        let segments: Vec<u8> = parts.iter().flat_map(|part| part.sealed.iter().copied()).collect();
        completed([segments, self.tail(name, upload, parts, checksums)].concat())
    }

    /// The object of an upload with parts of these numbers and bytes.
    pub fn multipart(&self, name: &str, upload: &str, parts: &[(u32, &[u8])]) -> Object {
        let parts: Vec<_> = parts
            .iter()
            .map(|(number, plain)| self.part(name, upload, *number, plain))
            .collect();
        self.tied(name, upload, &parts, &Checksums::default())
    }

    /// The alias that gives an object of this tenant's the right to lie under another name.
    pub fn alias(&self, object: &Object, name: &str) -> String {
        let core = object.own_core();
        let opener = open_segment(&self.dek, &self.tenant, &core).unwrap();
        opener.alias_key().alias(&self.place(name)).to_string()
    }
}

/// An object with these bytes, and the metadata of a completed upload.
pub fn completed(body: Vec<u8>) -> Object {
    Object::sealed(body).with_core(None).with_own("multipart", 1)
}

impl Object {
    /// The core of a whole object's header, or of a multipart object's footer.
    pub fn own_core(&self) -> portcullis::seal::Core {
        use portcullis::seal::{Core, HEADER_LEN};
        let at = match self.own.contains_key("multipart") {
            true => self.body.len() - HEADER_LEN,
            false => 0,
        };
        Core::parse(&self.body[at..at + 136]).unwrap()
    }
}
