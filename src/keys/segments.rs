//! What a lease permits for objects of many segments: blocks, Append Blocks and footers sealed, and read again.

use crate::keys::lease::{Lease, Leased, UseError};
use crate::seal::{
    AppendRead, Binding, BlockId, BlockPlace, Core, Header, MetadataKey, Opener, Place, PlainLen, SealError, Sealer,
    Tampered,
};

impl Lease {
    /// Begins an Azure block, and makes the id that it is sent under.
    ///
    /// # Errors
    /// The lease has ended; the client's id or the length is out of bounds.
    pub fn seal_block(
        self,
        place: &BlockPlace<'_>,
        len: PlainLen,
    ) -> Result<(BlockId, Header, Leased<Sealer>), UseError> {
        let sealed = self.with_dek(|tenant, dek| crate::seal::seal_block(dek, tenant, place, len, &self.envelope))?;
        let (id, header, sealer) = sealed.map_err(UseError::Seal)?;
        Ok((id, header, Leased::new(self, sealer)))
    }

    /// Begins one Append Block.
    ///
    /// # Errors
    /// The lease has ended, or the length is over the format's limit.
    pub fn seal_append(self, binding: Binding, len: PlainLen) -> Result<(Header, Leased<Sealer>), UseError> {
        let sealed =
            self.with_dek(|tenant, dek| crate::seal::seal_append(dek, tenant, binding, len, &self.envelope))?;
        let (header, sealer) = sealed.map_err(UseError::Seal)?;
        Ok((header, Leased::new(self, sealer)))
    }

    /// The keys of a segment, for one look at what is sealed in metadata; nothing where the lease has ended or the core is of
    /// another DEK. Not to be kept.
    pub fn opened(&self, core: &Core) -> Option<Opener> {
        self.with_dek(|tenant, dek| crate::seal::open_segment(dek, tenant, core))
            .ok()?
            .ok()
    }

    /// The key of what is sealed in the metadata of an object that was sealed at `place`, likewise.
    pub fn metadata_key(&self, place: &Place<'_>, core: &Core) -> Option<MetadataKey> {
        self.with_dek(|tenant, dek| crate::seal::open_metadata(dek, tenant, place, core))
            .ok()?
            .ok()
    }

    /// Hands a reader the Append Block that it wants next.
    ///
    /// # Errors
    /// The lease has ended, or it is another block.
    pub fn enter_append(&self, reader: &mut AppendRead, header: &Header) -> Result<(), UseError> {
        let entered: Result<(), Tampered> = self.with_dek(|tenant, dek| reader.enter(dek, tenant, header))?;
        entered.map_err(|what| self.tampered(what))
    }
}

impl From<SealError> for UseError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}
