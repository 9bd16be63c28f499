//! `[account.….container.…]`: which containers of a real storage account are whose, so that no blob could be two tenants'.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::azure::account::Anonymous;
use crate::config::Tenant;
use crate::config::mistake::Fault;
use crate::config::section::Section;
use crate::config::serving::{CAPTURED, read_pattern};
use crate::tenant::Pattern;
use crate::upstream::AzureOptions;

/// `[account.….container.…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureRule {
    /// A container's name, or those of many.
    pub name: Pattern,
    /// Whose blobs lie there; the tenant that the name or the prefix captures, if `None`.
    pub tenant: Option<Arc<str>>,
    /// How the names of blobs begin that belong to the tenant; all do without.
    pub prefix: Option<Pattern>,
    /// The account's part of the name that blobs are bound to.
    pub sealed_as: String,
    /// What anybody may read.
    pub anonymous: Anonymous,
}

/// Which containers of a real account are whose, and where that is said.
pub(super) struct Claim<'s> {
    store: &'s AzureOptions,
    rule: AzureRule,
    place: String,
}

impl Claim<'_> {
    /// Whether one blob could be two tenants'.
    fn contradicts(&self, other: &Self) -> bool {
        let (a, b) = (&self.rule, &other.rule);
        let apart = match (&a.prefix, &b.prefix) {
            (Some(one), Some(another)) => !one.begin_alike(another),
            _ => false,
        };
        is_one(self.store, other.store) && a.name.overlaps(&b.name) && !apart && !agree(a, b)
    }
}

/// Whether two rules whose names overlap say the same of whatever both fit.
fn agree(a: &AzureRule, b: &AzureRule) -> bool {
    let captured = |rule: &AzureRule, other: &AzureRule| {
        let whole = rule.prefix.is_none() && other.prefix.is_none() && other.name.is_literal();
        whole && rule.name.whole(other.name.as_str()) == other.tenant.as_deref()
    };
    match (&a.tenant, &b.tenant) {
        // A prefix keeps a container's other blobs from everybody; a rule without one must not give them to somebody.
        (Some(one), Some(another)) => one == another && a.prefix == b.prefix,
        (None, None) => a.name == b.name && a.prefix == b.prefix,
        (None, Some(_)) => captured(a, b),
        (Some(_), None) => captured(b, a),
    }
}

/// Whether two stores are one account. Its name alone says so, whatever it is reached by; emulators may each have one of that name.
fn is_one(a: &AzureOptions, b: &AzureOptions) -> bool {
    let emulators = a.path_style && b.path_style;
    a.account == b.account && (!emulators || a.authority == b.authority)
}

/// The rules of one account, the most exact name first.
pub(super) fn rules<'s>(
    sections: Vec<(String, Section<'_, '_>)>,
    sealed_as: Option<&str>,
    tenants: &BTreeMap<String, Option<Tenant>>,
    store: Option<&'s AzureOptions>,
    claims: &mut Vec<Claim<'s>>,
) -> Vec<AzureRule> {
    let mut rules: Vec<AzureRule> = sections
        .into_iter()
        .filter_map(|(name, mut section)| {
            let rule = rule(&name, &mut section, sealed_as, tenants);
            if let (Some(store), Some(rule)) = (store, &rule) {
                let claim = Claim {
                    store,
                    rule: rule.clone(),
                    place: section.place_of(""),
                };
                // Whichever rule came first would decide whose key seals, and either tenant could delete the other's blobs.
                if let Some(earlier) = claims.iter().find(|earlier| earlier.contradicts(&claim)) {
                    let by = format!("another tenant's {}", earlier.place);
                    section.wrong("", Fault::Taken { by });
                }
                if store.system_container.as_deref() == Some(&name) {
                    let by = "the store's system_container".to_owned();
                    section.wrong("", Fault::Taken { by });
                }
                claims.push(claim);
            }
            rule
        })
        .collect();
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.name.is_literal(), rule.name.fixed())));
    rules
}

fn rule(
    name: &str,
    section: &mut Section<'_, '_>,
    sealed_as: Option<&str>,
    tenants: &BTreeMap<String, Option<Tenant>>,
) -> Option<AzureRule> {
    let pattern = match read_pattern(name) {
        Ok(pattern) => pattern,
        Err(fault) => {
            section.wrong("", fault);
            // What it says is about a name that can't be read.
            let _ = ["prefix", "tenant", "anonymous"].map(|key| section.take(key));
            return None;
        }
    };
    let text = name.replace(CAPTURED, "").replace('*', "");
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'$');
    if !text.bytes().all(plain) || name.is_empty() || name.len() > 64 {
        section.wrong(
            "",
            Fault::Form("a container's name, or one with `*` for any characters and `{tenant}`"),
        );
    }
    let prefix = match section.take("prefix") {
        None => Some(None),
        Some(entry) => entry.parsed(read_pattern).map(Some),
    };
    let captures = |pattern: &Pattern| pattern.captures();
    let captured = captures(&pattern) || prefix.iter().flatten().any(captures);
    let tenant = section.need("tenant").and_then(|entry| match entry.text()? {
        CAPTURED if captured => Some(None),
        CAPTURED => {
            entry.wrong(Fault::Form("`{tenant}` in the container's name or in its prefix"));
            None
        }
        _ => entry.one_of("tenant", tenants).map(|tenant| Some(Arc::from(tenant))),
    });
    let open = [
        ("deny", Anonymous::Nothing),
        ("blob", Anonymous::Blob),
        ("container", Anonymous::Container),
    ];
    let anonymous = match section.take("anonymous") {
        None => Some(Anonymous::default()),
        Some(entry) => entry.choice(&open),
    };
    Some(AzureRule {
        anonymous: anonymous?,
        name: pattern,
        tenant: tenant?,
        prefix: prefix?,
        sealed_as: sealed_as?.to_owned(),
    })
}
