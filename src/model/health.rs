// SPDX-License-Identifier: MIT
//! What an application's health is told by, as far as its file says. Pure.

use crate::contract::health::Health;
use crate::contract::health::OnFailure;
use crate::contract::health::Startup;
use crate::contract::health::Test;

/// What counts as started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Notify {
    /// Its program runs.
    #[default]
    No,
    /// It says so itself (`sd_notify(3)`).
    Yes,
    /// Its first health check has passed.
    Healthy,
}

/// The keys as written. Times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthSettings {
    /// `HealthCmd=`, `HealthHttp=` or `HealthTcp=`: what is checked, or that nothing is.
    pub test: Option<Test>,
    /// `HealthInterval=`: a time, 0 for `disable`.
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
    /// The check, given the one of the image. What is not written is the image's, as with Docker.
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
