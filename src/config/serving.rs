//! `[[listener]]`, `[store.…]`, `[[credential]]` and `[bucket.…]`: who may ask, where, and for what.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::identity::Template;
use crate::config::mistake::Fault;
use crate::config::outside::{Outside, Secret};
use crate::config::section::{Entry, Section};
use crate::config::{Bucket, Client, Tenant, value};
use crate::gateway::S3Options;
use crate::listener::ListenerOptions;
use crate::s3::auth::{Regions, SigV2};
use crate::tenant::Pattern;
use crate::upstream::sigv4::{Credential, SecretKey};
use crate::upstream::{Addressing, AzureOptions, ConditionalWrites, Dialect, Payload, Provider, StoreOptions};

/// The least of a client's secret, in bytes. Amazon's have 40.
const LEAST_SECRET: usize = 16;
/// The least of `largest_put`: what is larger goes in parts, of which S3 takes none under 5 MiB, and a sealed one is somewhat more.
const LEAST_PUT: u64 = 6 << 20;
/// The most of it: S3's own limit.
const MOST_PUT: u64 = 5 << 30;
/// The region that requests are signed for unless configured: what SDKs take for stores that have none.
const REGION: &str = "us-east-1";

/// `[[listener]]`. `taken` holds the addresses in use and who uses them.
pub(super) fn listeners(
    sections: Vec<Section<'_, '_>>,
    outside: &Outside<'_>,
    drain: Duration,
    taken: &mut Vec<(SocketAddr, String)>,
) -> (Vec<ListenerOptions>, Vec<ListenerOptions>) {
    let (mut s3, mut azure) = (Vec::new(), Vec::new());
    for section in sections {
        match listener(section, outside, drain, taken) {
            Some((Protocol::S3, options)) => s3.push(options),
            Some((Protocol::Azure, options)) => azure.push(options),
            None => {}
        }
    }
    (s3, azure)
}

/// Which dialect is spoken at a listener, or by a store.
#[derive(Clone, Copy)]
enum Protocol {
    S3,
    Azure,
}

const PROTOCOLS: &[(&str, Protocol)] = &[("s3", Protocol::S3), ("azure", Protocol::Azure)];

fn listener(
    mut section: Section<'_, '_>,
    outside: &Outside<'_>,
    drain: Duration,
    taken: &mut Vec<(SocketAddr, String)>,
) -> Option<(Protocol, ListenerOptions)> {
    let address = section
        .need("address")
        .and_then(|entry| address(entry, section.place_of("address"), outside, taken));
    let protocol = match section.take("protocol") {
        None => Some(Protocol::S3),
        Some(entry) => entry.choice(PROTOCOLS),
    };
    let tls = match section.take("tls") {
        None => Some(None),
        Some(entry) => entry.section().and_then(|section| outside.tls(section)).map(Some),
    };
    let max_connections = number(&mut section, "max_connections", 1, 1_000_000);
    let send_buffer = number(&mut section, "send_buffer", 4096, 64 * 1024 * 1024);
    let options = ListenerOptions {
        address: address?,
        tls: tls?,
        max_connections: max_connections.map_or(ListenerOptions::MAX_CONNECTIONS, |most| most as usize),
        send_buffer: send_buffer.unwrap_or(ListenerOptions::SEND_BUFFER),
        drain,
    };
    Some((protocol?, options))
}

/// An address that nobody else listens on. It may come from the environment, so that gates on one machine can share a file.
pub(super) fn address(
    entry: Entry<'_, '_>,
    place: String,
    outside: &Outside<'_>,
    taken: &mut Vec<(SocketAddr, String)>,
) -> Option<SocketAddr> {
    let (text, entry) = outside.text(entry)?;
    let address = entry.check(value::address(&text))?;
    if let Some((_, by)) = taken.iter().find(|(other, _)| value::collide(address, *other)) {
        entry.wrong(Fault::Taken { by: by.clone() });
        return None;
    }
    taken.push((address, place));
    Some(address)
}

fn number(section: &mut Section<'_, '_>, key: &'static str, least: u32, most: u32) -> Option<u32> {
    section.take(key).and_then(|entry| entry.number(least, most))
}

/// `[s3]`.
pub(super) fn s3(mut section: Section<'_, '_>) -> S3Options {
    let mut options = S3Options::default();
    let domains = section.take("domains").and_then(Entry::list);
    for entry in domains.into_iter().flatten() {
        let Some(domain) = entry.text() else { continue };
        match options.domains.with(domain) {
            Ok(domains) => options.domains = domains,
            Err(_) => entry.wrong(Fault::Form("a domain, like \"s3.example.com\"")),
        }
    }
    let regions = section.take("regions").and_then(Entry::list).unwrap_or_default();
    let regions: Vec<_> = regions.iter().filter_map(|entry| entry.parsed(value::region)).collect();
    if !regions.is_empty() {
        options.regions = Regions::Only(regions);
    }
    let places = [
        ("presigned", SigV2::Presigned),
        ("everywhere", SigV2::Everywhere),
        ("nowhere", SigV2::Nowhere),
    ];
    if let Some(sig_v2) = section.take("sig_v2").and_then(|entry| entry.choice(&places)) {
        options.sig_v2 = sig_v2;
    }
    options
}

/// `[store.…]`; `None` where one has a mistake.
pub(super) fn stores(
    sections: Vec<(String, Section<'_, '_>)>,
    outside: &Outside<'_>,
    dev: bool,
    identities: &BTreeMap<String, Option<Template>>,
) -> (S3Stores, AzureStores) {
    let (mut s3, mut azure) = (S3Stores::new(), AzureStores::new());
    for (name, mut section) in sections {
        if let Err(fault) = value::name(&name) {
            section.wrong("", fault);
        }
        match section.need("kind").and_then(|entry| entry.choice(PROTOCOLS)) {
            Some(Protocol::S3) => {
                s3.insert(name.clone(), store(name, section, outside));
            }
            Some(Protocol::Azure) => {
                azure.insert(name, crate::config::azure::store(section, outside, dev, identities));
            }
            None => {
                section.give_up();
                s3.insert(name, None);
            }
        }
    }
    (s3, azure)
}

type S3Stores = BTreeMap<String, Option<StoreOptions>>;
type AzureStores = BTreeMap<String, Option<AzureOptions>>;

fn store(name: String, mut section: Section<'_, '_>, outside: &Outside<'_>) -> Option<StoreOptions> {
    let endpoint = section.need("endpoint").and_then(|entry| entry.parsed(value::endpoint));
    let region = match section.take("region") {
        None => Some(REGION.to_owned()),
        Some(entry) => entry.parsed(value::region),
    };
    let credential = credential(&mut section, outside, 1);
    let roots = match section.take("ca_file") {
        None => Some(None),
        Some(entry) => outside.roots(&entry).map(|(_, roots)| Some(roots)),
    };
    let system_container = section
        .need("system_container")
        .and_then(|entry| entry.parsed(|name| value::bucket(name).map(|()| name.to_owned())));
    let amazons = endpoint.as_ref().is_some_and(|(_, authority)| {
        let host = authority.host();
        host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
    });
    let dialect = dialect(&mut section, if amazons { Provider::Aws } else { Provider::Other });
    let (scheme, authority) = endpoint?;
    Some(StoreOptions {
        name,
        scheme,
        authority,
        region: region?,
        credential: credential?,
        roots: roots?,
        system_container: system_container?,
        dialect: dialect?,
    })
}

/// How the store differs: what is known of its provider, and what is said otherwise.
fn dialect(section: &mut Section<'_, '_>, provider: Provider) -> Option<Dialect> {
    let providers = [
        ("aws", Provider::Aws),
        ("minio", Provider::Minio),
        ("garage", Provider::Garage),
        ("ceph", Provider::Ceph),
        ("other", Provider::Other),
    ];
    let provider = match section.take("provider") {
        None => Some(provider),
        Some(entry) => entry.choice(&providers),
    };
    let known = Dialect::of(provider.unwrap_or_default());
    let addressing = match section.take("addressing") {
        None => Some(known.addressing),
        Some(entry) => entry.choice(&[("path", Addressing::Path), ("virtual", Addressing::Virtual)]),
    };
    let payload = match section.take("payload") {
        None => Some(known.payload),
        Some(entry) => entry.choice(&[("unsigned", Payload::Unsigned), ("trailer", Payload::Trailer)]),
    };
    let conditional_writes = match section.take("conditional_writes") {
        None => Some(known.conditional_writes),
        Some(entry) if entry.is_text() => entry.choice(&[("probe", ConditionalWrites::Probe)]),
        Some(entry) => entry.flag().map(|heeded| match heeded {
            true => ConditionalWrites::Heeded,
            false => ConditionalWrites::Ignored,
        }),
    };
    let largest_put = match section.take("largest_put") {
        None => Some(known.largest_put),
        Some(entry) => entry.parsed(|text| value::size_within(text, LEAST_PUT, MOST_PUT)),
    };
    provider?;
    Some(Dialect {
        addressing: addressing?,
        payload: payload?,
        conditional_writes: conditional_writes?,
        largest_put: largest_put?,
        ..known
    })
}

/// An access key and its secret, of `least` bytes at least; a session token, if it is a temporary credential.
fn credential(section: &mut Section<'_, '_>, outside: &Outside<'_>, least: usize) -> Option<Arc<Credential>> {
    let access_key = section.need("access_key_id").and_then(|entry| {
        // A first try with no secret: what is wrong with the access key alone.
        let access_key = entry.text()?.to_owned();
        entry.check(Credential::new(access_key.as_str(), SecretKey::new("")))?;
        Some(access_key)
    });
    let secret = section
        .need("secret_access_key")
        .and_then(|entry| outside.secret(entry))
        .and_then(|secret| {
            let text = secret.text(least).map(SecretKey::new);
            text.map_err(|fault| section.wrong("secret_access_key", fault)).ok()
        });
    let token = match section.take("session_token") {
        None => Some(None),
        Some(entry) => outside.secret(entry).and_then(|secret| {
            let token = session_token(&secret).map(Some);
            token.map_err(|fault| section.wrong("session_token", fault)).ok()
        }),
    };
    let credential = Credential::new(access_key?, secret?).ok()?;
    Some(Arc::new(match token? {
        Some(token) => credential.with_session_token(token),
        None => credential,
    }))
}

/// A token as it can stand in a header.
fn session_token(secret: &Secret) -> Result<SecretKey, Fault> {
    let token = secret.text(1)?;
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(SecretKey::new(token)),
        false => Err(Fault::Form("visible ASCII characters only")),
    }
}

/// `[[credential]]`.
pub(super) fn clients(
    sections: Vec<Section<'_, '_>>,
    outside: &Outside<'_>,
    tenants: &BTreeMap<String, Option<Tenant>>,
    stores: &BTreeMap<String, Option<StoreOptions>>,
) -> Vec<Client> {
    let mut taken = HashMap::new();
    sections
        .into_iter()
        .filter_map(|mut section| {
            let credential = credential(&mut section, outside, LEAST_SECRET);
            let allowed = section.need("tenants").and_then(Entry::list).map(|entries| {
                if entries.is_empty() {
                    section.wrong("tenants", Fault::Form("one tenant's name at least"));
                }
                let names = entries.iter().filter_map(|entry| entry.one_of("tenant", tenants));
                names.map(Arc::from).collect()
            });
            let upstream = upstream(&mut section, outside, stores);
            let credential = credential?;
            let place = section.place_of("access_key_id");
            if let Some(by) = taken.insert(credential.access_key().to_owned(), place) {
                section.wrong("access_key_id", Fault::Taken { by });
            }
            Some(Client {
                credential,
                tenants: allowed?,
                upstream: upstream?,
            })
        })
        .collect()
}

/// `upstream.STORE` of a credential.
fn upstream(
    section: &mut Section<'_, '_>,
    outside: &Outside<'_>,
    stores: &BTreeMap<String, Option<StoreOptions>>,
) -> Option<BTreeMap<String, Arc<Credential>>> {
    let own = section.maybe_named("upstream").into_iter().map(|(store, mut section)| {
        if !stores.contains_key(&store) {
            let (kind, name) = ("store", store.clone());
            section.wrong("", Fault::NoSuch { kind, name });
        }
        Some((store, credential(&mut section, outside, 1)?))
    });
    // All are read, so that all mistakes are told.
    own.collect::<Vec<_>>().into_iter().collect()
}

/// What stands for the captured tenant.
pub(super) const CAPTURED: &str = "{tenant}";

/// A bucket's name or a key's beginning, with `*` and `{tenant}`.
pub(super) fn read_pattern(text: &str) -> Result<Pattern, Fault> {
    Pattern::parse(text).map_err(|_| {
        Fault::Form("text with `*`, each for any characters, and `{tenant}` once at the most, not beside each other")
    })
}

/// `[bucket.…]`.
pub(super) fn buckets(
    sections: Vec<(String, Section<'_, '_>)>,
    tenants: &BTreeMap<String, Option<Tenant>>,
    stores: &BTreeMap<String, Option<StoreOptions>>,
) -> Vec<Bucket> {
    sections
        .into_iter()
        .filter_map(|(name, mut section)| {
            let pattern = match read_pattern(&name) {
                Ok(pattern) => pattern,
                Err(fault) => {
                    section.wrong("", fault);
                    section.give_up();
                    return None;
                }
            };
            if pattern.is_literal()
                && let Err(fault) = value::bucket(&name)
            {
                section.wrong("", fault);
            }
            let prefix = match section.take("prefix") {
                None => Some(None),
                Some(entry) => entry.parsed(read_pattern).map(Some),
            };
            let captured = pattern.captures() || matches!(&prefix, Some(Some(prefix)) if prefix.captures());
            let tenant = section.need("tenant").and_then(|entry| match entry.text()? {
                CAPTURED if captured => Some(None),
                CAPTURED => {
                    entry.wrong(Fault::Form("`{tenant}` in the bucket's name or in its prefix"));
                    None
                }
                _ => entry.one_of("tenant", tenants).map(|tenant| Some(Arc::from(tenant))),
            });
            let store = section.need("store").and_then(|entry| entry.one_of("store", stores));
            let sealed_as = match section.take("sealed_as") {
                None => Some(None),
                Some(entry) if pattern.is_literal() => {
                    entry.parsed(|text| value::bucket(text).map(|()| (text != name).then(|| text.to_owned())))
                }
                // Objects of two buckets would pass for each other.
                Some(entry) => {
                    entry.wrong(Fault::Form("no `sealed_as` for a pattern: each bucket's own name"));
                    None
                }
            };
            let anonymous = match section.take("anonymous") {
                None => Some(false),
                Some(entry) => entry.choice(&[("deny", false), ("allow", true)]),
            };
            // An object without a seal is never served: the only choice so far.
            let _: Option<()> = section.take("unsealed").and_then(|entry| entry.choice(&[("deny", ())]));
            let store = store?;
            if let Some(Some(options)) = stores.get(&store)
                && options.system_container == name
            {
                section.wrong(
                    "",
                    Fault::Taken {
                        by: format!("store.{store}.system_container"),
                    },
                );
            }
            Some(Bucket {
                name: pattern,
                tenant: tenant?,
                prefix: prefix?,
                store,
                sealed_as: sealed_as?,
                anonymous: anonymous?,
            })
        })
        .collect()
}
