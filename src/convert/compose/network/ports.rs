// SPDX-License-Identifier: MIT
//! Converts the published ports of a service. Pure.

use crate::compose::value::{Map, Value};
use crate::convert::Builder;

/// Returns the values of `PublishPort=` for a service. A port that differs from the requested one
/// is noted.
pub fn ports(settings: &Map, container: &mut Builder) -> Vec<String> {
    let mut all = Vec::new();
    for item in settings.get("ports").and_then(Value::as_list).unwrap_or_default() {
        let part = |key: &str| item.get(key).and_then(Value::scalar).unwrap_or_default();
        let text = item.scalar().unwrap_or_else(|| {
            let address = part("host_ip");
            let address =
                if address.contains(':') { format!("[{}]", address.trim_matches(['[', ']'])) } else { address };
            let protocol = if part("protocol").is_empty() { String::new() } else { format!("/{}", part("protocol")) };
            format!("{address}:{}:{}{protocol}", part("published"), part("target"))
        });
        let (written, differs) = port(&text);
        if let Some(reason) = differs {
            container.note("ports", &reason);
        }
        all.push(written);
    }
    all
}

/// Converts a port from the notation of Docker to a value of `PublishPort=`. The second result says
/// how the port differs from the requested one.
pub fn port(text: &str) -> (String, Option<String>) {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let suffix = if protocol == "tcp" { String::new() } else { format!("/{protocol}") };
    let (rest, inner) = numbers.rsplit_once(':').unwrap_or(("", numbers));
    let (address, outer) = match rest.rsplit_once(':') {
        Some((address, outer)) if !rest.ends_with(']') => (address, outer),
        _ if rest.starts_with('[') || rest.contains('.') => (rest, ""),
        _ => ("", rest),
    };
    let address =
        if address.contains(':') && !address.starts_with('[') { format!("[{address}]") } else { address.to_owned() };
    let address = if address.is_empty() { address } else { format!("{address}:") };
    let (outer, differs) = if outer.is_empty() {
        (inner.to_owned(), Some(format!("{text} asks for any free port of the host; {inner} is taken")))
    } else if outer.contains('-') && !inner.contains('-') {
        let first = outer.split('-').next().unwrap_or(outer).to_owned();
        let reason = format!("{text} asks for a free port of a range; {first} is taken");
        (first, Some(reason))
    } else {
        (outer.to_owned(), None)
    };
    (format!("{address}{outer}:{inner}{suffix}"), differs)
}
