// SPDX-License-Identifier: MIT
//! Tests of reading manifests.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn one(text: &str) -> Read {
    read(&[("a.yaml".to_owned(), text.to_owned())])
}

fn problems(text: &str) -> Vec<String> {
    one(text).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn objects_are_typed() {
    let read = one(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\nspec:\n  containers:\n  - {name: c, image: i, resources: {limits: {cpu: 1, memory: 1Gi}}, ports: [{containerPort: 80}]}\n---\n\
         apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {a: b}}\n- {apiVersion: v1, kind: Namespace, metadata: {name: n}}\n",
    );
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    let [pod, map] = read.manifests.as_slice() else { panic!("{:?}", read.manifests) };
    assert_eq!((pod.object.kind(), pod.name(), pod.namespace()), ("Pod", "a", "n"));
    let Object::Pod(typed) = &pod.object else { panic!() };
    let container = typed.spec.as_ref().unwrap().containers.first().unwrap();
    let limits = container.resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!(limits.get("cpu").unwrap().0, "1");
    assert_eq!(pod.field("spec.containers[0].image").to_string(), "a.yaml:6: spec.containers[0].image");
    assert_eq!(map.namespace(), "default");
    assert_eq!(map.field("data.a").to_string(), "a.yaml:11: items[0].data.a");
    assert_eq!(read.others.first().unwrap().kind, "Namespace");
}

#[test]
fn mistakes_have_their_path_and_remedy() {
    for (text, expected) in [
        ("a: [", "a.yaml:2: did not find expected node content"),
        ("[1]\n", "a.yaml:1: a list is in the place of an object; write apiVersion:"),
        ("metadata: {}\n", "a.yaml:1: kind: the kind is missing; write kind:"),
        ("kind: Pod\n", "a.yaml:1: apiVersion: the version is missing; write apiVersion: v1"),
        (
            "apiVersion: v1\nkind: Deployment\n",
            "a.yaml:1: apiVersion: v1 has no Deployment that can be read; write apiVersion: apps/v1",
        ),
        ("apiVersion: v1\nkind: Pood\n", "a.yaml:2: kind: the kind Pood is not known; did you mean Pod?"),
        (
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: x\n    prots: []\n",
            "a.yaml:6: spec.containers[0].prots: there is no field prots here; did you mean ports?",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec:\n  replicas: 2\n",
            "a.yaml:4: spec.replicas: there is no field replicas here; remove it",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 5}]}\n",
            "a.yaml:3: spec.containers[0].image: a number is in the place of a text; write \"5\"",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: {hostNetwork: 'yes'}\n",
            "a.yaml:3: spec.hostNetwork: a text is in the place of a boolean; write true or false",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: {containers: {name: x}}\n",
            "a.yaml:3: spec.containers: a mapping is in the place of a list; write a - in front of each element",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{ports: [{containerPort: '80'}]}]}\n",
            "a.yaml:3: spec.containers[0].ports[0].containerPort: a text is in the place of a number; write 80 without quotes",
        ),
        (
            "apiVersion: v1\nkind: Secret\ndata:\n  a.b: '***'\n",
            "a.yaml:4: data[a.b]: Invalid symbol 42, offset 0.; write the value in base64",
        ),
        ("apiVersion: v1\nkind: List\n", "a.yaml:1: items: a List has no items; write items:"),
        ("apiVersion: v1\nkind: Pod\nspec: {priority: 1.5}\n", "a.yaml:3: spec.priority: 1.5 is no whole number"),
        ("apiVersion: v1\nkind: Pod\nspec: {priority: 99999999999}\n", "spec.priority: 99999999999 is out of range"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|line| line.contains(expected)), "{text}\n{found:#?}");
    }
    // A kind of another API group is not an error.
    let read = one("apiVersion: serving.example.dev/v1\nkind: Service\nspec: {x: 1}\n");
    assert_eq!(read.others.first().unwrap().kind, "Service of serving.example.dev/v1");
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = "apiVersion: v1\nkind: Pod\nspecs: {}\nspec:\n  a: 1\n  containers: [{b: 1, image: x}, {c: 2, image: 5}]\n---\nkind: X\n";
    assert_eq!(problems(text).len(), 6, "{:#?}", problems(text));
}
