//! When a schedule of CipherTrust Manager runs next: its `run_at` is a cron expression of five fields (minute, hour, day of the
//! month, month, day of the week), read in UTC.
//!
//! POSIX crontab's rule holds where both kinds of day are restricted: either is enough.

use time::{Duration, OffsetDateTime};

/// A year and a day: whatever has a run has one until then, but for the 29th of February.
const HORIZON_DAYS: u32 = 366;

/// A cron expression as sets: bit n is set where the field may be n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads an expression; `None` for one that is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let (minutes, hours, days) = (fields.next()?, fields.next()?, fields.next()?);
        let (months, weekdays) = (fields.next()?, fields.next()?);
        if fields.next().is_some() {
            return None;
        }
        let any = |field: &str| field.starts_with('*') || field.starts_with('?');
        let week = set(weekdays, 0, 7, &WEEKDAYS, 0)?;
        Some(Self {
            minutes: set(minutes, 0, 59, &[], 0)?,
            hours: set(hours, 0, 23, &[], 0)?,
            days: set(days, 1, 31, &[], 0)?,
            months: set(months, 1, 12, &MONTHS, 1)?,
            // Sunday is 0 and 7.
            weekdays: week | (week >> 7 & 1),
            any_day: any(days),
            any_weekday: any(weekdays),
        })
    }

    /// The first run after `now`.
    pub fn next(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let from = now
            .checked_add(Duration::minutes(1))?
            .replace_second(0)
            .ok()?
            .replace_nanosecond(0)
            .ok()?;
        let mut day = from.replace_hour(0).ok()?.replace_minute(0).ok()?;
        for _ in 0..=HORIZON_DAYS {
            if self.on(day) {
                for hour in (0..24_u8).filter(|hour| has(self.hours, *hour)) {
                    for minute in (0..60_u8).filter(|minute| has(self.minutes, *minute)) {
                        let run = day.replace_hour(hour).ok()?.replace_minute(minute).ok()?;
                        if run >= from {
                            return Some(run);
                        }
                    }
                }
            }
            day = day.checked_add(Duration::days(1))?;
        }
        None
    }

    fn on(&self, day: OffsetDateTime) -> bool {
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().number_days_from_sunday());
        let either = match (self.any_day, self.any_weekday) {
            (false, false) => of_month || of_week,
            _ => of_month && of_week,
        };
        either && has(self.months, u8::from(day.month()))
    }
}

fn has(set: u64, number: u8) -> bool {
    set >> number & 1 == 1
}

/// A field: `*`, `5`, `1-5`, `*/15`, `mon-fri`, and lists of these. Names count from `first`.
fn set(field: &str, least: u8, most: u8, names: &[&str], first: u8) -> Option<u64> {
    let number = |text: &str| -> Option<u8> {
        let named = (first..).zip(names).find(|(_, name)| text.eq_ignore_ascii_case(name));
        let number = named.map(|(number, _)| number).or_else(|| text.parse().ok())?;
        (least..=most).contains(&number).then_some(number)
    };
    let mut set = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // `5/15` runs on to the end, as Quartz has it.
            None => (number(range)?, if part.contains('/') { most } else { number(range)? }),
        };
        (from..=to).step_by(step).for_each(|number| set |= 1_u64 << number);
    }
    (set != 0).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_next_run_is_found() {
        // A Wednesday.
        let now = datetime!(2026-07-15 09:00:30 UTC);
        for (text, next) in [
            ("0 9 * * sat", datetime!(2026-07-18 09:00 UTC)),
            ("0 9 * * *", datetime!(2026-07-16 09:00 UTC)),
            ("*/15 * * * *", datetime!(2026-07-15 09:15 UTC)),
            ("30 23 * * 1-5", datetime!(2026-07-15 23:30 UTC)),
            ("0 0 1 * *", datetime!(2026-08-01 00:00 UTC)),
            ("0 0 1 jan ?", datetime!(2027-01-01 00:00 UTC)),
            ("0 0 13 * fri", datetime!(2026-07-17 00:00 UTC)),
            ("0 12 * * 7", datetime!(2026-07-19 12:00 UTC)),
        ] {
            assert_eq!(Schedule::parse(text).unwrap().next(now), Some(next), "{text}");
        }
        assert_eq!(Schedule::parse("0 0 31 2 *").unwrap().next(now), None);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "0 9 * *",
            "0 9 * * * *",
            "60 * * * *",
            "* * 0 * *",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
        ] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }
}
