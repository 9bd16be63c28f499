//! A chain of lines: each bears the digest of the one before, so that what is changed, left out, put in or put elsewhere shows. One
//! chain a tenant; a tenant's lines can be taken out of a shared file and still be verified.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The version of the lines' schema.
pub const SCHEMA: u64 = 1;
/// What stands before the first line of a chain.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a rewrap's chains have behind the tenant's name, in which no dot can be.
pub const REWRAP: &str = ".rewrap";
/// What the key of a tenant's lines is made of, before the tenant's name.
const LABEL: &[u8] = b"portcullis audit of ";

/// How a line is digested. With a key, who can write the file but has no key can't make a chain that holds.
pub enum Link {
    /// SHA-256.
    Plain,
    /// HMAC-SHA-256, the lines of each tenant with a key of their own, which is made of this one: a customer can be given its own.
    Keyed(Box<hmac::Key>),
    /// HMAC-SHA-256 with the key of one tenant's lines.
    OfTenant(Box<hmac::Key>),
}

impl Link {
    /// With this key of all tenants, or without one.
    pub fn new(key: Option<&[u8]>) -> Self {
        key.map_or(Self::Plain, |key| Self::Keyed(hmac_key(key)))
    }

    /// With the key of one tenant's lines, as [`Link::tenant_key`] gives it.
    pub fn of_tenant(key: &[u8]) -> Self {
        Self::OfTenant(hmac_key(key))
    }

    /// The key of a tenant's lines, 32 bytes; `None` where there is no key that it could be made of.
    pub fn tenant_key(&self, tenant: &str) -> Option<[u8; 32]> {
        let Self::Keyed(key) = self else { return None };
        let mut context = hmac::Context::with_key(key);
        context.update(LABEL);
        context.update(tenant.as_bytes());
        context.sign().as_ref().try_into().ok()
    }

    /// The digest of a line (without its newline) of the chain `name`, 64 hex digits.
    pub fn of(&self, name: &str, line: &str) -> String {
        let tenant = name.strip_suffix(REWRAP).unwrap_or(name);
        match (self, self.tenant_key(tenant)) {
            (Self::OfTenant(key), _) => hex::encode(hmac::sign(key, line.as_bytes())),
            (_, Some(key)) => hex::encode(hmac::sign(&hmac_key(&key), line.as_bytes())),
            (_, None) => hex::encode(digest(&SHA256, line.as_bytes())),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "sha256",
            Self::Keyed(_) | Self::OfTenant(_) => "hmac-sha256",
        }
    }
}

fn hmac_key(key: &[u8]) -> Box<hmac::Key> {
    Box::new(hmac::Key::new(hmac::HMAC_SHA256, key))
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The number of the line to come; the first is 0.
    pub next: u64,
    /// The digest of the last line.
    pub digest: String,
}

impl Default for End {
    fn default() -> Self {
        Self {
            next: 0,
            digest: BEGINNING.to_owned(),
        }
    }
}

impl End {
    /// Puts an event at the end of the chain `name`, and returns its line, without a newline.
    pub fn append(&mut self, link: &Link, name: &str, time: &str, event: Map<String, Value>) -> String {
        let mut line = Map::new();
        line.insert("schema".to_owned(), SCHEMA.into());
        line.insert("chain".to_owned(), name.into());
        line.insert("number".to_owned(), self.next.into());
        line.insert("time".to_owned(), time.into());
        line.extend(event);
        line.insert("link".to_owned(), link.name().into());
        line.insert("previous".to_owned(), self.digest.as_str().into());
        let line = Value::Object(line).to_string();
        self.next += 1;
        self.digest = link.of(name, &line);
        line
    }
}

/// What every line has.
#[derive(Deserialize)]
pub struct Line {
    /// The version of the schema.
    pub schema: u64,
    /// The chain's name: the tenant's, or `gate`; a rewrap's has `.rewrap` behind it.
    pub chain: String,
    /// Its number in the chain.
    pub number: u64,
    /// How digests are made.
    pub link: String,
    /// The digest of the line before.
    pub previous: String,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// Not JSON, or not all that every line has.
    Unreadable,
    /// Of a later schema than this build knows.
    Schema(u64),
    /// Digested in another way than asked for: no key was given, or one too many.
    Link(String),
    /// Lines are missing, or come again: the number, and the one that should stand here.
    Number { found: u64, expected: u64 },
    /// The line before was changed, or another stood there.
    Previous,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("no line of an audit trail"),
            Self::Schema(found) => write!(f, "of schema {found}, which this build does not know"),
            Self::Link(found) => write!(f, "digested by {found}: a key is missing, or was given without need"),
            Self::Number { found, expected } if found > expected => {
                write!(f, "number {found} where {expected} belongs: lines are missing")
            }
            Self::Number { found, expected } => write!(f, "number {found} where {expected} belongs: lines come again"),
            Self::Previous => f.write_str("the line before it is not the one that was written"),
        }
    }
}

/// The name of the chain that a line says it belongs to.
///
/// # Errors
/// [`Broken::Unreadable`].
pub fn named(text: &str) -> Result<String, Broken> {
    let line: Line = serde_json::from_str(text).map_err(|_| Broken::Unreadable)?;
    Ok(line.chain)
}

/// Checks a line against its chain's end so far, which moves on. With no end, the line is taken as the first that is left: earlier
/// ones may have been archived.
///
/// # Errors
/// [`Broken`].
pub fn check(link: &Link, end: &mut Option<End>, text: &str) -> Result<Line, Broken> {
    let line: Line = serde_json::from_str(text).map_err(|_| Broken::Unreadable)?;
    if line.schema != SCHEMA {
        return Err(Broken::Schema(line.schema));
    }
    if line.link != link.name() {
        return Err(Broken::Link(line.link));
    }
    let before = end.replace(End {
        next: line.number + 1,
        digest: link.of(&line.chain, text),
    });
    match before {
        Some(before) if before.next != line.number => Err(Broken::Number {
            found: line.number,
            expected: before.next,
        }),
        Some(before) if before.digest != line.previous => Err(Broken::Previous),
        None if line.number == 0 && line.previous != BEGINNING => Err(Broken::Previous),
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(link: &Link) -> Vec<String> {
        let mut end = End::default();
        let event = |name: &str| Map::from_iter([("event".to_owned(), Value::from(name))]);
        ["one", "two", "three"]
            .map(|name| end.append(link, "acme", "2026-11-23T00:00:00Z", event(name)))
            .into()
    }

    fn verify(link: &Link, lines: &[String]) -> Result<(), Broken> {
        let mut end = None;
        lines.iter().try_for_each(|line| check(link, &mut end, line).map(drop))
    }

    #[test]
    fn what_was_written_holds() {
        for link in [Link::new(None), Link::new(Some(b"key"))] {
            assert_eq!(verify(&link, &written(&link)), Ok(()));
            assert_eq!(verify(&link, &written(&link)[1..]), Ok(()), "the first may be archived");
        }
    }

    #[test]
    fn whatever_is_done_to_a_line_shows() {
        let link = Link::new(None);
        let lines = written(&link);
        let changed: Vec<_> = lines.iter().map(|line| line.replace("one", "won")).collect();
        assert_eq!(verify(&link, &changed), Err(Broken::Previous));
        let gap = [lines[0].clone(), lines[2].clone()];
        assert_eq!(verify(&link, &gap), Err(Broken::Number { found: 2, expected: 1 }));
        let again = [lines[0].clone(), lines[0].clone()];
        assert_eq!(verify(&link, &again), Err(Broken::Number { found: 0, expected: 1 }));
        assert_eq!(verify(&link, &["{}".to_owned()]), Err(Broken::Unreadable));
    }

    #[test]
    fn without_the_key_no_chain_is_made() {
        let forged = written(&Link::new(Some(b"guess")));
        assert_eq!(verify(&Link::new(Some(b"key")), &forged), Err(Broken::Previous));
        let plain = written(&Link::new(None));
        assert!(matches!(verify(&Link::new(Some(b"key")), &plain), Err(Broken::Link(_))));
    }

    #[test]
    fn a_tenants_own_key_verifies_its_lines_and_nobody_elses() {
        let link = Link::new(Some(b"key"));
        let own = |tenant: &str| Link::of_tenant(&link.tenant_key(tenant).unwrap());
        assert_eq!(verify(&own("acme"), &written(&link)), Ok(()));
        assert_eq!(verify(&own("globex"), &written(&link)), Err(Broken::Previous));
        assert_eq!(
            link.of("acme", "line"),
            link.of("acme.rewrap", "line"),
            "its rewraps' too"
        );
        assert_ne!(link.of("acme", "line"), link.of("globex", "line"));
        assert!(own("acme").tenant_key("globex").is_none() && Link::new(None).tenant_key("acme").is_none());
    }
}
