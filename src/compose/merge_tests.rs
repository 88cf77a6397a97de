// SPDX-License-Identifier: MIT
//! Tests of merging, key by key. The expected results are those of the reference implementation
//! (compose-go 2).
#![allow(clippy::unwrap_used)]

use super::*;
use crate::compose::yaml::documents;

/// The settings of a service in the first file, its settings in the second file, and the merged
/// settings.
const SERVICES: [(&str, &str, &str); 34] = [
    // A scalar is replaced, but an empty value replaces nothing.
    ("image: a", "image: b", "image: b"),
    ("image: a", "user: b", "{image: a, user: b}"),
    ("image: a", "image:", "image: a"),
    ("privileged: true", "privileged: false", "privileged: false"),
    // A command is replaced as a whole.
    ("command: [a, b]", "command: [c]", "command: [c]"),
    ("command: a", "command: [c]", "command: [c]"),
    ("command: [a]", "command:", "command:"),
    ("entrypoint: [a]", "entrypoint: ''", "entrypoint: ''"),
    ("healthcheck: {test: [CMD, a], retries: 3}", "healthcheck: {test: b}", "healthcheck: {test: b, retries: 3}"),
    // Environments and labels are merged by name, in either notation.
    ("environment: [A=1, B=2]", "environment: {B: 3, C: }", "environment: [A=1, B=3, C]"),
    ("environment: {A: 1, B: true}", "environment: [A=2]", "environment: [A=2, B=true]"),
    ("labels: {a: b}", "labels: [a=c, d=e]", "labels: [a=c, d=e]"),
    ("sysctls: {net.a: 1}", "sysctls: [net.a=2]", "sysctls: [net.a=2]"),
    ("annotations: {a: b}", "annotations: {a: c}", "annotations: [a=c]"),
    // Lists of plain items are joined, without duplicates where the key forbids them.
    ("cap_add: [A, B]", "cap_add: [B, C]", "cap_add: [A, B, C]"),
    ("dns: 1.1.1.1", "dns: [8.8.8.8, 1.1.1.1]", "dns: [1.1.1.1, 8.8.8.8]"),
    ("tmpfs: /a", "tmpfs: /b", "tmpfs: [/a, /b]"),
    ("expose: [80]", "expose: ['80', 81]", "expose: ['80', 81]"),
    ("security_opt: [a]", "security_opt: [b]", "security_opt: [a, b]"),
    ("env_file: a", "env_file: [b, {path: a, required: false}]", "env_file: [{path: a, required: false}, b]"),
    ("extra_hosts: [a:1]", "extra_hosts: {b: 2}", "extra_hosts: [a:1, b=2]"),
    // Items of these lists replace earlier items with the same path in the container, or with the
    // same port.
    ("volumes: ['a:/x', 'b:/y']", "volumes: ['c:/x:ro']", "volumes: ['c:/x:ro', 'b:/y']"),
    ("volumes: ['a:/x']", "volumes: [{type: tmpfs, target: /x}]", "volumes: [{type: tmpfs, target: /x}]"),
    ("ports: ['80:80']", "ports: ['0.0.0.0:80:80/tcp', '81:80']", "ports: ['0.0.0.0:80:80/tcp', '81:80']"),
    ("ports: ['80:80']", "ports: [{target: 80, published: '80'}]", "ports: [{target: 80, published: '80'}]"),
    ("devices: ['/dev/a:/dev/x']", "devices: ['/dev/b:/dev/x']", "devices: ['/dev/b:/dev/x']"),
    ("secrets: [a, b]", "secrets: [{source: a, mode: 1}]", "secrets: [{source: a, mode: 1}, b]"),
    // Mappings.
    (
        "depends_on: [a]",
        "depends_on: {a: {condition: service_healthy}, b: {condition: service_started}}",
        "depends_on: {a: {condition: service_healthy}, b: {condition: service_started}}",
    ),
    ("networks: [a]", "networks: {a: {aliases: [x]}, b: }", "networks: {a: {aliases: [x]}, b: }"),
    ("build: .", "build: {target: x}", "build: {context: ., target: x}"),
    ("ulimits: {nofile: {soft: 1, hard: 2}}", "ulimits: {nofile: 5}", "ulimits: {nofile: 5}"),
    (
        "logging: {driver: a, options: {x: 1}}",
        "logging: {driver: b, options: {y: 1}}",
        "logging: {driver: b, options: {y: 1}}",
    ),
    // Tags.
    ("{ports: ['80:80'], image: a}", "ports: !reset []", "image: a"),
    ("ports: ['80:80']", "ports: !override ['81:80']", "ports: ['81:80']"),
];

fn map(text: &str) -> Map {
    match documents(text).unwrap().into_iter().next() {
        Some(Value::Map(map)) => map,
        _ => Map::default(),
    }
}

fn with_service(settings: &str) -> Map {
    map(&format!(
        "services:\n  w: {}\n",
        if settings.starts_with('{') { settings.to_owned() } else { format!("{{ {settings} }}") }
    ))
}

#[test]
fn every_key_is_merged_by_its_rule() {
    for (base, over, expected) in SERVICES {
        let merged = files(with_service(base), &with_service(over)).unwrap();
        assert_eq!(merged, with_service(expected), "{base} | {over}");
    }
}

#[test]
fn sections_are_merged_and_clashing_kinds_are_refused() {
    let merged = files(
        map("volumes: {a: {labels: {x: 1}}}\nx-a: {b: 1}\n"),
        &map("volumes: {a: {labels: [x=2]}, b: }\nx-a: {c: 2}\n"),
    );
    let expected = map("volumes: {a: {labels: [x=1, x=2]}, b: }\nx-a: {b: 1, c: 2}\n");
    assert_eq!(merged.unwrap(), expected);
    for (base, over, part) in [
        ("deploy: {a: 1}", "deploy: x", "services.w.deploy: a text cannot override a mapping"),
        ("ports: ['80:80']", "ports: {a: b}", "services.w.ports: a mapping cannot override a list"),
    ] {
        let error = files(with_service(base), &with_service(over)).unwrap_err();
        assert!(error.cause.contains(part), "{error}");
    }
}
