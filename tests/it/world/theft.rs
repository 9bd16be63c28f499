//! What a store never has, taken by the test: a tenant's DEK, with which segments of every kind can be sealed, to see whether the
//! gate tells them apart when they are all genuine.

use bytes::BytesMut;
use portcullis::keys::service::{Epoch, Keyring, Wrapped};
use portcullis::seal::{
    CHUNK_LEN, CmkRef, Dek, Domain, Envelope, Header, KeyVersion, OriginSecrets, Place, PlainLen, Sealer,
    WrapAlgorithm, seal_whole,
};

use crate::world::object::Object;
use crate::world::{ORIGIN, World, bucket};

/// A tenant's DEK with its envelope, and the name it is bound to.
pub struct Theft {
    pub dek: Dek,
    pub envelope: Envelope,
    pub tenant: String,
    pub bucket: String,
}

impl Theft {
    /// Reads the keyring's record in the store, and has it unwrapped by the tenant's own identity.
    pub async fn from(world: &World, customer: &str) -> Self {
        let tenant = world.tenant(customer);
        let records = world.keyring().list(&tenant, Epoch::of(world.clock.now())).await;
        let record = records.unwrap().into_iter().next().expect("a DEK has been made");
        let vault = world.vault(customer);
        let session = vault.session().await.unwrap();
        let wrapped = Wrapped {
            algorithm: record.envelope.algorithm(),
            bytes: record.envelope.wrapped().to_vec(),
        };
        let dek = vault
            .unwrap(&session, record.envelope.version(), &wrapped)
            .await
            .unwrap();
        Self {
            dek,
            envelope: record.envelope,
            tenant,
            bucket: bucket(customer),
        }
    }

    /// A DEK of the forger's own choice, wrapped by wrapKey, for which RSA needs nothing but the public half of the CMK.
    pub async fn forged(world: &World, customer: &str) -> Self {
        let vault = world.vault(customer);
        let session = vault.session().await.unwrap();
        let version = vault.current(&session).await.unwrap().version;
        let dek = Dek::generate().unwrap();
        let wrapped = vault.wrap(&session, version, dek.expose()).await.unwrap();
        let tenant = world.tenant(customer);
        // The fleet's origin secret is what the forger lacks.
        let guess = OriginSecrets::new([[0x66; 32]]).unwrap();
        let cmk = vault.key().cmk();
        let made = Envelope::new(
            WrapAlgorithm::RsaOaep256,
            cmk,
            version,
            &wrapped.bytes,
            &tenant,
            dek.id(),
            &guess,
        );
        Self {
            envelope: made.unwrap(),
            dek,
            tenant,
            bucket: bucket(customer),
        }
    }

    /// An envelope with the fleet's true origin, whatever stands in it.
    pub fn vouched(&self, dek: &Dek, cmk: CmkRef, version: KeyVersion, wrapped: &[u8]) -> Envelope {
        let secrets = OriginSecrets::new([ORIGIN]).unwrap();
        let algorithm = WrapAlgorithm::RsaOaep256;
        Envelope::new(algorithm, cmk, version, wrapped, &self.tenant, dek.id(), &secrets).unwrap()
    }

    /// Where a key of the tenant's lies.
    pub fn place<'a>(&'a self, name: &'a str) -> Place<'a> {
        Place {
            domain: Domain::S3,
            container: &self.bucket,
            name,
        }
    }

    /// A whole object as the gate would seal it.
    pub fn whole(&self, name: &str, plain: &[u8]) -> Object {
        self.whole_under(&self.dek, &self.envelope, name, plain)
    }

    /// A whole object under another DEK, or with another envelope.
    pub fn whole_under(&self, dek: &Dek, envelope: &Envelope, name: &str, plain: &[u8]) -> Object {
        let len = PlainLen(plain.len() as u64);
        let (header, sealer) = seal_whole(dek, &self.tenant, &self.place(name), len, envelope).unwrap();
        Object::sealed(segment(&header, sealer, plain))
    }
}

/// A segment's bytes: header, chunks, padding.
pub fn segment(header: &Header, mut sealer: Sealer, plain: &[u8]) -> Vec<u8> {
    let mut body = BytesMut::from(&header.to_bytes()[..]);
    if plain.is_empty() {
        sealer.seal_next(b"", &mut body).unwrap();
    }
    for chunk in plain.chunks(CHUNK_LEN) {
        sealer.seal_next(chunk, &mut body).unwrap();
    }
    let padding = sealer.finish().unwrap();
    let mut body = body.to_vec();
    body.resize(body.len() + usize::try_from(padding.0).unwrap(), 0);
    body
}
