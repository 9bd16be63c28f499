//! One segment's beginning, for writers and readers: the salt, the keys, the commitment.

use aws_lc_rs::constant_time;

use crate::seal::derive::{metadata_keys, segment_keys};
use crate::seal::table::content_len;
use crate::seal::{
    Alias, Binding, Core, Dek, Envelope, Header, Kind, MetadataKey, Opener, Padding, Place, PlainLen, SealError,
    Sealer, Tampered, random,
};

/// Begins a whole object of `len` bytes at `place`: its header, which goes first, and the sealer of its chunks, which
/// ends with the padding that follows them.
///
/// # Errors
/// `len` is beyond the format, or the kernel gave no random bytes.
pub fn seal_whole(
    dek: &Dek,
    tenant: &str,
    place: &Place<'_>,
    len: PlainLen,
    envelope: &Envelope,
) -> Result<(Header, Sealer), SealError> {
    Draft::whole(place, len)?.seal(dek, tenant, envelope, fresh_salt()?)
}

/// Opens a whole object that was asked for as `place`: of kind whole, under this DEK for this tenant, sealed at that
/// place or copied there with `alias`.
///
/// # Errors
/// Any of that is not so.
pub fn open_whole(
    dek: &Dek,
    tenant: &str,
    place: &Place<'_>,
    alias: Option<&Alias>,
    core: &Core,
) -> Result<Opener, Tampered> {
    expect_kind(core, Kind::Whole)?;
    let opener = open_segment(dek, tenant, core)?;
    opener.at(place, alias)?;
    Ok(opener)
}

/// Derives a segment's keys and checks the commitment, in constant time. Says nothing of where the segment belongs: use
/// [`open_whole`] and its like, or compare [`Core::binding`].
///
/// # Errors
/// Another DEK or tenant than it was sealed for, or any bit of the core changed.
pub fn open_segment(dek: &Dek, tenant: &str, core: &Core) -> Result<Opener, Tampered> {
    if core.dek_id() != dek.id() {
        return Err(Tampered::Dek);
    }
    let keys = segment_keys(dek, tenant, core).ok_or(Tampered::Commitment)?;
    constant_time::verify_slices_are_equal(&keys.commitment, core.commitment()).map_err(|_| Tampered::Commitment)?;
    let content = match core.kind() {
        Kind::Footer => content_len(core.segments()),
        Kind::Whole | Kind::Part | Kind::Block | Kind::Append => core.plain_len(),
    };
    Ok(Opener::new(keys, *core, content))
}

/// The metadata key of an object that was sealed at `place`, for a look at its checksums and nothing else. One that was copied there is
/// for [`open_segment`] and its alias.
///
/// # Errors
/// As [`open_segment`]; sealed elsewhere.
pub fn open_metadata(dek: &Dek, tenant: &str, place: &Place<'_>, core: &Core) -> Result<MetadataKey, Tampered> {
    if core.dek_id() != dek.id() {
        return Err(Tampered::Dek);
    }
    if !core.born_at(place) {
        return Err(Tampered::Place);
    }
    let (commitment, key) = metadata_keys(dek, tenant, core).ok_or(Tampered::Commitment)?;
    constant_time::verify_slices_are_equal(&commitment, core.commitment()).map_err(|_| Tampered::Commitment)?;
    Ok(key)
}

/// Opens a segment whose kind and binding the reader knows: a staged part, a block, an Append Block.
///
/// # Errors
/// As [`open_segment`]; another kind; another binding.
pub fn open_bound(dek: &Dek, tenant: &str, kind: Kind, binding: &Binding, core: &Core) -> Result<Opener, Tampered> {
    expect_kind(core, kind)?;
    if core.binding() != *binding {
        return Err(Tampered::Place);
    }
    open_segment(dek, tenant, core)
}

impl Opener {
    /// Accepts `place` as this object's: sealed there, or copied there with `alias`; anything else is a swap.
    ///
    /// # Errors
    /// Neither is so.
    pub fn at(&self, place: &Place<'_>, alias: Option<&Alias>) -> Result<(), Tampered> {
        let named = self.core().born_at(place) || alias.is_some_and(|alias| self.alias_key().vouches(alias, place));
        if named { Ok(()) } else { Err(Tampered::Place) }
    }
}

/// A segment about to be sealed.
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) segments: u32,
    /// As the core tells it.
    pub(super) plain_len: PlainLen,
    /// Of the chunks to come; the same but in a footer.
    pub(super) content: PlainLen,
    pub(super) padding: Padding,
    pub(super) binding: Binding,
}

impl Draft {
    pub(super) fn whole(place: &Place<'_>, len: PlainLen) -> Result<Self, SealError> {
        let padding = len.whole_padding().ok_or(SealError::TooLong { found: len.0 })?;
        let binding = Binding::whole(place);
        Ok(Self {
            kind: Kind::Whole,
            segments: 0,
            plain_len: len,
            content: len,
            padding,
            binding,
        })
    }

    /// Derives the keys, and commits to them in the header. Only tests hand in a salt of their own.
    pub(super) fn seal(
        self,
        dek: &Dek,
        tenant: &str,
        envelope: &Envelope,
        salt: [u8; 32],
    ) -> Result<(Header, Sealer), SealError> {
        let core = Core::draft(self.kind, self.segments, self.plain_len, dek.id(), salt, self.binding);
        let keys = segment_keys(dek, tenant, &core).ok_or(SealError::Aead)?;
        let core = core.committed(keys.commitment);
        Ok((
            Header::new(core, envelope.clone()),
            Sealer::new(keys, self.content, self.padding),
        ))
    }
}

pub(super) fn expect_kind(core: &Core, expected: Kind) -> Result<(), Tampered> {
    let found = core.kind();
    if found == expected {
        Ok(())
    } else {
        Err(Tampered::Kind { expected, found })
    }
}

/// 32 bytes from the kernel: fresh for every segment ever written, so that no key, and no nonce under it, ever comes
/// twice.
pub(super) fn fresh_salt() -> Result<[u8; 32], SealError> {
    let mut salt = [0; 32];
    random::fill(&mut salt)?;
    Ok(salt)
}
