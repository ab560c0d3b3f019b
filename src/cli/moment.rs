//! Moments as people write them behind `--from` and `--to`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::clock::{Clock as _, SystemClock};

/// A timestamp, a date or a time (both UTC), or an age.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_before(text, SystemClock.now())
}

fn moment_before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let at = |time: DateTime| time.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let parsed = match text.parse::<DateTime>() {
        Ok(time) => at(time),
        Err(_) => text.parse::<Span>().and_then(|age| {
            now.to_zoned(TimeZone::UTC).checked_sub(age.abs()).map(|zoned| zoned.timestamp())
        }),
    };
    parsed.map_err(|_| {
        "write 2026-05-01 or 2026-05-01T10:00 (both UTC), 2026-05-01T10:00:00+02:00, or an age such as 3d or 2h".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let now: Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
        let check = |text: &str, expect: &str| {
            let moment = moment_before(text, now).unwrap();
            assert_eq!(moment, expect.parse().unwrap(), "{text}");
        };
        check("2026-05-01", "2026-05-01T00:00:00Z");
        check("2026-05-01T10:30", "2026-05-01T10:30:00Z");
        check("2026-05-01T10:30:00Z", "2026-05-01T10:30:00Z");
        check("2026-05-01T10:30:00+03:00", "2026-05-01T07:30:00Z");
        check("2h", "2026-05-04T08:00:00Z");
        check("3d", "2026-05-01T10:00:00Z");
        check("90m", "2026-05-04T08:30:00Z");
        for wrong in ["", "yesterday", "2026-13-01", "3"] {
            assert!(moment_before(wrong, now).is_err(), "{wrong}");
        }
    }
}
