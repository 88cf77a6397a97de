// SPDX-License-Identifier: MIT
//! Tests of projects with several files. The expected results are those of the reference
//! implementation (compose-go 2).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;

/// Files by path, in memory.
pub struct Given(pub BTreeMap<String, String>);

impl Files for Given {
    fn read(&self, path: &str) -> Result<Option<String>, Fault> {
        Ok(self.0.get(path).cloned())
    }

    fn kind(&self, path: &str) -> Kind {
        let below = format!("{}/", path.trim_end_matches('/'));
        match self.0.keys().find(|known| *known == path || known.starts_with(&below)) {
            Some(known) if known == path => Kind::File,
            Some(_) => Kind::Directory,
            None => Kind::Missing,
        }
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let inside = |path: &String| path.strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        self.0.keys().filter_map(inside).collect()
    }
}

fn given(files: &[(&str, &str)]) -> Given {
    let path = |name: &str| absolute("/srv/shop", name);
    Given(files.iter().map(|(name, text)| (path(name), (*text).to_owned())).collect())
}

fn request() -> Request {
    Request { directory: "/srv/shop".to_owned(), ..Request::default() }
}

fn resolved(files: &[(&str, &str)]) -> Result<Resolved, String> {
    resolve(&request(), &given(files)).map_err(|fault| fault.to_string())
}

fn with(files: &[(&str, &str)], change: impl FnOnce(&mut Request)) -> Result<Resolved, String> {
    let mut request = request();
    change(&mut request);
    resolve(&request, &given(files)).map_err(|fault| fault.to_string())
}

/// Returns a value of the model by its path, such as `services/w/image`. The items of a list, and
/// the keys of a mapping, are joined by blanks.
fn at(resolved: &Resolved, path: &str) -> String {
    let mut value = Value::Map(resolved.model.clone());
    for key in path.split('/') {
        value = value.get(key).cloned().unwrap_or(Value::Null);
    }
    match value {
        Value::List(items) => items.iter().map(|item| item.scalar().unwrap_or_default()).collect::<Vec<_>>().join(" "),
        Value::Map(map) => map.iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "),
        other => other.scalar().unwrap_or_default(),
    }
}

const ONE: &str = "services: {w: {image: 'x:1'}}\n";

#[test]
fn the_files_of_a_project_are_found_in_the_standard_order() {
    // The standard names are tried in their order, each with its override file, in this directory
    // and in the one above.
    for (names, image) in [
        (&["docker-compose.yml"][..], "docker-compose.yml"),
        (&["docker-compose.yaml"], "docker-compose.yaml"),
        (&["docker-compose.yml", "compose.yml"], "compose.yml"),
        (&["compose.yml", "compose.yaml"], "compose.yaml"),
        (&["../compose.yaml"], "../compose.yaml"),
        (&["../compose.yaml", "docker-compose.yml"], "docker-compose.yml"),
        (&["compose.yaml", "compose.override.yaml"], "compose.override.yaml"),
        (&["docker-compose.yml", "docker-compose.override.yml"], "docker-compose.override.yml"),
    ] {
        let texts: Vec<_> = names.iter().map(|name| (*name, format!("services: {{w: {{image: '{name}'}}}}"))).collect();
        let files: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(at(&resolved(&files).unwrap(), "services/w/image"), image, "{names:?}");
    }
    assert!(resolved(&[("other.yaml", ONE)]).unwrap_err().contains("there is none of compose.yaml, "));
    // If files are named, no override file is read, and a later file overrides an earlier one.
    let files =
        [("a.yaml", ONE), ("b.yaml", "services: {w: {image: 'y:1'}}"), ("compose.yaml", "services: {z: {image: z}}")];
    let two = with(&files, |r| r.files = vec!["a.yaml".to_owned(), "b.yaml".to_owned()]).unwrap();
    assert_eq!((at(&two, "services"), at(&two, "services/w/image")), ("w".to_owned(), "y:1".to_owned()));
    assert!(
        with(&files, |r| r.files = vec!["c.yaml".to_owned()])
            .unwrap_err()
            .contains("/srv/shop/c.yaml: there is no such file")
    );
    let set = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        move |r: &mut Request| {
            r.environment.insert(name, value);
        }
    };
    assert_eq!(at(&with(&files, set("COMPOSE_FILE", "a.yaml:b.yaml")).unwrap(), "services/w/image"), "y:1");
    let named = [("a.yaml", ONE), (".env", "COMPOSE_FILE=a.yaml\n")];
    assert_eq!(at(&resolved(&named).unwrap(), "services"), "w");
}

#[test]
fn the_project_name_comes_from_request_environment_file_or_directory() {
    let name = |files: &[(&str, &str)]| resolved(files).map(|r| r.name);
    assert_eq!(name(&[("compose.yaml", ONE)]).unwrap(), "shop");
    let named = "name: ${N:-abc}\nservices: {w: {image: x, labels: {n: $COMPOSE_PROJECT_NAME}}}\n";
    assert_eq!(name(&[("compose.yaml", named)]).unwrap(), "abc");
    assert_eq!(at(&resolved(&[("compose.yaml", named)]).unwrap(), "services/w/labels/n"), "abc");
    assert_eq!(name(&[("compose.yaml", named), (".env", "N=env")]).unwrap(), "env");
    assert_eq!(name(&[("compose.yaml", named), (".env", "COMPOSE_PROJECT_NAME=set")]).unwrap(), "set");
    assert_eq!(with(&[("compose.yaml", named)], |r| r.name = Some("mine".to_owned())).unwrap().name, "mine");
    assert!(name(&[("compose.yaml", "name: My App\nservices: {w: {image: x}}\n")]).unwrap_err().contains("My App"));
    let spaced = with(&[("../My App_1/compose.yaml", ONE)], |r| r.directory = "/srv/My App_1".to_owned());
    assert_eq!(spaced.unwrap().name, "myapp_1");
}

#[test]
fn variables_come_from_the_user_before_env_files() {
    let text = "services: {w: {image: '$A', user: '${B:-none}', hostname: $UNSET}}\n";
    let files = [("compose.yaml", text), (".env", "A=dot\nB=${A}2\n"), ("other.env", "A=other\n")];
    let plain = resolved(&files).unwrap();
    assert_eq!((at(&plain, "services/w/image"), at(&plain, "services/w/user")), ("dot".to_owned(), "dot2".to_owned()));
    assert_eq!(plain.unset.iter().collect::<Vec<_>>(), ["UNSET"]);
    let set = with(&files, |r| drop(r.environment.insert("A".to_owned(), "mine".to_owned()))).unwrap();
    assert_eq!((at(&set, "services/w/image"), at(&set, "services/w/user")), ("mine".to_owned(), "mine2".to_owned()));
    let other = with(&files, |r| r.env_files = vec!["other.env".to_owned()]).unwrap();
    assert_eq!(
        (at(&other, "services/w/image"), at(&other, "services/w/user")),
        ("other".to_owned(), "none".to_owned())
    );
    assert!(
        resolved(&[("compose.yaml", ONE), (".env", "A='")])
            .unwrap_err()
            .starts_with("/srv/shop/.env:1: the quote of A is never closed; ")
    );
    let required = "services: {w: {image: '${A:?set A}'}}\n";
    let error = resolved(&[("compose.yaml", required)]).unwrap_err();
    let cause = "/srv/shop/compose.yaml: services.w.image: the required variable A has no value: set A";
    assert_eq!(error, format!("{cause}; set it in .env or in the environment"));
}

#[test]
fn a_service_extends_services_of_this_and_other_files() {
    let text = "
services:
  base: {image: 'x:1', environment: {A: 1}, volumes: ['./d:/d'], depends_on: [db]}
  mid: {extends: base, environment: {B: 2}, command: [a]}
  w: {extends: {service: mid}, environment: {A: 3}, command: [b]}
  far: {extends: {file: sub/other.yaml, service: up}, ports: ['81:80']}
  db: {image: d}
";
    let other = "services:\n  up: {extends: top, ports: ['80:80'], volumes: ['./e:/e']}\n  top: {image: '${TAG:-t}', env_file: my.env}\n";
    let all = resolved(&[("compose.yaml", text), ("sub/other.yaml", other)]).unwrap();
    for (path, expected) in [
        ("services/w/image", "x:1"),
        ("services/w/environment", "A=3 B=2"),
        ("services/w/command", "b"),
        ("services/w/extends", ""),
        ("services/w/volumes", "/srv/shop/d:/d"),
        ("services/w/depends_on", "db"),
        ("services/far/image", "t"),
        ("services/far/ports", "80:80 81:80"),
        ("services/far/volumes", "/srv/shop/sub/e:/e"),
        ("services/far/env_file", "/srv/shop/sub/my.env"),
        ("services", "base mid w far db"),
    ] {
        assert_eq!(at(&all, path), expected, "{path}");
    }
    // A file that overrides the base does not affect a service that extended the base in an earlier
    // file.
    let over = [
        ("compose.yaml", "services: {a: {image: x}, w: {extends: a}}"),
        ("compose.override.yaml", "services: {a: {image: y}}"),
    ];
    let over = resolved(&over).unwrap();
    assert_eq!((at(&over, "services/a/image"), at(&over, "services/w/image")), ("y".to_owned(), "x".to_owned()));
    for (text, part) in [
        ("services: {w: {extends: none}}", "there is no service none to extend"),
        ("services: {w: {extends: w}}", "extends itself"),
        ("services: {a: {extends: b}, b: {extends: a}}", "extends itself"),
        ("services: {w: {extends: {file: none.yaml, service: a}}}", "/srv/shop/none.yaml: there is no such file"),
        ("services: {w: {extends: {file: x.yaml}}}", "names no service"),
        ("services: [w]", "services must be a mapping"),
        ("[w]", "a list in place of a mapping"),
        ("{}", "there are no services"),
    ] {
        let error = resolved(&[("compose.yaml", text)]).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_file_includes_other_files() {
    let text = "
include:
  - sub/compose.yaml
  - path: [../lib/a.yaml, ../lib/b.yaml]
    project_directory: ../lib/x
    env_file: lib.env
services: {w: {image: 'x:$A', depends_on: [db]}}
";
    let files = [
        ("compose.yaml", text),
        (
            "sub/compose.yaml",
            "services: {db: {image: 'd:${A}', volumes: ['./v:/v', 'named:/n']}}\nvolumes: {named: }\n",
        ),
        ("sub/.env", "A=sub\n"),
        ("../lib/a.yaml", "services: {l: {image: '$A', volumes: ['./v:/v']}}"),
        ("../lib/b.yaml", "services: {l: {user: $B}}"),
        ("lib.env", "A=lib\nB=b\n"),
    ];
    let all = resolved(&files).unwrap();
    for (path, expected) in [
        ("services", "w db l"),
        ("services/w/image", "x:"),
        ("services/db/image", "d:sub"),
        ("services/db/volumes", "/srv/shop/sub/v:/v named:/n"),
        ("services/l/image", "lib"),
        ("services/l/user", "b"),
        ("services/l/volumes", "/srv/lib/x/v:/v"),
        ("volumes", "named"),
        ("include", ""),
    ] {
        assert_eq!(at(&all, path), expected, "{path}");
    }
    for (text, part) in [
        ("include: [compose.yaml]\nservices: {w: {image: x}}", "included by itself"),
        ("include: [sub/compose.yaml]\nservices: {db: {image: other}}", "services.db is also in an included file"),
        ("include: sub/compose.yaml\nservices: {w: {image: x}}", "include must be a list"),
        ("include: [{env_file: a}]\nservices: {w: {image: x}}", "has no path"),
    ] {
        let error = resolved(&[("compose.yaml", text), ("sub/compose.yaml", files[1].1)]).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    // An override file changes a service that the first file includes.
    let over = [
        ("compose.yaml", "include: [sub/compose.yaml]\nservices: {w: {image: x}}"),
        ("sub/compose.yaml", "services: {db: {image: d}}"),
        ("compose.override.yaml", "services: {db: {image: e}}"),
    ];
    assert_eq!(at(&resolved(&over).unwrap(), "services/db/image"), "e");
}

#[test]
fn all_documents_of_a_file_are_merged() {
    let text = "services: {w: {image: x, ports: ['80:80']}}\n---\nservices: {w: {image: y, ports: ['81:81']}, v: {image: v}}\n";
    let all = resolved(&[("compose.yaml", text)]).unwrap();
    assert_eq!(at(&all, "services"), "w v");
    assert_eq!(
        (at(&all, "services/w/image"), at(&all, "services/w/ports")),
        ("y".to_owned(), "80:80 81:81".to_owned())
    );
}

#[test]
fn active_profiles_select_services() {
    let text = "services: {w: {image: x}, d: {image: x, profiles: [debug, all]}, t: {image: x, profiles: [test]}}";
    let active = |change: &dyn Fn(&mut Request)| {
        let resolved = with(&[("compose.yaml", text)], |r| change(r)).unwrap();
        let services = resolved.model.get("services").and_then(Value::as_map).unwrap();
        services.iter().filter(|(_, service)| resolved.is_active(service)).map(|(name, _)| name).collect::<String>()
    };
    assert_eq!(active(&|_| {}), "w");
    assert_eq!(active(&|r| r.profiles = vec!["all".to_owned()]), "wd");
    assert_eq!(active(&|r| drop(r.environment.insert("COMPOSE_PROFILES".to_owned(), "debug, test".to_owned()))), "wdt");
    assert_eq!(active(&|r| r.profiles = vec!["*".to_owned()]), "wdt");
}

#[test]
fn a_tilde_is_replaced_by_the_home_directory() {
    let text = "services: {w: {image: x, volumes: ['~/d:/d', {type: bind, source: rel, target: /r}, n:/n, /only]}}\nsecrets: {k: {file: k.txt}}\n";
    let files = [("compose.yaml", text)];
    let all = with(&files, |r| drop(r.environment.insert("HOME".to_owned(), "/home/me".to_owned()))).unwrap();
    assert!(at(&all, "services/w/volumes").starts_with("/home/me/d:/d "), "{}", at(&all, "services/w/volumes"));
    assert!(at(&all, "services/w/volumes").ends_with(" n:/n /only"));
    assert_eq!(at(&all, "secrets/k/file"), "/srv/shop/k.txt");
}
