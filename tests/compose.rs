// SPDX-License-Identifier: MIT
//! Tests `sdme-gen convert compose` as a user runs it: in the directory of a project, with several
//! projects side by side, and again after changes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Runs a conversion in a directory, with `root` as the root of the system.
    fn convert(&self, directory: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sdme-gen"))
            .args(["convert", "--root"])
            .arg(self.path("root"))
            .args(arguments)
            .current_dir(self.path(directory))
            .env_clear()
            .output()
            .unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("root/etc/sdme")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn check(&self) {
        let check =
            Command::new(env!("CARGO_BIN_EXE_sdme-gen")).args(["check", "--root"]).arg(self.path("root")).output();
        let check = check.unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const DB: &str = "services:\n  db: {image: 'a:1', volumes: ['data:/d', './conf:/c']}\nvolumes: {data: }\n";

#[test]
fn projects_coexist_and_can_be_converted_again() {
    let workspace = Workspace::new();
    workspace.write("p1/docker-compose.yml", DB);
    workspace.write("p2/compose.yaml", DB);
    for directory in ["p1", "p2"] {
        let (code, out, err) = texts(&workspace.convert(directory, &["--write", "compose"]));
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains(&format!("write /etc/sdme/{directory}-db.container\n")), "{out}");
    }
    let all = [
        "p1-data.volume",
        "p1-db.container",
        "p1-default.network",
        "p2-data.volume",
        "p2-db.container",
        "p2-default.network",
    ];
    assert_eq!(workspace.names(), all);
    workspace.check();
    // The directory that Docker would create exists below the root.
    let below: &Path = &workspace.path("p1/conf");
    assert!(workspace.path("root").join(below.strip_prefix("/").unwrap()).is_dir());

    // Without a change, nothing is written.
    let (code, out, _) = texts(&workspace.convert("p1", &["--write", "compose"]));
    assert_eq!((code, out.as_str()), (0, ""));

    // The image changes, a service is added and a volume is removed. A dry run shows the changes
    // and makes none.
    let text = "services:\n  db: {image: 'a:2'}\n  web: {image: 'w:1'}\n";
    workspace.write("p1/docker-compose.yml", text);
    let before = workspace.read("root/etc/sdme/p1-db.container");
    let (code, out, _) = texts(&workspace.convert("p1", &["compose", "--dry-run"]));
    assert_eq!(code, 0);
    for line in [
        "update /etc/sdme/p1-db.container\n",
        "  -Image=a:1\n",
        "  +Image=a:2\n",
        "write /etc/sdme/p1-web.container\n",
        "remove /etc/sdme/p1-data.volume\n",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert_eq!(workspace.read("root/etc/sdme/p1-db.container"), before);
    assert_eq!(texts(&workspace.convert("p1", &["--write", "compose"])).0, 0);
    assert!(workspace.read("root/etc/sdme/p1-db.container").contains("\nImage=a:2\n"));
    assert_eq!(
        workspace.names(),
        [
            "p1-db.container",
            "p1-default.network",
            "p1-web.container",
            "p2-data.volume",
            "p2-db.container",
            "p2-default.network"
        ]
    );
    workspace.check();

    // Files that a user has changed or written are kept, and so are the files of other projects.
    let changed = workspace.read("root/etc/sdme/p1-db.container").replace("a:2", "a:3");
    workspace.write("root/etc/sdme/p1-db.container", &changed);
    workspace.write("root/etc/sdme/p1-web.container", "[Container]\nImage=mine\nNetwork=p1-default.network\n");
    workspace.write("p1/docker-compose.yml", &text.replace("w:1", "w:2").replace("a:2", "a:4"));
    let (code, _, err) = texts(&workspace.convert("p1", &["--write", "compose"]));
    assert_eq!(code, 0);
    assert_eq!(err.matches("is left alone").count(), 2, "{err}");
    assert_eq!(workspace.read("root/etc/sdme/p1-db.container"), changed);
    assert!(workspace.read("root/etc/sdme/p1-web.container").contains("Image=mine"));
}

#[test]
fn losses_are_listed_and_change_the_exit_status() {
    let workspace = Workspace::new();
    workspace.write(
        "shop/base.yaml",
        "services:\n  w: {image: 'x:1', privileged: true, hostname: '$H'}\n  b: {build: ., profiles: [dev]}\n",
    );
    workspace.write("shop/more.yaml", "name: named\nservices:\n  w: {environment: {A: $A}}\n");
    workspace.write("shop/my.env", "A='b c' # d\n");
    let files = ["compose", "-f", "base.yaml", "-f", "more.yaml", "--env-file", "my.env"];
    let (code, out, err) = texts(&workspace.convert("shop", &files));
    assert_eq!(code, 3, "{err}");
    assert!(out.contains("---/etc/sdme/named-w.container---\n") && out.contains("\nEnvironment=\"A=b c\"\n"), "{out}");
    assert!(err.contains("w: privileged: ") && err.contains("the variable H is not set"), "{err}");
    assert!(err.contains("b: build: the service is not converted"), "{err}");
    let (code, out, err) = texts(&workspace.convert("shop", &[&files[..], &["--json", "-p", "other"]].concat()));
    assert_eq!((code, err.as_str()), (3, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["project"], "other");
    assert_eq!(document["lost"][0]["subject"], "b");
    assert!(document["files"]["other-w.container"].as_str().unwrap().contains("Image=x:1"));
    assert!(!workspace.path("root").exists());

    // An error changes nothing.
    workspace.write("shop/compose.yaml", "services: {w: {image: '${TAG:?set TAG}'}}\n");
    let (code, _, err) = texts(&workspace.convert("shop", &["--write", "compose"]));
    assert_eq!(code, 1);
    assert!(err.contains("services.w.image: the required variable TAG has no value: set TAG"), "{err}");
    assert!(!workspace.path("root").exists());
    // Another container publishes the same port.
    workspace.write("root/etc/sdme/mine.container", "[Container]\nImage=x:1\nNetwork=uplink\nPublishPort=80:80\n");
    workspace.write("shop/compose.yaml", "services: {w: {image: 'x:1', ports: ['80:80']}}\n");
    let (code, _, err) = texts(&workspace.convert("shop", &["--write", "compose"]));
    assert_eq!(code, 1);
    assert!(err.contains("nothing was written") && err.contains("80"), "{err}");
    assert_eq!(workspace.names(), ["mine.container"]);
}

#[test]
fn projects_share_external_networks() {
    let workspace = Workspace::new();
    let user = "services: {w: {image: 'x:1', networks: [proxy]}}\nnetworks: {proxy: {external: true}}\n";
    workspace.write("site/compose.yaml", user);
    workspace.write("blog/compose.yaml", user);
    workspace.write(
        "edge/compose.yaml",
        "services: {p: {image: 'x:1', networks: [n]}}\nnetworks: {n: {name: proxy, internal: true}}\n",
    );
    let convert = |project: &str| {
        let (code, out, err) = texts(&workspace.convert(project, &["--write", "compose"]));
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        workspace.check();
        out
    };
    assert!(convert("site").contains("write /etc/sdme/proxy.network\n"));
    assert!(!convert("blog").contains("proxy.network"));
    // The project that defines the network replaces the file that only refers to it.
    let out = convert("edge");
    assert!(out.contains("update /etc/sdme/proxy.network\n"), "{out}");
    assert!(out.ends_with("start the project with: systemctl start systemd-nspawn@edge-p.service\n"), "{out}");
    for project in ["site", "blog", "edge"] {
        assert_eq!(convert(project), "");
    }
    assert!(workspace.read("root/etc/sdme/proxy.network").contains("\nInternal=yes\n"));

    // A credential is written once, readable only for the administrator, and never replaced.
    workspace.write(
        "site/compose.yaml",
        "services: {w: {image: 'x:1', configs: [c]}}\nconfigs: {c: {content: \"a: 1\\n\"}}\n",
    );
    let (_, out, _) = texts(&workspace.convert("site", &["compose"]));
    assert!(out.contains("---/etc/credstore/site-c---\n") && !out.contains("a: 1"), "{out}");
    let out = convert("site");
    assert!(out.contains("write /etc/credstore/site-c\n"), "{out}");
    assert_eq!(workspace.read("root/etc/credstore/site-c"), "a: 1\n");
    let mode = fs::metadata(workspace.path("root/etc/credstore/site-c")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    workspace.write("root/etc/credstore/site-c", "mine");
    let (_, _, err) = texts(&workspace.convert("site", &["--write", "compose"]));
    assert!(err.contains("/etc/credstore/site-c: the file has another value, so it is left alone"), "{err}");
    assert_eq!(workspace.read("root/etc/credstore/site-c"), "mine");
}
