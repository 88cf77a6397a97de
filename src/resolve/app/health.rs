// SPDX-License-Identifier: MIT
//! The keys `Health*=` and `Notify=`: the health check of an application, which overrides that of
//! the image, and the condition under which the application counts as started. Pure.

use crate::config::keys::{KeyName, key};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::values::parse_bool;
use crate::config::values::time::milliseconds;
use crate::contract::health::{Health, INTERVAL, OnFailure, Startup, Test};
use crate::contract::probe::Probe;
use crate::diag::{Code, Diagnostic, Fault};
use crate::model::{HealthSettings, Notify};

/// The expected value of a key for a time, and an example, as [`Reader::time`] takes them.
const TIME: (&str, &str) = ("a time", "a time such as 30s");

/// Reads the keys of one application. Times are in milliseconds.
pub fn health(settings: &Settings, problems: &mut Vec<Diagnostic>) -> (HealthSettings, Notify) {
    let mut reader = Reader::new(settings, "Container", problems);
    let test = test(&mut reader, [key::HEALTH_CMD, key::HEALTH_HTTP, key::HEALTH_TCP], command);
    let is_positive = |time| time > 0;
    let interval = (Code::Quantity, key::HEALTH_INTERVAL, ("a time", "a time such as 30s, or disable"));
    let retries = (Code::Quantity, key::HEALTH_RETRIES, ("a number from 1", "a number such as 3"));
    let settings = HealthSettings {
        interval: read(&mut reader, interval, |text| match text {
            "disable" => Some(0),
            time => milliseconds(time).filter(|time| is_positive(*time)),
        }),
        timeout: reader.time(key::HEALTH_TIMEOUT, TIME, is_positive),
        retries: read(&mut reader, retries, |text| text.parse().ok().filter(|number| *number > 0)),
        start_period: reader.time(key::HEALTH_START_PERIOD, TIME, |_| true),
        on_failure: match reader.text(key::HEALTH_ON_FAILURE).map(|written| written.value) {
            Some("kill") => OnFailure::Kill,
            Some("restart") => OnFailure::Restart,
            Some("stop") => OnFailure::Stop,
            _ => OnFailure::None,
        },
        startup: startup(&mut reader),
        test,
    };
    let notify =
        read(&mut reader, (Code::HealthCheck, key::NOTIFY, ("no, yes or healthy", "one of these words")), |text| {
            match text {
                "healthy" => Some(Notify::Healthy),
                word => parse_bool(word).map(|yes| if yes { Notify::Yes } else { Notify::No }),
            }
        });
    if notify == Some(Notify::Healthy) && settings.test.as_ref().is_some_and(Test::is_none) {
        let problem = Code::Combination
            .problem("Notify=healthy needs a health check, which HealthCmd=none turns off", "remove one of the two");
        reader.reject(key::NOTIFY, problem);
    }
    if notify == Some(Notify::Healthy) && settings.interval == Some(0) {
        let problem = Code::Combination.problem(
            "Notify=healthy needs regular health checks, which HealthInterval=disable turns off",
            "remove one of the two",
        );
        reader.reject(key::NOTIFY, problem);
    }
    (settings, notify.unwrap_or_default())
}

fn startup(reader: &mut Reader<'_, '_>) -> Option<Startup> {
    let number = |text: &str| text.parse().ok();
    let is_positive = |time| time > 0;
    let tests = [key::HEALTH_STARTUP_CMD, key::HEALTH_STARTUP_HTTP, key::HEALTH_STARTUP_TCP];
    let test = test(reader, tests, |line| command(line).filter(|c| !c.is_empty()));
    let interval = reader.time(key::HEALTH_STARTUP_INTERVAL, TIME, is_positive);
    let timeout = reader.time(key::HEALTH_STARTUP_TIMEOUT, TIME, is_positive);
    let retries =
        read(reader, (Code::Quantity, key::HEALTH_STARTUP_RETRIES, ("a number", "a number such as 3")), number);
    let success =
        read(reader, (Code::Quantity, key::HEALTH_STARTUP_SUCCESS, ("a number", "a number such as 1")), number);
    if let Some(test) = test {
        let (interval, timeout) = (interval.unwrap_or(INTERVAL), timeout.unwrap_or(INTERVAL));
        return Some(Startup { test, interval, timeout, retries: retries.unwrap_or(0), success: success.unwrap_or(1) });
    }
    let keys = [
        key::HEALTH_STARTUP_INTERVAL,
        key::HEALTH_STARTUP_TIMEOUT,
        key::HEALTH_STARTUP_RETRIES,
        key::HEALTH_STARTUP_SUCCESS,
    ];
    if !tests.iter().any(|key| reader.is_set(*key))
        && let Some(key) = keys.into_iter().find(|key| reader.is_set(*key))
    {
        let problem = Code::Combination.problem(
            format!("{key}= needs a check at startup"),
            "write HealthStartupCmd=, HealthStartupHttp= or HealthStartupTcp=",
        );
        reader.reject(key, problem);
    }
    None
}

/// Reads the keys of a command, a URL and a port. Only one of them can be set, because an
/// application has only one check.
fn test(
    reader: &mut Reader<'_, '_>,
    [cmd, http, tcp]: [KeyName; 3],
    command: impl Fn(&str) -> Option<Vec<String>>,
) -> Option<Test> {
    let mut written = [cmd, http, tcp].into_iter().filter(|key| reader.is_set(*key));
    if let (Some(first), Some(second)) = (written.next(), written.next()) {
        let problem =
            Code::Combination.problem(format!("{second}= and {first}= cannot both be set"), "write one of them");
        reader.reject(second, problem);
        return None;
    }
    let command = read(
        reader,
        (Code::HealthCheck, cmd, ("a command", "a line for the shell, or a JSON array of words")),
        command,
    )
    .map(Test::Command);
    let http = probe(reader, http, Probe::http);
    command.or(http).or_else(|| probe(reader, tcp, Probe::tcp))
}

/// Reads a command: a JSON array of words, `none`, `CMD` and words, `CMD-SHELL` and a line, or a
/// line for the shell (podman-run(1), `--health-cmd`). Like Quadlet, it drops one pair of quotes
/// around the whole value. Returns an empty list for `none`, and `None` for an invalid command.
fn command(text: &str) -> Option<Vec<String>> {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).filter(|t| !t.contains('"'));
    let text = inner.unwrap_or(text);
    if text.eq_ignore_ascii_case("none") {
        return Some(Vec::new());
    }
    // A line that begins with the shell commands `[` or `[[` is not a JSON array.
    if text.starts_with('[') && !text.starts_with("[ ") && !text.starts_with("[[") {
        let words: Vec<String> = serde_json::from_str(text).ok()?;
        let typed = words.first().is_some_and(|w| ["CMD", "CMD-SHELL", "NONE"].contains(&w.as_str()));
        return match words.as_slice() {
            [] => None,
            [none] if none == "NONE" => Some(Vec::new()),
            _ if typed => Health::command(&words),
            _ => Some(words),
        };
    }
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let command = match kind {
        "CMD" => rest.split_ascii_whitespace().map(str::to_owned).collect(),
        "CMD-SHELL" if !rest.trim().is_empty() => Health::shell(rest.trim()),
        "CMD-SHELL" => Vec::new(),
        _ => Health::shell(text),
    };
    Some(command).filter(|command| !command.is_empty())
}

/// Reads a value that `parse` accepts. The message about another value contains `expected`, a
/// description of valid values, and `valid`, an example.
fn read<T>(
    reader: &mut Reader<'_, '_>,
    (code, key, (expected, valid)): (Code, KeyName, (&str, &str)),
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    reader.value(key, |value| {
        parse(value).ok_or_else(|| code.problem(format!("{key}={value} is not {expected}"), format!("write {valid}")))
    })
}

fn probe(reader: &mut Reader<'_, '_>, key: KeyName, parse: fn(&str) -> Result<Probe, Fault>) -> Option<Test> {
    let wrong = |value: &str, fault| Code::HealthCheck.of(fault).of(&format!("{key}={value}"));
    reader.value(key, |value| parse(value).map(Test::Probe).map_err(|fault| wrong(value, fault)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn health_commands_are_read_in_all_forms_of_podman() {
        let words = |all: &[&str]| Some(all.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            command("curl -f http://localhost/ || exit 1"),
            words(&["/bin/sh", "-c", "curl -f http://localhost/ || exit 1"])
        );
        assert_eq!(command("\"redis-cli ping\""), words(&["/bin/sh", "-c", "redis-cli ping"]));
        assert_eq!(command("test \"$A\" = \"b\""), words(&["/bin/sh", "-c", "test \"$A\" = \"b\""]));
        assert_eq!(command("[\"true\", \"a b\"]"), words(&["true", "a b"]));
        assert_eq!(command("[\"CMD\", \"true\"]"), words(&["true"]));
        assert_eq!(command("[\"CMD-SHELL\", \"a | b\"]"), words(&["/bin/sh", "-c", "a | b"]));
        assert_eq!(command("CMD a b"), words(&["a", "b"]));
        assert_eq!(command("CMD-SHELL a b"), words(&["/bin/sh", "-c", "a b"]));
        for none in ["none", "NONE", "[\"NONE\"]"] {
            assert_eq!(command(none), Some(Vec::new()));
        }
        for bad in ["[]", "[1]", "[\"a\"", "CMD", "CMD-SHELL", "[\"CMD\"]"] {
            assert_eq!(command(bad), None, "{bad}");
        }
    }
}
