//! `portcullis audit`: checks an audit trail, and takes a tenant's lines out of it.
#![allow(clippy::print_stderr)] // a command's complaint

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use zeroize::Zeroizing;

use crate::commands::{Outcome, say};
use crate::telemetry::trail;
use crate::telemetry::trail::chain::{self, End, Link};

/// Checks every line of every chain, and prints how many there are and where each ends. A line cut off at the very end of a chain
/// does not show by itself: keep what is printed here, or the ends that gates log, somewhere else, and compare.
/// `key` is the file with the configuration's key, `tenant_key` one with what [`audit_key`] prints.
pub fn verify_audit(directory: &Path, key: Option<&Path>, tenant_key: Option<&Path>) -> Outcome {
    let read = || -> io::Result<bool> {
        let link = match tenant_key {
            Some(file) => {
                let hex = secret(file)?;
                Link::of_tenant(&hex::decode(&*hex).map_err(|error| io::Error::other(format!("the key: {error}")))?)
            }
            None => Link::new(key.map(secret).transpose()?.as_deref().map(Vec::as_slice)),
        };
        verify(directory, &link)
    };
    match read() {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Found,
        Err(error) => cannot(directory, &error),
    }
}

/// Prints the key of one tenant's lines, in hex, for the customer to verify them with: it is of no use for another's.
pub fn audit_key(key: &Path, tenant: &str) -> Outcome {
    match secret(key) {
        Ok(secret) => {
            let own = Link::new(Some(&secret)).tenant_key(tenant);
            say(&own.map(hex::encode).unwrap_or_default());
            Outcome::Done
        }
        Err(error) => cannot(key, &error),
    }
}

/// What a file holds, but for the newline at its end.
fn secret(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(fs::read(file)?);
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    Ok(secret)
}

fn verify(directory: &Path, link: &Link) -> io::Result<bool> {
    let mut chains: BTreeMap<String, (u64, Option<End>)> = BTreeMap::new();
    let mut holds = true;
    for (file, path) in trail::files(directory)? {
        for (number, text) in BufReader::new(File::open(&path)?).lines().enumerate() {
            let text = text?;
            // What was exported of a tenant may have its rewraps' chain in the same file.
            let named = chain::named(&text).ok().filter(|named| trail::belongs(named, &file));
            let (count, end) = chains.entry(named.unwrap_or_else(|| file.clone())).or_default();
            *count += 1;
            let problem = match chain::check(link, end, &text) {
                Ok(line) if trail::belongs(&line.chain, &file) => continue,
                Ok(line) => format!("belongs to the chain {}", line.chain),
                Err(broken) => broken.to_string(),
            };
            holds = false;
            say(&format!("{}:{}: {problem}", path.display(), number + 1));
        }
    }
    for (name, (count, end)) in &chains {
        let end = end.as_ref().map_or(chain::BEGINNING, |end| &end.digest);
        say(&format!("{name}: {count} lines, the last with digest {end}"));
    }
    if chains.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no audit trail is here"));
    }
    say(if holds {
        "every chain holds"
    } else {
        "NOT EVERY CHAIN HOLDS"
    });
    Ok(holds)
}

/// Prints a tenant's lines as they are, the gate's and then its rewraps': they can be verified where they arrive, in a file named as
/// the gate's is here.
pub fn export_audit(directory: &Path, tenant: &str) -> Outcome {
    let export = || -> io::Result<u64> {
        let mut count = 0;
        for (name, path) in trail::files(directory)? {
            if trail::belongs(&name, tenant) {
                for line in BufReader::new(File::open(path)?).lines() {
                    say(&line?);
                    count += 1;
                }
            }
        }
        Ok(count)
    };
    match export() {
        Ok(0) => cannot(
            directory,
            &io::Error::new(io::ErrorKind::NotFound, "no line of this tenant's is here"),
        ),
        Ok(_) => Outcome::Done,
        Err(error) => cannot(directory, &error),
    }
}

fn cannot(directory: &Path, error: &io::Error) -> Outcome {
    eprintln!("portcullis: {}: {error}", directory.display());
    Outcome::CannotRun
}
