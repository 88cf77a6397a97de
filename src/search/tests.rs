// SPDX-License-Identifier: MIT
//! Tests with typical directories of users, below a root that is not this machine's.
#![allow(clippy::unwrap_used)]

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

/// A root directory with these files. A text that begins with `-> ` becomes a symbolic link.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
    root
}

/// The result of a search: the name, path and text of each file, and the remarks.
fn found(root: &Path) -> (Vec<(String, String, String)>, Vec<String>) {
    let sources = search(&SearchPath::below(root));
    let file = |file: &SourceFile| {
        let text = match &file.main.content {
            Ok(bytes) => String::from_utf8_lossy(bytes).trim().to_owned(),
            Err(message) => format!("error: {message}"),
        };
        (format!("{}.{}", file.name, file.file_type.extension()), file.main.path.to_string(), text)
    };
    (sources.files.iter().map(file).collect(), sources.remarks.iter().map(ToString::to_string).collect())
}

fn names(root: &Path) -> Vec<String> {
    found(root).0.into_iter().map(|(name, path, _)| format!("{name} {path}")).collect()
}

#[test]
fn subdirectories_are_read_and_names_count_once() {
    let root = root(&[
        ("etc/sdme/web.container", "top"),
        ("etc/sdme/a/web.container", "second"),
        ("etc/sdme/a/b/db.container", "db"),
        ("etc/sdme/a/b/loop", "-> /etc/sdme"),
        ("etc/sdme/linked", "-> /srv/folder"),
        ("srv/folder/cache.container", "cache"),
        ("etc/sdme/.git/x.container", "hidden"),
        ("etc/sdme/web.container.d/own.container", "a drop-in's neighbour"),
        ("etc/sdme/a/db.container.d/10.conf", "drop-in"),
        ("etc/sdme/a/sdme.conf", "not read"),
        ("usr/share/sdme/p/db.container", "masked"),
        ("usr/share/sdme/p/other.container", "other"),
    ]);
    let wanted = [
        "cache.container /etc/sdme/linked/cache.container",
        "db.container /etc/sdme/a/b/db.container",
        "other.container /usr/share/sdme/p/other.container",
        "web.container /etc/sdme/web.container",
    ];
    assert_eq!(names(root.path()), wanted);
    let (_, remarks) = found(root.path());
    let starts = [
        "/etc/sdme/a/sdme.conf:1: warning: this file is not read in a subdirectory",
        "/etc/sdme/a/web.container:1: warning: this file is not read as web.container: /etc/sdme/web.container has this name",
    ];
    assert!(
        remarks.len() == 2 && remarks.iter().zip(starts).all(|(remark, start)| remark.starts_with(start)),
        "{remarks:?}"
    );
    let sources = search(&SearchPath::below(root.path()));
    let db = sources.files.iter().find(|file| file.name == "db").unwrap();
    assert_eq!(db.drop_ins.iter().map(|text| &*text.path).collect::<Vec<_>>(), ["/etc/sdme/a/db.container.d/10.conf"]);
}

#[test]
fn variables_of_services_are_read() {
    let text = "[Container]\nImage=a:${TAG}\n[Service]\nEnvironmentFile=-%E/web/env\nEnvironmentFile=/nowhere\n";
    let root = root(&[
        ("etc/sdme/web.container", text),
        ("etc/sdme/db.container", "[Container]\nImage=a\n[Service]\nEnvironmentFile=/etc/unused\n"),
        ("etc/web/env", "# comment\nTAG='1.2'\n"),
        ("etc/unused", "A=1\n"),
    ]);
    let sources = search(&SearchPath::below(root.path()));
    let variables = vec![("TAG".to_owned(), "1.2".to_owned())];
    assert_eq!(sources.variables, [("/etc/web/env".to_owned(), variables)].into());
    let compiled = crate::compile(&sources, &crate::model::Facts::default());
    assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
    let model = crate::resolve::resolve(&sources);
    assert!(
        model.images.values().any(|image| image.source.to_string().ends_with("a:1.2")),
        "{:?}",
        model.images.keys()
    );
}

#[test]
fn images_are_no_configuration() {
    let stranger = "run/sdme/containers/web/base/usr/lib/systemd/network/evil.container";
    let root = root(&[
        ("run/sdme/web.container", ""),
        (stranger, "[Container]\nImage=a\n"),
        ("run/sdme/job.container", "job"),
    ]);
    assert_eq!(names(root.path()), ["job.container /run/sdme/job.container"]);
    assert!(found(root.path()).1.is_empty());
}

#[test]
fn an_image_of_a_build_file_is_not_somebody_elses() {
    let part = "# FileName=two\n[Build]\nImageTag = two:1\n---\n# FileName=three\n[Container]\nImage=two:1\n";
    let root = root(&[
        ("etc/sdme/one.build", "[Build]\nImageTag=localhost/one:latest\n"),
        ("etc/sdme/all.quadlets", part),
        ("etc/sdme/first.container", "[Container]\nImage=one\n"),
        ("etc/sdme/other.container", "[Container]\nImage=quay.io/team/one\n"),
    ]);
    let sources = search(&SearchPath::below(root.path()));
    let problems = crate::compile(&sources, &crate::model::Facts::default()).diagnostics;
    let errors = problems.iter().map(ToString::to_string).filter(|problem| problem.contains("builds this image"));
    let errors: Vec<String> = errors.collect();
    assert_eq!(errors.len(), 2, "{problems:?}");
    let (two, one) = (errors.first().unwrap(), errors.last().unwrap());
    assert!(one.starts_with("/etc/sdme/first.container:2: Image=one: /etc/sdme/one.build builds this image"), "{one}");
    assert!(two.starts_with("/etc/sdme/all.quadlets:7: Image=two:1: /etc/sdme/all.quadlets builds"), "{two}");
}

#[test]
fn one_file_holds_several_units() {
    let text =
        "# FileName=web\n[Container]\nImage=a\n---\n# FileName=data\n[Volume]\n---\n[Pod]\n---\n# FileName=k\n[Kube]\n";
    let root =
        root(&[("etc/sdme/app/all.quadlets", text), ("etc/sdme/app/job.build", "[Build]\n"), ("etc/sdme/x.kube", "")]);
    let (files, remarks) = found(root.path());
    let path = "/etc/sdme/app/all.quadlets".to_owned();
    let wanted = [
        ("data.volume".to_owned(), path.clone(), "# FileName=data\n[Volume]".to_owned()),
        ("web.container".to_owned(), path, "# FileName=web\n[Container]\nImage=a".to_owned()),
    ];
    let mut files = files;
    files.sort();
    assert_eq!(files, wanted);
    let starts = [
        "/etc/sdme/app/all.quadlets:8: this part of a .quadlets file has no name",
        "/etc/sdme/app/all.quadlets:10: warning: this file is not read: files of Kubernetes",
        "/etc/sdme/app/job.build:1: warning: this file is not read: images are not built here",
    ];
    assert!(
        remarks.len() == 3 && remarks.iter().zip(starts).all(|(remark, start)| remark.starts_with(start)),
        "{remarks:?}"
    );
    // The line numbers are those of the whole file.
    let sources = search(&SearchPath::below(root.path()));
    let problems = crate::compile(&sources, &crate::model::Facts::default()).diagnostics;
    assert!(
        problems.iter().any(|problem| problem.to_string().starts_with("/etc/sdme/app/all.quadlets:8: ")),
        "{problems:?}"
    );
}

#[test]
fn links_stay_inside_the_root() {
    let root = root(&[
        ("etc/sdme/web.container", "-> /srv/web.container"),
        ("srv/web.container", "inside"),
        ("etc/sdme/up.container", "-> ../../../../../../../../srv/web.container"),
        ("etc/sdme/masked.container", "-> /dev/null"),
        ("usr/share/sdme/masked.container", "text"),
        // This target exists on every machine that runs the test.
        ("etc/sdme/host.container", "-> /etc/passwd"),
        ("run/sdme", "-> /srv/run"),
        ("srv/run/job.container", "job"),
    ]);
    let (files, remarks) = found(root.path());
    let texts: Vec<(&str, &str)> = files.iter().map(|(name, _, text)| (name.as_str(), text.as_str())).collect();
    let dangling = "error: this is a dangling symbolic link; correct or remove the link";
    let wanted = [
        ("host.container", dangling),
        ("job.container", "job"),
        ("up.container", "inside"),
        ("web.container", "inside"),
    ];
    assert_eq!(texts, wanted);
    assert!(remarks.is_empty(), "{remarks:?}");
}

#[test]
fn a_root_that_cannot_be_opened_has_no_configuration() {
    let other = root(&[("etc/sdme/web.container", "[Container]")]);
    let missing = other.path().join("missing");
    assert!(names(&missing).is_empty());
    // A file that is no directory can be opened, but nothing can be found in it.
    fs::write(&missing, "").unwrap();
    assert!(names(&missing).is_empty());
}
