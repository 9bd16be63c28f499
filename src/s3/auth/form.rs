//! Who made a form that a browser posts: its policy is signed, with SigV4 or SigV2, or there is neither policy nor signature.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::hmac;

use crate::s3::auth::check_token;
use crate::s3::auth::claim::check_algorithm;
use crate::s3::auth::{AuthError, Authenticator, Form, Identity, LARGEST_SKEW, Payload, SigV2, Unsupported, Verified};
use crate::upstream::sigv4::{Credential, Scope, Timestamp};

/// A form's fields before its file, by lower-case name.
pub type Fields = BTreeMap<String, String>;

const POLICY: &str = "policy";
const TOKEN: &str = "x-amz-security-token";
/// Any of these says that the form is signed.
const SIGNING: [&str; 7] = [
    POLICY,
    "signature",
    "awsaccesskeyid",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-algorithm",
    TOKEN,
];

impl Authenticator {
    /// Who signed a form's policy. The policy itself, its end and its conditions are not judged here.
    ///
    /// # Errors
    /// Whatever keeps the policy from being its client's. What is signed in part is not anonymous.
    pub fn identify_form(&self, fields: &Fields, now: SystemTime) -> Result<Identity, AuthError> {
        if SIGNING.iter().all(|name| !fields.contains_key(*name)) {
            return Ok(Identity::Anonymous(Payload::Unsigned));
        }
        let policy = field(fields, POLICY)?;
        let v2 = fields.contains_key("signature") || fields.contains_key("awsaccesskeyid");
        let v4 = fields.contains_key("x-amz-signature") || fields.contains_key("x-amz-algorithm");
        let credential = match (v4, v2) {
            (true, true) => return Err(AuthError::Several),
            (true, false) => self.verify_policy_v4(fields, policy, now)?,
            (false, _) if self.sig_v2 == SigV2::Nowhere && v2 => {
                return Err(AuthError::UnsupportedAlgorithm(Unsupported::SigV2));
            }
            (false, _) => {
                let (access_key, signature) = (field(fields, "AWSAccessKeyId")?, field(fields, "signature")?);
                self.verify_sha1(access_key, policy.as_bytes(), signature)?
            }
        };
        check_token(credential.session_token(), fields.get(TOKEN).map(String::as_str))?;
        Ok(Identity::Verified(Verified {
            credential,
            form: Form::Post,
            payload: Payload::Unsigned,
        }))
    }

    fn verify_policy_v4(&self, fields: &Fields, policy: &str, now: SystemTime) -> Result<Arc<Credential>, AuthError> {
        check_algorithm(field(fields, "x-amz-algorithm")?)?;
        let malformed = AuthError::MalformedField("x-amz-credential");
        let (access_key, scope) = field(fields, "x-amz-credential")?.split_once('/').ok_or(malformed)?;
        let scope = Scope::parse(scope).ok_or(AuthError::MalformedField("x-amz-credential"))?;
        let timestamp =
            Timestamp::parse(field(fields, "x-amz-date")?).ok_or(AuthError::MalformedField("x-amz-date"))?;
        self.check_scope(Form::Post, &scope, timestamp.date())?;
        // How long the form lasts after this moment, its policy says.
        if timestamp.moment().duration_since(now).unwrap_or_default() > LARGEST_SKEW {
            return Err(AuthError::NotYetValid);
        }
        let signature = hex::decode(field(fields, "x-amz-signature")?).unwrap_or_default();

        // The same work whether the access key is known or not.
        let found = (self.lookup)(access_key);
        let key = found.as_ref().unwrap_or(&self.nobody).signing_key(&scope);
        let genuine = hmac::verify(&key.hmac(), policy.as_bytes(), &signature).is_ok();
        let Some(credential) = found else {
            self.nobody.remember(scope.text, &key);
            return Err(AuthError::UnknownAccessKey {
                access_key: access_key.to_owned(),
            });
        };
        if !genuine {
            return Err(AuthError::SignatureMismatch);
        }
        credential.remember(scope.text, &key);
        Ok(credential)
    }
}

/// A field that must be there. `name` is spelled as the client is told it.
fn field<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a str, AuthError> {
    let value = fields.get(&name.to_ascii_lowercase());
    value.map(String::as_str).ok_or(AuthError::MissingField(name))
}
