// SPDX-License-Identifier: MIT
//! Values of keys. Kinds of values with many rules have submodules. This module has the values that
//! set how an application is started and which resources it can use. Pure.

pub mod access;
pub mod envfile;
pub mod install;
pub mod mount;
pub mod seccomp;
pub mod secret;
pub mod source;
pub mod time;

use std::net::IpAddr;

use crate::diag::{Code, Problem};
use crate::ini::split_words;

/// Resource limits (getrlimit(2)): the names that Docker uses, and the settings of systemd.
const LIMITS: [(&str, &str); 16] = [
    ("as", "LimitAS"),
    ("core", "LimitCORE"),
    ("cpu", "LimitCPU"),
    ("data", "LimitDATA"),
    ("fsize", "LimitFSIZE"),
    ("locks", "LimitLOCKS"),
    ("memlock", "LimitMEMLOCK"),
    ("msgqueue", "LimitMSGQUEUE"),
    ("nice", "LimitNICE"),
    ("nofile", "LimitNOFILE"),
    ("nproc", "LimitNPROC"),
    ("rss", "LimitRSS"),
    ("rtprio", "LimitRTPRIO"),
    ("rttime", "LimitRTTIME"),
    ("sigpending", "LimitSIGPENDING"),
    ("stack", "LimitSTACK"),
];

/// Options of a tmpfs without a value (mount(8)).
const FLAGS: [&str; 13] = [
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "atime",
    "noatime",
    "relatime",
    "strictatime",
];
/// Options of a tmpfs with a value (tmpfs(5)).
const OPTIONS: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];

/// Kernel parameters that belong to a namespace of the container (namespaces(7)). An entry that
/// ends in a point is the beginning of a name.
const SYSCTLS: [&str; 10] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "fs.mqueue.",
    "net.",
];

/// A device node of the host, or a directory of device nodes (`AddDevice=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The path on the host.
    pub source: String,
    /// The path in the container, below `/dev`.
    pub target: String,
    /// The permitted operations: some of the letters `rwm` (systemd.resource-control(5),
    /// `DeviceAllow=`).
    pub access: String,
    /// Whether the container starts without the device if it is missing.
    pub optional: bool,
}

/// Directories below `/dev`, and the names that `DeviceAllow=` has for the groups of device nodes
/// in them (`/proc/devices`).
const GROUPS: [(&str, &[&str]); 8] = [
    ("/dev/bus/usb", &["char-usb_device"]),
    ("/dev/dri", &["char-drm"]),
    ("/dev/dvb", &["char-DVB"]),
    ("/dev/input", &["char-input"]),
    ("/dev/mapper", &["block-device-mapper"]),
    ("/dev/serial", &["char-ttyUSB", "char-ttyACM"]),
    ("/dev/snd", &["char-alsa"]),
    ("/dev/vfio", &["char-vfio"]),
];

impl Device {
    /// Returns the devices for `DeviceAllow=`: the node itself, or the groups of the nodes in a
    /// directory.
    #[must_use]
    pub fn allowed(&self) -> Vec<&str> {
        let source = self.source.trim_end_matches('/');
        match GROUPS.iter().find(|(directory, _)| *directory == source) {
            Some((_, groups)) => groups.to_vec(),
            None => vec![source],
        }
    }

    /// Whether the path on the host is a directory in `GROUPS`.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.allowed() != [self.source.trim_end_matches('/')]
    }
}

/// Reads `AddDevice=[-]DEVICE[:PATH][:rwm]`. With `-`, the device is optional.
///
/// # Errors
/// A path is not below `/dev`, or the last part has letters other than `rwm`.
pub fn device(value: &str) -> Result<Device, Problem> {
    let (value, optional) = value.strip_prefix('-').map_or((value, false), |device| (device, true));
    let is_access = |text: &str| !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b));
    let parts: Vec<&str> = value.split(':').collect();
    let (source, target, access) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, access] if is_access(access) => (*source, *source, *access),
        [source, target] => (*source, *target, "rwm"),
        [source, target, access] if is_access(access) => (*source, *target, *access),
        _ => {
            return Err(Code::Mount
                .problem(format!("AddDevice={value} is not a device"), "write DEVICE:PATH:rwm, or DEVICE alone"));
        }
    };
    let path = |path: &str| {
        let path = inner_path("AddDevice", path)?;
        let good = path.strip_prefix("/dev/").is_some_and(|rest| !rest.is_empty() && !rest.contains(['%', ' ']));
        if good {
            return Ok(path);
        }
        Err(Code::Mount.problem(
            format!("AddDevice={value}: {path} is not a path below /dev"),
            "write the path of a device node, such as /dev/ttyUSB0",
        ))
    };
    Ok(Device { source: path(source)?, target: path(target)?, access: access.to_owned(), optional })
}

/// Reads a command: words with the quoting of systemd, or a JSON array, which Podman accepts, too.
///
/// # Errors
/// A quote is not closed, or the JSON is not an array of strings.
pub fn command(key: &str, value: &str) -> Result<Vec<String>, Problem> {
    if value.starts_with('[') {
        return serde_json::from_str(value).map_err(|_| {
            Code::Value
                .problem(format!("{key}={value} is not a JSON array of words"), "write [\"PROGRAM\", \"ARGUMENT\"]")
        });
    }
    split_words(value).map_err(|error| Code::Quoting.of(error.fault()).of(&format!("{key}=")))
}

/// Reads `Ulimit=NAME=SOFT[:HARD]`. Returns the setting of systemd and its value.
///
/// # Errors
/// The limit is unknown, a value is not a number, or the soft limit is above the hard limit.
pub fn ulimit(value: &str) -> Result<(&'static str, String), Problem> {
    let (name, limits) = value.split_once('=').unwrap_or((value, ""));
    let Some((_, setting)) = LIMITS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = LIMITS.iter().map(|(name, _)| *name).collect();
        return Err(Code::KernelSetting.problem(
            format!("Ulimit={value} is not a limit"),
            format!("write NAME=SOFT:HARD with one of the names {}", names.join(", ")),
        ));
    };
    let one = |text: &str| match text {
        "-1" | "unlimited" => Some(u64::MAX),
        _ => text.parse::<u64>().ok(),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (Some(low), Some(high)) = (one(soft), one(hard)) else {
        return Err(Code::KernelSetting.problem(
            format!("Ulimit={value} has no valid numbers"),
            format!("write {name}=SOFT:HARD, each a number or unlimited"),
        ));
    };
    if low > high {
        return Err(Code::KernelSetting.problem(
            format!("Ulimit={value}: the soft limit is above the hard limit"),
            "write a soft limit of at most the hard limit",
        ));
    }
    let text = |limit: u64| if limit == u64::MAX { "infinity".to_owned() } else { limit.to_string() };
    Ok((setting, if low == high { text(low) } else { format!("{}:{}", text(low), text(high)) }))
}

/// Reads a path in the root directory of the application.
///
/// # Errors
/// The path is not absolute, or has a part `.` or `..` or control characters.
pub fn inner_path(key: &str, value: &str) -> Result<String, Problem> {
    let good = value.starts_with('/')
        && !value.chars().any(char::is_control)
        && !value.split('/').any(|part| part == ".." || part == ".");
    good.then(|| value.to_owned()).ok_or_else(|| {
        let remedy = "write a path that begins with / and has no . or .. in it";
        Code::Path.problem(format!("{key}=: {value:?} is not an absolute path"), remedy)
    })
}

/// A tmpfs of an application (`Tmpfs=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InMemory {
    /// The path in the application.
    pub path: String,
    /// The mount options, separated by commas.
    pub options: String,
    /// Whether the tmpfs begins with the files of the image at the path (`tmpcopyup` or
    /// `notmpcopyup`).
    pub copy: bool,
}

/// Reads `Tmpfs=PATH[:OPTIONS]`. The default options are those of Podman, which do not include
/// `noexec`, unlike those of Docker.
///
/// # Errors
/// The path is invalid, or an option is unknown.
pub fn tmpfs(value: &str) -> Result<InMemory, Problem> {
    let (path, given) = value.split_once(':').unwrap_or((value, ""));
    let path = inner_path("Tmpfs", path)?;
    let wrong = |cause: &str, remedy: &str| Err(Code::Mount.problem(format!("Tmpfs={value}: {cause}"), remedy));
    if path.trim_end_matches('/').is_empty() {
        return wrong("a file system over the root directory would hide the image", "name a directory below /");
    }
    if path.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\')) {
        let cause = "the path has a blank, a quote or a backslash, which systemd does not accept here";
        return wrong(cause, "write another path");
    }
    let (mut options, mut copy) = ("mode=1777,nosuid,nodev".to_owned(), true);
    for option in given.split(',').filter(|o| !o.is_empty()) {
        match option.split_once('=') {
            None if FLAGS.contains(&option) => {}
            Some((name, text)) if OPTIONS.contains(&name) && !text.is_empty() && plain(text) => {}
            None if ["tmpcopyup", "notmpcopyup"].contains(&option) => {
                copy = option == "tmpcopyup";
                continue;
            }
            _ => {
                let known = [&FLAGS[..], &OPTIONS[..]].concat().join(", ");
                return wrong(
                    &format!("{option:?} is not one of the options {known}"),
                    "write one of these options, or remove it",
                );
            }
        }
        options.push(',');
        options.push_str(option);
    }
    Ok(InMemory { path, options, copy })
}

fn plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'%')
}

/// Reads a size in bytes, which must be above 0, from a value of `key`.
///
/// # Errors
/// The value is not a size above 0.
pub fn size(key: &str, value: &str) -> Result<u64, Problem> {
    let wrong = || Code::Quantity.problem(format!("{key}={value} is not a size"), "write 512m or 2g");
    bytes(value).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// Reads a number of bytes. An optional unit is a power of 1024: b, k, m, g or t, in upper or lower
/// case, and optionally with a b after it. Returns none for an invalid number.
#[must_use]
pub fn bytes(value: &str) -> Option<u64> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads the name or number of a signal. Returns the signal as systemd writes it (systemd.kill(5)),
/// or none if there is no such signal. `SIG` can be omitted, as in Docker.
#[must_use]
pub fn signal(value: &str) -> Option<String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    if let Ok(number) = value.parse::<u8>() {
        return (1..=64).contains(&number).then(|| number.to_string());
    }
    let upper = value.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if NAMES.contains(&name) {
        return Some(format!("SIG{name}"));
    }
    let (offset, base) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(offset), _) => (offset, '+'),
        (_, Some(offset)) => (offset, '-'),
        _ => return None,
    };
    let number = offset.strip_prefix(base).and_then(|n| n.parse::<u8>().ok()).filter(|n| *n <= 30);
    (offset.is_empty() || number.is_some()).then(|| format!("SIG{name}"))
}

/// Reads `Sysctl=NAME=VALUE`. The caller checks whether the container has a private network, which
/// parameters of `net.` need.
///
/// # Errors
/// The value is not `NAME=VALUE`, or the parameter belongs to no namespace of the container.
pub fn sysctl(value: &str) -> Result<(String, String), Problem> {
    let wrong = || Err(Code::KernelSetting.problem(format!("Sysctl={value} is not a setting"), "write NAME=VALUE"));
    let Some((name, text)) = value.split_once('=') else {
        return wrong();
    };
    let name = name.replace('/', ".");
    let parts = name.split('.');
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if !parts.clone().all(plain) || text.is_empty() || text.contains('\n') {
        return wrong();
    }
    if !SYSCTLS.iter().any(|known| *known == name || (known.ends_with('.') && name.starts_with(known))) {
        return Err(Code::KernelSetting.problem(
            format!("Sysctl={value} would change the kernel of the host"),
            "set it on the host, in a file of sysctl.d(5)",
        ));
    }
    Ok((name, text.to_owned()))
}

/// The word that stands for the address of the host in the container's network in `AddHost=`.
pub const HOST_GATEWAY: &str = "host-gateway";

/// Reads `AddHost=NAME[;NAME]…:ADDRESS`, in which `=` can replace the colon. Returns a line of
/// hosts(5). The inner error is a warning: the address is invalid, and the line is omitted.
///
/// # Errors
/// The address is missing, or a name is invalid.
pub fn host_line(value: &str) -> Result<Result<String, Problem>, Problem> {
    let wrong = |cause: String| Code::Address.problem(format!("AddHost={value}{cause}"), "write NAME:ADDRESS");
    let (names, address) = value.split_once(['=', ':']).unwrap_or((value, ""));
    let names: Vec<&str> = names.split(';').collect();
    if !names.iter().all(|name| is_domain(name)) {
        return Err(wrong(format!(": {:?} is not a host name", names.join(";"))));
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) if bare == HOST_GATEWAY => bare.to_owned(),
        Err(_) if bare.is_empty() => return Err(wrong(" has no address".to_owned())),
        Err(_) => return Ok(Err(wrong(format!(": {bare:?} is not an address, so the name is not added")))),
    };
    Ok(Ok(format!("{address} {}\n", names.join(" "))))
}

/// Whether `name` can be the name of a host or a domain in DNS. Underscores are accepted.
#[must_use]
pub fn is_domain(name: &str) -> bool {
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    name.len() < 256 && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

/// Converts a size of Docker or Podman to one of systemd. Docker and Podman also accept units in
/// lower case, and a `b` after the unit.
#[must_use]
pub fn systemd_size(value: &str) -> String {
    let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = value.get(number.len()..).unwrap_or_default().to_ascii_uppercase();
    format!("{number}{}", unit.trim_end_matches('B').trim_end_matches('I'))
}

/// Reads a boolean with the words of systemd's `parse_boolean()`, in upper or lower case. Returns
/// none for other words.
#[must_use]
pub fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn devices_have_a_path_and_permitted_operations() {
        let read = |value| device(value).map(|d| format!("{} {} {}", d.source, d.target, d.access));
        assert_eq!(read("/dev/fuse").unwrap(), "/dev/fuse /dev/fuse rwm");
        assert_eq!(read("/dev/fuse:r").unwrap(), "/dev/fuse /dev/fuse r");
        assert_eq!(read("/dev/ttyUSB0:/dev/stick:rw").unwrap(), "/dev/ttyUSB0 /dev/stick rw");
        assert!(device("-/dev/dri").unwrap().optional && device("/dev/dri").unwrap().allowed() == ["char-drm"]);
        assert_eq!(device("/dev/dri/card0").unwrap().allowed(), ["/dev/dri/card0"]);
        for bad in ["/etc/passwd", "/dev/", "/dev/a:/b", "/dev/a:/dev/b:x", "/dev/../etc", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_are_words_or_json_arrays() {
        assert_eq!(command("Entrypoint", "/a 'b c'").unwrap(), ["/a", "b c"]);
        assert_eq!(command("Entrypoint", r#"["/a b", "c\"d"]"#).unwrap(), ["/a b", "c\"d"]);
        assert!(command("Entrypoint", "[]").unwrap().is_empty());
        assert!(command("Entrypoint", "[1]").is_err() && command("Entrypoint", "\"a").is_err());
    }

    #[test]
    fn limits_become_settings_of_systemd() {
        for (text, setting, value) in [
            ("nofile=1024:2048", "LimitNOFILE", "1024:2048"),
            ("core=-1", "LimitCORE", "infinity"),
            ("memlock=65536:unlimited", "LimitMEMLOCK", "65536:infinity"),
            ("cpu=0", "LimitCPU", "0"),
        ] {
            assert_eq!(ulimit(text).unwrap(), (setting, value.to_owned()), "{text}");
        }
        for bad in ["host", "nofile", "nofile=", "nofile=2:1", "nofile=unlimited:1", "files=1", "core=1k"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_of_a_tmpfs_extend_the_default_ones() {
        let usual = "mode=1777,nosuid,nodev".to_owned();
        let read = |value| tmpfs(value).unwrap();
        assert_eq!(read("/tmp:tmpcopyup"), InMemory { path: "/tmp".into(), options: usual.clone(), copy: true });
        let options = usual + ",exec,size=10%,mode=755";
        assert_eq!(
            read("/a/b:exec,size=10%,notmpcopyup,mode=755"),
            InMemory { path: "/a/b".into(), options, copy: false }
        );
        for bad in ["tmp", "/", "/a/../b", "/a b", "/a:size=", "/a:size=1:2", "/a:bogus", "/a:bogus=1"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_signals_are_those_of_docker() {
        for (text, bytes) in [("512m", 512 << 20), ("1G", 1 << 30), ("65536", 65536), ("1kb", 1024), ("7b", 7)] {
            assert_eq!(size("Memory", text).unwrap(), bytes, "{text}");
        }
        assert!(["", "0", "m", "-1", "1.5g", "99999999t"].iter().all(|bad| size("Memory", bad).is_err()));
        for (text, name) in [
            ("quit", Some("SIGQUIT")),
            ("SIGTERM", Some("SIGTERM")),
            ("9", Some("9")),
            ("SIGRTMIN+3", Some("SIGRTMIN+3")),
            ("rtmax-1", Some("SIGRTMAX-1")),
            ("SIGRTMIN", Some("SIGRTMIN")),
            ("0", None),
            ("65", None),
            ("SIGRTMIN-1", None),
            ("TERMINATE", None),
            ("", None),
        ] {
            assert_eq!(signal(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn only_kernel_parameters_of_namespaces_are_accepted() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(sysctl("net.core.somaxconn=1024"), pair("net.core.somaxconn", "1024"));
        assert_eq!(sysctl("kernel.sem=1 2 3 4"), pair("kernel.sem", "1 2 3 4"));
        assert_eq!(sysctl("fs/mqueue/msg_max=5"), pair("fs.mqueue.msg_max", "5"));
        for bad in ["vm.swappiness=1", "kernel.shm=1", "kernel.sem", "fs.mqueue.=1", "a..b=1", "net.../../core=1"] {
            assert!(sysctl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_of_hosts_need_names_and_an_address() {
        for (value, line) in
            [("db:10.0.0.1", "10.0.0.1 db\n"), ("a.b;c=::1", "::1 a.b c\n"), ("a:[fe80::1]", "fe80::1 a\n")]
        {
            assert_eq!(host_line(value).unwrap().unwrap(), line);
        }
        assert!(host_line("db:__DB__").unwrap().is_err());
        for bad in ["db", "db:", ":1.2.3.4", "a b:1.2.3.4", "a\n:1.2.3.4"] {
            assert!(host_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn booleans_are_those_of_systemd() {
        assert_eq!(parse_bool("oN"), Some(true));
        assert_eq!(parse_bool("f"), Some(false));
        assert_eq!(parse_bool("maybe"), None);
    }
}
