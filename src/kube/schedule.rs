// SPDX-License-Identifier: MIT
//! Schedules of cron jobs: converts `*/5 * * * *` to `OnCalendar=` of systemd.timer(5)
//! (systemd.time(7), "Calendar events"), and back. Pure.

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The named schedules, with their five fields. An empty text means that there is no counterpart.
const NAMED: [(&str, &str); 8] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@every", ""),
];

/// The values of one field of a schedule. None stands for all values.
type Values = Option<Vec<u32>>;

/// The values of `OnCalendar=` for a schedule. There are two values if the schedule has a day of
/// the month and a day of the week, because cron runs on days that match either, and systemd on
/// days that match both.
///
/// # Errors
/// The text is not a schedule. The message contains a remedy.
pub fn calendar(schedule: &str, zone: Option<&str>) -> Result<Vec<String>, String> {
    let five = match NAMED.iter().find(|(name, _)| schedule.split_whitespace().next() == Some(name)) {
        Some((_, "")) => {
            return Err(format!("{schedule:?} has no counterpart; write five fields, such as */5 * * * *"));
        }
        Some((_, five)) => five,
        None => schedule,
    };
    let fields: Vec<&str> = five.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        let count = fields.len();
        return Err(format!("a schedule has five fields, and this one has {count}; write such as */5 * * * *"));
    };
    let minutes = values(minute, "minute", 0, 59, &[])?;
    let hours = values(hour, "hour", 0, 23, &[])?;
    let days = values(day, "day of the month", 1, 31, &[])?;
    let months = values(month, "month", 1, 12, &MONTHS)?;
    let names = DAYS.map(str::to_ascii_lowercase);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let weekdays = values(weekday, "day of the week", 0, 7, &names)?;
    let time = format!("{}:{}:00", list(hours.as_ref()), list(minutes.as_ref()));
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    let date = |days: &Values| format!("*-{}-{} {time}{zone}", list(months.as_ref()), list(days.as_ref()));
    let on_weekdays = weekdays.as_ref().map(|numbers| {
        let mut names: Vec<&str> = Vec::new();
        for (number, name) in DAYS.iter().enumerate() {
            // Both 0 and 7 are Sunday.
            if numbers.iter().any(|day| usize::try_from(day % 7).is_ok_and(|day| day == number)) {
                names.push(name);
            }
        }
        names.join(",")
    });
    Ok(match (on_weekdays, &days) {
        (None, days) => vec![date(days)],
        (Some(names), None) => vec![format!("{names} {}", date(&None))],
        (Some(names), days) => vec![date(days), format!("{names} {}", date(&None))],
    })
}

fn list(values: Option<&Vec<u32>>) -> String {
    match values {
        None => "*".to_owned(),
        Some(values) => values.iter().map(|value| format!("{value:02}")).collect::<Vec<_>>().join(","),
    }
}

/// Parses one field of a schedule.
fn values(text: &str, what: &str, least: u32, most: u32, names: &[&str]) -> Result<Values, String> {
    let wrong = || format!("{text:?} is no {what}; write a number from {least} to {most}, a range, a list, or *");
    if text == "*" || text == "?" {
        return Ok(None);
    }
    let number = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let by_name = names.iter().position(|name| *name == lower).and_then(|at| u32::try_from(at).ok());
        let number = by_name.map(|at| at + least).or_else(|| text.parse().ok());
        number.filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
    };
    // Sunday is also 7, but a field without an end ends on Saturday.
    let end = if names.first() == Some(&"sun") { 6 } else { most };
    let mut all = Vec::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step: usize = step.map_or(Ok(1), |step| step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong))?;
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, end),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, end),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(wrong());
        }
        all.extend((from..=to).step_by(step));
    }
    all.sort_unstable();
    all.dedup();
    Ok(Some(all))
}

/// The schedule of a value of `OnCalendar=`, with its time zone if it has one. None if no schedule
/// is equivalent.
#[must_use]
pub fn schedule(calendar: &str) -> Option<(String, Option<String>)> {
    let named = match calendar {
        "minutely" => "*-*-* *:*:00",
        "hourly" => "*-*-* *:00:00",
        "daily" => "*-*-* 00:00:00",
        "weekly" => "Mon *-*-* 00:00:00",
        "monthly" => "*-*-01 00:00:00",
        "yearly" | "annually" => "*-01-01 00:00:00",
        other => other,
    };
    let mut words: Vec<&str> = named.split_whitespace().collect();
    let zone = words.last().filter(|word| word.contains('/') && !word.contains(':') || **word == "UTC").copied();
    words.truncate(words.len() - usize::from(zone.is_some()));
    let (days, rest) = match words.split_first() {
        Some((first, rest)) if first.starts_with(|c: char| c.is_ascii_alphabetic()) => (weekdays(first)?, rest),
        _ => ("*".to_owned(), words.as_slice()),
    };
    let (date, time) = match rest {
        [date, time] => (*date, *time),
        [time] if time.contains(':') => ("*-*-*", *time),
        [date] if date.contains('-') => (*date, "00:00:00"),
        [] => ("*-*-*", "00:00:00"),
        _ => return None,
    };
    let date: Vec<&str> = date.split('-').collect();
    let (month, day) = match date.as_slice() {
        ["*", month, day] | [month, day] => (*month, *day),
        _ => return None,
    };
    let time: Vec<&str> = time.split(':').collect();
    let (hour, minute) = match time.as_slice() {
        [hour, minute] | [hour, minute, "00" | "0"] => (*hour, *minute),
        _ => return None,
    };
    // A schedule with both fields would run on days that match either.
    if day != "*" && days != "*" {
        return None;
    }
    let fields = [field(minute)?, field(hour)?, field(day)?, field(month)?, days];
    Some((fields.join(" "), zone.map(str::to_owned)))
}

/// Converts a field of a calendar event to cron's syntax: a range has a hyphen, and `0/5` becomes
/// `*/5`.
fn field(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let number = |text: &str| text.parse::<u32>().ok().map(|number| number.to_string());
    let part = |part: &str| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let range = match range.split_once("..") {
            Some((first, last)) => format!("{}-{}", number(first)?, number(last)?),
            None if range == "*" => range.to_owned(),
            None => number(range)?,
        };
        match step {
            Some(step) if range == "0" => Some(format!("*/{}", number(step)?)),
            Some(step) => Some(format!("{range}/{}", number(step)?)),
            None => Some(range),
        }
    };
    text.split(',').map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
}

fn weekdays(text: &str) -> Option<String> {
    let number = |name: &str| {
        let short = name.get(..3)?;
        DAYS.iter().position(|day| day.eq_ignore_ascii_case(short)).map(|day| day.to_string())
    };
    let part = |part: &str| match part.split_once("..") {
        Some((first, last)) => Some(format!("{}-{}", number(first)?, number(last)?)),
        None => number(part),
    };
    text.split(',').map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn schedules_become_calendar_events() {
        for (schedule, expected) in [
            ("0 3 * * *", "*-*-* 03:00:00"),
            ("*/15 * * * *", "*-*-* *:00,15,30,45:00"),
            ("5 0 1 jan *", "*-01-01 00:05:00"),
            ("0 22 * * 1-5", "Mon,Tue,Wed,Thu,Fri *-*-* 22:00:00"),
            ("0 4 * * 7", "Sun *-*-* 04:00:00"),
            ("0 4 * * 1/2", "Mon,Wed,Fri *-*-* 04:00:00"),
            ("0 0 13 * 5", "*-*-13 00:00:00|Fri *-*-* 00:00:00"),
            ("0 8-18/4 * * *", "*-*-* 08,12,16:00:00"),
            ("@hourly", "*-*-* *:00:00"),
            ("@weekly", "Sun *-*-* 00:00:00"),
        ] {
            assert_eq!(calendar(schedule, None).unwrap().join("|"), expected, "{schedule}");
        }
        assert_eq!(calendar("0 3 * * *", Some("Europe/Berlin")).unwrap(), ["*-*-* 03:00:00 Europe/Berlin"]);
        for schedule in ["", "0 3 * *", "61 * * * *", "* * * * mon-sun", "*/0 * * * *", "a * * * *", "@every 5m"] {
            assert!(calendar(schedule, None).unwrap_err().contains("write"), "{schedule}");
        }
    }

    #[test]
    fn calendar_events_become_schedules() {
        for (calendar, expected) in [
            ("daily", "0 0 * * *"),
            ("hourly", "0 * * * *"),
            ("weekly", "0 0 * * 1"),
            ("*-*-* 03:00:00", "0 3 * * *"),
            ("*:0/15", "*/15 * * * *"),
            ("Mon..Fri 22:30", "30 22 * * 1-5"),
            ("*-*-01 04:00", "0 4 1 * *"),
            ("Sat,Sun *-*-* 10:00:00", "0 10 * * 6,0"),
        ] {
            assert_eq!(schedule(calendar).unwrap().0, expected, "{calendar}");
        }
        assert_eq!(schedule("*-*-* 03:00 Europe/Berlin").unwrap().1.as_deref(), Some("Europe/Berlin"));
        for calendar in ["2026-01-01 00:00", "*-*-* 00:00:30", "Fri *-*-13 00:00", "*-*~1 00:00", "x"] {
            assert_eq!(schedule(calendar), None, "{calendar}");
        }
    }
}
