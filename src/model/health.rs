// SPDX-License-Identifier: MIT
//! The health settings of an application, as far as its file makes them. Pure.

use crate::contract::health::Health;
use crate::contract::health::OnFailure;
use crate::contract::health::Startup;
use crate::contract::health::Test;

/// When an application counts as started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Notify {
    /// When its program runs.
    #[default]
    No,
    /// When it sends `READY=1` (`sd_notify(3)`).
    Yes,
    /// When its first health check has passed.
    Healthy,
}

/// The values of the `Health*=` keys. Times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthSettings {
    /// `HealthCmd=`, `HealthHttp=` or `HealthTcp=`: the test, or the order to run no test.
    pub test: Option<Test>,
    /// `HealthInterval=`; 0 for `disable`.
    pub interval: Option<u64>,
    /// `HealthTimeout=`
    pub timeout: Option<u64>,
    /// `HealthRetries=`
    pub retries: Option<u32>,
    /// `HealthStartPeriod=`
    pub start_period: Option<u64>,
    /// `HealthOnFailure=`
    pub on_failure: OnFailure,
    /// `HealthStartup*=`
    pub startup: Option<Startup>,
}

impl HealthSettings {
    /// The health check of an application with this image. As with Docker, settings that the file
    /// does not make are taken from the image. None if there is no test.
    #[must_use]
    pub fn on(&self, image: Option<&Health>) -> Option<Health> {
        let mut health = image.cloned().unwrap_or_default();
        if let Some(test) = &self.test {
            health.test.clone_from(test);
        }
        if health.test.is_none() {
            return None;
        }
        health.interval = self.interval.or(health.interval).filter(|time| *time > 0);
        health.timeout = self.timeout.unwrap_or(health.timeout);
        health.retries = self.retries.unwrap_or(health.retries);
        health.start_period = self.start_period.unwrap_or(health.start_period);
        health.on_failure = self.on_failure;
        health.startup.clone_from(&self.startup);
        Some(health)
    }
}
