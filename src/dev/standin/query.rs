//! Query strings and form bodies: `name=value` pairs, percent-encoded (application/x-www-form-urlencoded).

use percent_encoding::percent_decode_str;

/// The pairs, in order, decoded.
#[derive(Clone, Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads pairs. What is no UTF-8 after decoding shows replacement characters: it then matches nothing.
    pub fn read(text: &str) -> Self {
        let decode = |part: &str| {
            percent_decode_str(&part.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    /// The first value under a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_as_forms_are() {
        let pairs = Pairs::read("scope=https%3A%2F%2Fvault.azure.net%2F.default&a=b+c&empty&a=second");
        assert_eq!(pairs.value("scope"), Some("https://vault.azure.net/.default"));
        assert_eq!(pairs.value("a"), Some("b c"));
        assert_eq!(pairs.value("empty"), Some(""));
        assert_eq!(pairs.value("missing"), None);
    }
}
