// SPDX-License-Identifier: MIT
//! Tests of the conversion of Kubernetes objects. `tests/manifests` has thirty more manifests;
//! `tests/kube.rs` compares the files that they are converted to.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::kube::read;

fn outcome(text: &str) -> Outcome {
    kube(&read(&[("a.yaml".to_owned(), text.to_owned())]), "a").unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn pod(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: 'x:1'{rest}}}]}}\n"
    )
}

fn lost(outcome: &Outcome) -> Vec<String> {
    outcome.lost.iter().map(ToString::to_string).collect()
}

#[test]
fn every_field_of_a_table_exists_in_kubernetes() {
    for (kind, fields) in [
        ("Pod", accounts::names(accounts::Table::Pod)),
        ("Container", accounts::names(accounts::Table::Container)),
        ("Job", accounts::names(accounts::Table::Job)),
    ] {
        for field in fields {
            let text = match kind {
                "Pod" => format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{field}: null}}\n"),
                "Container" => {
                    format!(
                        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{{field}: null}}]}}\n"
                    )
                }
                _ if field == "status" => continue,
                _ => format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a}}\nspec: {{{field}: null}}\n"),
            };
            let read = read(&[("a".to_owned(), text)]);
            let unknown = read.problems.iter().find(|problem| problem.message.contains("there is no field"));
            assert!(unknown.is_none(), "{unknown:?}");
        }
    }
}

#[test]
fn a_field_without_a_table_entry_is_listed() {
    let text = pod("a", ", env: [{name: A, valueFrom: {fileKeyRef: {path: p, key: k, volumeName: v}}}]");
    let outcome = outcome(&text);
    let lost = lost(&outcome);
    assert!(
        lost.iter().any(|line| line.contains("a.yaml:4: spec.containers[0].env[0].valueFrom.fileKeyRef: ")),
        "{lost:?}"
    );
}

#[test]
fn names_of_files_do_not_clash() {
    let text = pod("a", "") + "---\n" + &pod("a-c", "");
    let outcome = outcome(&text);
    let names: Vec<&String> = outcome.files.keys().collect();
    assert_eq!(names, ["a-c-2-c.container", "a-c-2.pod", "a-c.container", "a.pod", "kube-default.network"]);
}

#[test]
fn values_of_secrets_are_not_written_into_files() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: hidden}\n---\n".to_owned()
        + &pod(
            "a",
            ", args: [--key=$(K)], env: [{name: K, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: U, value: 'x$(K)'}]",
        );
    let outcome = outcome(&text);
    assert!(outcome.files.values().all(|text| !text.contains("hidden")));
    assert_eq!(outcome.secrets.get("s-k").unwrap(), b"hidden");
    let lost = lost(&outcome);
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(lost.iter().all(|line| line.contains("let the program read the variable K")), "{lost:?}");
}

#[test]
fn a_line_that_check_refuses_in_an_instance_is_removed_from_the_template() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 2\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers: [{name: c, image: 'x:1', securityContext: {capabilities: {add: [NO_SUCH]}}}]\n";
    let outcome = outcome(text);
    assert!(!outcome.files.get("d-c@.container").unwrap().contains("NO_SUCH"));
    assert_eq!(outcome.links.get("d-c@2.container").unwrap(), "d-c@.container");
    let lost = lost(&outcome);
    assert!(lost.len() == 1 && lost.iter().all(|line| line.contains("NO_SUCH")), "{lost:?}");
}

#[test]
fn references_to_missing_objects_are_listed() {
    let text = pod(
        "a",
        ", envFrom: [{configMapRef: {name: m}}, {secretRef: {name: s, optional: true}}], env: [{name: K, valueFrom: {secretKeyRef: {name: t, key: k}}}]",
    );
    let outcome = outcome(&text);
    let lost = lost(&outcome);
    assert!(lost.iter().any(|line| line.contains("the ConfigMap m is not in these files")), "{lost:?}");
    assert!(lost.iter().any(|line| line.contains("/etc/credstore.encrypted/t-k")), "{lost:?}");
    assert_eq!(lost.len(), 2, "{lost:?}");
}
