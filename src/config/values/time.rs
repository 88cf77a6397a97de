// SPDX-License-Identifier: MIT
//! Time spans in the formats of systemd and of Go. Pure.

/// Reads a time span in milliseconds: the sum of numbers with units, in the format of
/// systemd.time(7) (`1min 30s`) or in that of Go, which Quadlet accepts (`1m30s`, `1.5h`). The
/// units are milliseconds to days, and a number without a unit is in seconds. Returns none for an
/// invalid time span.
#[must_use]
pub fn milliseconds(value: &str) -> Option<u64> {
    let mut rest = value.trim();
    let mut total: Option<u64> = None;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number);
        let after = after.trim_start();
        let unit = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let milliseconds = unit_of(unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let mut sum = whole.parse::<u64>().ok()?.checked_mul(milliseconds)?;
        if !fraction.is_empty() {
            let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            sum = sum.checked_add(fraction.parse::<u64>().ok()?.checked_mul(milliseconds)? / scale)?;
        }
        total = Some(total.unwrap_or(0).checked_add(sum)?);
        rest = after.trim_start();
    }
    total
}

fn unit_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" | "msec" => 1,
        "" | "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    })
}

/// Writes a time span in the format of systemd.time(7).
#[must_use]
pub fn span(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1000) { format!("{}s", milliseconds / 1000) } else { format!("{milliseconds}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_of_systemd_and_go_are_read() {
        for (text, expected) in [
            ("5", 5000),
            ("5s", 5000),
            ("250ms", 250),
            ("2min", 120_000),
            ("1 s", 1000),
            ("1m30s", 90_000),
            ("1min 30s", 90_000),
            ("1.5h", 5_400_000),
            ("0", 0),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
        for bad in ["", "s", "5 years", "99999999999999999999", "-1s", "1s x", "1..5s", "99999999999999999d"] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
        assert_eq!((span(90_000), span(250), span(0)), ("90s".into(), "250ms".into(), "0s".into()));
    }
}
