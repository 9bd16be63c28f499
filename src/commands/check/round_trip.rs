//! The keyring, and one object sealed, stored, read, opened and deleted: the parts of the gate itself, under a name in the system
//! container that no client reaches.

use std::sync::Arc;

use crate::body::{Fault, Opening, Plaintext, SealedBody, Stored};
use crate::commands::check::report::{Finding, Step};
use crate::commands::check::shelf::Shelf;
use crate::keys::key_url::KeyUrl;
use crate::keys::service::{Epoch, Keyring, Record};
use crate::keys::{KeyRefusal, Keys, OpenError};
use crate::seal::{OriginSecrets, PlainLen, PlainRange};
use crate::telemetry::clock::Clock;
use crate::upstream::StoreBody;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

/// What is sealed: two chunks, the second not full.
const LEN: usize = 100_000;

/// How many records the tenant has in this epoch, and whether any of all its records could be used here: of this key, and made by
/// this fleet. The vault is not asked about them: the round trip uses one.
pub(super) async fn keyring(
    keyring: &Arc<dyn Keyring>,
    tenant: &str,
    clock: &Clock,
    (key, origin): (&KeyUrl, &OriginSecrets),
) -> Finding {
    let epoch = Epoch::of(clock.now());
    let (records, all) = match (keyring.list(tenant, epoch).await, keyring.all(tenant).await) {
        (Ok(records), Ok(all)) => (records.len(), all),
        (Err(error), _) | (_, Err(error)) => {
            return Finding::failed(Step::Keyring, error.to_string())
                .because("keyring_unreachable")
                .fix(["let the gate's credential list and read in the system container".to_owned()]);
        }
    };
    let elsewhere = all.iter().filter(|record| record.envelope.cmk() != key.cmk()).count();
    let foreign = |record: &&Record| origin.verify(tenant, record.dek, &record.envelope).is_err();
    let foreign = all.iter().filter(foreign).count();
    if elsewhere > 0 || foreign > 0 {
        let found = format!(
            "of {}, {elsewhere} are of another key than {key}, and {foreign} not under this fleet's origin secrets: what they sealed is refused",
            deks(all.len())
        );
        let advice = [
            "a key that was restored into another vault, or under another name, is another key: docs/operations.md, restoring",
            "see that `origin_secrets` has every secret that it ever had",
        ];
        return Finding::warning(Step::Keyring, found).fix(advice.map(str::to_owned));
    }
    match records {
        0 => Finding::ok(
            Step::Keyring,
            format!("no DEK in epoch {epoch} yet; the first use makes one"),
        ),
        records => Finding::ok(Step::Keyring, format!("{} in epoch {epoch}", deks(records))),
    }
}

fn deks(count: usize) -> String {
    match count {
        1 => "1 DEK".to_owned(),
        count => format!("{count} DEKs"),
    }
}

/// One object there and back.
pub(super) async fn round_trip(keys: &Keys, tenant: &str, shelf: Shelf<'_>) -> Finding {
    let mut salt = [0; 8];
    let mut plain = vec![0; LEN];
    let random = |bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).is_ok();
    if !random(&mut salt) || !random(&mut plain) {
        return Finding::failed(Step::RoundTrip, "the system gave no random bytes");
    }
    let key = format!("check/{}", hex::encode(salt));
    let begun = tokio::time::Instant::now();
    let went = there_and_back(keys, tenant, shelf, &key, &Bytes::from(plain)).await;
    let removed = shelf.delete(&key).await;
    match went {
        Err(why) => why,
        Ok(()) => {
            let took = begun.elapsed().as_millis();
            let found = format!("{LEN} bytes sealed, stored, read and opened in {took} ms");
            match removed {
                Ok(said) if said.status.is_success() => Finding::ok(Step::RoundTrip, found),
                Ok(said) => {
                    let left = format!("{found}; deleting is answered {}", said.words);
                    Finding::warning(Step::RoundTrip, left)
                        .fix(["let the gate's credential delete in the system container".to_owned()])
                }
                Err(error) => Finding::warning(Step::RoundTrip, format!("{found}; deleting: {error}")),
            }
        }
    }
}

async fn there_and_back(keys: &Keys, tenant: &str, shelf: Shelf<'_>, key: &str, plain: &Bytes) -> Result<(), Finding> {
    let place = shelf.place(key);
    let failed = |what: &str| Finding::failed(Step::RoundTrip, what);
    let refused = |no: KeyRefusal| Finding::failed(Step::RoundTrip, format!("no lease: {no}")).because(no.why.name());
    let len = PlainLen(plain.len() as u64);
    let sealed_len = len.sealed().ok_or_else(|| failed("no such length"))?;
    let lease = keys.to_write(tenant).await.map_err(refused)?;
    let (header, sealer) = lease
        .seal_whole(&place, len)
        .map_err(|error| failed(&error.to_string()))?;
    let body = SealedBody::new(&header, sealer, Whole(Some(plain.clone())), sealed_len);
    let body = StoreBody::sealed(body);
    let said = shelf
        .put(key, body)
        .await
        .map_err(|error| failed(&format!("storing: {error}")))?;
    if !said.status.is_success() {
        return Err(failed(&format!("storing is answered {}", said.words))
            .fix(["let the gate's credential write in the system container".to_owned()]));
    }

    let (status, body) = shelf
        .get(key)
        .await
        .map_err(|error| failed(&format!("reading: {error}")))?;
    if !status.is_success() {
        return Err(failed(&format!("reading is answered {}", status.as_u16())));
    }
    let mut stored = Stored::new(body);
    let broken = |fault: Fault| failed(&format!("what was read is not what was stored: {fault}"));
    let header = stored.header().await.map_err(broken)?;
    let lease = keys.to_open(tenant, header.core().dek_id(), header.envelope()).await;
    let lease = lease.map_err(|error| match error {
        OpenError::Refused(refusal) => refused(refusal),
        OpenError::NotOurs(why) => failed(&why.to_string()),
    })?;
    let opener = lease
        .open_segment(header.core())
        .map_err(|error| failed(&error.to_string()))?;
    let span = PlainRange::all(len).and_then(|all| len.span(all));
    let span = span.ok_or_else(|| failed("no such length"))?;
    let mut opening = Opening::new(stored, opener, span, len.whole_padding());
    let mut back = BytesMut::with_capacity(plain.len());
    while let Some(bytes) = opening.next().await.map_err(broken)? {
        back.extend_from_slice(&bytes);
    }
    match back == *plain {
        true => Ok(()),
        false => Err(failed("other bytes came back than were sealed")),
    }
}

/// Bytes in memory on their way into a seal.
struct Whole(Option<Bytes>);

#[async_trait]
impl Plaintext for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.take())
    }
}
