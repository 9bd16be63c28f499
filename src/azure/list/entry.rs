//! One listed blob: what its listing says, and what of it needs more than the listing: an append blob's length, a DEK's lease.

use std::borrow::Cow;
use std::collections::HashMap;

use futures_util::stream::{self, StreamExt};
use http::{HeaderValue, Method};

use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, send};
use crate::azure::headers;
use crate::azure::metadata::Hidden;
use crate::azure::read::shape::{Shape, stored_len};
use crate::body::Stored;
use crate::keys::Lease;
use crate::seal::{Core, DekId, Domain, HEADER_LEN, Header, Kind, Place, SealedLen};

/// How many append blobs of a page are asked about at once.
const AT_ONCE: usize = 8;

/// What a page says of one blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed<'d> {
    /// Its name, decoded.
    pub name: Cow<'d, str>,
    /// Which snapshot it is; empty where it is none.
    pub snapshot: Cow<'d, str>,
    /// Which version it is; empty where the account keeps none.
    pub version: Cow<'d, str>,
    /// Whether it is deleted, so that nothing more can be asked about it.
    pub deleted: bool,
    /// Whether it is an append blob.
    pub append: bool,
    /// Its length in the store, in bytes.
    pub stored: Option<SealedLen>,
    /// What the gate keeps in its metadata.
    pub hidden: Hidden,
}

/// What the client is told of a blob instead of what the store says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The plaintext's length, in bytes.
    pub len: Option<u64>,
    /// The plaintext's MD5, in base64.
    pub md5: Option<String>,
}

/// What is told of each blob of a page, in their order.
///
/// # Errors
/// The tenant's key is not to be had, or an append blob's size is no sealed one's.
pub async fn told(exchange: &Exchange<'_>, entries: &[Listed<'_>]) -> Result<Vec<Told>, AzureError> {
    let sizes = append_sizes(exchange, entries).await?;
    let leases = leases(exchange, entries).await?;
    let all = entries.iter().zip(sizes).map(|(entry, size)| Told {
        len: entry.plain_len(size),
        md5: entry.md5(exchange, &leases),
    });
    Ok(all.collect())
}

impl Listed<'_> {
    /// The same, of no page.
    #[cfg(test)]
    pub fn into_owned(self) -> Listed<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Listed {
            name: owned(self.name),
            snapshot: owned(self.snapshot),
            version: owned(self.version),
            deleted: self.deleted,
            append: self.append,
            stored: self.stored,
            hidden: self.hidden,
        }
    }

    fn plain_len(&self, append: Option<u64>) -> Option<u64> {
        let len = append.or_else(|| self.hidden.core.map(|core| core.plain_len().0));
        // Metadata that was stripped costs a blob of blocks its length here; one segment's follows from its size.
        len.or_else(|| self.stored?.plain().map(|plain| plain.0))
    }

    fn md5(&self, exchange: &Exchange<'_>, leases: &HashMap<DekId, Lease>) -> Option<String> {
        let core = self.hidden.core?;
        self.hidden.sums.as_ref()?;
        let lease = leases.get(&core.dek_id())?;
        let place = Place {
            domain: Domain::Azure,
            container: &exchange.container.sealed_as,
            name: &self.name,
        };
        if let Some(key) = lease.metadata_key(&place, &core) {
            return self.hidden.md5_text(&key);
        }
        let alias = self.hidden.alias()?;
        let opened = lease.opened(&core)?;
        opened.at(&place, Some(&alias)).ok()?;
        self.hidden.md5_text(opened.metadata_key())
    }

    /// The query that names this version of it.
    fn version(&self) -> Vec<(String, String)> {
        [("snapshot", &self.snapshot), ("versionid", &self.version)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(parameter, value)| (parameter.to_owned(), value.clone().into_owned()))
            .collect()
    }
}

/// The lengths of the page's append blobs; nothing for the others.
async fn append_sizes(exchange: &Exchange<'_>, entries: &[Listed<'_>]) -> Result<Vec<Option<u64>>, AzureError> {
    let mut lens: Vec<Option<u64>> = vec![None; entries.len()];
    let appended = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.append && !entry.deleted);
    let asked = appended.map(|(at, entry)| async move {
        let mut ask = Ask::new(Method::HEAD, entry.version());
        headers::to_any(exchange.client(), exchange.address, &mut ask.headers);
        let answer = send(exchange.container, exchange.address.secondary, &entry.name, ask).await;
        let Ok(answer) = answer else { return Ok((at, None)) };
        let stored = stored_len(answer.status(), answer.headers())?;
        let len = match Shape::of(answer.headers(), stored) {
            Ok(Shape::Append(len, _)) => Some(len.0),
            Ok(Shape::Whole(_) | Shape::Blocks(..) | Shape::Unknown) | Err(_) => None,
        };
        Ok((at, len))
    });
    let asked: Vec<_> = asked.collect();
    let found: Vec<Result<_, AzureError>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    for found in found {
        let (at, len) = found?;
        if let Some(place) = lens.get_mut(at) {
            *place = len;
        }
    }
    Ok(lens)
}

/// Leases on the DEKs that the page's checksums are sealed under. One that is not in memory is had by the header of one blob that
/// it seals.
async fn leases(exchange: &Exchange<'_>, entries: &[Listed<'_>]) -> Result<HashMap<DekId, Lease>, AzureError> {
    let mut leases = HashMap::new();
    if exchange.keyless {
        return Ok(leases);
    }
    for entry in entries.iter().filter(|entry| !entry.deleted) {
        let (Some(core), Some(_)) = (entry.hidden.core, &entry.hidden.sums) else {
            continue;
        };
        if leases.contains_key(&core.dek_id()) {
            continue;
        }
        let tenant = &exchange.container.tenant;
        let lease = match exchange.keys.warm(tenant, core.dek_id()) {
            Some(lease) => Some(lease),
            None => match header(exchange, entry, &core).await {
                Some(header) => Some(exchange.keys.to_open(tenant, core.dek_id(), header.envelope()).await?),
                None => None,
            },
        };
        if let Some(lease) = lease {
            leases.insert(core.dek_id(), lease);
        }
    }
    Ok(leases)
}

/// The header that a listed blob's core is of.
async fn header(exchange: &Exchange<'_>, entry: &Listed<'_>, core: &Core) -> Option<Header> {
    let at = match core.kind() {
        Kind::Footer => entry.stored?.0.checked_sub(HEADER_LEN as u64)?,
        _ => 0,
    };
    // Only what has a length in the store can be read there.
    entry.stored?;
    let mut ask = Ask::new(Method::GET, entry.version());
    headers::to_any(exchange.client(), exchange.address, &mut ask.headers);
    let range = format!("bytes={at}-{}", at + HEADER_LEN as u64 - 1);
    ask.headers.insert("x-ms-range", HeaderValue::try_from(range).ok()?);
    let answer = send(exchange.container, exchange.address.secondary, &entry.name, ask)
        .await
        .ok()?;
    let bytes = Stored::new(answer.into_body()).all(HEADER_LEN).await.ok()?;
    Header::parse(&bytes)
        .ok()
        .filter(|header| header.core().dek_id() == core.dek_id())
}
