// SPDX-License-Identifier: MIT
//! The health of an application: the check, and what follows from its results. `prepare` writes the
//! check and the launcher runs it. The rules are Docker's (Dockerfile reference, HEALTHCHECK);
//! startup checks and actions are podman's (podman-run(1), `--health-startup-*`,
//! `--health-on-failure`). Pure.

use serde::{Deserialize, Serialize};

use crate::contract::probe::Probe;

/// Default interval and default timeout of a check, in milliseconds.
pub const INTERVAL: u64 = 30_000;
/// Default number of failures in a row that make an application unhealthy.
pub const RETRIES: u32 = 3;
/// Default interval of the checks in the start period of an image, in milliseconds.
pub const START_INTERVAL: u64 = 5_000;

/// How the health of an application is tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Test {
    /// A program with its arguments. An empty list means that there is no test.
    Command(Vec<String>),
    /// A probe that the launcher sends itself, without a program of the image.
    Probe(Probe),
}

impl Test {
    /// Whether there is no test.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Command(words) if words.is_empty())
    }
}

/// The keys that set a test.
pub const KEYS: [&str; 6] =
    ["HealthCmd", "HealthHttp", "HealthTcp", "HealthStartupCmd", "HealthStartupHttp", "HealthStartupTcp"];

/// Returns the key of this name if it sets a test, or else `HealthCmd`, which overrides the test of
/// an image. The name may come from a container.
#[must_use]
pub fn known_key(name: &str) -> &'static str {
    KEYS.into_iter().find(|key| *key == name).unwrap_or("HealthCmd")
}

impl Test {
    /// The key that sets this test. A test of the image is a command, too; the key of commands
    /// overrides it.
    #[must_use]
    pub fn key(&self, is_startup: bool) -> &'static str {
        match (self, is_startup) {
            (Self::Command(_), false) => "HealthCmd",
            (Self::Command(_), true) => "HealthStartupCmd",
            (Self::Probe(Probe { path: Some(_), .. }), false) => "HealthHttp",
            (Self::Probe(Probe { path: Some(_), .. }), true) => "HealthStartupHttp",
            (Self::Probe(_), false) => "HealthTcp",
            (Self::Probe(_), true) => "HealthStartupTcp",
        }
    }
}

/// Begins each message about a failed check.
const FAILED_CHECK: &str = "health check of ";

/// The launcher's message about a failed check of `unit`. `release` finds it in the journal of the
/// container by [`key_of_failed_check`]. `count` is [`State::count`].
#[must_use]
pub fn failed_check(unit: &str, key: &str, count: &str, reason: &str) -> String {
    // HealthCmd= is not named, because the command may be that of the image.
    let named = if key == "HealthCmd" { String::new() } else { format!("{key}=, ") };
    format!("{FAILED_CHECK}{unit} failed ({named}{count}): {reason}")
}

/// The key in a message of [`failed_check`]. None for other messages, which a container may write,
/// too.
#[must_use]
pub fn key_of_failed_check(message: &str) -> Option<&'static str> {
    let (_, rest) = message.strip_prefix(FAILED_CHECK)?.split_once(" failed (")?;
    Some(known_key(rest.split_once("=, ").map(|(key, _)| key).unwrap_or_default()))
}

/// The launcher's message about a new status of `unit`.
#[must_use]
pub fn new_status(unit: &str, status: Status) -> String {
    format!("{unit} is {}", status.word())
}

/// Whether a message of [`new_status`] says that an application is unhealthy.
#[must_use]
pub fn says_unhealthy(message: &str) -> bool {
    message.ends_with(&new_status("", Status::Unhealthy))
}

impl Default for Test {
    fn default() -> Self {
        Self::Command(Vec::new())
    }
}

/// A health check. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The test that is run.
    pub test: Test,
    /// Time between two checks. None: checks run only when they are started by hand.
    pub interval: Option<u64>,
    /// Maximum duration of one check.
    pub timeout: u64,
    /// Failures in a row that make the application unhealthy.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    pub start_period: u64,
    /// Time between two checks in the start period, until the first one passes.
    pub start_interval: Option<u64>,
    /// The action when the application becomes unhealthy.
    pub on_failure: OnFailure,
    /// The startup check, which replaces this check until it has passed.
    pub startup: Option<Startup>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            test: Test::default(),
            interval: Some(INTERVAL),
            timeout: INTERVAL,
            retries: RETRIES,
            start_period: 0,
            start_interval: None,
            on_failure: OnFailure::None,
            startup: None,
        }
    }
}

/// A startup check: it replaces the usual check until it has passed. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Startup {
    /// The test that is run.
    pub test: Test,
    /// Time between two checks.
    pub interval: u64,
    /// Maximum duration of one check.
    pub timeout: u64,
    /// Failures in a row after which the application is restarted; 0 for never.
    pub retries: u32,
    /// Number of passes in a row that end the startup check.
    pub success: u32,
}

/// The action when an application becomes unhealthy: `HealthOnFailure=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// No action; the status is reported.
    #[default]
    None,
    /// The processes of the application are killed, which the service manager treats as a failure.
    Kill,
    /// The service of the application is restarted.
    Restart,
    /// The service of the application is stopped.
    Stop,
}

impl Health {
    /// The command of a check in Docker's form: `NONE`, `CMD` and words, or `CMD-SHELL` and a line
    /// for the shell. None if the check is `NONE` or has no command.
    #[must_use]
    pub fn command(test: &[String]) -> Option<Vec<String>> {
        let (kind, rest) = test.split_first()?;
        match kind.to_ascii_uppercase().as_str() {
            "CMD" if !rest.is_empty() => Some(rest.to_vec()),
            "CMD-SHELL" if !rest.is_empty() => Some(Self::shell(&rest.join(" "))),
            _ => None,
        }
    }

    /// The command that runs a line in the shell.
    #[must_use]
    pub fn shell(line: &str) -> Vec<String> {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()]
    }

    /// Time between two checks until the application has started, in milliseconds, if that differs
    /// from the usual interval.
    #[must_use]
    pub fn first_interval(&self) -> Option<u64> {
        let in_start_period = self.start_interval.filter(|_| self.start_period > 0);
        self.startup.as_ref().map(|s| s.interval).or(in_start_period)
    }
}

/// The health status of an application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No check has decided yet.
    #[default]
    Starting,
    /// The last check passed, or fewer checks than the limit have failed since the last pass.
    Healthy,
    /// As many checks in a row as the limit have failed.
    Unhealthy,
    /// The application has ended.
    Stopped,
    /// The application has failed and is not restarted.
    Failed,
}

impl Status {
    /// The status as text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// The state that is kept from one check to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The invocation of the application's service that the state belongs to. Another invocation
    /// starts with a new state.
    pub run: String,
    /// The status after the last check.
    pub status: Status,
    /// Failures in a row that count.
    pub failures: u32,
    /// Passed startup checks in a row.
    pub successes: u32,
    /// Whether the startup check has ended.
    pub started: bool,
    /// Whether the interval of the start period has ended, so that the usual interval applies.
    pub settled: bool,
    /// The last check that failed.
    #[serde(default)]
    pub last: Option<Failed>,
}

/// A check that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The key that sets the check.
    pub key: String,
    /// The exit status and the output, or the answer.
    pub reason: String,
}

/// The next step after a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on with the same interval.
    Continue,
    /// Use the usual interval from now on.
    Settle,
    /// Run the action for an unhealthy application.
    Fail(OnFailure),
}

impl State {
    /// Whether the next check is the startup check.
    #[must_use]
    pub fn is_startup(&self, health: &Health) -> bool {
        health.startup.is_some() && !self.started
    }

    /// The count of failures in a row, after a failed check, as words. `limit` is the number that
    /// makes the application unhealthy; 0 for none.
    #[must_use]
    pub fn count(&self, limit: u32) -> String {
        match self.failures {
            0 => "not counted, because the start period has not ended".to_owned(),
            failures if failures <= limit => format!("failure {failures} of {limit}"),
            failures => format!("failure {failures} in a row"),
        }
    }

    /// Records a result; `age` is the time since the start of the application, in milliseconds.
    pub fn observe(&mut self, passed: bool, age: u64, health: &Health) -> Step {
        match &health.startup {
            Some(startup) if !self.started => self.observe_startup(passed, startup),
            _ => self.observe_usual(passed, age, health),
        }
    }

    fn observe_startup(&mut self, passed: bool, startup: &Startup) -> Step {
        if !passed {
            self.successes = 0;
            self.failures += 1;
            let over = startup.retries > 0 && self.failures >= startup.retries;
            if over {
                self.status = Status::Unhealthy;
            }
            return if over { Step::Fail(OnFailure::Restart) } else { Step::Continue };
        }
        self.successes += 1;
        if self.successes < startup.success.max(1) {
            return Step::Continue;
        }
        (self.started, self.settled, self.failures) = (true, true, 0);
        Step::Settle
    }

    fn observe_usual(&mut self, passed: bool, age: u64, health: &Health) -> Step {
        let before = self.status;
        let spared = before == Status::Starting && age < health.start_period;
        if passed {
            (self.status, self.failures) = (Status::Healthy, 0);
        } else if !spared {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= health.retries.max(1) {
                self.status = Status::Unhealthy;
            }
        }
        if self.status == Status::Unhealthy && before != Status::Unhealthy {
            return Step::Fail(health.on_failure);
        }
        let over = self.status != Status::Starting || age >= health.start_period;
        if over && !self.settled {
            self.settled = true;
            return Step::Settle;
        }
        Step::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three failures in a row make an application unhealthy, a pass resets the count, and the
    /// action is requested once.
    #[test]
    fn failures_in_a_row() {
        use Status::{Healthy, Starting, Unhealthy};
        let health = Health { on_failure: OnFailure::Kill, ..Health::default() };
        let mut state = State { settled: true, ..State::default() };
        let mut observe = |passed| (state.observe(passed, 1000, &health), state.status);
        assert_eq!(observe(false), (Step::Continue, Starting));
        assert_eq!(observe(true), (Step::Continue, Healthy));
        for _ in 0..2 {
            assert_eq!(observe(false), (Step::Continue, Healthy));
        }
        assert_eq!(observe(false), (Step::Fail(OnFailure::Kill), Unhealthy));
        assert_eq!(observe(false), (Step::Continue, Unhealthy));
        assert_eq!(observe(true), (Step::Continue, Healthy));
    }

    #[test]
    fn counts_and_keys_in_words() {
        let count = |failures, limit| State { failures, ..State::default() }.count(limit);
        assert_eq!([count(1, 3), count(3, 3)], ["failure 1 of 3", "failure 3 of 3"]);
        assert_eq!([count(4, 3), count(2, 0)], ["failure 4 in a row", "failure 2 in a row"]);
        assert!(count(0, 3).starts_with("not counted"));
        let probe = |path: Option<&str>| {
            Test::Probe(Probe { host: "localhost".into(), port: 80, path: path.map(str::to_owned) })
        };
        let keys = [Test::default(), probe(Some("/")), probe(None)].map(|test| (test.key(false), test.key(true)));
        let want =
            [("HealthCmd", "HealthStartupCmd"), ("HealthHttp", "HealthStartupHttp"), ("HealthTcp", "HealthStartupTcp")];
        assert_eq!(keys, want);
        assert!(keys.iter().all(|(usual, startup)| known_key(usual) == *usual && known_key(startup) == *startup));
        assert_eq!(known_key("Exec"), "HealthCmd");
    }

    #[test]
    fn messages_are_recognized() {
        let count = |failures| State { failures, ..State::default() }.count(3);
        for key in KEYS {
            let message = failed_check("sdme-oci-app", key, &count(0), "x=, y");
            assert_eq!(key_of_failed_check(&message), Some(key), "{message}");
        }
        let message = failed_check("sdme-oci-app", "HealthCmd", &count(3), "exit status 1");
        assert_eq!(message, "health check of sdme-oci-app failed (failure 3 of 3): exit status 1");
        assert_eq!(key_of_failed_check("sdme-oci-app failed (HealthTcp=, failure 3 of 3)"), None);
        assert!(says_unhealthy(&new_status("sdme-oci-app", Status::Unhealthy)));
        assert!(!says_unhealthy(&new_status("sdme-oci-app", Status::Healthy)));
    }

    #[test]
    fn the_start_period_spares_failures_until_the_first_success() {
        let health = Health { start_period: 10_000, retries: 1, start_interval: Some(1000), ..Health::default() };
        let mut state = State::default();
        assert_eq!((state.observe(false, 9_999, &health), state.failures), (Step::Continue, 0));
        let mut later = state.clone();
        assert_eq!(later.observe(false, 10_000, &health), Step::Fail(OnFailure::None));
        assert_eq!(state.observe(true, 2_000, &health), Step::Settle);
        assert_eq!(state.observe(false, 3_000, &health), Step::Fail(OnFailure::None));
        assert_eq!((health.first_interval(), Health::default().first_interval()), (Some(1000), None));
    }

    #[test]
    fn the_startup_check_comes_first() {
        let startup = Startup { test: Test::default(), interval: 1000, timeout: 1000, retries: 2, success: 2 };
        let health = Health { startup: Some(startup), ..Health::default() };
        let mut state = State::default();
        assert!(state.is_startup(&health));
        assert_eq!(state.observe(true, 0, &health), Step::Continue);
        assert_eq!(state.observe(false, 0, &health), Step::Continue);
        let mut failed = state.clone();
        assert_eq!(failed.observe(false, 0, &health), Step::Fail(OnFailure::Restart));
        assert_eq!(state.observe(true, 0, &health), Step::Continue);
        assert_eq!(state.observe(true, 0, &health), Step::Settle);
        assert!(!state.is_startup(&health) && state.status == Status::Starting);
        state.observe(true, 0, &health);
        assert_eq!(state.status, Status::Healthy);
    }

    #[test]
    fn commands() {
        let command = |words: &[&str]| Health::command(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(command(&["CMD", "a", "b c"]), Some(vec!["a".into(), "b c".into()]));
        assert_eq!(command(&["CMD-SHELL", "a || b"]), Some(Health::shell("a || b")));
        for none in [&["NONE"][..], &[], &["CMD"], &["none"], &["curl"]] {
            assert_eq!(command(none), None);
        }
    }
}
