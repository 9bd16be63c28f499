//! What the stand-in knows: its user, its tokens, the keys under management as they were last seen, their schedules and backups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::dev::standin::{Backup, KeyView, VersionView};

/// Everything, behind one lock.
pub(super) struct Book {
    username: String,
    password: String,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    tokens: BTreeSet<String>,
    refresh: BTreeSet<String>,
    sign_ins: u64,
    writes: u64,
    failing: Option<StatusCode>,
    /// By the key's URL.
    keys: BTreeMap<String, Entry>,
    /// By version: where its material came from.
    origins: BTreeMap<String, &'static str>,
}

#[derive(Default)]
struct Entry {
    rows: BTreeMap<String, Row>,
    synced: String,
    backup: Option<Backup>,
    backed_up: Option<String>,
    schedule: Option<(String, bool)>,
}

struct Row {
    version: VersionView,
    status: &'static str,
}

impl Book {
    pub(super) fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
            pages: Mutex::default(),
        }
    }

    pub(super) fn add(&self, key: &str) {
        self.pages().keys.entry(key.to_owned()).or_default();
    }

    /// What the vault has becomes what is said; what it has no more was purged.
    pub(super) fn synchronize(&self, key: &str, seen: Option<&KeyView>) {
        let mut pages = self.pages();
        let Some(entry) = pages.keys.get_mut(key) else { return };
        entry.rows.values_mut().for_each(|row| row.status = "DELETED");
        for version in seen.iter().flat_map(|view| &view.versions) {
            let deleted = seen.is_some_and(|view| view.deleted);
            let status = if deleted { "SOFT_DELETED" } else { "AVAILABLE" };
            let row = Row {
                version: version.clone(),
                status,
            };
            entry.rows.insert(version.id.clone(), row);
        }
        entry.synced = now();
    }

    pub(super) fn set_origin(&self, version: &str, origin: &'static str) {
        self.pages().origins.insert(version.to_owned(), origin);
    }

    pub(super) fn schedule(&self, key: &str, run_at: &str, enables: bool) {
        if let Some(entry) = self.pages().keys.get_mut(key) {
            entry.schedule = Some((run_at.to_owned(), enables));
        }
    }

    pub(super) fn enables(&self, key: &str) -> bool {
        let pages = self.pages();
        let schedule = pages.keys.get(key).and_then(|entry| entry.schedule.as_ref());
        schedule.is_none_or(|(_, enables)| *enables)
    }

    pub(super) fn keep(&self, key: &str, backup: Backup) {
        if let Some(entry) = self.pages().keys.get_mut(key) {
            entry.backup = Some(backup);
            entry.backed_up = Some(now());
        }
    }

    pub(super) fn backup(&self, key: &str) -> Option<Backup> {
        self.pages().keys.get(key)?.backup.clone()
    }

    pub(super) fn fail(&self, status: Option<StatusCode>) {
        self.pages().failing = status;
    }

    pub(super) fn failing(&self) -> Option<StatusCode> {
        self.pages().failing
    }

    pub(super) fn forget_tokens(&self) {
        let mut pages = self.pages();
        pages.tokens.clear();
        pages.refresh.clear();
    }

    pub(super) fn sign_ins(&self) -> u64 {
        self.pages().sign_ins
    }

    pub(super) fn wrote(&self) {
        self.pages().writes += 1;
    }

    pub(super) fn writes(&self) -> u64 {
        self.pages().writes
    }

    /// `grant_type` `password` or `refresh_token`.
    pub(super) fn sign_in(&self, asked: &Value) -> Option<Value> {
        let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut pages = self.pages();
        match text("grant_type") {
            "password" => {
                pages.sign_ins += 1;
                (text("username") == self.username && text("password") == self.password).then_some(())?;
            }
            "refresh_token" => pages.refresh.contains(text("refresh_token")).then_some(())?,
            _ => return None,
        }
        let (jwt, refresh) = (random()?, random()?);
        pages.tokens.insert(jwt.clone());
        pages.refresh.insert(refresh.clone());
        Some(json!({"jwt": jwt, "duration": 300, "token_type": "Bearer", "refresh_token": refresh}))
    }

    pub(super) fn knows(&self, bearer: &str) -> bool {
        self.pages().tokens.contains(bearer)
    }

    /// All rows of keys of this name, or all.
    pub(super) fn rows(&self, name: Option<&str>) -> Vec<Value> {
        let pages = self.pages();
        let named = pages
            .keys
            .iter()
            .filter(|(key, _)| name.is_none_or(|name| key_name(key) == name));
        let rows = named.flat_map(|(key, entry)| entry.rows.values().map(move |row| (key, entry, row)));
        rows.map(|(key, entry, row)| pages.json(key, entry, row)).collect()
    }

    pub(super) fn row(&self, id: &str) -> Option<Value> {
        let rows = self.rows(None);
        rows.into_iter()
            .find(|row| row.get("id").and_then(Value::as_str) == Some(id))
    }

    /// `job:{key name}`
    pub(super) fn job(&self, id: &str) -> Option<Value> {
        let pages = self.pages();
        let (_, entry) = pages.keys.iter().find(|(key, _)| job_id(key) == id)?;
        let (run_at, _) = entry.schedule.as_ref()?;
        Some(json!({
            "id": id,
            "name": "rotation",
            "operation": "cckm_key_rotation",
            "run_at": run_at,
            "run_on": "any",
            "disabled": false,
            "job_config_params": {"cloud_name": "AzureCloud"},
        }))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn json(&self, key: &str, entry: &Entry, row: &Row) -> Value {
        let version = &row.version;
        let mut attributes = json!({
            "enabled": version.enabled,
            "created": version.created,
            "recoveryLevel": "Recoverable+Purgeable",
        });
        if let (Some(expires), Some(attributes)) = (version.expires, attributes.as_object_mut()) {
            attributes.insert("exp".to_owned(), expires.into());
        }
        let labels = match &entry.schedule {
            None => json!({}),
            Some((_, enables)) => json!({
                "job_config_id": job_id(key),
                "auto_rotate_key_source": "native",
                "auto_rotate_key_type": "RSA",
                "auto_rotate_key_size": "2048",
                "auto_rotate_enable_key": enables,
            }),
        };
        json!({
            "id": format!("kylo:kylo:cckm:azure-key:{}", version.id),
            "key_name": key_name(key),
            "key_vault": "vault::subscription",
            "status": row.status,
            "deleted": row.status == "DELETED",
            "key_soft_deleted_in_azure": row.status == "SOFT_DELETED",
            "soft_delete_enabled": true,
            "version": version.id,
            "version_count": entry.rows.len(),
            "key_material_origin": self.origins.get(&version.id).unwrap_or(&"native"),
            "backup": entry.backup.is_some().then_some("kept"),
            "backup_at": entry.backed_up,
            "syncedAt": entry.synced,
            "labels": labels,
            "azure_param": {
                "key": {"kid": format!("{key}/{}", version.id), "kty": "RSA", "key_ops": ["wrapKey", "unwrapKey"]},
                "attributes": attributes,
                "tags": {},
            },
        })
    }
}

fn key_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

fn job_id(key: &str) -> String {
    format!("job:{}", key_name(key))
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

fn random() -> Option<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}
