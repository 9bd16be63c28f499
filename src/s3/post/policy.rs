//! A form's policy: until when it holds, and what it says of each field.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::s3::auth::Fields;
use crate::s3::post::PostError;

/// Fields that no policy need speak of. The signature of version 2 is as exempt as that of version 4.
const EXEMPT: [&str; 5] = ["file", "policy", "signature", "awsaccesskeyid", "x-amz-signature"];

/// What a policy says, once its signature holds.
#[derive(Debug)]
pub(super) struct Policy {
    expires: SystemTime,
    conditions: Vec<Condition>,
    /// How long the file may be, in bytes.
    length: RangeInclusive<u64>,
}

#[derive(Debug)]
enum Condition {
    Is { field: String, value: String },
    StartsWith { field: String, value: String },
}

fn invalid(what: &str) -> PostError {
    PostError::InvalidPolicy(what.to_owned())
}

impl Policy {
    /// Reads base64 of JSON.
    ///
    /// # Errors
    /// [`PostError::InvalidPolicy`].
    pub(super) fn read(text: &str) -> Result<Self, PostError> {
        let json = STANDARD
            .decode(text.trim())
            .map_err(|_| invalid("Invalid Base64 encoding."))?;
        let document: Value = serde_json::from_slice(&unescape(&json)).map_err(|_| invalid("Invalid JSON."))?;
        let Value::Object(document) = document else {
            return Err(invalid("Invalid JSON."));
        };
        let expires = match document.get("expiration") {
            Some(Value::String(text)) => moment(text).ok_or_else(|| invalid("Invalid 'expiration' value."))?,
            _ => return Err(invalid("Policy missing expiration.")),
        };
        let Some(Value::Array(stated)) = document.get("conditions") else {
            return Err(invalid("Policy missing conditions."));
        };
        let mut new = Self {
            expires,
            conditions: Vec::with_capacity(stated.len()),
            length: 0..=u64::MAX,
        };
        for condition in stated {
            match condition {
                Value::Object(simple) => new.conditions.push(simple_condition(simple)?),
                Value::Array(listed) => new.listed_condition(listed)?,
                _ => return Err(invalid("Invalid condition: a list or an object is expected.")),
            }
        }
        Ok(new)
    }

    /// Holds a form to the policy; returns how long its file may be. `bucket` is the one that the form is posted to: whatever a
    /// field of that name says, the policy must speak of this one.
    ///
    /// # Errors
    /// [`PostError::Denied`] where the policy has ended, a condition does not hold, or a field is in none.
    pub(super) fn check(
        self,
        fields: &Fields,
        bucket: &str,
        now: SystemTime,
    ) -> Result<RangeInclusive<u64>, PostError> {
        if now >= self.expires {
            return Err(PostError::Denied("Policy expired.".to_owned()));
        }
        let value = |field: &str| match field {
            "bucket" => Some(bucket),
            field => fields.get(field).map(String::as_str),
        };
        let mut spoken_of = BTreeSet::new();
        for condition in &self.conditions {
            if !condition.holds(value(condition.field())) {
                return Err(PostError::Denied(format!(
                    "Policy Condition failed: {}",
                    condition.words()
                )));
            }
            spoken_of.insert(condition.field());
        }
        let names = fields.keys().map(String::as_str).chain(["bucket"]);
        let mut extra = names.filter(|name| {
            let exempt = EXEMPT.contains(name) || name.starts_with("x-ignore-");
            !exempt && !spoken_of.contains(name)
        });
        match extra.next() {
            Some(name) => Err(PostError::Denied(format!("Extra input fields: {name}"))),
            None => Ok(self.length),
        }
    }

    /// `["eq", "$field", "value"]`, `["starts-with", "$field", "value"]`, `["content-length-range", least, most]`.
    fn listed_condition(&mut self, listed: &[Value]) -> Result<(), PostError> {
        let operator = listed
            .first()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_ascii_lowercase();
        match (operator.as_str(), listed) {
            ("content-length-range", [_, least, most]) => {
                let (Some(least), Some(most)) = (length(least), length(most)) else {
                    return Err(invalid("Invalid Content-Length-Range: its bounds are no lengths."));
                };
                let (from, to) = (*self.length.start(), *self.length.end());
                self.length = from.max(least)..=to.min(most);
                Ok(())
            }
            ("eq" | "starts-with", [_, Value::String(field), Value::String(value)]) => {
                let field = field
                    .strip_prefix('$')
                    .ok_or_else(|| invalid("Invalid condition: a field begins with '$'."))?;
                let (field, value) = (field.to_ascii_lowercase(), value.clone());
                self.conditions.push(match operator.as_str() {
                    "eq" => Condition::Is { field, value },
                    _ => Condition::StartsWith { field, value },
                });
                Ok(())
            }
            ("content-length-range" | "eq" | "starts-with", _) => Err(PostError::InvalidPolicy(format!(
                "Invalid {operator}: wrong number or kind of arguments."
            ))),
            _ => Err(invalid("Invalid condition: unknown operation.")),
        }
    }
}

/// `{"field": "value"}`.
fn simple_condition(simple: &Map<String, Value>) -> Result<Condition, PostError> {
    match simple.iter().collect::<Vec<_>>().as_slice() {
        [(field, Value::String(value))] => Ok(Condition::Is {
            field: field.to_ascii_lowercase(),
            value: value.clone(),
        }),
        [_] => Err(invalid(
            "Invalid Simple-Condition: Simple-Conditions must have string specified.",
        )),
        _ => Err(invalid(
            "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
        )),
    }
}

impl Condition {
    fn field(&self) -> &str {
        match self {
            Self::Is { field, .. } | Self::StartsWith { field, .. } => field,
        }
    }

    /// A field that is not in the form meets no condition, not even that it start with nothing.
    fn holds(&self, found: Option<&str>) -> bool {
        match (self, found) {
            (_, None) => false,
            (Self::Is { value, .. }, Some(found)) => found == value,
            // A list: each of it must.
            (Self::StartsWith { field, value }, Some(found)) if field == "content-type" && found.contains(',') => {
                found.split(',').all(|one| one.trim_start().starts_with(value.as_str()))
            }
            (Self::StartsWith { value, .. }, Some(found)) => found.starts_with(value.as_str()),
        }
    }

    fn words(&self) -> String {
        let (operator, field, value) = match self {
            Self::Is { field, value } => ("eq", field, value),
            Self::StartsWith { field, value } => ("starts-with", field, value),
        };
        format!("[\"{operator}\", \"${field}\", \"{value}\"]")
    }
}

/// A length in bytes, as a number or as text, which S3 takes too.
fn length(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// ISO 8601 as policies have it; RFC 3339 also allows a space for the `T`, which S3 refuses.
fn moment(text: &str) -> Option<SystemTime> {
    (text.as_bytes().get(10) == Some(&b'T')).then_some(())?;
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// Escapes that policies have and JSON has not: `\$`, and `\v`.
fn unescape(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json.iter();
    while let Some(&byte) = rest.next() {
        match (byte, rest.as_slice().first()) {
            (b'\\', Some(b'$')) => out.push(b'$'),
            (b'\\', Some(b'v')) => out.extend_from_slice(b"\\u000b"),
            (b'\\', Some(other)) => out.extend_from_slice(&[b'\\', *other]),
            _ => {
                out.push(byte);
                continue;
            }
        }
        rest.next();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_json_has_not_are_taken() {
        for (text, expected) in [
            (r#""\$foo\v\n""#, "$foo\u{b}\n"),
            (r#""\\$foo\"x\u0041""#, "\\$foo\"xA"),
            (r#""ü$""#, "ü$"),
        ] {
            let read: String = serde_json::from_slice(&unescape(text.as_bytes())).unwrap();
            assert_eq!(read, expected, "{text}");
        }
        assert_eq!(unescape(b"\\"), b"\\");
    }
}
