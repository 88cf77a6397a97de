// SPDX-License-Identifier: MIT
//! Quantities of Kubernetes: `100m`, `1.5`, `128Mi`, `1e3`. Pure.

/// The suffixes, with the base and the exponent of the factor that each stands for.
const SUFFIXES: [(&str, u32, i32); 14] = [
    ("Ki", 2, 10),
    ("Mi", 2, 20),
    ("Gi", 2, 30),
    ("Ti", 2, 40),
    ("Pi", 2, 50),
    ("Ei", 2, 60),
    ("n", 10, -9),
    ("u", 10, -6),
    ("m", 10, -3),
    ("k", 10, 3),
    ("M", 10, 6),
    ("G", 10, 9),
    ("T", 10, 12),
    ("P", 10, 15),
];

/// Parses a quantity; returns thousandths, rounded up.
///
/// # Errors
/// The text is not a quantity. The message contains a remedy.
pub fn milli(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no quantity; write a number with a suffix such as m, k, M, G, Ki, Mi or Gi");
    let suffix = SUFFIXES.iter().find_map(|(suffix, base, power)| Some((text.strip_suffix(suffix)?, *base, *power)));
    let exponent = || {
        let (number, exponent) = text.split_once(['e', 'E'])?;
        Some((number, 10, exponent.parse::<i32>().ok()?))
    };
    let exa = || text.strip_suffix('E').map(|number| (number, 10, 18));
    let (number, base, power) = suffix.or_else(exponent).or_else(exa).unwrap_or((text, 10, 0));
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) || power.abs() > 60 {
        return Err(wrong());
    }
    let mut value: u128 = digits.parse().map_err(|_| wrong())?;
    // The power of ten that converts the digits without the decimal point to thousandths.
    let mut tens = 3 - i32::try_from(fraction.len()).map_err(|_| wrong())?;
    if base == 2 {
        value =
            value.checked_shl(power.unsigned_abs()).filter(|v| v >> power.unsigned_abs() == value).ok_or_else(wrong)?;
    } else {
        tens += power;
    }
    let factor = 10u128.checked_pow(tens.unsigned_abs()).ok_or_else(wrong)?;
    let value = if tens < 0 { value.div_ceil(factor) } else { value.checked_mul(factor).ok_or_else(wrong)? };
    u64::try_from(value).map_err(|_| wrong())
}

/// Parses a quantity as a whole number, for example of bytes, rounded up.
///
/// # Errors
/// As for [`milli`].
pub fn whole(text: &str) -> Result<u64, String> {
    // Large quantities with binary suffixes are computed directly, because their thousandths do not
    // fit into 64 bits.
    match SUFFIXES.iter().find(|(suffix, base, _)| *base == 2 && text.ends_with(suffix)) {
        Some((suffix, _, power)) if text.strip_suffix(suffix).is_some_and(|n| n.parse::<u32>().is_ok()) => {
            let number: u64 = text.strip_suffix(suffix).and_then(|n| n.parse().ok()).unwrap_or_default();
            number
                .checked_mul(1 << power.unsigned_abs())
                .ok_or_else(|| format!("{text:?} is more than any machine has; write a smaller quantity"))
        }
        _ => milli(text).map(|milli| milli.div_ceil(1000)),
    }
}

/// A number of bytes as a quantity, with the largest suffix that gives a whole number.
#[must_use]
pub fn bytes(number: u64) -> String {
    for (suffix, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        if number > 0 && number.trailing_zeros() >= shift {
            return format!("{}{suffix}", number >> shift);
        }
    }
    number.to_string()
}

/// Thousandths of a processor as a quantity.
#[must_use]
pub fn processors(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// A number of bytes in the syntax of systemd and Docker, with the largest suffix of K, M and G
/// that gives a whole number.
#[must_use]
pub fn size(number: u64) -> String {
    bytes(number).trim_end_matches('i').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("100m", 100),
            ("1", 1000),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Ki", 1_536_000),
            ("100u", 1),
            ("0", 0),
        ] {
            assert_eq!(milli(text), Ok(expected), "{text}");
        }
        for (text, expected) in [("128Mi", 128 << 20), ("1G", 1_000_000_000), ("8Ei", 8 << 60), ("1500m", 2)] {
            assert_eq!(whole(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "1x", "-1", "1 Gi", "1gi", "1.2.3", "99999999Ei", "1e99", "m"] {
            assert!(whole(text).unwrap_err().contains("write"), "{text}");
        }
        for (number, text) in [(128 << 20, "128Mi"), (1000, "1000"), (0, "0"), (1536, "1536")] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(
            (processors(2000).as_str(), processors(1500).as_str(), size(1 << 30).as_str()),
            ("2", "1500m", "1G")
        );
    }
}
