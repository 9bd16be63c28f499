//! The key of an object's metadata: what it opens, and whom it is given.

use super::{PLACE, TENANT, dek, sealed_whole};
use crate::seal::{CORE_LEN, Core, Place, Tampered, open_metadata, open_segment};

#[test]
fn the_metadata_key_alone_is_that_of_the_whole_and_as_well_guarded() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"x");
    let core = Core::parse(&stored[..CORE_LEN]).unwrap();
    let whole = open_segment(&dek(), TENANT, &core).unwrap();
    let text = whole.metadata_key().seal("checksums", b"value").unwrap();
    let alone = open_metadata(&dek(), TENANT, &PLACE, &core).ok().unwrap();
    assert_eq!(alone.open("checksums", &text), Ok(b"value".to_vec()));
    let refused = |tenant, place: &Place<'_>, core: &Core| open_metadata(&dek(), tenant, place, core).err();
    let elsewhere = Place { name: "other", ..PLACE };
    assert_eq!(refused(TENANT, &elsewhere, &core), Some(Tampered::Place));
    assert_eq!(refused("globex", &PLACE, &core), Some(Tampered::Commitment));
    for at in 0..CORE_LEN {
        let mut bytes = core.to_bytes();
        bytes[at] ^= 1;
        if let Ok(changed) = Core::parse(&bytes) {
            assert!(refused(TENANT, &PLACE, &changed).is_some(), "byte {at}");
        }
    }
}

#[test]
fn metadata_opens_for_its_object_and_label_only() {
    let core = |name| {
        let stored = sealed_whole(&dek(), TENANT, &Place { name, ..PLACE }, b"");
        Core::parse(&stored[..CORE_LEN]).unwrap()
    };
    let (one, two) = (core("one"), core("two"));
    let (one, two) = (
        open_segment(&dek(), TENANT, &one).unwrap(),
        open_segment(&dek(), TENANT, &two).unwrap(),
    );
    let text = one.metadata_key().seal("checksums", b"value").unwrap();
    assert_eq!(one.metadata_key().open("checksums", &text), Ok(b"value".to_vec()));
    assert_eq!(one.metadata_key().open("other", &text), Err(Tampered::Metadata));
    assert_eq!(two.metadata_key().open("checksums", &text), Err(Tampered::Metadata));
    assert_ne!(
        one.metadata_key().seal("checksums", b"value").unwrap(),
        text,
        "each value has a nonce of its own"
    );
    for wrong in ["", "AAAA", &text[2..], "not base64!"] {
        assert_eq!(one.metadata_key().open("checksums", wrong), Err(Tampered::Metadata));
    }
}
