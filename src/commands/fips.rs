//! Which module the cryptography comes from: the one of a build with `--features fips`, or the ordinary one. docs/fips.md says what
//! that covers and what not.

use std::fmt;

/// What `--version` says of this build.
pub const VERSION: &str = match cfg!(feature = "fips") {
    true => concat!(env!("CARGO_PKG_VERSION"), " (FIPS: AWS-LC FIPS module)"),
    false => env!("CARGO_PKG_VERSION"),
};

/// Where the cryptography of the running process comes from, by the module's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Module {
    /// AWS-LC, as it is developed.
    Ordinary,
    /// The branch of AWS-LC that is validated, having passed its own tests at the start.
    Fips,
}

/// A FIPS build whose module is not in its approved mode: it must not serve as if it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is a FIPS build, and its cryptographic module is not in FIPS mode")]
pub struct NotFips;

impl Module {
    /// Asks the module, and TLS.
    pub(super) fn running() -> Result<Self, NotFips> {
        let tls = rustls::crypto::aws_lc_rs::default_provider().fips();
        match (aws_lc_rs::try_fips_mode().is_ok() && tls, cfg!(feature = "fips")) {
            (true, true) => Ok(Self::Fips),
            (_, false) => Ok(Self::Ordinary),
            (false, true) => Err(NotFips),
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordinary => "AWS-LC",
            Self::Fips => "AWS-LC FIPS module",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_and_the_module_agree() {
        let fips = cfg!(feature = "fips");
        assert_eq!(
            Module::running(),
            Ok(if fips { Module::Fips } else { Module::Ordinary })
        );
        assert_eq!(VERSION.contains("FIPS"), fips);
    }
}
