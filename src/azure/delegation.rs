//! Get User Delegation Key: the gate's own key, derived from what the fleet keeps secret, so that every replica verifies what is
//! signed with it and none remembers it. <https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key>

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use hyper::body::Incoming;
use time::OffsetDateTime;

use crate::azure::auth::{Delegation, LONGEST_DELEGATION, Principal, moment};
use crate::azure::control::gather;
use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::xml::Element;

/// Answers the request of somebody whose token was verified.
///
/// # Errors
/// A document that is none, or times that can't be.
pub async fn issue(
    exchange: &Exchange<'_>,
    principal: &Principal,
    body: Option<Incoming>,
) -> Result<Response<Bytes>, AzureError> {
    let body = body.ok_or(AzureError::InvalidXml)?;
    let asked = gather(exchange.client(), body).await?;
    let asked = Element::parse(&asked)?;
    let delegation = delegation(exchange, principal, &asked)?;
    let account = &exchange.address.account;
    let keys = delegation.keys(account);
    let key = keys.first().ok_or(AzureError::StoreFailed)?;
    let mut answer = Element::new("UserDelegationKey", "");
    for (name, value) in [
        ("SignedOid", delegation.object),
        ("SignedTid", delegation.tenant),
        ("SignedStart", delegation.start),
        ("SignedExpiry", delegation.expiry),
        ("SignedService", delegation.service),
        ("SignedVersion", delegation.version),
        ("Value", key.text()),
    ] {
        answer.set(name, value);
    }
    let mut response = Response::new(Bytes::from(answer.document()));
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    Ok(response)
}

fn delegation(exchange: &Exchange<'_>, principal: &Principal, asked: &Element<'_>) -> Result<Delegation, AzureError> {
    // A SAS bound to another user is not verified here.
    if asked.name != "KeyInfo" || asked.child("DelegatedUserTid").is_some() {
        return Err(AzureError::InvalidXmlNode { name: "KeyInfo" });
    }
    let now = OffsetDateTime::from(exchange.asker.now);
    let time = |name: &'static str| match asked.text_of(name) {
        "" => Ok(None),
        text => moment(text).map(Some).ok_or(AzureError::InvalidXmlNode { name }),
    };
    let start = time("Start")?.unwrap_or(now);
    let expiry = time("Expiry")?.ok_or(AzureError::InvalidXmlNode { name: "Expiry" })?;
    if expiry <= now || expiry <= start || expiry > now + LONGEST_DELEGATION || expiry > start + LONGEST_DELEGATION {
        return Err(AzureError::InvalidXmlNode { name: "Expiry" });
    }
    let form = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let written = |moment: OffsetDateTime| {
        let text = moment.to_offset(time::UtcOffset::UTC).format(form);
        text.map_err(|_| AzureError::InvalidXmlNode { name: "KeyInfo" })
    };
    let version = exchange.client().get("x-ms-version");
    Ok(Delegation {
        object: principal.object.clone(),
        tenant: principal.tenant.clone(),
        start: written(start)?,
        expiry: written(expiry)?,
        service: "b".to_owned(),
        version: version
            .and_then(|version| version.to_str().ok())
            .unwrap_or("2020-02-10")
            .to_owned(),
    })
}
