//! Time as people read it: the wall clock here, and how long something took.

use std::time::Duration;

use encamp::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Wall-clock time.
pub(crate) fn now() -> Time {
    Time::from_unix_millis(Timestamp::now().as_millisecond())
}

/// The monotonic clock, for what takes how long.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver measures its own display; nothing depends on it"
)]
pub(crate) fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn zoned(time: Time) -> Option<ZonedDateTime> {
    Some(
        Timestamp::from_millisecond(time.unix_millis())
            .ok()?
            .to_zoned_datetime(TimeZone::system()),
    )
}

/// `16:32`, with the day where it is another one.
pub(crate) fn clock(time: Time) -> String {
    match (zoned(time), zoned(now())) {
        (Some(then), Some(now)) if then.date() == now.date() => then.strftime("%H:%M").to_string(),
        (Some(then), _) => then.strftime("%Y-%m-%d %H:%M").to_string(),
        _ => time.to_string(),
    }
}

/// `14:30:55`, before a line.
pub(crate) fn stamp() -> String {
    zoned(now())
        .map(|now| now.strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}

/// How long ago.
pub(crate) fn since(time: Time) -> Duration {
    now().since(time)
}

/// A moment before now.
pub(crate) fn ago(span: Duration) -> Time {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Time::from_unix_millis(now().unix_millis().saturating_sub(millis))
}

/// Reads `90s`, `10m`, `1h 30m`. A bare number says no unit and is refused.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no length of time: write a number with its unit, \"90s\", \"10m\" or \"1h 30m\"");
    let span: SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// `0.4s`, `1m 12s`, `2h 05m`: how long something took.
pub(crate) fn took(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", span.as_secs_f64().min(59.9)),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `90s`, `15m`, `2h`, `1h 30m`, `3d`: how long something is to last.
pub(crate) fn lasting(span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    if words.is_empty() { "0s".into() } else { words.join(" ") }
}

/// `6m`, `1h 54m`, `3d`: about how long, from its two biggest units.
pub(crate) fn about(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => lasting(Duration::from_secs(seconds / 60 * 60)),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// As [`about`], by the second below two minutes, where somebody waits for it.
pub(crate) fn soon(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        _ => about(span),
    }
}

/// What took so many milliseconds.
pub(crate) fn took_millis(millis: u64) -> String {
    took(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_write_them() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("1h 30m"), Ok(Duration::from_mins(90)));
        for wrong in ["90", "", "-5s", "soon"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_print_as_people_read_them() {
        assert_eq!(took_millis(449), "0.4s");
        assert_eq!(took_millis(59_990), "59.9s");
        assert_eq!(took_millis(72_000), "1m 12s");
        assert_eq!(took(Duration::from_mins(125)), "2h 05m");
        assert_eq!(lasting(Duration::from_mins(90)), "1h 30m");
        assert_eq!(lasting(Duration::from_mins(15)), "15m");
        assert_eq!(about(Duration::from_secs(6899)), "1h 54m");
        assert_eq!(about(Duration::from_secs(3 * 86_400 + 7)), "3d");
    }
}
