//! CCKM's actions by name: the console at which `portcullis dev-customer`, another process, plays whoever manages a customer's key
//! there. It answers where the API does, below `/stand-in/`, which no CipherTrust Manager has.

use std::io;
use std::path::Path;

use crate::dev::cckm::Managed;
use crate::dev::cckm::book::Book;
use crate::dev::standin::control::{self, Call};
use crate::dev::standin::{ActionError, Customer};

/// When the schedule of `rotate` and `rotate-disabled` is next due: at New Year, so that no poll announces it.
const SCHEDULE: &str = "0 0 1 1 *";

/// One of CCKM's actions, as on the command line after `cckm-`.
#[derive(Clone, Copy)]
enum Action {
    Disable,
    Enable,
    Rotate,
    RotateDisabled,
    Upload,
    SoftDelete,
    Recover,
    BackUp,
    HardDelete,
    Restore,
    Synchronize,
}

/// Every action with its name, in the order of a help text.
const ACTIONS: [(&str, Action); 11] = [
    ("disable", Action::Disable),
    ("enable", Action::Enable),
    ("rotate", Action::Rotate),
    ("rotate-disabled", Action::RotateDisabled),
    ("upload", Action::Upload),
    ("soft-delete", Action::SoftDelete),
    ("recover", Action::Recover),
    ("back-up", Action::BackUp),
    ("hard-delete", Action::HardDelete),
    ("restore", Action::Restore),
    ("synchronize", Action::Synchronize),
];

/// The console of one run.
pub(super) struct Console {
    token: String,
    /// Customer and key's URL, by the customer's name.
    keys: Vec<(String, Customer, String)>,
}

impl Console {
    /// For these customers' keys, behind a secret of this run.
    pub(super) fn new(token: String, keys: Vec<(String, Customer, String)>) -> Self {
        Self { token, keys }
    }

    /// Leaves word in `directory` of how to reach it.
    pub(super) fn write_contact(&self, directory: &Path, port: u16, ca: &Path) -> io::Result<()> {
        control::write_contact(directory, port, &self.token, ca)
    }

    /// Whether a request is for the console.
    pub(super) fn concerns(path: &str) -> bool {
        path.starts_with("/stand-in/")
    }

    /// Does what the request asks for.
    pub(super) fn answer(
        &self,
        book: &Book,
        parts: &http::request::Parts,
    ) -> http::Response<http_body_util::Full<bytes::Bytes>> {
        let act = |customer: &str, action: &str| self.act(book, customer, action);
        control::carry_out(&Call::read(parts), &self.token, act).into_response()
    }

    fn act(&self, book: &Book, name: &str, action: &str) -> Result<String, ActionError> {
        let known = ACTIONS.into_iter().find(|(known, _)| *known == action);
        let (_, action) = known.ok_or_else(|| ActionError::UnknownAction {
            name: format!("cckm-{action}"),
            all: ACTIONS.map(|(known, _)| format!("cckm-{known}")).join(", "),
        })?;
        let kept = self.keys.iter().find(|(known, _, _)| known == name);
        let (_, customer, key) = kept.ok_or_else(|| ActionError::UnknownCustomer(name.to_owned()))?;
        let managed = Managed {
            book,
            customer: customer.clone(),
            key: key.clone(),
        };
        let rotated = |enables| {
            managed.schedule(SCHEDULE, enables);
            managed.rotate()
        };
        let done = match action {
            Action::Disable => managed.set_enabled(false).map(|()| "disabled every version"),
            Action::Enable => managed.set_enabled(true).map(|()| "enabled every version"),
            Action::Rotate => rotated(true).map(|_| "made a new version by its schedule"),
            Action::RotateDisabled => {
                rotated(false).map(|_| "made a new version by its schedule, and left it disabled")
            }
            Action::Upload => managed.upload().map(|_| "uploaded a new version"),
            Action::SoftDelete => managed.soft_delete().map(|()| "soft-deleted the key"),
            Action::Recover => managed.recover().map(|()| "recovered the key"),
            Action::BackUp => managed.back_up().map(|()| "backed the key up"),
            Action::HardDelete => managed.hard_delete().map(|()| "purged the key, and keeps its backups"),
            Action::Restore => managed.restore().map(|()| "restored the key from its last backup"),
            Action::Synchronize => managed.synchronize().map(|()| "read the vault again"),
        }?;
        Ok(format!("{name}: CCKM {done}"))
    }
}
