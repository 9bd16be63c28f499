//! What a check found: steps in their order, each with its verdict and what to do; as a table for people, as JSON for machines.

use serde::Serialize;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not tried: an earlier step failed, or there is nothing to try.
    Skipped,
    /// It works, and should be looked at.
    Warning,
    /// It does not work, or nobody should rely on it.
    Failed,
}

/// What is checked, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The configuration file.
    Configuration,
    /// The gate's own identity: a managed identity's token, a service account's.
    Identity,
    /// The token for the vault, of the customer's tenant.
    Token,
    /// The vault's name, TLS, network and tenant.
    Vault,
    /// The key's type, size and permitted operations.
    Key,
    /// Whether the key is enabled, and its dates.
    Validity,
    /// wrapKey.
    Wrap,
    /// unwrapKey, the proof of access.
    Unwrap,
    /// Soft delete and purge protection.
    Recovery,
    /// Whether the gate may do more than it needs.
    Rights,
    /// The vault's clock beside this machine's.
    VaultClock,
    /// A store's name, connection and credential.
    Store,
    /// The store's clock beside this machine's.
    StoreClock,
    /// The container that belongs to the gate.
    SystemContainer,
    /// Whether conditions on writes are heeded; of an Azure store, on reads and appends too.
    ConditionalWrites,
    /// The tenant's buckets.
    Buckets,
    /// The tenant's containers, in an Azure store.
    Containers,
    /// Whether a bucket or container can be read without the gate.
    DirectAccess,
    /// The tenant's shared, wrapped DEKs.
    Keyring,
    /// Sealed, stored, read and opened.
    RoundTrip,
    /// What CipherTrust Manager says of the key.
    Cckm,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub step: Step,
    /// Which one of several: a store's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How it ended.
    pub verdict: Verdict,
    /// The stable name of the reason, as in docs/KEYS.md, where a service gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What was found.
    pub found: String,
    /// What to do about it, a command or a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
}

/// One tenant's findings.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whose.
    pub tenant: String,
    /// The worst of the findings.
    pub verdict: Verdict,
    /// In the order in which they were made.
    pub steps: Vec<Finding>,
}

impl Step {
    /// As the table names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Identity => "identity",
            Self::Token => "token",
            Self::Vault => "vault",
            Self::Key => "key",
            Self::Validity => "validity",
            Self::Wrap => "wrapKey",
            Self::Unwrap => "unwrapKey",
            Self::Recovery => "recovery",
            Self::Rights => "rights",
            Self::VaultClock => "vault clock",
            Self::Store => "store",
            Self::StoreClock => "store clock",
            Self::SystemContainer => "system container",
            Self::ConditionalWrites => "conditional writes",
            Self::Buckets => "buckets",
            Self::Containers => "containers",
            Self::DirectAccess => "direct access",
            Self::Keyring => "keyring",
            Self::RoundTrip => "round trip",
            Self::Cckm => "cckm",
        }
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

impl Finding {
    /// A finding without a reason and without advice.
    pub fn new(step: Step, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            step,
            of: None,
            verdict,
            reason: None,
            found: found.into(),
            fix: Vec::new(),
        }
    }

    /// As it should be.
    pub fn ok(step: Step, found: impl Into<String>) -> Self {
        Self::new(step, Verdict::Ok, found)
    }

    /// To be looked at.
    pub fn warning(step: Step, found: impl Into<String>) -> Self {
        Self::new(step, Verdict::Warning, found)
    }

    /// Wrong.
    pub fn failed(step: Step, found: impl Into<String>) -> Self {
        Self::new(step, Verdict::Failed, found)
    }

    /// Not tried, because this one did not succeed.
    pub fn skipped(step: Step, because: Step) -> Self {
        Self::new(
            step,
            Verdict::Skipped,
            format!("not tried: it needs {}", because.name()),
        )
    }

    /// Of this one of several.
    #[must_use]
    pub fn of(mut self, of: &str) -> Self {
        self.of = Some(of.to_owned());
        self
    }

    /// With the reason's stable name.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// With this advice.
    #[must_use]
    pub fn fix(mut self, advice: impl IntoIterator<Item = String>) -> Self {
        self.fix.extend(advice);
        self
    }
}

impl Report {
    /// Of these findings.
    pub fn new(tenant: &str, steps: Vec<Finding>) -> Self {
        // That something was not tried is no verdict of its own: what it waited for has one.
        let told = steps.iter().map(|finding| finding.verdict);
        let verdict = told.filter(|verdict| *verdict != Verdict::Skipped).max();
        Self {
            tenant: tenant.to_owned(),
            verdict: verdict.unwrap_or(Verdict::Ok),
            steps,
        }
    }

    /// As a table: step, verdict, what was found; what to do stands below its step.
    pub fn table(&self) -> String {
        let label = |finding: &Finding| match &finding.of {
            Some(of) => format!("{} {of}", finding.step.name()),
            None => finding.step.name().to_owned(),
        };
        let width = self.steps.iter().map(|finding| label(finding).len()).max().unwrap_or(0);
        let mut text = format!("tenant {}\n", self.tenant);
        for finding in &self.steps {
            let (label, word) = (label(finding), finding.verdict.word());
            let reason = finding.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            text.push_str(&format!("  {label:width$}  {word:7}  {}{reason}\n", finding.found));
            for advice in &finding.fix {
                text.push_str(&format!("  {:width$}           -> {advice}\n", ""));
            }
        }
        let count = |verdict| self.steps.iter().filter(|finding| finding.verdict == verdict).count();
        let (failed, warnings) = (count(Verdict::Failed), count(Verdict::Warning));
        text.push_str(&format!(
            "  {} steps, {failed} failed, {warnings} with a warning, {} not tried\n",
            self.steps.len(),
            count(Verdict::Skipped)
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_step_decides_and_what_was_not_tried_does_not() {
        let verdict = |steps: &[Finding]| Report::new("acme", steps.to_vec()).verdict;
        let (ok, warning) = (Finding::ok(Step::Key, ""), Finding::warning(Step::Rights, ""));
        let skipped = Finding::skipped(Step::Wrap, Step::Key);
        assert_eq!(verdict(&[]), Verdict::Ok);
        assert_eq!(verdict(&[ok.clone(), skipped.clone()]), Verdict::Ok);
        assert_eq!(verdict(&[warning.clone(), ok.clone(), skipped]), Verdict::Warning);
        assert_eq!(verdict(&[Finding::failed(Step::Key, ""), warning, ok]), Verdict::Failed);
    }

    #[test]
    fn the_table_names_step_verdict_reason_and_remedy() {
        let finding = Finding::failed(Step::Unwrap, "no role").because("role_missing");
        let table = Report::new("acme", vec![finding.fix(["az role".to_owned()])]).table();
        assert!(
            table.contains("unwrapKey  FAILED   no role (role_missing)\n"),
            "{table}"
        );
        assert!(table.contains("-> az role\n"), "{table}");
    }
}
