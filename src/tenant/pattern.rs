//! Names of buckets and prefixes of keys that stand for many: `files-*`, `isv-{tenant}-files`, `customers/{tenant}/`.

/// What stands for the tenant's name in a pattern.
const CAPTURE: &str = "{tenant}";

/// A pattern: text, in it any number of `*`, each for any characters, and at most one `{tenant}`, for the letters, digits, `-` and `_`
/// of a tenant's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Any,
    Tenant,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Which one would count?
    #[error("`{{tenant}}` stands in it twice")]
    TwoCaptures,
    /// Braces other than those of `{tenant}`.
    #[error("a brace that belongs to no `{{tenant}}`")]
    Brace,
    /// What belongs to whom would depend on how the text is cut.
    #[error("`*` beside `{{tenant}}`")]
    Ambiguous,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut pieces = Vec::new();
        for (number, part) in text.split(CAPTURE).enumerate() {
            if number > 1 {
                return Err(BadPattern::TwoCaptures);
            }
            if part.contains(['{', '}']) {
                return Err(BadPattern::Brace);
            }
            if number == 1 {
                pieces.push(Piece::Tenant);
            }
            for (number, literal) in part.split('*').enumerate() {
                if number > 0 && pieces.last() != Some(&Piece::Any) {
                    pieces.push(Piece::Any);
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Text(literal.to_owned()));
                }
            }
        }
        let beside = |pair: &[Piece]| matches!(pair, [Piece::Any, Piece::Tenant] | [Piece::Tenant, Piece::Any]);
        if pieces.windows(2).any(beside) {
            return Err(BadPattern::Ambiguous);
        }
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one name only.
    pub fn is_literal(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Whether the tenant's name stands in it.
    pub fn captures(&self) -> bool {
        self.pieces.contains(&Piece::Tenant)
    }

    /// How many characters of a name it fixes: the more, the rather it counts where several match.
    pub fn fixed(&self) -> usize {
        let len = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Any | Piece::Tenant => 0,
        };
        self.pieces.iter().map(len).sum()
    }

    /// Whether the whole of `name` matches, for one of `tenants`: the tenant captured, or an empty text where none is.
    pub fn whole<'n>(&self, name: &'n str) -> Option<&'n str> {
        matches(&self.pieces, name, "", true)
    }

    /// Whether `name` begins so: the tenant captured, or an empty text where none is.
    pub fn beginning<'n>(&self, name: &'n str) -> Option<&'n str> {
        matches(&self.pieces, name, "", false)
    }

    /// Whether there is a name that both match.
    pub fn overlaps(&self, other: &Self) -> bool {
        meet(&self.steps(), &other.steps())
    }

    /// Whether there is a name that begins as both say.
    pub fn begin_alike(&self, other: &Self) -> bool {
        let open = |pattern: &Self| [pattern.steps(), vec![Step::any(Fits::Any)]].concat();
        meet(&open(self), &open(other))
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => steps.extend(text.chars().map(|c| Step {
                    fits: Fits::One(c),
                    repeats: false,
                })),
                Piece::Any => steps.push(Step::any(Fits::Any)),
                Piece::Tenant => steps.extend([
                    Step {
                        fits: Fits::Tenant,
                        repeats: false,
                    },
                    Step::any(Fits::Tenant),
                ]),
            }
        }
        steps
    }
}

/// A pattern as an automaton: each step takes one character, or any number of them.
#[derive(Clone, Copy)]
struct Step {
    fits: Fits,
    repeats: bool,
}

#[derive(Clone, Copy)]
enum Fits {
    One(char),
    Tenant,
    Any,
}

impl Step {
    fn any(fits: Fits) -> Self {
        Self { fits, repeats: true }
    }

    /// Whether one character does for both.
    fn meets(self, other: Self) -> bool {
        match (self.fits, other.fits) {
            (Fits::One(a), Fits::One(b)) => a == b,
            (Fits::One(c), Fits::Tenant) | (Fits::Tenant, Fits::One(c)) => is_of_name(c),
            _ => true,
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Whether two automata take one text: every pair of places that a common beginning leads to is looked at once.
fn meet(a: &[Step], b: &[Step]) -> bool {
    let (mut open, mut seen) = (vec![(0, 0)], std::collections::HashSet::new());
    while let Some((i, j)) = open.pop() {
        if !seen.insert((i, j)) {
            continue;
        }
        let (one, other) = (a.get(i), b.get(j));
        if one.is_none() && other.is_none() {
            return true;
        }
        if one.is_some_and(|step| step.repeats) {
            open.push((i + 1, j));
        }
        if other.is_some_and(|step| step.repeats) {
            open.push((i, j + 1));
        }
        if let (Some(one), Some(other)) = (one, other)
            && one.meets(*other)
        {
            let next = |at: usize, step: &Step| if step.repeats { at } else { at + 1 };
            open.push((next(i, one), next(j, other)));
        }
    }
    false
}

/// The shortest cut that matches comes first. Names have 1,024 bytes at most and patterns a few pieces.
fn matches<'n>(pieces: &[Piece], name: &'n str, tenant: &'n str, whole: bool) -> Option<&'n str> {
    let Some((first, rest)) = pieces.split_first() else {
        return (name.is_empty() || !whole).then_some(tenant);
    };
    match first {
        Piece::Text(text) => matches(rest, name.strip_prefix(text.as_str())?, tenant, whole),
        Piece::Any => name
            .char_indices()
            .map(|(at, _)| at)
            .chain([name.len()])
            .find_map(|at| matches(rest, name.get(at..)?, tenant, whole)),
        Piece::Tenant => {
            // Each of these is one byte.
            let longest = name.chars().take_while(|c| is_of_name(*c)).count();
            // A prefix that ends in the capture takes all of it: `acme` must not open `acme-other`.
            let least = if rest.is_empty() { longest.max(1) } else { 1 };
            (least..=longest)
                .rev()
                .find_map(|len| matches(rest, name.get(len..)?, name.get(..len)?, whole))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn names_match_whole() {
        for (text, name, tenant) in [
            ("files", "files", Some("")),
            ("files", "files2", None),
            ("files-*", "files-", Some("")),
            ("files-*", "files-a-b", Some("")),
            ("*", "anything", Some("")),
            ("*-logs-*", "a-logs-b", Some("")),
            ("*-logs-*", "a-log-b", None),
            ("isv-{tenant}-files", "isv-acme-files", Some("acme")),
            ("isv-{tenant}-files", "isv-a-files-files", Some("a-files")),
            ("isv-{tenant}-files", "isv--files", None),
            ("{tenant}", "acme", Some("acme")),
            ("{tenant}.files", "a.b.files", None),
        ] {
            assert_eq!(pattern(text).whole(name), tenant, "{text} {name}");
        }
    }

    #[test]
    fn prefixes_match_the_beginning() {
        for (text, key, tenant) in [
            ("customers/{tenant}/", "customers/acme/report", Some("acme")),
            ("customers/{tenant}/", "customers/acme/", Some("acme")),
            ("customers/{tenant}/", "customers/acme", None),
            ("customers/{tenant}/", "customers/../acme/", None),
            ("customers/{tenant}/", "customers/a/b/", Some("a")),
            ("{tenant}", "acme-other/x", Some("acme-other")),
            ("shared/", "shared/x", Some("")),
            ("shared/", "share", None),
        ] {
            assert_eq!(pattern(text).beginning(key), tenant, "{text} {key}");
        }
    }

    #[test]
    fn patterns_overlap_where_one_name_fits_both() {
        for (a, b, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a*", "ab", true),
            ("a*", "b", false),
            ("ab*", "ac*", false),
            ("ab*", "a", false),
            ("*", "$root", true),
            ("*-files", "acme-*", true),
            ("*-files", "acme-*-logs", false),
            ("isv-{tenant}", "isv-acme", true),
            ("isv-{tenant}", "isv-", false),
            ("isv-{tenant}", "isv-$x", false),
            ("isv-{tenant}-a", "isv-{tenant}-b", false),
            ("isv-{tenant}-a", "isv-*", true),
        ] {
            let (one, other) = (pattern(a), pattern(b));
            assert_eq!(
                (one.overlaps(&other), other.overlaps(&one)),
                (expected, expected),
                "{a} {b}"
            );
        }
        assert!(pattern("a/").begin_alike(&pattern("a/b/")));
        assert!(pattern("{tenant}/").begin_alike(&pattern("acme/")));
        assert!(!pattern("a/").begin_alike(&pattern("b/")));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        assert_eq!(Pattern::parse("{tenant}{tenant}"), Err(BadPattern::TwoCaptures));
        assert_eq!(Pattern::parse("a-{other}"), Err(BadPattern::Brace));
        assert_eq!(Pattern::parse("*{tenant}"), Err(BadPattern::Ambiguous));
        assert_eq!(Pattern::parse("{tenant}*"), Err(BadPattern::Ambiguous));
    }
}
