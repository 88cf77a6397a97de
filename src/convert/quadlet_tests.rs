// SPDX-License-Identifier: MIT
//! Tests of converting folders of Quadlet files.
#![allow(clippy::unwrap_used)]

use super::*;

fn folder(files: &[(&str, &str)]) -> Folder {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).to_owned(),
        directory: "/srv/app".to_owned(),
        text: (*text).to_owned(),
    };
    quadlet(&files.iter().map(source).collect::<Vec<_>>())
}

fn text<'a>(folder: &'a Folder, name: &str) -> &'a str {
    folder.converted.files.get(name).map(String::as_str).unwrap_or_default()
}

#[test]
fn supported_settings_are_copied_and_others_are_noted() {
    let web = "# mine\n[Unit]\nAfter=data.volume\n[Container]\nImage=nginx\nPublishPort=8080:80\nExec=a \"b c\"\n\
        Unmasked=x\nRootfs=/x\n[Quadlet]\nDefaultDependencies=no\n[Install]\nWantedBy=default.target\n";
    let found = folder(&[("web.container", web), ("net.kube", "")]);
    assert_eq!(
        text(&found, "web.container"),
        "[Container]\nImage=nginx\nPublishPort=8080:80\nExec=a \"b c\"\nNetwork=bridge\n\n[Unit]\n\n\
         [Install]\nWantedBy=default.target\n"
    );
    let notes = found.converted.notes.join("\n");
    for part in [
        "web.container:8: unknown key Unmasked=",
        "web.container:9: Rootfs=",
        "net.kube: this file is not read: files of Kubernetes",
        "After=data.volume: ",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert_eq!(found.summary(), "2 files: 0 converted as a whole, 1 in part, 1 not at all");
}

#[test]
fn networks_keep_the_meaning_of_podman() {
    let app = "[Container]\nImage=nginx\nNetwork=front.network:alias=web\nNetwork=bridge\nNetworkAlias=www\n";
    let front = "[Network]\nSubnet=10.5.0.0/24\nInternal=true\n";
    let job = "[Container]\nImage=nginx\n";
    let member = "[Container]\nImage=nginx\nPod=tier.pod\n";
    let found = folder(&[
        ("app.container", app),
        ("front.network", front),
        ("job.container", job),
        ("member.container", member),
        ("tier.pod", "[Pod]\n"),
        ("host.container", "[Container]\nImage=nginx\nNetwork=host\n"),
    ]);
    assert_eq!(found.converted.notes, Vec::<String>::new());
    assert_eq!(text(&found, "app.container"), app);
    assert_eq!(text(&found, "front.network"), front);
    assert_eq!(text(&found, "job.container"), format!("{job}Network=bridge\n"));
    assert_eq!(text(&found, "member.container"), member);
    assert_eq!(text(&found, "tier.pod"), "[Pod]\nNetwork=bridge\n");
    assert!(text(&found, "host.container").ends_with("Network=host\n"));
    assert_eq!(found.summary(), "6 files: 6 converted as a whole, 0 in part, 0 not at all");
}

#[test]
fn references_to_units_of_the_folder_become_references_to_files() {
    let found = folder(&[
        (
            "web.container",
            "[Unit]\nRequires=store.service shop-pod.service\nAfter=store.service sshd.service\n[Container]\nImage=a\n",
        ),
        ("db.container", "[Container]\nImage=b\nServiceName=store\nEnvironmentFile=db.env\nVolume=./conf:/etc/db:ro\n"),
        ("shop.pod", "[Pod]\nPublishPort=80:80\n"),
    ]);
    let web = text(&found, "web.container");
    assert!(web.contains("Requires=db.container shop.pod\nAfter=db.container sshd.service\n"), "{web}");
    let db = text(&found, "db.container");
    assert!(db.contains("EnvironmentFile=/srv/app/db.env\nVolume=/srv/app/conf:/etc/db:ro\n"), "{db}");
}

#[test]
fn lines_and_files_that_check_refuses_are_left_out() {
    let found = folder(&[
        ("a.container", "[Container]\nImage=a\nTimezone=Middle of Europe\nUser=1\n"),
        ("b.container", "[Container]\nImage=b\nPod=none.pod\n"),
        ("c.container", "[Container\n"),
        ("d.container", "[Container]\nUser=1\n"),
        ("e.volume", "[Volume]\n"),
        ("x.service", ""),
    ]);
    assert_eq!(found.partly, BTreeSet::from(["a.container".to_owned()]));
    assert_eq!(text(&found, "a.container"), "[Container]\nImage=a\nUser=1\nNetwork=bridge\n");
    for name in ["b.container", "c.container", "d.container", "x.service"] {
        assert!(found.lost.contains(name) && text(&found, name).is_empty(), "{name}: {found:?}");
    }
    assert!(found.whole.contains("e.volume"));
    let problems = compile(&super::super::sources(&found.converted.files), &Facts::default()).diagnostics;
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
}

#[test]
fn files_with_several_units_and_drop_ins_are_read() {
    let found = folder(&[
        (
            "all.quadlets",
            "# FileName=web\n[Container]\nImage=a\nVolume=data.volume:/data\n---\n# FileName=data\n[Volume]\n---\n[Pod]\n",
        ),
        ("web.container.d/10.conf", "[Container]\nUser=1\n"),
        ("container.d/20.conf", "[Container]\nGroup=2\n"),
        ("container.d/10.conf", "[Container]\nGroup=3\n"),
    ]);
    assert_eq!(
        text(&found, "web.container"),
        "[Container]\nImage=a\nVolume=data.volume:/data\nUser=1\nGroup=2\nNetwork=bridge\n"
    );
    assert_eq!(found.summary(), "3 files: 2 converted as a whole, 0 in part, 1 not at all");
    assert!(
        found.converted.notes.iter().any(|note| note.starts_with("all.quadlets:9: ")),
        "{:?}",
        found.converted.notes
    );
}
