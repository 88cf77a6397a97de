// SPDX-License-Identifier: MIT
//! `sdme-gen check --security`: the effective security settings from presets and single keys.

use std::io::{self, Write};

use crate::model::{Container, Model, Network, Preset};

/// Prints the effective settings of every container.
///
/// # Errors
/// The settings cannot be printed.
pub fn print(model: &Model, out: &mut dyn Write) -> io::Result<()> {
    for (index, container) in model.containers.values().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", container.name)?;
        for (what, value) in settings(container) {
            writeln!(out, "  {what:25} {}", if value.is_empty() { "none" } else { &value })?;
        }
    }
    Ok(())
}

fn settings(container: &Container) -> Vec<(&'static str, String)> {
    let security = &container.security;
    let yes = |flag| if flag { "yes" } else { "no" }.to_owned();
    let preset = match security.preset {
        Preset::Default => "default",
        Preset::Hardened => "hardened",
        Preset::Strict => "strict",
    };
    let network = match &container.connection.network {
        Network::Host => match &container.connection.host_pod {
            Some(pod) => format!("the host's, as {pod}.pod"),
            None => "the host's".to_owned(),
        },
        Network::Alone => "loopback only".to_owned(),
        Network::Pod(pod) if *pod == container.name => "its own".to_owned(),
        Network::Pod(pod) => format!("{pod}.pod"),
        Network::Veth => "veth".to_owned(),
        Network::Bridge(bridge) => format!("bridge {bridge}"),
        Network::Zone(zone) => format!("zone {zone}"),
    };
    let mut out = vec![
        ("preset", preset.to_owned()),
        ("user namespace", yes(security.user_ns)),
        ("network", network),
        ("no new privileges", yes(security.no_new_privileges)),
        ("capabilities added", security.added.to_string()),
        ("capabilities dropped", security.dropped.to_string()),
        ("system calls", security.filter.join(" ")),
        ("AppArmor profile", security.app_armor.as_ref().map(|p| p.value.clone()).unwrap_or_default()),
    ];
    if !container.apps.is_empty() {
        out.extend([
            ("application capabilities", security.application.to_string()),
            ("application no new privileges", yes(security.app_no_new_privileges)),
        ]);
        out.extend(security.seccomp_profile.iter().map(|p| ("application seccomp profile", p.value.clone())));
    }
    out
}
