// SPDX-License-Identifier: MIT
//! Problems of a configuration that only show when its images and the files it names are known.
//! Pure.

use crate::model::{Container, Facts, HealthSettings, Model, Notify, Stack, Startup, UnusableProfile};

use crate::diag::{Code, Diagnostic, Location, Severity};

impl Model {
    /// The users and groups in the configuration that the images do not have, as far as `facts` has
    /// the images.
    #[must_use]
    pub fn unknown_users(&self, container: &Container, facts: &Facts) -> Vec<Diagnostic> {
        let wrong = self.applications(container, facts).iter().filter_map(|app| {
            let message = facts.images.get(&app.image)?.users.get(&app.startup.identity)?.as_ref().err()?;
            let at = app.startup.identity_at.clone().unwrap_or_else(|| Location::whole(&container.file));
            Some(Diagnostic::error(&at, Code::User.problem(message, "write a name that the image has, or a number")))
        });
        wrong.collect()
    }

    /// The problem of a seccomp profile that cannot be used, if `facts` has the profile.
    #[must_use]
    pub fn unusable_profile(&self, container: &Container, facts: &Facts) -> Option<Diagnostic> {
        let written = container.security.seccomp_profile.as_ref()?;
        let (severity, message, remedy) = match facts.profiles.get(&written.value)?.as_ref().err()? {
            // As with other files that a start needs, this is only a warning, because the file may
            // appear before the start.
            UnusableProfile::Missing => (Severity::Warning, "there is no such file", "create the profile"),
            UnusableProfile::Invalid(message) => (Severity::Error, message.as_str(), "correct the profile"),
        };
        let problem = Code::Confinement.problem(
            format!("SeccompProfile={} cannot be used: {message}", written.value),
            format!("{remedy}, or write SystemCallFilter="),
        );
        Some(Diagnostic { at: written.at.clone(), severity, problem })
    }

    /// The problem of a setting for an application if the image turns out to be an operating
    /// system, as far as `facts` has the image. Without this check, the container would start and
    /// silently ignore the setting.
    #[must_use]
    pub fn unused_settings(&self, container: &Container, facts: &Facts) -> Option<Diagnostic> {
        let (Stack::System(image), Some(app)) = (self.stack(container, facts), container.apps.first()) else {
            return None;
        };
        // These settings may come from the pod, where they apply to all members.
        let in_pod = container.connection.outer_pod().is_some();
        let usual = Startup {
            read_only_tmpfs: app.startup.read_only_tmpfs,
            shm_size: app.startup.shm_size.filter(|_| in_pod),
            stop_timeout: app.startup.stop_timeout.filter(|_| in_pod),
            ..Startup::default()
        };
        let written = [
            ("Environment=", !app.environment.is_empty()),
            ("EnvironmentFile=", !app.environment_files.is_empty()),
            ("Notify=", app.notify != Notify::default()),
            ("[App]", !app.unit.is_empty() || !app.service.is_empty()),
            ("ReloadCmd= or ReloadSignal=", app.reload.is_some()),
            ("a key of a health check", app.health != HealthSettings::default()),
            ("a key about the application's start", app.startup != usual),
        ];
        let (what, _) = written.into_iter().find(|(_, written)| *written)?;
        let problem = Code::Combination.problem(
            format!("{what} is for an application, and the image {image} is an operating system"),
            "remove it, or write Mode=app",
        );
        Some(Diagnostic::error(&Location::whole(&container.file), problem))
    }
}
