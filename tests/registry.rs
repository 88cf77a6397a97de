// SPDX-License-Identifier: MIT
//! Imports from a real registry: Debian's `docker-registry` on a loopback port, filled by `skopeo`.
//!
//! The tests use plain HTTP on a loopback address, HTTPS with a certificate that they create, and
//! passwords. They need root and some programs; without these they print that they are skipped and
//! pass, or fail if `SDME_TEST_REQUIRE` is set.
#![cfg(feature = "image")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::format_collect,
    clippy::format_push_string
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sdme_gen::config::values::access::Access;
use sdme_gen::config::values::source::{ImageSource, RegistryRef};
use sdme_gen::image::{Imported, Pull, Request, Silent, Store, import};
use sdme_gen::rootdir::tree::proc_path;
use support::layout::hex;

/// Set in the child process that runs one test with another `SSL_CERT_FILE`. The variable is read
/// from the environment, which a process with threads must not change.
const INNER: &str = "SDME_TEST_REGISTRY_TLS";

fn ready() -> bool {
    support::require(&["root", "docker-registry", "skopeo", "openssl", "htpasswd"])
}

struct Registry {
    child: Child,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn registry(dir: &Path, tls: Option<(&Path, &Path)>) -> Registry {
    registry_with(dir, tls, "")
}

fn registry_with(dir: &Path, tls: Option<(&Path, &Path)>, more: &str) -> Registry {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        dir.join("registry").display()
    );
    if let Some((certificate, key)) = tls {
        config += &format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
    }
    config += more;
    let path = dir.join("registry.yml");
    fs::write(&path, config).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let registry = Registry { child, port };
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "the registry does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    registry
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A layout with one image of two layers.
fn layout(dir: &Path) -> PathBuf {
    let layers: Vec<Vec<u8>> = (0..2)
        .map(|number| {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o640);
            header.set_uid(7);
            header.set_gid(8);
            header.set_mtime(1_000_000 + number);
            let content = format!("content of {number}\n").repeat(50_000);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, format!("srv/file-{number}"), content.as_bytes()).unwrap();
            builder.into_inner().unwrap()
        })
        .collect();
    support::layout::layout(&dir.join("layout"), &layers)
}

fn push(layout: &Path, registry: &Registry, name: &str, extra: &[&str]) {
    let from = format!("oci:{}:one", layout.display());
    let to = format!("docker://127.0.0.1:{}/{name}", registry.port);
    let mut args = vec!["copy", "--insecure-policy", "--dest-tls-verify=false"];
    args.extend_from_slice(extra);
    args.extend_from_slice(&[&from, &to]);
    run("skopeo", &args);
}

fn source(registry: &Registry, host: &str, repository: &str, digest: Option<&str>) -> ImageSource {
    ImageSource::Registry(RegistryRef {
        registry: format!("{host}:{}", registry.port),
        repository: repository.into(),
        tag: Some("one".into()),
        digest: digest.map(Into::into),
    })
}

fn tree(image: &Imported) -> BTreeMap<PathBuf, (u32, u32, u32, i64, Vec<u8>)> {
    let root = image.root().unwrap();
    let root = proc_path(root.root()).join(".");
    walkdir::WalkDir::new(&root)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let content = if meta.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            let path = entry.path().strip_prefix(&root).unwrap().to_owned();
            (path, (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), content))
        })
        .collect()
}

fn get(store: &Store, name: &str, source: &ImageSource) -> anyhow::Result<Imported> {
    import(store, &Request { pull: Pull::Always, ..Request::new(name, source) }, &Silent)
}

#[test]
fn images_are_pulled_over_plain_http_on_loopback() {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(dir.path());
    let registry = registry(dir.path(), None);
    push(&layout, &registry, "team/app:one", &[]);
    push(&layout, &registry, "team/docker:one", &["--format=v2s2"]);
    let system = dir.path().join("system");
    let store = Store::open(&system);
    let local = ImageSource::Layout { path: layout.to_str().unwrap().into(), tag: Some("one".into()) };
    let local = get(&Store::open(&dir.path().join("local")), "local", &local).unwrap();

    let remote = get(&store, "remote", &source(&registry, "127.0.0.1", "team/app", None)).unwrap();
    assert_eq!(tree(&remote), tree(&local));
    assert_eq!(remote.image.manifest, local.image.manifest);
    let docker = get(&store, "docker", &source(&registry, "localhost", "team/docker", None)).unwrap();
    assert_eq!(tree(&docker), tree(&local));
    assert_ne!(docker.image.manifest, local.image.manifest);

    // By digest: the digest of the image, and a digest that no manifest has.
    let pinned = source(&registry, "127.0.0.1", "team/app", Some(&remote.image.manifest));
    get(&store, "pinned", &pinned).unwrap();
    let wrong = format!("sha256:{}", "0".repeat(64));
    assert!(get(&store, "wrong", &source(&registry, "127.0.0.1", "team/app", Some(&wrong))).is_err());
    let error = get(&store, "none", &source(&registry, "127.0.0.1", "team/none", None)).unwrap_err();
    assert!(format!("{error:#}").contains("team/none"), "{error:#}");

    // A damaged blob in the cache is detected and downloaded again. A damaged blob in the registry
    // is refused, and nothing of it is kept.
    let cache = system.join("var/lib/sdme/blobs/sha256");
    let names = || -> Vec<PathBuf> { fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect() };
    assert_eq!(names().len(), 3);
    for path in names() {
        let size = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![b'x'; usize::try_from(size).unwrap()]).unwrap();
    }
    // A new store that has only the cache: a store with the layers would not read the cache.
    let fresh = dir.path().join("fresh");
    fs::create_dir_all(fresh.join("var/lib/sdme")).unwrap();
    std::os::unix::fs::symlink(system.join("var/lib/sdme/blobs"), fresh.join("var/lib/sdme/blobs")).unwrap();
    let again = get(&Store::open(&fresh), "again", &source(&registry, "127.0.0.1", "team/app", None)).unwrap();
    assert_eq!(tree(&again), tree(&local));
    for path in names() {
        let digest = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(hex(&fs::read(&path).unwrap()), digest);
        let stored = dir.path().join("registry/docker/registry/v2/blobs/sha256").join(digest.get(..2).unwrap());
        let stored = stored.join(&digest).join("data");
        let size = fs::metadata(&stored).unwrap().len();
        fs::write(&stored, vec![b'x'; usize::try_from(size).unwrap()]).unwrap();
        fs::remove_file(&path).unwrap();
    }
    let error = get(&store, "damaged", &source(&registry, "127.0.0.1", "team/app", None)).unwrap_err();
    assert!(format!("{error:#}").to_lowercase().contains("digest"), "{error:#}");
    assert!(store.lookup("damaged").unwrap().is_none());
    assert!(names().is_empty());
    // An image that is already imported is not affected.
    assert_eq!(get(&store, "remote", &source(&registry, "127.0.0.1", "team/app", None)).unwrap(), remote);
    drop(registry);
    let missing = source(&Registry { child: Command::new("true").spawn().unwrap(), port: 1 }, "127.0.0.1", "x", None);
    let error = get(&store, "down", &missing).unwrap_err();
    assert!(format!("{error:#}").contains("cannot be reached"), "{error:#}");
}

/// Makes an authority and a certificate for `registry.test` and 127.0.0.1 in `dir`.
fn certificate(dir: &Path) {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let subject = "subjectAltName=DNS:registry.test,IP:127.0.0.1";
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            &path("ca.key"),
            "-out",
            &path("ca.pem"),
        ],
    );
    run(
        "openssl",
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=registry.test",
            "-keyout",
            &path("key.pem"),
            "-out",
            &path("request.pem"),
        ],
    );
    fs::write(path("extensions"), subject).unwrap();
    run(
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &path("request.pem"),
            "-CA",
            &path("ca.pem"),
            "-CAkey",
            &path("ca.key"),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &path("extensions"),
            "-out",
            &path("cert.pem"),
        ],
    );
}

/// sdme-gen uses HTTPS for every registry except loopback addresses. Here a name in a hosts file
/// stands for such a registry, and the certificate is for that name.
#[test]
fn https_with_a_private_authority() {
    if !ready() {
        return;
    }
    if let Some(dir) = std::env::var_os(INNER) {
        return https_inside(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    certificate(dir.path());
    let registry = registry(dir.path(), Some((Path::new(&path("cert.pem")), Path::new(&path("key.pem")))));
    let layout = layout(dir.path());
    push(&layout, &registry, "team/app:one", &[]);
    fs::write(path("port"), registry.port.to_string()).unwrap();
    // The child process has its own hosts file with the name.
    let mut hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    hosts.push_str("\n127.0.0.1 registry.test\n");
    fs::write(path("hosts"), hosts).unwrap();
    for (authority, verdict) in [("ca.pem", "good"), ("cert-of-nobody.pem", "bad")] {
        if verdict == "bad" {
            run(
                "openssl",
                &[
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=nobody",
                    "-keyout",
                    &path("nobody.key"),
                    "-out",
                    &path(authority),
                ],
            );
        }
        let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", &path("hosts")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "https_with_a_private_authority", "--nocapture"])
            .env(INNER, dir.path())
            .env("SSL_CERT_FILE", path(authority))
            .env_remove("SSL_CERT_DIR")
            .env("SDME_TEST_VERDICT", verdict)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{verdict}: {text}");
    }
}

/// HTTPS on a loopback address, because certificates are configured for it, and a registry that
/// requires a password.
#[test]
fn passwords_and_a_certificate_directory_give_access() {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    certificate(dir.path());
    let output = Command::new("htpasswd").args(["-Bbn", "me", "secret word"]).output().unwrap();
    fs::write(path("htpasswd"), output.stdout).unwrap();
    let auth = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path("htpasswd"));
    let tls = Some((Path::new("cert.pem"), Path::new("key.pem")));
    let tls = tls.map(|(cert, key)| (dir.path().join(cert), dir.path().join(key)));
    let registry = registry_with(dir.path(), tls.as_ref().map(|(c, k)| (c.as_path(), k.as_path())), &auth);
    let layout = layout(dir.path());
    push(&layout, &registry, "team/app:one", &["--dest-creds=me:secret word"]);
    fs::create_dir(path("certs")).unwrap();
    fs::copy(path("ca.pem"), path("certs/ca.crt")).unwrap();
    // The authentication file that `skopeo login` writes.
    let login = ["login", "--tls-verify=false", "-u", "me", "-p", "secret word", "--authfile"];
    run("skopeo", &[&login[..], &[&path("auth.json"), &format!("127.0.0.1:{}", registry.port)]].concat());

    let store = Store::open(&dir.path().join("system"));
    let source = source(&registry, "127.0.0.1", "team/app", None);
    let get = |name: &str, access: &Access| import(&store, &Request { access, ..Request::new(name, &source) }, &Silent);
    let error = |access: &Access| format!("{:#}", get("bad", access).unwrap_err());
    let good =
        Access { cert_dir: Some(path("certs")), auth_file: Some(path("auth.json")), retries: 0, ..Access::default() };
    let remote = get("good", &good).unwrap();
    let local = ImageSource::Layout { path: layout.to_str().unwrap().into(), tag: None };
    assert_eq!(tree(&remote), tree(&import(&store, &Request::new("local", &local), &Silent).unwrap()));
    let credentials = Some(("me".to_owned(), "secret word".to_owned()));
    get("creds", &Access { credentials, ..good.clone() }).unwrap();
    get("unverified", &Access { cert_dir: None, tls_verify: Some(false), ..good.clone() }).unwrap();

    let wrong = Some(("me".to_owned(), "wrong word".to_owned()));
    let text = error(&Access { credentials: wrong, ..good.clone() });
    assert!(text.contains("denies access") && !text.contains("word"), "{text}");
    fs::write(path("none.json"), "{}").unwrap();
    assert!(error(&Access { auth_file: Some(path("none.json")), ..good.clone() }).contains("denies access"));
    assert!(error(&Access { cert_dir: None, tls_verify: Some(true), ..good.clone() }).contains("certificate"));
    // Without a setting for certificates, a loopback address means plain HTTP.
    assert!(get("bad", &Access { cert_dir: None, ..good }).is_err());
}

fn https_inside(dir: &Path) {
    let good = std::env::var("SDME_TEST_VERDICT").unwrap() == "good";
    let registry = Registry {
        child: Command::new("true").spawn().unwrap(),
        port: fs::read_to_string(dir.join("port")).unwrap().parse().unwrap(),
    };
    let store = Store::open(&dir.join(if good { "system" } else { "system-2" }));
    let result = get(&store, "remote", &source(&registry, "registry.test", "team/app", None));
    if !good {
        let error = result.unwrap_err();
        assert!(format!("{error:#}").contains("certificate"), "{error:#}");
        return;
    }
    let remote = result.unwrap();
    let local = ImageSource::Layout { path: dir.join("layout").to_str().unwrap().into(), tag: None };
    assert_eq!(tree(&remote), tree(&get(&store, "local", &local).unwrap()));
}
