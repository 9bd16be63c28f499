//! Shared access signatures: what their parameters say, and the text that is signed.
//!
//! The text's layout follows the signed version; changes are those of the service's documentation (create-account-sas,
//! create-service-sas, create-user-delegation-sas) and of the official SDKs.

use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use http::HeaderMap;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::azure::address::Address;
use crate::azure::auth::{AuthError, LONGEST_DELEGATION, Role};

/// The parameters of a SAS, as the request brings them.
pub(super) struct Sas<'a> {
    address: &'a Address,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    Service,
    Delegation,
}

/// What a user delegation key was given for; the key follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Whose: object and tenant of the user.
    pub object: String,
    pub tenant: String,
    pub start: String,
    pub expiry: String,
    pub service: String,
    pub version: String,
}

/// What a stored access policy adds to a service SAS; see Get Container ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub start: String,
    pub expiry: String,
    pub permissions: String,
}

impl<'a> Sas<'a> {
    /// The SAS of a request, if it has one.
    pub(super) fn of(address: &'a Address) -> Option<Self> {
        address.parameter("sig").map(|_| Self { address })
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.has("skoid"), self.has("ss")) {
            (true, _) => Kind::Delegation,
            (false, true) => Kind::Account,
            (false, false) => Kind::Service,
        }
    }

    /// A parameter's value; empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &'a str {
        self.address.parameter(name).unwrap_or("")
    }

    fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// The user delegation key that a SAS says it was signed with.
    pub(super) fn delegation(&self) -> Delegation {
        Delegation {
            object: self.get("skoid").to_owned(),
            tenant: self.get("sktid").to_owned(),
            start: self.get("skt").to_owned(),
            expiry: self.get("ske").to_owned(),
            service: self.get("sks").to_owned(),
            version: self.get("skv").to_owned(),
        }
    }

    /// What whoever's user delegation key signed may do, now.
    ///
    /// # Errors
    /// Nothing any more; or the SAS is of a kind that is not verified here, bound to another user of the tenant's.
    pub(super) fn delegator(&self) -> Result<Role, AuthError> {
        if ["suoid", "sduoid", "skdutid"].iter().any(|name| self.has(name)) {
            return Err(AuthError::Mismatch);
        }
        let directory = self.address.account.directory.as_ref().ok_or(AuthError::Mismatch)?;
        if !self.get("sktid").eq_ignore_ascii_case(directory.tenant.as_str()) {
            return Err(AuthError::Mismatch);
        }
        directory.role(self.get("skoid")).ok_or(AuthError::Permission)
    }

    /// Whether a service SAS is for what is addressed.
    ///
    /// # Errors
    /// It is for another resource, or for none that is known.
    pub(super) fn covers(&self) -> Result<(), AuthError> {
        let snapshot = self.address.parameter("snapshot").is_some();
        let version = self.address.parameter("versionid").is_some();
        match self.get("sr") {
            // Its text names the container alone, whatever blob is asked for.
            "c" => Ok(()),
            "b" if !self.address.blob.is_empty() => Ok(()),
            "bs" if snapshot && !self.address.blob.is_empty() => Ok(()),
            "bv" if version && !self.address.blob.is_empty() => Ok(()),
            _ => Err(AuthError::Mismatch),
        }
    }

    /// The text that is signed.
    pub(super) fn text(&self, kind: Kind, headers: &HeaderMap) -> Result<String, AuthError> {
        let version = self.get("sv");
        if version.len() != 10 || version < "2015-04-05" {
            return Err(AuthError::Malformed);
        }
        let all = |names: &[&str]| names.iter().map(|name| self.get(name).to_owned()).collect::<Vec<_>>();
        let account = self.address.account.name.as_str();
        let mut fields = Vec::new();
        if kind == Kind::Account {
            fields.push(account.to_owned());
            fields.extend(all(&["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]));
            if version >= "2020-12-06" {
                fields.push(self.get("ses").to_owned());
            }
            fields.push(String::new());
            return Ok(fields.join("\n"));
        }
        fields.extend(all(&["sp", "st", "se"]));
        fields.push(match self.get("sr") {
            "c" => format!("/blob/{account}/{}", self.address.container),
            _ => format!("/blob/{account}/{}/{}", self.address.container, self.address.blob),
        });
        match kind {
            Kind::Delegation => {
                fields.extend(all(&["skoid", "sktid", "skt", "ske", "sks", "skv"]));
                if version >= "2020-02-10" {
                    fields.extend(all(&["saoid", "suoid", "scid"]));
                }
                if version >= "2025-07-05" {
                    fields.extend(all(&["skdutid", "sduoid"]));
                }
            }
            Kind::Service | Kind::Account => fields.push(self.get("si").to_owned()),
        }
        fields.extend(all(&["sip", "spr", "sv"]));
        if version >= "2018-11-09" {
            fields.push(self.get("sr").to_owned());
            fields.push(match self.get("sr") {
                "bs" => self.get("snapshot").to_owned(),
                "bv" => self.get("versionid").to_owned(),
                _ => String::new(),
            });
        }
        if version >= "2020-12-06" {
            fields.push(self.get("ses").to_owned());
        }
        if kind == Kind::Delegation && version >= "2026-04-06" {
            fields.push(self.named_headers(headers));
            fields.push(self.named_parameters());
        }
        fields.extend(all(&["rscc", "rscd", "rsce", "rscl", "rsct"]));
        Ok(fields.join("\n"))
    }

    /// `srh`: `name:value` a line, each with its line's end.
    fn named_headers(&self, headers: &HeaderMap) -> String {
        let names = self.get("srh").split(',').filter(|name| !name.is_empty());
        names
            .map(|name| {
                let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
                format!("{name}:{value}\n")
            })
            .collect()
    }

    /// `srq`: `name:value` a line, each with a line's end before it.
    fn named_parameters(&self) -> String {
        let names = self.get("srq").split(',').filter(|name| !name.is_empty());
        names.map(|name| format!("\n{name}:{}", self.get(name))).collect()
    }

    /// Checks what does not depend on the operation: protocol, address, time. `policy` fills in what the SAS leaves to it.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn check(
        &self,
        policy: Option<&Policy>,
        peer: IpAddr,
        secure: bool,
        now: SystemTime,
    ) -> Result<(), AuthError> {
        if self.get("spr") == "https" && !secure {
            return Err(AuthError::Protocol);
        }
        if self.has("sip") && !within(self.get("sip"), peer) {
            return Err(AuthError::SourceIp);
        }
        let own = |name: &str, stored: fn(&Policy) -> &String| match (self.get(name), policy) {
            ("", Some(policy)) => stored(policy).clone(),
            (own, _) => own.to_owned(),
        };
        let now = OffsetDateTime::from(now);
        let (start, expiry) = (own("st", |policy| &policy.start), own("se", |policy| &policy.expiry));
        if !start.is_empty() && moment(&start).ok_or(AuthError::Malformed)? > now {
            return Err(AuthError::OutOfTime);
        }
        // A SAS that never ends is none.
        if moment(&expiry).ok_or(AuthError::Malformed)? <= now {
            return Err(AuthError::OutOfTime);
        }
        if self.kind() == Kind::Delegation {
            let of_key = |name: &str| moment(self.get(name)).ok_or(AuthError::Malformed);
            let (start, expiry) = (of_key("skt")?, of_key("ske")?);
            if start > now || expiry <= now || expiry > start + LONGEST_DELEGATION {
                return Err(AuthError::OutOfTime);
            }
        }
        Ok(())
    }
}

/// A moment as a SAS writes it: ISO 8601, down to the day, the minute, the second or a part of it.
pub fn moment(text: &str) -> Option<OffsetDateTime> {
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]Z");
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| {
            PrimitiveDateTime::parse(text, minutes)
                .ok()
                .map(PrimitiveDateTime::assume_utc)
        })
        .or_else(|| {
            let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
            Some(day.midnight().assume_utc())
        })
}

/// Whether an address is the one named, or between the two named.
fn within(range: &str, peer: IpAddr) -> bool {
    let peer = match peer {
        IpAddr::V4(peer) => peer,
        IpAddr::V6(peer) => match peer.to_ipv4_mapped() {
            Some(peer) => peer,
            None => return false,
        },
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<Ipv4Addr>(), last.parse::<Ipv4Addr>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&peer),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_of_theirs() {
        for text in [
            "2026-11-23",
            "2026-11-23T00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-11-23T00:00:00.0000000Z",
        ] {
            assert_eq!(
                moment(text).map(OffsetDateTime::unix_timestamp),
                Some(1_795_392_000),
                "{text}"
            );
        }
        assert_eq!(moment("tomorrow"), None);
    }

    #[test]
    fn addresses_are_those_of_the_range() {
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(within("10.0.0.1", peer("10.0.0.1")));
        assert!(within("10.0.0.1-10.0.0.9", peer("::ffff:10.0.0.9")));
        assert!(!within("10.0.0.1-10.0.0.9", peer("10.0.0.10")));
        assert!(!within("10.0.0.0/8", peer("10.0.0.1")), "no network, as Azure has it");
        assert!(!within("10.0.0.1", peer("::1")));
    }
}
