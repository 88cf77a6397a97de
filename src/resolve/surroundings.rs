// SPDX-License-Identifier: MIT
//! The keys that containers and pods share about host names, name resolution and labels. Pure.

use std::net::IpAddr;

use crate::config::keys::{KeyName, key};
use crate::config::names::ContainerName;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::values;
use crate::diag::{Code, Diagnostic, Spanned};
use crate::model::Resolver;

/// Reads the host name, the lines for the hosts file, and the settings of the resolver:
/// `HostName=`, `AddHost=` and `DNS*=`.
pub fn environs(settings: &Settings, problems: &mut Vec<Diagnostic>) -> (Option<String>, String, Resolver) {
    let mut reader = Reader::new(settings, "Container", problems);
    let hosts = hosts(&mut reader);
    (host_name(&mut reader), hosts, resolver(&mut reader))
}

/// Reads `AddHost=`, and returns lines for the hosts file. An invalid address, or a placeholder for
/// one, causes a warning and is left out, because members of a network find each other without it.
fn hosts(reader: &mut Reader<'_, '_>) -> String {
    let mut lines = String::new();
    for Spanned { value, at } in reader.words(key::ADD_HOST, values::host_line) {
        match value {
            Ok(line) => lines += &line,
            Err(problem) => reader.warning(&at, problem),
        }
    }
    lines
}

fn host_name(reader: &mut Reader<'_, '_>) -> Option<String> {
    let written = reader.text(key::HOST_NAME)?;
    let problem = written.value.parse::<ContainerName>().err();
    if let (Some(_), Ok(name)) = (&problem, ContainerName::of_podman(written.value)) {
        let problem = Code::Differs.problem(
            format!("HostName={}: a host name has no underscore, so the host name is {name}", written.value),
            format!("write {name}"),
        );
        reader.warning(&written.at, problem);
        return Some(name.into());
    }
    if let Some(problem) = problem {
        reader.error(&written.at, problem.of(&format!("HostName={}", written.value)));
    }
    Some(written.value.to_owned())
}

fn resolver(reader: &mut Reader<'_, '_>) -> Resolver {
    let server = |value: &str| {
        let good = value.parse::<IpAddr>().is_ok();
        good.then(|| value.to_owned()).ok_or_else(|| {
            Code::Address.problem(format!("DNS={value} is not an address"), "write an IPv4 or IPv6 address")
        })
    };
    let search = |value: &str| {
        let good = value == "." || values::is_domain(value);
        let wrong =
            || Code::Address.problem(format!("DNSSearch={value} is not a domain"), "write a domain, or . for none");
        good.then(|| value.to_owned()).ok_or_else(wrong)
    };
    let option = |value: &str| {
        let good = !value.contains(char::is_whitespace) && !value.is_empty();
        let wrong = || {
            Code::Address.problem(
                format!("DNSOption={value:?} is not an option of resolv.conf(5)"),
                "write an option such as ndots:1",
            )
        };
        good.then(|| value.to_owned()).ok_or_else(wrong)
    };
    let plain = |words: Vec<Spanned<String>>| words.into_iter().map(|word| word.value).collect();
    Resolver {
        servers: plain(reader.words(key::DNS, server)),
        search: plain(reader.words(key::DNS_SEARCH, search)),
        options: plain(reader.words(key::DNS_OPTION, option)),
    }
}

/// Checks keys that have no effect: their words must be `NAME=VALUE`.
pub fn labels(reader: &mut Reader<'_, '_>, keys: &[KeyName]) {
    for key in keys {
        let wrong =
            |label: &str| Code::Variable.problem(format!("{key}=: {label:?} is not a label"), "write NAME=VALUE");
        reader.words(*key, |label| if label.contains('=') { Ok(()) } else { Err(wrong(label)) });
    }
}
