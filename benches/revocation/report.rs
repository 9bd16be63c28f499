//! The rows' figures, as Markdown, and the judgement.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Problem;
use crate::round::{GRACE, Governed, Played};
use crate::rows::{By, Row};

/// All rows of a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<usize, Line>,
    /// Rounds that came to no end, and why.
    failed: Vec<(&'static str, String)>,
}

struct Line {
    what: &'static str,
    reason: &'static str,
    governed: Governed,
    /// The machine's own identity: what befalls it befalls all tenants.
    shared: bool,
    rounds: Vec<Played>,
}

impl Report {
    pub(crate) fn add(&mut self, number: usize, governed: Governed, row: &Row, played: Played) {
        let line = self.rows.entry(number).or_insert_with(|| Line {
            what: row.what,
            reason: row.reason,
            governed,
            shared: matches!(row.by, By::Identity(_)) || row.what.starts_with("identity "),
            rounds: Vec::new(),
        });
        line.rounds.push(played);
    }

    /// A round that came to no end.
    pub(crate) fn failed(&mut self, what: &'static str, why: String) {
        self.failed.push((what, why));
    }

    /// Prints a table for each bound.
    pub(crate) fn print(&self) {
        for (governed, title) in [
            (Governed::Vault, "`revocation_bound`, counted from the vault's last yes"),
            (Governed::Identity, "`identity_bound`, counted from Entra's last token"),
        ] {
            let lines: Vec<_> = self.rows.values().filter(|line| line.governed == governed).collect();
            if lines.is_empty() {
                continue;
            }
            println!("\nBound: {} s, {title}\n", governed.bound().as_secs());
            println!(
                "| what | reason | rounds | last byte after the last yes: median, p99, max | the gate's own cut: median, max | after the withdrawal: median, max \
                 | KiB after a refusal | too late | the other tenant's p99 before, during (refused) | served again: median, max |"
            );
            println!("|---|---|---|---|---|---|---|---|---|---|");
            lines.iter().for_each(|line| line.print());
            for line in &lines {
                for beyond in line.rounds.iter().flat_map(|played| &played.beyond) {
                    println!("\n{}: {beyond}", line.what);
                }
            }
        }
        for (what, why) in &self.failed {
            println!("\n{what}: FAILED: {why}");
        }
    }

    /// # Errors
    /// Something came later than the bound and a second, or a round came to no end.
    pub(crate) fn judge(&self) -> Result<(), Problem> {
        let broken = self.rows.values().filter(|line| line.late() > 0);
        let broken: Vec<_> = broken.map(|line| line.what).collect();
        match (broken.is_empty(), self.failed.len()) {
            (true, 0) => Ok(()),
            (true, failed) => Err(Problem::new(format!("{failed} rounds came to no end"))),
            (false, _) => Err(Problem::new(format!(
                "later than the bound and {} s: {}",
                GRACE.as_secs(),
                broken.join(", ")
            ))),
        }
    }
}

impl Line {
    fn late(&self) -> usize {
        self.rounds.iter().map(|played| played.late + played.begun_late).sum()
    }

    fn all(&self, figure: impl Fn(&Played) -> &[Duration]) -> Vec<f64> {
        let mut all: Vec<_> = self
            .rounds
            .iter()
            .flat_map(|played| figure(played).iter().map(Duration::as_secs_f64))
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn print(&self) {
        let after_yes = self.all(|played| &played.after_yes);
        let after_no = self.all(|played| &played.after_no);
        let cut = self.all(|played| &played.cut_after_yes);
        let recovery = self.all(|played| &played.recovery);
        let millis = |spans: &[f64]| rank(spans, 0.99) * 1000.0;
        let rest = self
            .rounds
            .iter()
            .flat_map(|played| played.after_refusal.iter().copied());
        let refused: usize = self.rounds.iter().map(|played| played.neighbour_refused).sum();
        println!(
            "| {} | `{}` | {} | {:.2} {:.2} {:.2} s | {:.2} {:.2} s | {:.2} {:.2} s | {} | {} | {:.0} → {:.0} ms ({refused}{}) | {:.1} {:.1} s |",
            self.what,
            self.reason,
            self.rounds.len(),
            rank(&after_yes, 0.5),
            rank(&after_yes, 0.99),
            rank(&after_yes, 1.0),
            rank(&cut, 0.5),
            rank(&cut, 1.0),
            rank(&after_no, 0.5),
            rank(&after_no, 1.0),
            rest.max().unwrap_or(0).div_ceil(1024),
            self.late(),
            millis(&self.all(|played| &played.neighbour_before)),
            millis(&self.all(|played| &played.neighbour_during)),
            if self.shared { ", the same" } else { "" },
            rank(&recovery, 0.5),
            rank(&recovery, 1.0),
        );
    }
}

/// The value at this share of what is sorted, by the nearest rank; 0 of nothing.
fn rank(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_sign_loss)] // a share of a length
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}
