//! How a browser is told that its file is stored.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use percent_encoding::utf8_percent_encode;
use quick_xml::escape::escape;

use crate::s3::auth::Fields;
use crate::s3::post::fields::RESERVED;

/// What the form asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Success {
    /// 204 where nothing is asked for, or nothing known.
    NoContent,
    /// 200, with an empty body.
    Ok,
    /// 201, with a document.
    Created,
    /// 303 to this URL, with bucket, key and ETag added to its query.
    Redirect(String),
}

impl Success {
    pub(super) fn of(fields: &Fields) -> Self {
        // `redirect` is its old name.
        let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
        let usable = |url: &&String| {
            let uri = url.parse::<http::Uri>();
            uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        };
        match (
            redirect.filter(usable),
            fields.get("success_action_status").map(String::as_str),
        ) {
            (Some(url), _) => Self::Redirect(url.clone()),
            (None, Some("200")) => Self::Ok,
            (None, Some("201")) => Self::Created,
            (None, _) => Self::NoContent,
        }
    }

    /// The answer. `headers` are those of a PutObject's, the ETag as the client is to know it among them; `location` is where the
    /// object can be found.
    pub fn answer(&self, bucket: &str, key: &str, location: &str, headers: HeaderMap) -> Response<Bytes> {
        let etag = headers
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let mut response = Response::new(Bytes::new());
        *response.headers_mut() = headers;
        let (status, location) = match self {
            Self::NoContent => (StatusCode::NO_CONTENT, location.to_owned()),
            Self::Ok => (StatusCode::OK, location.to_owned()),
            Self::Created => {
                let document = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket>\
                     <Key>{}</Key><ETag>{}</ETag></PostResponse>",
                    escape(location),
                    escape(bucket),
                    escape(key),
                    escape(&etag),
                );
                *response.body_mut() = Bytes::from(document);
                let xml = HeaderValue::from_static("application/xml");
                response.headers_mut().insert(CONTENT_TYPE, xml);
                (StatusCode::CREATED, location.to_owned())
            }
            Self::Redirect(url) => (StatusCode::SEE_OTHER, redirection(url, bucket, key, &etag)),
        };
        *response.status_mut() = status;
        if let Ok(location) = HeaderValue::try_from(location) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

fn redirection(url: &str, bucket: &str, key: &str, etag: &str) -> String {
    let (url, fragment) = url
        .split_once('#')
        .map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let separator = if url.contains('?') { '&' } else { '?' };
    let encode = |text| utf8_percent_encode(text, RESERVED);
    let mut url = format!(
        "{url}{separator}bucket={}&key={}&etag={}",
        encode(bucket),
        encode(key),
        encode(etag)
    );
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(fragment);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Success {
        Success::of(
            &pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn answer(success: &Success) -> Response<Bytes> {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"abc-x\""));
        success.answer("b", "a <&>/ü", "http://h/b/a", headers)
    }

    #[test]
    fn what_is_not_known_is_204() {
        let status = |status: &str| of(&[("success_action_status", status)]);
        assert_eq!((status("200"), status("201")), (Success::Ok, Success::Created));
        for other in ["204", "404", "", "abc"] {
            assert_eq!(status(other), Success::NoContent, "{other}");
        }
        for unusable in ["", "/relative", "javascript:alert(1)", "ftp://x/", "http://a b/"] {
            assert_eq!(
                of(&[("success_action_redirect", unusable)]),
                Success::NoContent,
                "{unusable}"
            );
        }
        let redirect = Success::Redirect("http://h/done".to_owned());
        assert_eq!(
            of(&[
                ("success_action_redirect", "http://h/done"),
                ("success_action_status", "200")
            ]),
            redirect
        );
        assert_eq!(of(&[("redirect", "http://h/done")]), redirect);
    }

    #[test]
    fn answers_say_where_the_object_is() {
        let empty = answer(&Success::NoContent);
        assert_eq!((empty.status(), empty.body().len()), (StatusCode::NO_CONTENT, 0));
        assert_eq!(empty.headers()[LOCATION], "http://h/b/a");
        let created = answer(&Success::Created);
        assert_eq!(created.status(), StatusCode::CREATED);
        let document = String::from_utf8_lossy(created.body());
        assert!(
            document.contains("<Key>a &lt;&amp;&gt;/ü</Key><ETag>&quot;abc-x&quot;</ETag>"),
            "{document}"
        );
        for (url, location) in [
            (
                "http://h/done",
                "http://h/done?bucket=b&key=a%20%3C%26%3E%2F%C3%BC&etag=%22abc-x%22",
            ),
            (
                "http://h/?a=b#top",
                "http://h/?a=b&bucket=b&key=a%20%3C%26%3E%2F%C3%BC&etag=%22abc-x%22#top",
            ),
        ] {
            let redirected = answer(&Success::Redirect(url.to_owned()));
            assert_eq!(redirected.status(), StatusCode::SEE_OTHER);
            assert_eq!(redirected.headers()[LOCATION], location);
        }
    }
}
