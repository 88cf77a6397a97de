// SPDX-License-Identifier: MIT
//! The keys about privileges and restrictions: two presets, and single settings, which can also
//! override parts of a preset. Pure.

use crate::config::keys::{KeyName, key};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::values::parse_bool;
use crate::contract::capability::Capabilities;
use crate::diag::{Code, Diagnostic, Fault, Location, Spanned, did_you_mean};
use crate::model::{Connection, Network, Preset, Security};

/// The capabilities that `Hardened=` drops.
const HARDENED: [&str; 4] = ["NET_RAW", "SYS_BOOT", "SYS_PTRACE", "SYS_RAWIO"];

/// The capabilities that remain with `Strict=`: the default of Docker without those that
/// `Hardened=` drops, and `SYS_ADMIN`, which the service manager in the container needs.
const STRICT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_CHROOT",
];

/// The capabilities that the service manager and the launcher in the container need.
/// `DropCapability=` takes these from the applications only.
const NEEDED: [&str; 9] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT"];

/// The capabilities that a network manager in the container needs to configure a veth pair.
const LINK: [&str; 3] = ["NET_ADMIN", "NET_BROADCAST", "NET_RAW"];

/// The system calls that `Strict=` denies, as groups of systemd.exec(5).
const STRICT_FILTER: [&str; 4] = ["~@cpu-emulation", "~@debug", "~@obsolete", "~@raw-io"];

/// The system calls for keyrings. Keyrings belong to a user, so that without a user namespace, root
/// of the container would have those of the host's root. Newer versions of systemd-nspawn allow
/// these calls, while older versions and Docker deny them.
const KEYRING: [&str; 4] = ["@keyring", "add_key", "keyctl", "request_key"];

/// The system calls of `io_uring`, which both presets deny. The interface had many vulnerabilities
/// through which root of a container could attack the kernel.
const IO_URING: [&str; 3] = ["io_uring_setup", "io_uring_enter", "io_uring_register"];

/// The profile of `AppArmor` that is installed with sdme-gen.
pub const APP_ARMOR: &str = "sdme-default";

/// Groups of system calls (systemd.exec(5), "Currently predefined system call sets").
const GROUPS: [&str; 28] = [
    "@aio",
    "@basic-io",
    "@chown",
    "@clock",
    "@cpu-emulation",
    "@debug",
    "@default",
    "@file-system",
    "@io-event",
    "@ipc",
    "@keyring",
    "@memlock",
    "@module",
    "@mount",
    "@network-io",
    "@obsolete",
    "@pkey",
    "@privileged",
    "@process",
    "@raw-io",
    "@reboot",
    "@resources",
    "@sandbox",
    "@setuid",
    "@signal",
    "@swap",
    "@sync",
    "@timer",
];

/// The preset, and the key that asks for it with its location. `Strict=` takes precedence over
/// `Hardened=`.
#[must_use]
pub fn preset(settings: &Settings) -> (Preset, Option<Spanned<KeyName>>) {
    for (preset, key) in [(Preset::Strict, key::STRICT), (Preset::Hardened, key::HARDENED)] {
        if let Some(written) = settings.text("Container", key).filter(|w| parse_bool(w.value) == Some(true)) {
            return (preset, Some(Spanned { value: key, at: written.at }));
        }
    }
    (Preset::Default, None)
}

/// Reads all security settings of a container. `runs` says whether the container has applications.
/// With a user namespace, `OciPod=` in `connection` becomes a pod of the whole container.
pub fn security(
    settings: &Settings,
    connection: &mut Connection,
    runs: bool,
    problems: &mut Vec<Diagnostic>,
) -> Security {
    let (preset, by) = preset(settings);
    let text = |key| settings.text("Container", key);
    if let (Some(strict), Some(hardened)) = (&by, text(key::HARDENED))
        && strict.value == "Strict"
        && parse_bool(hardened.value) == Some(false)
    {
        problems.push(Diagnostic::error(
            &hardened.at,
            Code::Combination
                .problem("Strict=yes includes Hardened=yes, which Hardened=no contradicts", "remove one of the two"),
        ));
    }
    let user_ns = user_ns(settings, by.as_ref(), connection, problems);
    let nnp = text(key::NO_NEW_PRIVILEGES).and_then(|w| parse_bool(w.value));

    let (add, drop) =
        (capabilities(key::ADD_CAPABILITY, settings, problems), capabilities(key::DROP_CAPABILITY, settings, problems));
    let (added, dropped) = (union(&add), union(&drop));
    let named = add.iter().map(|set| set.value).filter(|set| *set != Capabilities::ALL);
    let named = named.fold(Capabilities::NONE, Capabilities::with);
    for Spanned { value, at } in &drop {
        let both = value.common(added);
        if !both.is_empty() && *value != Capabilities::ALL && added != Capabilities::ALL {
            problems.push(Diagnostic::error(
                at,
                Code::Combination
                    .problem(format!("{both} is both dropped here and added elsewhere"), "remove one of the two"),
            ));
        }
        let needed = value.common(Capabilities::of(&NEEDED));
        if !runs && !needed.is_empty() && *value != Capabilities::ALL {
            let problem = Code::Confinement.problem(
                format!("DropCapability=: the operating system inside does not start without {needed}"),
                "remove it",
            );
            problems.push(Diagnostic::error(at, problem));
        }
        let joins = matches!(connection.network, Network::Pod(_)) && connection.oci_pod.is_some();
        if joins && !value.common(Capabilities::of(&["NET_ADMIN"])).is_empty() && *value != Capabilities::ALL {
            let problem = Code::Combination.problem(
                "an application joins the pod of OciPod= with CAP_NET_ADMIN, which is dropped",
                "remove OciPod=, or keep the capability",
            );
            problems.push(Diagnostic::error(at, problem));
        }
    }
    // If one of the two keys is `all`, the capabilities in the other key are exceptions.
    let (added, dropped) = match (added == Capabilities::ALL, dropped == Capabilities::ALL) {
        (true, true) => {
            let at = drop.first().map(|d| &d.at);
            problems.extend(at.map(|at| {
                Diagnostic::error(
                    at,
                    Code::Combination.problem("all capabilities are both dropped and added", "remove one of the two"),
                )
            }));
            (Capabilities::NONE, Capabilities::NONE)
        }
        (true, false) => (added.without(dropped), dropped),
        (false, _) => (added, dropped.without(added)),
    };
    let of_preset = match preset {
        Preset::Default => Capabilities::NONE,
        Preset::Hardened => Capabilities::of(&HARDENED),
        Preset::Strict => Capabilities::ALL.without(Capabilities::of(&STRICT)),
    };
    let kept = if connection.network.configures_itself() { Capabilities::of(&LINK) } else { Capabilities::NONE };
    let taken = dropped.without(Capabilities::of(&NEEDED)).with(of_preset.without(kept)).without(added);
    let application = Capabilities::DOCKER.without(of_preset).without(dropped).with(added);

    let mut filter = filter(settings, problems);
    if filter.is_empty() && preset == Preset::Strict {
        filter.extend(STRICT_FILTER.map(str::to_owned));
    }
    if !filter.iter().any(|word| KEYRING.contains(&word.as_str())) {
        filter.push("~@keyring".to_owned());
    }
    let names_io_uring = |word: &String| ["@aio"].iter().chain(&IO_URING).any(|name| word == name);
    if preset >= Preset::Hardened && !filter.iter().any(names_io_uring) {
        filter.extend(IO_URING.map(|name| format!("~{name}")));
    }
    let seccomp_profile = seccomp_profile(settings, runs, problems);
    Security {
        preset,
        user_ns,
        no_new_privileges: nnp.unwrap_or(preset >= Preset::Hardened),
        app_no_new_privileges: nnp.unwrap_or(true),
        added,
        named,
        dropped: taken,
        application,
        filter,
        app_armor: app_armor(settings, by.filter(|_| preset == Preset::Strict), problems),
        seccomp_profile,
    }
}

/// Whether the container gets a user namespace.
fn user_ns(
    settings: &Settings,
    by: Option<&Spanned<KeyName>>,
    connection: &mut Connection,
    problems: &mut Vec<Diagnostic>,
) -> bool {
    let written = super::mapping::user_ns(settings, problems);
    let (user_ns, at) = match (written.as_ref().map(|w| (w.value, &w.at)), by) {
        (Some(("auto", at)), _) => (true, at),
        (Some(("no" | "host", at)), None) => (false, at),
        (Some(("no" | "host", at)), Some(by)) => {
            let problem = Code::Combination.problem(
                format!("{}=yes gives the container a user namespace", by.value),
                "remove UserNS=, or write single settings instead of the preset",
            );
            problems.push(Diagnostic::error(at, problem));
            return false;
        }
        (Some((value, at)), _) => {
            let problem = Code::Choice.problem(
                format!("UserNS={value} is not one of auto, no"),
                "write no, or auto, with which the container has 65536 IDs of its own",
            );
            problems.push(Diagnostic::error(at, problem));
            return false;
        }
        (None, Some(by)) => (true, &by.at),
        (None, None) => return false,
    };
    if let (true, Some(pod)) = (user_ns, connection.oci_pod.take()) {
        // Root of a user namespace may not enter a network namespace that belongs to another user
        // namespace (setns(2)), so the container joins the pod as a whole.
        match &connection.network {
            Network::Pod(joined) if *joined == pod => {}
            Network::Alone => connection.network = Network::Pod(pod),
            _ => {
                let at = settings.text("Container", key::OCI_POD).map_or_else(|| at.clone(), |pod| pod.at);
                let problem = Code::Combination.problem(
                    "OciPod= and a user namespace cannot be used with another network, because the container as a whole joins \
                     the pod",
                    "remove Network= or Pod=, or the user namespace",
                );
                problems.push(Diagnostic::error(&at, problem));
            }
        }
    }
    user_ns
}

fn capabilities(key: KeyName, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Spanned<Capabilities>> {
    let wrong = |fault: Fault| Code::Confinement.of(fault).of(&format!("{key}="));
    let mut reader = Reader::new(settings, "Container", problems);
    if key != key::ADD_CAPABILITY {
        return reader.words(key, |word| Capabilities::parse(word).map_err(wrong));
    }
    // An unknown capability in AddCapability= is only a warning, as in unit files
    // (systemd.exec(5)), because the application then has fewer privileges than requested. In
    // DropCapability=, it is an error, because the application would keep a privilege.
    let mut out = Vec::new();
    for Spanned { value, at } in reader.words(key, |word| Ok(Capabilities::parse(word))) {
        match value {
            Ok(value) => out.push(Spanned { value, at }),
            Err(Fault { cause, remedy }) => {
                reader.warning(&at, wrong(Fault::new(format!("{cause}, so it is not added"), remedy)));
            }
        }
    }
    out
}

fn union(all: &[Spanned<Capabilities>]) -> Capabilities {
    all.iter().fold(Capabilities::NONE, |sum, one| sum.with(one.value))
}

/// Returns the words of `SystemCallFilter=`, with `~` in front of each denied one. As in unit
/// files, `~` in front of the first word applies to the rest of its line.
fn filter(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut line: Option<Location> = None;
    let mut denied = false;
    for word in settings.words("Container", key::SYSTEM_CALL_FILTER) {
        if line.as_ref() != Some(&word.at) {
            denied = word.value.starts_with('~');
            line = Some(word.at.clone());
        }
        let name = word.value.strip_prefix('~').unwrap_or(&word.value);
        if let Err(fault) = system_call(name) {
            problems.push(Diagnostic::error(&word.at, Code::Confinement.of(fault).of("SystemCallFilter=")));
        }
        let sign = if denied || word.value.starts_with('~') { "~" } else { "" };
        let opposite = if sign.is_empty() { format!("~{name}") } else { name.to_owned() };
        if out.contains(&opposite) {
            problems.push(Diagnostic::error(
                &word.at,
                Code::Confinement
                    .problem(format!("SystemCallFilter=: {name} is both allowed and denied"), "remove one of the two"),
            ));
        }
        out.push(format!("{sign}{name}"));
    }
    out
}

fn system_call(name: &str) -> Result<(), Fault> {
    if name.starts_with('@') {
        return if GROUPS.contains(&name) {
            Ok(())
        } else {
            let near = did_you_mean(name, GROUPS);
            let remedy = near.unwrap_or_else(|| "write a group of systemd.exec(5), such as @mount".to_owned());
            Err(Fault::new(format!("{name} is not a group of system calls"), remedy))
        };
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !name.is_empty() && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(Fault::new(
            format!("{name:?} is not a system call"),
            "write names or groups such as @mount, behind a ~ to deny them",
        ))
    }
}

fn app_armor(
    settings: &Settings,
    strict: Option<Spanned<KeyName>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Spanned<String>> {
    let Some(written) = settings.text("Container", key::APP_ARMOR) else {
        return strict.map(|by| Spanned { value: APP_ARMOR.to_owned(), at: by.at });
    };
    if written.value == "unconfined" {
        return None;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !written.value.bytes().all(plain) {
        let problem = Code::Confinement.problem(
            format!("AppArmor={} is not the name of a profile", written.value),
            format!("write {APP_ARMOR}, another profile that is loaded, or unconfined"),
        );
        problems.push(Diagnostic::error(&written.at, problem));
    }
    Some(Spanned { value: written.value.to_owned(), at: written.at })
}

fn seccomp_profile(settings: &Settings, runs: bool, problems: &mut Vec<Diagnostic>) -> Option<Spanned<String>> {
    let written = settings.text("Container", key::SECCOMP_PROFILE)?;
    if !runs {
        let problem = Code::Combination
            .problem("SeccompProfile= is for applications only", "write SystemCallFilter= for an operating system");
        problems.push(Diagnostic::error(&written.at, problem));
    } else if written.value == "unconfined" {
        let problem = Code::NoEffect.problem(
            "SeccompProfile=unconfined has no effect here: systemd-nspawn always has a filter",
            "write SystemCallFilter= for further rules",
        );
        problems.push(Diagnostic::warning(&written.at, problem));
        return None;
    } else if let Err(problem) = crate::config::values::access::path("SeccompProfile", written.value) {
        problems.push(Diagnostic::error(&written.at, problem));
    }
    Some(Spanned { value: written.value.to_owned(), at: written.at })
}
