// SPDX-License-Identifier: MIT
//! Translates system call profiles of Docker (moby, `profiles/seccomp/seccomp.go`) to settings of
//! systemd.exec(5). A profile that these settings cannot express is rejected, and not approximated.
//! Pure.

use serde::Deserialize;
use serde_json::Value;

/// A profile in the JSON format of Docker.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<Architecture>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Value>>,
    #[serde(default)]
    includes: Value,
    #[serde(default)]
    excludes: Value,
    #[serde(default, rename = "comment")]
    _comment: Value,
}

/// The key and the value of a setting of an application's service.
pub type Setting = (&'static str, String);

/// The error number of denied system calls in a profile without `defaultErrnoRet` or `errnoRet`.
const EPERM: u32 = 1;

/// The system calls that start the application. The filter already applies to them.
const STARTING: [&str; 52] = [
    "capget",
    "capset",
    "chdir",
    "chmod",
    "clone",
    "close",
    "connect",
    "dup2",
    "execve",
    "exit_group",
    "fchown",
    "fcntl",
    "fstat",
    "getcwd",
    "getdents64",
    "getpid",
    "ioctl",
    "kill",
    "lchown",
    "lseek",
    "mkdir",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "pipe2",
    "poll",
    "prctl",
    "read",
    "readlink",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigtimedwait",
    "sendto",
    "setgid",
    "setgroups",
    "setsid",
    "setuid",
    "shutdown",
    "sigaltstack",
    "signalfd4",
    "socket",
    "statx",
    "symlink",
    "umask",
    "uname",
    "unlink",
    "wait4",
    "write",
    "writev",
];

/// Translates a profile to settings of an application's service.
///
/// # Errors
/// The profile is invalid, or systemd has no setting for a part of it.
pub fn translate(text: &str) -> Result<Vec<Setting>, String> {
    let profile: Profile =
        serde_json::from_str(text).map_err(|e| format!("it is not a profile in Docker's form: {e}"))?;
    let mut out = Vec::new();
    // A profile that does not name further architectures allows only that of the machine
    // (seccomp_init(3)).
    let sub = profile.arch_map.iter().filter_map(|map| map.sub_architectures.as_ref()).any(|sub| !sub.is_empty());
    if profile.architectures.len() < 2 && !sub {
        out.push(("SystemCallArchitectures", "native".to_owned()));
    }
    let default = profile.default_errno_ret.unwrap_or(EPERM);
    match profile.default_action.as_str() {
        "SCMP_ACT_ALLOW" => {
            let mut denied = Vec::new();
            for rule in &profile.syscalls {
                for name in rule.unconditional()? {
                    match rule.action.as_str() {
                        "SCMP_ACT_ALLOW" => {}
                        "SCMP_ACT_ERRNO" => denied.push(format!("{name}:{}", rule.errno_ret.unwrap_or(EPERM))),
                        "SCMP_ACT_KILL_PROCESS" => denied.push(format!("{name}:kill")),
                        action => return Err(format!("{name} is met with {action}, which systemd cannot do")),
                    }
                }
            }
            if !denied.is_empty() {
                out.push(("SystemCallFilter", format!("~{}", denied.join(" "))));
            }
        }
        "SCMP_ACT_ERRNO" => {
            let mut allowed: Vec<&str> = Vec::new();
            for rule in &profile.syscalls {
                let names = rule.unconditional()?;
                match rule.action.as_str() {
                    "SCMP_ACT_ALLOW" => allowed.extend(names),
                    "SCMP_ACT_ERRNO" if rule.errno_ret.unwrap_or(EPERM) == default => {}
                    action => return Err(format!("{} is met with {action} where others fail", names.join(" "))),
                }
            }
            let missing: Vec<&str> = STARTING.into_iter().filter(|call| !allowed.contains(call)).collect();
            if !missing.is_empty() {
                return Err(format!(
                    "it does not allow {}, without which no application is started",
                    missing.join(" ")
                ));
            }
            out.push(("SystemCallFilter", allowed.join(" ")));
            out.push(("SystemCallErrorNumber", default.to_string()));
        }
        action => return Err(format!("its defaultAction {action} is neither SCMP_ACT_ALLOW nor SCMP_ACT_ERRNO")),
    }
    Ok(out)
}

impl Rule {
    /// Returns the system calls of the rule. Rules with conditions on arguments, capabilities,
    /// architectures or kernels are errors, because systemd checks only the names of system calls.
    fn unconditional(&self) -> Result<Vec<&str>, String> {
        let names: Vec<&str> = self.name.iter().chain(&self.names).map(String::as_str).collect();
        let plain = |name: &&str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if let Some(name) = names.iter().find(|name| !plain(name)) {
            return Err(format!("{name:?} is not a system call"));
        }
        let said = |value: &Value| match value {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            _ => true,
        };
        let all = names.join(" ");
        if self.args.as_ref().is_some_and(|args| !args.is_empty()) {
            return Err(format!("its rule for {all} is about arguments, at which systemd does not look"));
        }
        if said(&self.includes) || said(&self.excludes) {
            return Err(format!("its rule for {all} is for some capabilities, architectures or kernels only"));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn profiles_become_filters_or_are_rejected() {
        let denying = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {"names": ["chmod", "chown"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [], "comment": "", "includes": {}},
            {"name": "ptrace", "action": "SCMP_ACT_KILL_PROCESS", "args": null}]}"#;
        assert_eq!(translate(denying).unwrap(), [("SystemCallFilter", "~chmod:38 chown:38 ptrace:kill".to_owned())]);

        let names = STARTING.map(|call| format!("{call:?}")).join(",");
        let allowing = |more: &str| {
            let rule = format!(r#"{{"names": [{names}], "action": "SCMP_ACT_ALLOW"}}"#);
            format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [{rule}{more}]}}"#)
        };
        let settings = translate(&allowing("")).unwrap();
        assert_eq!(settings[0], ("SystemCallArchitectures", "native".to_owned()));
        assert!(
            settings[1].1.starts_with("capget capset ") && settings[2] == ("SystemCallErrorNumber", "1".to_owned())
        );

        let refused = |text: &str| translate(text).unwrap_err();
        let condition = r#", {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}"#;
        assert!(refused(&allowing(condition)).contains("personality is about arguments"));
        let capability = r#", {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}"#;
        assert!(refused(&allowing(capability)).contains("bpf is for some capabilities"));
        assert!(refused(&allowing("").replace("\"execve\",", "")).contains("does not allow execve, without"));
        assert!(refused(r#"{"defaultAction": "SCMP_ACT_LOG"}"#).contains("SCMP_ACT_LOG is neither"));
        assert!(refused(r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}"#).contains("listenerPath"));
        assert!(refused("[]").contains("not a profile"));
    }
}
