// SPDX-License-Identifier: MIT
//! The `.image` file of a container for another platform. Compose files and command lines name the
//! platform beside the image, and here it is a setting of the image. Pure.

use super::Builder;
use crate::config::keys::FileType;
use crate::config::quadlet::expand::literal;
use crate::config::quadlet::podman;

/// What the `.image` file has in addition to the source of the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// Options of podman-pull(1), such as `--platform=linux/arm64/v8`.
    pub options: Vec<String>,
    /// When the image is pulled, if that is given.
    pub policy: Option<String>,
}

impl Platform {
    /// Whether no platform is given, so that the container needs no `.image` file.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// Adds an option of a command line: `--platform`, `--arch`, `--os` or `--variant`.
    pub fn option(&mut self, long: &str, value: &str) {
        // A platform without a slash is a system or an architecture (docker-run(1)).
        let (long, value) = match (long, value) {
            ("platform", "linux") => return,
            ("platform", "windows" | "freebsd") => ("os", value),
            ("platform", _) if !value.contains('/') => ("arch", value),
            option => option,
        };
        self.options.push(format!("--{long}={}", literal(value)));
    }

    /// The `.image` file for the image `source`.
    pub fn file(&self, source: &str) -> Builder {
        let mut file = Builder::new(FileType::Image);
        file.put("the image", "Image", source);
        if let Some(policy) = &self.policy {
            file.put("the pull policy", "Policy", policy);
        }
        let (assignments, problems) = podman::assignments(FileType::Image, &self.options);
        // The system is always Linux.
        for (section, key, value) in
            assignments.into_iter().filter(|(_, key, value)| (&**key, &**value) != ("OS", "linux"))
        {
            file.set("the platform", &section, &key, &value);
        }
        file.notes.extend(problems);
        file
    }
}
