//! For which tenant a request is: from who asks (the access key) and what is asked for (the bucket, and where tenants share one, the
//! beginning of the key), both of which must agree.

pub mod pattern;

use std::collections::HashMap;
use std::sync::Arc;

pub use pattern::{BadPattern, Pattern};

use crate::upstream::sigv4::Credential;
use crate::upstream::{Caller, Store};

/// Who may ask, and what there is to ask for.
pub struct Tenants {
    clients: HashMap<String, Client>,
    containers: HashMap<String, Arc<Container>>,
    /// Those that fix more of a name come first.
    rules: Vec<Rule>,
    /// Every tenant's CMK, as clients are shown it.
    key_urls: HashMap<Arc<str>, String>,
}

/// A client's credential and the tenants it may act for.
pub struct Client {
    /// What it signs with.
    pub credential: Arc<Credential>,
    /// The tenants whose containers it may use.
    pub tenants: Vec<Arc<str>>,
    /// Its own credential at a store, by the store's name; the gate's where there is none.
    pub upstream: HashMap<String, Caller>,
}

/// A bucket or container that the gate serves.
pub struct Container {
    /// Its name, to clients and in the store.
    pub name: String,
    /// Whose objects lie in it; of those that share it, whose the request at hand is about.
    pub tenant: Arc<str>,
    /// The tenant's CMK, as clients are shown it.
    pub key_url: String,
    /// The name that objects are bound to (`sealed_as`): a replica under another name stays readable.
    pub sealed_as: String,
    /// Where it lies.
    pub store: Arc<Store>,
    /// Whether the store's word counts for requests that nobody signed.
    pub anonymous: bool,
    /// Whether it has objects beside those that this tenant may reach: then nothing may be asked of it as a whole.
    pub shared: bool,
}

/// Containers that are not each named in the configuration.
pub struct Rule {
    /// Their names.
    pub name: Pattern,
    /// Whose objects lie in them; the tenant that `name` or `prefix` captures, if `None`.
    pub tenant: Option<Arc<str>>,
    /// How the keys begin that belong to the tenant; all do without.
    pub prefix: Option<Pattern>,
    /// Where they lie.
    pub store: Arc<Store>,
    /// The name that objects are bound to; each container's own if `None`.
    pub sealed_as: Option<String>,
    /// Whether the store's word counts for requests that nobody signed.
    pub anonymous: bool,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within<'a> {
    /// An object, or all whose keys begin so.
    Key(&'a str),
    /// The container itself.
    Itself,
}

/// What a client may use, and as whom it is then known to the store.
pub struct Access {
    /// The container, for one tenant.
    pub container: Arc<Container>,
    /// As whom the store is asked.
    pub caller: Caller,
}

/// Why a request is for no tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The gate serves no container of that name.
    #[error("no such container is configured")]
    UnknownContainer,
    /// It belongs to a tenant that this credential may not act for.
    #[error("the container is another tenant's")]
    OtherTenant,
    /// The container is shared, and the key does not lie with any tenant of this credential.
    #[error("the key lies with no tenant of the client's")]
    OutsidePrefix,
    /// Nobody signed the request, and the container is not open to the world.
    #[error("the container is not open to requests without a signature")]
    NotAnonymous,
}

impl Tenants {
    /// All clients and containers; a later one of the same name replaces an earlier one (`config` refuses that).
    pub fn new(clients: Vec<Client>, containers: Vec<Container>) -> Self {
        let by_key = |client: Client| (client.credential.access_key().to_owned(), client);
        let by_name = |container: Container| (container.name.clone(), Arc::new(container));
        Self {
            clients: clients.into_iter().map(by_key).collect(),
            containers: containers.into_iter().map(by_name).collect(),
            rules: Vec::new(),
            key_urls: HashMap::new(),
        }
    }

    /// With containers that are named by patterns, for the tenants whose CMKs are in `key_urls`.
    #[must_use]
    pub fn with_rules(mut self, mut rules: Vec<Rule>, key_urls: HashMap<Arc<str>, String>) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.name.is_literal(), rule.name.fixed())));
        self.rules = rules;
        self.key_urls = key_urls;
        self
    }

    /// The credential of an access key.
    pub fn credential(&self, access_key: &str) -> Option<Arc<Credential>> {
        self.clients
            .get(access_key)
            .map(|client| Arc::clone(&client.credential))
    }

    /// The container of this name, if the credential may act for its tenant; with none, if it is open to the world.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn resolve(
        &self,
        credential: Option<&Credential>,
        container: &str,
        within: Within<'_>,
    ) -> Result<Access, Denied> {
        let client = match credential {
            Some(credential) => Some(self.clients.get(credential.access_key()).ok_or(Denied::OtherTenant)?),
            None => None,
        };
        let container = match self.containers.get(container) {
            Some(found) => Arc::clone(found),
            None => Arc::new(self.by_rule(client, container, within)?),
        };
        let caller = match client {
            None if container.anonymous => Caller::Nobody,
            None => return Err(Denied::NotAnonymous),
            Some(client) if client.tenants.contains(&container.tenant) => {
                client.upstream.get(container.store.name()).cloned().unwrap_or_default()
            }
            Some(_) => return Err(Denied::OtherTenant),
        };
        Ok(Access { container, caller })
    }

    /// The container of this name for a browser's preflight, which nobody signs: it tells the bucket's CORS rules, and nothing of what
    /// is in it. `claimed` is the access key in the URL, unchecked: a store with name spaces of its own finds the bucket only in its owner's.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn preflight(&self, container: &str, within: Within<'_>, claimed: Option<&str>) -> Result<Access, Denied> {
        let container = match self.containers.get(container) {
            Some(found) => Arc::clone(found),
            None => Arc::new(self.by_rule(None, container, within)?),
        };
        let client = claimed.and_then(|access_key| self.clients.get(access_key));
        let own = client.and_then(|client| client.upstream.get(container.store.name()));
        Ok(Access {
            caller: own.cloned().unwrap_or(Caller::Nobody),
            container,
        })
    }

    /// The container that the first rule makes of this name.
    fn by_rule(&self, client: Option<&Client>, name: &str, within: Within<'_>) -> Result<Container, Denied> {
        let served = |rule: &&Rule| rule.store.system_container() != name;
        let mut matching = self.rules.iter().filter(served);
        let (rule, captured) = matching
            .find_map(|rule| rule.name.whole(name).map(|captured| (rule, captured)))
            .ok_or(Denied::UnknownContainer)?;
        let by_prefix = match (&rule.prefix, within) {
            (None, _) => "",
            (Some(prefix), Within::Key(key)) => prefix.beginning(key).ok_or(Denied::OutsidePrefix)?,
            // The container itself: any of the client's tenants, since nothing is told of what lies in it.
            (Some(_), Within::Itself) => client
                .and_then(|client| client.tenants.first())
                .map_or("", |first| first),
        };
        let captured = if captured.is_empty() { by_prefix } else { captured };
        let named = rule.tenant.as_deref().unwrap_or(captured);
        let unknown = if by_prefix.is_empty() {
            Denied::UnknownContainer
        } else {
            Denied::OutsidePrefix
        };
        let (tenant, key_url) = self.key_urls.get_key_value(named).ok_or(unknown)?;
        Ok(Container {
            name: name.to_owned(),
            tenant: Arc::clone(tenant),
            key_url: key_url.clone(),
            sealed_as: rule.sealed_as.clone().unwrap_or_else(|| name.to_owned()),
            store: Arc::clone(&rule.store),
            anonymous: rule.anonymous,
            shared: rule.prefix.is_some(),
        })
    }

    /// The containers with names of their own that a credential may see, by name.
    pub fn visible(&self, credential: &Credential) -> Vec<&Arc<Container>> {
        let Some(client) = self.clients.get(credential.access_key()) else {
            return Vec::new();
        };
        let mut seen: Vec<_> = self
            .containers
            .values()
            .filter(|container| client.tenants.contains(&container.tenant))
            .collect();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        seen
    }

    /// The stores that hold containers named by patterns, and as whom this credential, or nobody, asks there: only they know
    /// which there are.
    pub fn stores_to_ask(&self, credential: Option<&Credential>) -> Vec<(&Arc<Store>, Caller)> {
        let client = credential.and_then(|credential| self.clients.get(credential.access_key()));
        if credential.is_some() && client.is_none() {
            return Vec::new();
        }
        let mut stores: Vec<(&Arc<Store>, Caller)> = Vec::new();
        for rule in self.rules.iter().filter(|rule| client.is_some() || rule.anonymous) {
            if !stores.iter().any(|(store, _)| store.name() == rule.store.name()) {
                let own = |client: &Client| client.upstream.get(rule.store.name()).cloned().unwrap_or_default();
                stores.push((&rule.store, client.map_or(Caller::Nobody, own)));
            }
        }
        stores
    }
}

#[cfg(test)]
mod tests;
