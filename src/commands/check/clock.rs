//! This machine's clock beside others': signatures and tokens are refused where they are too far apart.

use std::time::{Duration, SystemTime};

use crate::commands::check::report::{Finding, Step};

/// From here on it is said; `Date` counts whole seconds, and an answer takes its time.
const NOTABLE: Duration = Duration::from_secs(30);
/// From here on services refuse: S3 signatures after 15 minutes (Amazon S3 API, RequestTimeTooSkewed), tokens after 5.
const TOO_FAR: Duration = Duration::from_secs(5 * 60);

/// Judges how far this machine is from a service's time.
pub(super) fn compared(step: Step, whose: &str, theirs: SystemTime) -> Finding {
    judged(step, whose, theirs, SystemTime::now())
}

fn judged(step: Step, whose: &str, theirs: SystemTime, ours: SystemTime) -> Finding {
    let (apart, way) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let found = format!("this machine is {} s {way} the {whose}", apart.as_secs());
    let advice = ["set this machine's clock: timedatectl set-ntp true, or chronyc makestep".to_owned()];
    match apart {
        apart if apart >= TOO_FAR => Finding::failed(step, found).fix(advice),
        apart if apart >= NOTABLE => Finding::warning(step, found).fix(advice),
        _ => Finding::ok(step, format!("this machine and the {whose} agree")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::report::Verdict;

    #[test]
    fn a_clock_may_be_a_little_off() {
        let now = SystemTime::now();
        for (seconds, verdict) in [(2, Verdict::Ok), (60, Verdict::Warning), (600, Verdict::Failed)] {
            let apart = Duration::from_secs(seconds);
            for theirs in [now - apart, now + apart] {
                assert_eq!(
                    judged(Step::VaultClock, "vault", theirs, now).verdict,
                    verdict,
                    "{seconds}"
                );
            }
        }
    }
}
