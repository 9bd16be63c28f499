//! `[cckm.…]`: the CipherTrust Managers that are asked about tenants' keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;

use crate::cckm::{CckmOptions, Password, Watched};
use crate::config::mistake::Fault;
use crate::config::outside::Outside;
use crate::config::section::{Entry, Section};
use crate::config::{Tenant, value};

/// The least of `interval`: what CCKM tells is a copy, which it seldom renews.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);
/// The most of it.
const MOST_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How often a manager is asked unless configured.
const INTERVAL: Duration = Duration::from_secs(60);

/// All of them; there may be none.
pub(super) fn managers(
    sections: Vec<(String, Section<'_, '_>)>,
    outside: &Outside<'_>,
    dev: bool,
    tenants: &BTreeMap<String, Option<Tenant>>,
) -> Vec<CckmOptions> {
    let manager = |(name, section): (String, Section<'_, '_>)| {
        if let Err(fault) = value::name(&name) {
            section.wrong("", fault);
        }
        manager(name, section, outside, dev, tenants)
    };
    sections.into_iter().filter_map(manager).collect()
}

fn manager(
    name: String,
    mut section: Section<'_, '_>,
    outside: &Outside<'_>,
    dev: bool,
    tenants: &BTreeMap<String, Option<Tenant>>,
) -> Option<CckmOptions> {
    let endpoint = section
        .need("endpoint")
        .and_then(|entry| entry.parsed(|text| endpoint(text, dev)));
    let username = section
        .need("username")
        .and_then(|entry| entry.text().map(str::to_owned));
    let password = section.need("password").and_then(|entry| outside.secret(entry));
    let password = password.and_then(|secret| {
        let text = secret.text(1).map(Password::new);
        text.map_err(|fault| section.wrong("password", fault)).ok()
    });
    let domain = match section.take("domain") {
        None => Some(None),
        Some(entry) => entry.text().map(|text| Some(text.to_owned())),
    };
    let ca_pem = match section.take("ca_file") {
        None => Some(None),
        Some(entry) => outside.roots(&entry).map(|(pem, _)| Some(pem)),
    };
    let interval = match section.take("interval") {
        None => Some(INTERVAL),
        Some(entry) => entry.parsed(|text| value::span_within(text, LEAST_INTERVAL, MOST_INTERVAL)),
    };
    let named = match section.take("tenants").and_then(Entry::list) {
        None => tenants.keys().cloned().collect(),
        Some(entries) => {
            let known = entries.iter().filter_map(|entry| entry.one_of("tenant", tenants));
            known.collect::<Vec<_>>()
        }
    };
    // A tenant that has a mistake has told it already.
    let watched = named.iter().filter_map(|name| {
        let tenant = tenants.get(name)?.as_ref()?;
        Some(Watched {
            tenant: Arc::from(name.as_str()),
            key: tenant.key.versionless().to_owned(),
        })
    });
    Some(CckmOptions {
        name,
        endpoint: endpoint?,
        username: username?,
        password: password?,
        domain: domain?,
        ca_pem: ca_pem?,
        interval: interval?,
        tenants: watched.collect(),
    })
}

/// A password goes there: in clear only to a stand-in on this machine.
fn endpoint(text: &str, dev: bool) -> Result<Url, Fault> {
    let (scheme, _) = value::endpoint(text)?;
    if scheme == http::uri::Scheme::HTTP && !dev {
        return Err(Fault::Form(
            "an https URL without a path, like \"https://ciphertrust.example.com\"",
        ));
    }
    Url::parse(text).map_err(|_| Fault::Form("an https URL without a path"))
}
