// SPDX-License-Identifier: MIT
//! The keys about what the inside may do. Pure.

use super::network::Connection;
use crate::config::settings::Settings;
use crate::diag::Diagnostic;

/// Whether a container is to have a user namespace.
pub fn user_ns(settings: &Settings, connection: &Connection, problems: &mut Vec<Diagnostic>) -> bool {
    let Some(written) = settings.text("Container", "UserNS") else { return false };
    let user_ns = match written.value {
        "auto" => true,
        "no" | "host" => false,
        value => {
            let message = format!(
                "UserNS={value} is not one of auto, no; with auto, the container has 65536 IDs of its own, and its \
                 files belong to whom they should inside"
            );
            problems.push(Diagnostic::error(&written.at, message));
            false
        }
    };
    if let (true, Some(pod)) = (user_ns, &connection.oci_pod) {
        let at = settings.text("Container", "OciPod").map_or(written.at, |pod| pod.at);
        let message = format!(
            "OciPod= cannot be used with a user namespace, whose root may not enter a network that is not its own; \
             write Pod={pod}.pod"
        );
        problems.push(Diagnostic::error(&at, message));
    }
    user_ns
}
