//! Durations and sizes.

use std::time::Duration;

/// `500ms`, `90s`, `1h30m`, `2d`: units in descending order, each once.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (_, each) = units.find(|(unit, _)| *unit == &after[..letters])?;
        millis = millis.checked_add(number.checked_mul(*each)?)?;
        rest = after[letters..].trim_start();
    }
    Some(Duration::from_millis(millis))
}

/// `512MiB`, `2GiB`, `10GB`, `100B`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let each: u64 = match unit.trim() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(each)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("1m500ms", 60_500),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "1m1h",
            "1s1s",
            "1.5s",
            "-1s",
            "99999999999999999999s",
            "18446744073709551615d",
            "1ü",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512MiB"), Some(512 << 20));
        assert_eq!(size("2 GB"), Some(2_000_000_000));
        for text in ["", "5", "MiB", "1.5GiB", "1gib", "99999999TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
