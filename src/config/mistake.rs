//! What is wrong with a configuration, and where. No text here ever repeats a value that may be a secret.

use std::fmt;

use crate::keys::identity::IdentityError;
use crate::keys::key_url::KeyUrlError;
use crate::seal::WeakSecret;
use crate::upstream::sigv4::InvalidCredential;

/// Every mistake of a configuration, in the order of the file. Never empty.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

/// One mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which setting: `tenant.acme.key`; those of lists are counted from 0: `listener[0].address`. Empty for the whole file.
    pub place: String,
    /// Its line, counted from 1: of the setting, or of the table that lacks it.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("not TOML: {0}")]
    Syntax(String),
    #[error("is missing")]
    Missing,
    #[error("is not known; known here: {known}")]
    Unknown { known: String },
    #[error("should be {expected}, not {found}")]
    Kind {
        expected: &'static str,
        found: &'static str,
    },
    #[error("should be one of {choices}")]
    Choice { choices: String },
    #[error("should be {0}")]
    Form(&'static str),
    #[error("should be from {least} to {most}")]
    Range { least: String, most: String },
    #[error(
        "{calls} calls in 10 s can't renew the leases of the {tenants} tenants {of}: that takes {least}, or a longer {longer}"
    )]
    Budget {
        calls: u32,
        tenants: usize,
        of: String,
        least: u32,
        longer: &'static str,
    },
    #[error("there is no [{kind}.{name}]")]
    NoSuch { kind: &'static str, name: String },
    #[error("is taken by {by} already")]
    Taken { by: String },
    #[error("is only for dev = true")]
    DevOnly,
    #[error("a secret never stands in the configuration itself: give {{ file = \"…\" }} or {{ env = \"…\" }}")]
    InlineSecret,
    #[error("should be either {{ file = \"…\" }} or {{ env = \"…\" }}")]
    SecretSource,
    #[error("names an environment variable that is not set, or is not text")]
    NoVariable,
    #[error("names a file that can't be read: {reason}")]
    SecretFile { reason: String },
    #[error("the secret is not text")]
    NotText,
    #[error("the secret has {found} bytes; it should have {least} at least")]
    ShortSecret { found: usize, least: usize },
    #[error("{path} can't be read: {reason}")]
    File { path: String, reason: String },
    #[error("{path} holds no usable PEM certificate")]
    Certificates { path: String },
    #[error("{path} holds no usable PEM private key")]
    PrivateKey { path: String },
    #[error("the certificate and its key can't be used: {0}")]
    Tls(String),
    #[error(transparent)]
    Key(#[from] KeyUrlError),
    #[error(transparent)]
    Credential(#[from] InvalidCredential),
    #[error(transparent)]
    Origin(WeakSecret),
}

impl From<IdentityError> for Fault {
    /// Without the value that it quotes: somebody may have put a secret there.
    fn from(error: IdentityError) -> Self {
        Self::Form(match error {
            IdentityError::NotAGuid(_) => "a GUID",
            IdentityError::NotAnOrigin(_) => "an https URL without a path",
        })
    }
}

impl Mistakes {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    pub(super) fn of(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| (a.line, &a.place).cmp(&(b.line, &b.place)));
        Self(mistakes)
    }
}

impl std::error::Error for Mistakes {}

/// One a line.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

/// `line 12: tenant.acme.key: is missing`
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        self.fault.fmt(f)
    }
}
