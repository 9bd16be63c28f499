//! Audit events: every decision about a customer's key, and every object refused as tampered, on the log target
//! `portcullis::audit`. Every one says which tenant, and which version of its key where the gate came to one. Fields only; the
//! request's id comes from the surrounding span. Never a key, a token or a signature.

use std::fmt::Display;

/// The version of a key, where the gate came to one; the field is left out where it did not.
pub type Known<'a> = Option<&'a dyn Display>;

/// A version that the gate came to.
pub fn known<V: Display>(version: &V) -> &dyn Display {
    version
}

/// A decision worth keeping.
pub enum Event<'a> {
    /// A proof began a lease.
    LeaseGranted { tenant: &'a str, version: &'a dyn Display },
    /// A proof moved a lease's end.
    LeaseRenewed { tenant: &'a str, version: &'a dyn Display },
    /// A lease ended: unused, refused, or nobody answered in time.
    LeaseEnded {
        tenant: &'a str,
        version: &'a dyn Display,
        reason: &'static str,
    },
    /// The vault or Entra said no.
    Refused {
        tenant: &'a str,
        version: &'a dyn Display,
        reason: &'static str,
        was_live: bool,
    },
    /// A yes that was asked for before a no was heard.
    LateYesIgnored { tenant: &'a str, version: &'a dyn Display },
    /// A DEK was made, wrapped, proved and recorded.
    DekMade {
        tenant: &'a str,
        version: &'a dyn Display,
        dek: &'a dyn Display,
    },
    /// A rewrap wrapped a DEK again, proved it and recorded it.
    DekRewrapped {
        tenant: &'a str,
        version: &'a dyn Display,
        from: &'a dyn Display,
        dek: &'a dyn Display,
    },
    /// A rewrap of a tenant's DEKs begins.
    RewrapBegun {
        tenant: &'a str,
        /// The newest version, under which they are to be wrapped.
        version: &'a dyn Display,
        /// The versions that they are wrapped under now, with a comma between; empty if there is nothing to do.
        from: &'a str,
        /// How many.
        deks: usize,
    },
    /// A rewrap of a tenant's DEKs has ended.
    RewrapFinished {
        tenant: &'a str,
        /// As it began.
        version: &'a dyn Display,
        /// As it began.
        from: &'a str,
        /// How many DEKs it wrapped again.
        rewrapped: usize,
        /// How many it could not.
        failed: usize,
        /// How many stay under older versions alone, also those that it was not to wrap: while there are any, those are needed.
        left: usize,
    },
    /// New objects are sealed under a newer CMK version from now on.
    Rotated { tenant: &'a str, version: &'a dyn Display },
    /// A request was refused because of the tenant's key.
    RequestRefused {
        tenant: &'a str,
        /// The version whose lease ended, or that was asked for one.
        version: Known<'a>,
        operation: &'static str,
        reason: &'static str,
    },
    /// An operation that neither reads nor writes an object was permitted although the customer has said no: the tenant's terms
    /// leave it open to clean up.
    CleanedUp {
        tenant: &'a str,
        /// The version whose no it was.
        version: Known<'a>,
        operation: &'static str,
        container: &'a str,
        /// Empty for the container itself.
        name: &'a str,
        reason: &'static str,
    },
    /// A running download or upload was cut.
    StreamCut {
        tenant: &'a str,
        /// The version whose lease ended.
        version: Known<'a>,
        operation: &'static str,
        reason: &'static str,
    },
    /// CCKM said something of the tenant's key that is worth knowing. It decides nothing.
    CckmNotice {
        tenant: &'a str,
        manager: &'a str,
        notice: &'static str,
        key: &'a str,
    },
    /// An object is not what was sealed.
    Tampered {
        tenant: &'a str,
        /// The version that the object was held against. None where an envelope is another key's or nobody's: what such a one names
        /// was never asked.
        version: Known<'a>,
        operation: &'static str,
        container: &'a str,
        name: &'a str,
        what: &'a dyn Display,
    },
}

/// Writes an event down.
pub fn record(event: &Event<'_>) {
    macro_rules! audit {
        ($name:literal, $tenant:expr $(, $($field:tt)*)?) => {
            tracing::info!(target: "portcullis::audit", event = $name, tenant = $tenant $(, $($field)*)?)
        };
    }
    match event {
        Event::LeaseGranted { tenant, version } => audit!("lease_granted", tenant, version = %version),
        Event::LeaseRenewed { tenant, version } => audit!("lease_renewed", tenant, version = %version),
        Event::LeaseEnded {
            tenant,
            version,
            reason,
        } => {
            audit!("lease_ended", tenant, version = %version, reason = reason);
        }
        Event::Refused {
            tenant,
            version,
            reason,
            was_live,
        } => {
            audit!("key_refused", tenant, version = %version, reason = reason, was_live = was_live);
        }
        Event::LateYesIgnored { tenant, version } => audit!("late_yes_ignored", tenant, version = %version),
        Event::DekMade { tenant, version, dek } => audit!("dek_made", tenant, version = %version, dek = %dek),
        Event::DekRewrapped {
            tenant,
            version,
            from,
            dek,
        } => {
            audit!("dek_rewrapped", tenant, version = %version, from = %from, dek = %dek);
        }
        Event::RewrapBegun {
            tenant,
            version,
            from,
            deks,
        } => {
            audit!("rewrap_begun", tenant, version = %version, from = from, deks = deks);
        }
        Event::RewrapFinished {
            tenant,
            version,
            from,
            rewrapped,
            failed,
            left,
        } => {
            audit!(
                "rewrap_finished",
                tenant,
                version = %version,
                from = from,
                rewrapped = rewrapped,
                failed = failed,
                left = left
            );
        }
        Event::Rotated { tenant, version } => audit!("rotated", tenant, version = %version),
        Event::RequestRefused {
            tenant,
            version,
            operation,
            reason,
        } => {
            audit!(
                "request_refused",
                tenant,
                version = version.map(tracing::field::display),
                operation = operation,
                reason = reason
            );
        }
        Event::CleanedUp {
            tenant,
            version,
            operation,
            container,
            name,
            reason,
        } => {
            audit!(
                "cleaned_up",
                tenant,
                version = version.map(tracing::field::display),
                operation = operation,
                container = container,
                name = name,
                reason = reason
            );
        }
        Event::StreamCut {
            tenant,
            version,
            operation,
            reason,
        } => {
            audit!(
                "stream_cut",
                tenant,
                version = version.map(tracing::field::display),
                operation = operation,
                reason = reason
            );
        }
        Event::CckmNotice {
            tenant,
            manager,
            notice,
            key,
        } => {
            audit!("cckm_notice", tenant, manager = manager, notice = notice, key = key);
        }
        Event::Tampered {
            tenant,
            version,
            operation,
            container,
            name,
            what,
        } => {
            audit!(
                "object_tampered",
                tenant,
                version = version.map(tracing::field::display),
                operation = operation,
                container = container,
                name = name,
                what = %what
            );
        }
    }
}
