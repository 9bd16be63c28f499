//! For which tenant a request is: from who asks (the access key) and what is asked for (the bucket), both of which must agree.

use std::collections::HashMap;
use std::sync::Arc;

use crate::upstream::Store;
use crate::upstream::sigv4::Credential;

/// Who may ask, and what there is to ask for.
pub struct Tenants {
    clients: HashMap<String, Client>,
    containers: HashMap<String, Arc<Container>>,
}

/// A client's credential and the tenants it may act for.
pub struct Client {
    /// What it signs with.
    pub credential: Arc<Credential>,
    /// The tenants whose containers it may use.
    pub tenants: Vec<Arc<str>>,
}

/// A bucket or container that the gate serves.
pub struct Container {
    /// Its name, to clients and in the store.
    pub name: String,
    /// Whose objects lie in it.
    pub tenant: Arc<str>,
    /// The tenant's CMK, as clients are shown it.
    pub key_url: String,
    /// The name that objects are bound to (`sealed_as`): a replica under another name stays readable.
    pub sealed_as: String,
    /// Where it lies.
    pub store: Arc<Store>,
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
}

impl Tenants {
    /// All clients and containers; a later one of the same name replaces an earlier one (`config` refuses that).
    pub fn new(clients: Vec<Client>, containers: Vec<Container>) -> Self {
        let by_key = |client: Client| (client.credential.access_key().to_owned(), client);
        let by_name = |container: Container| (container.name.clone(), Arc::new(container));
        Self {
            clients: clients.into_iter().map(by_key).collect(),
            containers: containers.into_iter().map(by_name).collect(),
        }
    }

    /// The credential of an access key.
    pub fn credential(&self, access_key: &str) -> Option<Arc<Credential>> {
        self.clients
            .get(access_key)
            .map(|client| Arc::clone(&client.credential))
    }

    /// The container of this name, if the credential may act for its tenant.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn resolve(&self, credential: &Credential, container: &str) -> Result<&Arc<Container>, Denied> {
        let container = self.containers.get(container).ok_or(Denied::UnknownContainer)?;
        let client = self.clients.get(credential.access_key()).ok_or(Denied::OtherTenant)?;
        if client.tenants.contains(&container.tenant) {
            Ok(container)
        } else {
            Err(Denied::OtherTenant)
        }
    }

    /// The containers that a credential may see, by name.
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
}
