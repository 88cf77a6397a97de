// SPDX-License-Identifier: MIT
//! Tests of the checks of objects. The table of invalid manifests is in
//! `tests/cases/kube-wrong.txt`.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::kube::read;

#[test]
fn sound_objects_have_no_problems() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      - name: c\n        image: i\n        ports: [{name: http, containerPort: 80}]\n        livenessProbe: {httpGet: {port: http}}\n        volumeMounts: [{name: v, mountPath: /v}]\n      volumes: [{name: v, emptyDir: {}}]\n";
    let read = read(&[("a".to_owned(), text.to_owned())]);
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    assert_eq!(problems(&read.manifests), []);
    let twice = [read.manifests.first().unwrap().clone(), read.manifests.first().unwrap().clone()];
    let found: Vec<String> = problems(&twice).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["a:3: metadata.name: the Deployment web is given twice, first at a:1; remove one of the two"]);
}
