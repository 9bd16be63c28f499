//! CCKM's row of an Azure key version, read with care: fields come and go between releases, so what is missing is no error, and
//! what is unknown is `Unknown`.
//!
//! Shapes: ThalesGroup/terraform-provider-ciphertrust, `azure_key`; ThalesGroup/CDSP-Orchestration-Ansible, `cckm_azure_key`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What CCKM believes of a key version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It can be used.
    Enabled,
    /// `attributes.enabled` is false.
    Disabled,
    /// Deleted, and can be recovered.
    SoftDeleted,
    /// Purged from the vault. CCKM may still hold a backup.
    Deleted,
    /// None of the words that are known.
    Unknown,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's URL without version.
    pub key: String,
    /// The version: 32 hex digits.
    pub version: String,
    /// What became of it.
    pub state: State,
    /// When it was made, in seconds since the Unix epoch.
    pub created: i64,
    /// Its `exp`.
    pub expires: Option<SystemTime>,
    /// When CCKM last looked at the vault, as it says.
    pub synced: Option<String>,
    /// Whether CCKM holds a backup, from which a purged key can come back.
    pub backed_up: bool,
    /// The schedule that rotates it.
    pub rotation: Option<Rotation>,
}

/// What a row's labels say of its rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Of the scheduler's job.
    pub job: String,
    /// Where new versions come from: `native`, `ciphertrust`, `dsm`, `hsm-luna`.
    pub source: Option<String>,
    /// Whether new versions are enabled. Where not, the newest version is one that can't be used.
    pub enables: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    key_soft_deleted_in_azure: bool,
    #[serde(default)]
    backup: Option<serde_json::Value>,
    #[serde(default)]
    backup_at: Option<String>,
    #[serde(default, rename = "syncedAt")]
    synced_at: Option<String>,
    #[serde(default)]
    labels: Option<Labels>,
    azure_param: AzureParam,
}

#[derive(Deserialize)]
struct AzureParam {
    key: Key,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    exp: Option<Moment>,
    #[serde(default)]
    created: Option<Moment>,
}

#[derive(Default, Deserialize)]
struct Labels {
    #[serde(default)]
    job_config_id: Option<String>,
    #[serde(default)]
    auto_rotate_key_source: Option<String>,
    #[serde(default)]
    auto_rotate_enable_key: Option<Flag>,
}

/// Azure's seconds, or RFC 3339 as CCKM writes moments of its own.
#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    Seconds(i64),
    Text(String),
}

/// Labels are texts in some releases.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Text(String),
}

impl Moment {
    fn seconds(&self) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => Some(*seconds),
            Self::Text(text) => OffsetDateTime::parse(text, &Rfc3339)
                .ok()
                .map(OffsetDateTime::unix_timestamp),
        }
    }
}

impl Flag {
    fn is_set(&self) -> bool {
        match self {
            Self::Bool(set) => *set,
            Self::Text(text) => !text.eq_ignore_ascii_case("false"),
        }
    }
}

impl KeyRow {
    /// Reads a row; `None` for one that names no version of an Azure key.
    pub fn read(row: serde_json::Value) -> Option<Self> {
        let wire: Wire = serde_json::from_value(row).ok()?;
        let (key, version) = wire.azure_param.key.kid.rsplit_once('/')?;
        let hex = version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex {
            return None;
        }
        let attributes = &wire.azure_param.attributes;
        let expires = attributes.exp.as_ref().and_then(Moment::seconds);
        let expires = expires.and_then(|seconds| u64::try_from(seconds).ok());
        let has_backup = !matches!(
            wire.backup,
            None | Some(serde_json::Value::Null | serde_json::Value::Bool(false))
        );
        let state = state(&wire);
        let rotation = wire.labels.and_then(|labels| {
            Some(Rotation {
                job: labels.job_config_id.filter(|job| !job.is_empty())?,
                source: labels.auto_rotate_key_source,
                enables: labels.auto_rotate_enable_key.is_none_or(|flag| flag.is_set()),
            })
        });
        Some(Self {
            key: key.to_ascii_lowercase(),
            version: version.to_ascii_lowercase(),
            state,
            created: attributes
                .created
                .as_ref()
                .and_then(Moment::seconds)
                .unwrap_or_default(),
            expires: expires.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
            synced: wire.synced_at,
            backed_up: has_backup || wire.backup_at.is_some_and(|at| !at.is_empty()),
            rotation,
        })
    }
}

/// Both spellings are seen of what is soft-deleted.
fn state(wire: &Wire) -> State {
    let status = wire.status.as_deref().unwrap_or_default();
    let status = status.to_ascii_uppercase().replace('-', "_");
    match status.as_str() {
        "DELETED" | "PURGED" => State::Deleted,
        "SOFT_DELETED" => State::SoftDeleted,
        _ if wire.deleted => State::Deleted,
        _ if wire.key_soft_deleted_in_azure => State::SoftDeleted,
        "AVAILABLE" | "" => match wire.azure_param.attributes.enabled {
            Some(true) => State::Enabled,
            Some(false) => State::Disabled,
            None => State::Unknown,
        },
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KID: &str = "https://Acme.vault.azure.net/keys/cmk/0123456789abcdef0123456789ABCDEF";

    fn row(change: serde_json::Value) -> Option<KeyRow> {
        let mut row = json!({
            "id": "kylo:kylo:cckm:azure-key:1", "status": "AVAILABLE", "syncedAt": "2026-01-02T03:04:05Z",
            "azure_param": {"key": {"kid": KID, "kty": "RSA"}, "attributes": {"enabled": true, "created": 1_700_000_000}},
        });
        for (name, value) in change.as_object().unwrap() {
            row[name] = value.clone();
        }
        KeyRow::read(row)
    }

    #[test]
    fn a_row_names_a_version_and_its_state() {
        let row = row(json!({})).unwrap();
        assert_eq!(row.key, "https://acme.vault.azure.net/keys/cmk");
        assert_eq!(row.version, "0123456789abcdef0123456789abcdef");
        assert_eq!((row.state, row.created), (State::Enabled, 1_700_000_000));
        assert_eq!((row.rotation, row.backed_up), (None, false));
    }

    #[test]
    fn every_spelling_of_a_state_is_read() {
        let disabled = json!({"azure_param": {"key": {"kid": KID}, "attributes": {"enabled": false}}});
        for (change, state) in [
            (disabled, State::Disabled),
            (json!({"status": "SOFT_DELETED"}), State::SoftDeleted),
            (json!({"status": "SOFT-DELETED"}), State::SoftDeleted),
            (json!({"key_soft_deleted_in_azure": true}), State::SoftDeleted),
            (json!({"status": "DELETED"}), State::Deleted),
            (json!({"deleted": true}), State::Deleted),
            (json!({"status": "SOMETHING_NEW"}), State::Unknown),
        ] {
            assert_eq!(row(change.clone()).unwrap().state, state, "{change}");
        }
    }

    #[test]
    fn labels_tell_of_the_rotation() {
        let labels = json!({"labels": {"job_config_id": "j", "auto_rotate_key_source": "native", "auto_rotate_enable_key": "false"},
                            "backup_at": "2026-01-01T00:00:00Z"});
        let row = row(labels).unwrap();
        assert!(row.backed_up);
        let rotation = row.rotation.unwrap();
        assert_eq!((rotation.job.as_str(), rotation.enables), ("j", false));
    }

    #[test]
    fn what_is_no_key_version_is_no_row() {
        assert_eq!(KeyRow::read(json!({})), None);
        assert_eq!(
            row(json!({"azure_param": {"key": {"kid": "https://a/keys/k/latest"}}})),
            None
        );
    }
}
