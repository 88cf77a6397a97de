// SPDX-License-Identifier: MIT
//! Tests of what registries do to their clients: authentication, redirects, expired tokens,
//! throttling, broken connections and wrong data.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use super::scripted::{Asked, Content, Reply, Scripted, content};
use crate::config::values::access::{Access, Registries};
use crate::config::values::source::{ImageSource, Pull};
use crate::image::progress::Progress;
use crate::image::testing::{path_of, root};
use crate::image::{Imported, Request, Store, import};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn message(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn transfer(&self, _what: &str, _done: u64, _total: u64) {}
}

struct World {
    dir: tempfile::TempDir,
    access: Access,
    registries: Registries,
    heard: Heard,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The user who runs the tests may be logged in to a registry.
        let auth = dir.path().join("auth.json");
        fs::write(&auth, "{}").unwrap();
        let auth_file = Some(auth.to_str().unwrap().to_owned());
        let access = Access { auth_file, delay: 1, ..Access::default() };
        Self { dir, access, registries: Registries::default(), heard: Heard::default() }
    }

    fn import(&self, reference: &str) -> anyhow::Result<Imported> {
        let source: ImageSource = reference.parse().unwrap();
        let request = Request {
            pull: Pull::Always,
            access: &self.access,
            registries: &self.registries,
            ..Request::new("x", &source)
        };
        import(&Store::open(&self.dir.path().join("system")), &request, &self.heard)
    }

    fn get(&self, registry: &Scripted) -> anyhow::Result<Imported> {
        self.import(&format!("127.0.0.1:{}/team/app:1", registry.port))
    }

    fn good(&self, registry: &Scripted) {
        let root = self.get(registry).unwrap().root().unwrap();
        for number in 0..3 {
            let path = path_of(&root).join(format!("file-{number}"));
            assert_eq!(fs::read(path).unwrap().len(), 200_000);
        }
    }

    fn bad(&self, registry: &Scripted, want: &str) {
        let error = format!("{:#}", self.get(registry).unwrap_err());
        assert!(error.contains(want), "{want}: {error}");
        assert!(!error.contains("secret") && !self.heard.0.lock().unwrap().join("\n").contains("secret"), "{error}");
        let base = self.dir.path().join("system/var/lib/sdme");
        assert!(fs::read_dir(base.join("fs")).unwrap().next().is_none());
        let left = fs::read_dir(base.join("store")).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [".locks"], "{want}");
    }
}

fn layer(content: &Content, number: usize) -> String {
    format!("/v2/team/app/blobs/{}", content.layers[number])
}

/// Demands this token, from a token service on the same port.
fn token_service(asked: &Asked, token: &str, port_of: &str) -> Option<Reply> {
    if asked.path.starts_with("/token") {
        return None;
    }
    (asked.header("authorization") != format!("Bearer {token}")).then(|| {
        let realm = format!("Bearer realm=\"http://{port_of}/token\",service=\"the service\"");
        Reply::new(401, "").with("WWW-Authenticate", realm)
    })
}

const BASIC: &str = "Basic bWU6c2VjcmV0";

#[test]
fn anonymous_imports_download_each_layer_once() {
    if !root("registry::anonymous_imports_download_each_layer_once") {
        return;
    }
    let (world, content) = (World::new(), content());
    let registry = Scripted::start(|_| None);
    world.good(&registry);
    // The layer that occurs twice may be requested twice in parallel; the other layers are
    // requested once.
    assert_eq!((registry.count(&layer(&content, 1)), registry.count(&layer(&content, 2))), (1, 1));
    assert!(registry.asked().iter().all(|asked| asked.header("authorization").is_empty()));
    // A second import by digest takes all blobs from the cache.
    let before = registry.asked().len();
    fs::remove_dir_all(world.dir.path().join("system/var/lib/sdme/store")).unwrap();
    world.import(&format!("127.0.0.1:{}/team/app@{}", registry.port, content.manifest)).unwrap();
    assert!(registry.asked().iter().skip(before).all(|asked| !asked.path.contains("/blobs/")));
}

#[test]
fn basic_authentication_sends_the_password() {
    if !root("registry::basic_authentication_sends_the_password") {
        return;
    }
    let mut world = World::new();
    let registry = Scripted::start(|asked| {
        let refused = Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"secret place\"");
        (asked.header("authorization") != BASIC).then_some(refused)
    });
    world.bad(&registry, "denies access");
    world.access.credentials = Some(("me".into(), "wrong secret".into()));
    world.bad(&registry, "denies access");
    world.access.credentials = Some(("me".into(), "secret".into()));
    world.good(&registry);
    // Credentials from a file apply only to this repository.
    world.access.credentials = None;
    let key = format!("127.0.0.1:{}/team", registry.port);
    let file = serde_json::json!({"auths": {key: {"auth": BASIC.trim_start_matches("Basic ")}}}).to_string();
    fs::write(world.dir.path().join("auth.json"), file).unwrap();
    fs::remove_dir_all(world.dir.path().join("system")).unwrap();
    world.good(&registry);
}

#[test]
fn a_password_is_exchanged_for_a_token() {
    if !root("registry::a_password_is_exchanged_for_a_token") {
        return;
    }
    let mut world = World::new();
    let registry = Scripted::start(|asked| {
        if asked.path.starts_with("/token") {
            assert!(asked.path.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{}", asked.path);
            assert!(asked.path.contains("service=the+service"), "{}", asked.path);
            return Some(match asked.header("authorization") {
                BASIC => Reply::new(200, r#"{"token":"good"}"#),
                _ => Reply::new(401, r#"{"details":"incorrect username or secret"}"#),
            });
        }
        token_service(asked, "good", asked.header("host"))
    });
    world.bad(&registry, "denies anonymous access");
    world.access.credentials = Some(("me".into(), "other secret".into()));
    world.bad(&registry, "refuses the credentials");
    world.access.credentials = Some(("me".into(), "secret".into()));
    world.good(&registry);
}

#[test]
fn an_identity_token_is_exchanged_for_a_token() {
    if !root("registry::an_identity_token_is_exchanged_for_a_token") {
        return;
    }
    let world = World::new();
    let registry = Scripted::start(|asked| {
        if asked.path == "/token" {
            assert_eq!(asked.method, "POST");
            let good = asked.body.contains("grant_type=refresh_token")
                && asked.body.contains("refresh_token=the+secret%26")
                && asked.body.contains("scope=repository%3Ateam%2Fapp%3Apull");
            return Some(if good { Reply::new(200, r#"{"access_token":"good"}"#) } else { Reply::new(401, "") });
        }
        token_service(asked, "good", asked.header("host"))
    });
    let write = |token: &str| {
        let key = format!("127.0.0.1:{}", registry.port);
        let file = serde_json::json!({"auths": {key: {"identitytoken": token}}}).to_string();
        fs::write(world.dir.path().join("auth.json"), file).unwrap();
    };
    write("an old secret");
    world.bad(&registry, "refuses the credentials");
    write("the secret&");
    world.good(&registry);
}

#[test]
fn failures_of_token_services_are_retried() {
    if !root("registry::failures_of_token_services_are_retried") {
        return;
    }
    let mut world = World::new();
    world.access.credentials = Some(("me".into(), "secret".into()));
    let registry = Scripted::start(|asked| match (asked.path.starts_with("/token"), asked.before) {
        (true, 0) => Some(Reply::new(429, "").with("Retry-After", "1")),
        (true, 1) => Some(Reply::new(503, "")),
        (true, _) => Some(Reply::new(200, r#"{"token":"good"}"#)),
        _ => token_service(asked, "good", asked.header("host")),
    });
    let begun = std::time::Instant::now();
    world.good(&registry);
    assert!(begun.elapsed().as_millis() >= 1000);
    let heard = world.heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("limits the rate") && heard.contains("/token: 503"), "{heard}");
    fs::remove_dir_all(world.dir.path().join("system")).unwrap();
    // One token service recovers after one failure, another one never does.
    let registry = Scripted::start(|asked| match (asked.path.starts_with("/token"), asked.before) {
        (true, 0) => Some(Reply::new(500, "")),
        (true, _) => Some(Reply::new(200, r#"{"token":"good"}"#)),
        _ => token_service(asked, "good", asked.header("host")),
    });
    world.good(&registry);
    fs::remove_dir_all(world.dir.path().join("system")).unwrap();
    let registry = Scripted::start(|asked| {
        let down = Reply::new(502, "");
        if asked.path.starts_with("/token") { Some(down) } else { token_service(asked, "good", asked.header("host")) }
    });
    world.bad(&registry, "a problem of its own: /token: 502");
    assert!(registry.asked().iter().all(|asked| asked.path.starts_with("/token") || asked.path == "/v2/"));
}

/// The answer to `/v2/` names the token service. A failure of this request is retried like any
/// other, and a registry may require a token without naming the service there.
#[test]
fn failures_of_the_first_request_are_retried() {
    if !root("registry::failures_of_the_first_request_are_retried") {
        return;
    }
    for status in [429, 503] {
        let world = World::new();
        let registry = Scripted::start(move |asked| match (asked.path.as_str(), asked.before) {
            ("/v2/", 0 | 1) => Some(Reply::new(status, "")),
            (path, _) if path.starts_with("/token") => Some(Reply::new(200, r#"{"token":"","access_token":"good"}"#)),
            _ => token_service(asked, "good", asked.header("host")),
        });
        world.good(&registry);
    }
    let world = World::new();
    let registry = Scripted::start(|asked| match asked.path.as_str() {
        "/v2/" => None,
        path if path.starts_with("/token") => Some(Reply::new(200, r#"{"token":"good"}"#)),
        _ => token_service(asked, "good", asked.header("host")),
    });
    world.good(&registry);
}

#[test]
fn an_expired_token_is_renewed_once() {
    if !root("registry::an_expired_token_is_renewed_once") {
        return;
    }
    let world = World::new();
    let first = layer(&content(), 0);
    let registry = Scripted::start(move |asked| {
        if asked.path.starts_with("/token") {
            return Some(Reply::new(200, format!(r#"{{"token":"number-{}"}}"#, usize::from(asked.before > 0))));
        }
        // The first layer is requested after the first token has expired.
        let wanted = if asked.path == first { "number-1" } else { "number-0" };
        let lenient = asked.header("authorization") == "Bearer number-1";
        if lenient { None } else { token_service(asked, wanted, asked.header("host")) }
    });
    world.good(&registry);
    // A request is repeated only once with a new token, even if that is refused, too.
    let registry = Scripted::start(|asked| {
        if asked.path.starts_with("/token") {
            return Some(Reply::new(200, r#"{"token":"never good"}"#));
        }
        token_service(asked, "unknown", asked.header("host"))
    });
    fs::remove_dir_all(world.dir.path().join("system")).unwrap();
    world.bad(&registry, "denies access");
    assert_eq!(registry.count("/v2/team/app/manifests/1"), 2);
}

#[test]
fn redirects_take_no_credentials_along() {
    if !root("registry::redirects_take_no_credentials_along") {
        return;
    }
    let mut world = World::new();
    world.access.credentials = Some(("me".into(), "secret".into()));
    let storage = Scripted::start(|asked| {
        asked
            .path
            .strip_prefix("/far")
            .and_then(|path| content().files.get(path).map(|bytes| Reply::new(200, bytes.clone())))
    });
    let far = storage.port;
    let registry = Scripted::start(move |asked| {
        if asked.header("authorization") != BASIC {
            return Some(Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
        }
        // The first redirect stays on this host, the second one leads to another host.
        match asked.path.strip_prefix("/moved") {
            Some(path) => Some(Reply::new(307, "").with("Location", format!("http://127.0.0.1:{far}/far{path}"))),
            None if asked.path.contains("/blobs/") => {
                Some(Reply::new(302, "").with("Location", format!("/moved{}", asked.path)))
            }
            None => None,
        }
    });
    world.good(&registry);
    assert!(!storage.asked().is_empty());
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_empty()));
    assert!(
        registry.asked().iter().any(|asked| asked.path.starts_with("/moved") && asked.header("authorization") == BASIC)
    );

    for (target, want) in
        [("/v2/team/app/manifests/1", "redirects more than"), ("gopher://x/", "redirects away"), ("", "redirects")]
    {
        let circle = Scripted::start(move |asked| {
            asked.path.contains("manifests").then(|| Reply::new(301, "").with("Location", target))
        });
        let error = format!("{:#}", world.get(&circle).unwrap_err());
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn throttled_and_failed_requests_are_retried() {
    if !root("registry::throttled_and_failed_requests_are_retried") {
        return;
    }
    let mut world = World::new();
    let registry = Scripted::start(|asked| match (asked.path.contains("/blobs/"), asked.before) {
        (false, 0) if asked.path.contains("manifests") => {
            Some(Reply::new(429, r#"{"errors":[{"message":"slow down"}]}"#).with("Retry-After", "1"))
        }
        (true, 0) => {
            let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
            Some(Reply::new(503, "").with("Retry-After", httpdate::fmt_http_date(soon)))
        }
        (true, 1) => Some(Reply { cut: Some(0), ..Reply::new(200, "nothing") }),
        _ => None,
    });
    let begun = std::time::Instant::now();
    world.good(&registry);
    // The manifest waits one second, the layers wait more than one, because a date has no fraction
    // of a second.
    assert!(begun.elapsed().as_millis() >= 2000);
    let heard = world.heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("slow down") && heard.contains("trying again in 1 s"), "{heard}");
    fs::remove_dir_all(world.dir.path().join("system")).unwrap();

    let down = Scripted::start(|_| Some(Reply::new(500, "")));
    world.bad(&down, "a problem of its own");
    assert_eq!(down.count("/v2/team/app/manifests/1"), 4);
    world.access.retries = 0;
    let down = Scripted::start(|_| Some(Reply::new(500, "")));
    world.bad(&down, "500");
    assert_eq!(down.count("/v2/team/app/manifests/1"), 1);
    // A permanent failure is not retried.
    world.access.retries = 3;
    let gone = Scripted::start(|asked| asked.path.contains("manifests").then(|| Reply::new(404, "")));
    world.bad(&gone, "no such image");
    assert_eq!(gone.count("/v2/team/app/manifests/1"), 1);
}

#[test]
fn interrupted_downloads_are_resumed() {
    if !root("registry::interrupted_downloads_are_resumed") {
        return;
    }
    let world = World::new();
    let content = content();
    let (first, second, third) = (layer(&content, 0), layer(&content, 1), layer(&content, 2));
    let files = content.files.clone();
    let (one, two, three) = (first.clone(), second.clone(), third.clone());
    let registry = Scripted::start(move |asked| {
        let bytes = files.get(&asked.path).filter(|_| asked.path.contains("/blobs/"))?;
        let from: usize = asked.header("range").trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0);
        if asked.path != one && asked.path != two && asked.path != three {
            return None;
        }
        if asked.before == 0 {
            return Some(Reply { cut: Some(120_000), ..Reply::new(200, bytes.clone()) });
        }
        let rest = bytes.get(from..)?.to_vec();
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        if asked.path == two {
            // This blob is sent without support for ranges.
            return Some(Reply::new(200, bytes.clone()));
        }
        if asked.path == three && asked.before == 2 && from > 0 {
            // This blob is refused with a range.
            return Some(Reply::new(416, ""));
        }
        if asked.path == three && asked.before == 1 {
            // This blob is sent from another position than requested.
            return Some(Reply::new(206, rest).with("Content-Range", "bytes 0-9/10"));
        }
        Some(if from == 0 { Reply::new(200, rest) } else { Reply::new(206, rest).with("Content-Range", range) })
    });
    world.good(&registry);
    let ranges: Vec<String> = registry
        .asked()
        .iter()
        .filter(|asked| asked.path == first && asked.before > 0)
        .map(|asked| asked.header("range").to_owned())
        .collect();
    assert!(ranges.iter().any(|range| range == "bytes=120000-"), "{ranges:?}");
    assert_eq!(registry.count(&second), 2);
    assert_eq!(registry.count(&third), 3);
}

#[test]
fn a_download_starts_over_if_ranges_are_refused() {
    if !root("registry::a_download_starts_over_if_ranges_are_refused") {
        return;
    }
    for status in [400, 403, 405, 416, 501] {
        let first = layer(&content(), 0);
        let (path, bytes) = (first.clone(), content().files[&first].clone());
        let registry = Scripted::start(move |asked| match (asked.path == path, asked.header("range").is_empty()) {
            (true, false) => Some(Reply::new(status, "")),
            (true, true) if asked.before < 2 => Some(Reply { cut: Some(120_000), ..Reply::new(200, bytes.clone()) }),
            _ => None,
        });
        World::new().good(&registry);
        assert!(registry.asked().iter().any(|asked| asked.header("range") == "bytes=120000-"), "{status}");
    }
}

#[test]
fn wrong_data_of_a_registry_is_refused() {
    if !root("registry::wrong_data_of_a_registry_is_refused") {
        return;
    }
    let world = World::new();
    let first = layer(&content(), 0);
    let path = first.clone();
    let longer = Scripted::start(move |asked| (asked.path == path).then(|| Reply::new(200, vec![b'x'; 1 << 20])));
    world.bad(&longer, "more than the");
    let (path, length) = (first.clone(), content().files[&first].len());
    // The layer is unpacked while it arrives: its first half is already no archive.
    let pause = Duration::from_millis(300);
    let other = Scripted::start(move |asked| {
        (asked.path == path).then(|| Reply { pause, ..Reply::new(200, vec![b'x'; length]) })
    });
    world.bad(&other, "sent something else");
    // The request is not retried; the layer occurs twice and may be requested once for each.
    assert!(other.count(&first) <= 2);
    let path = first.clone();
    let shorter = Scripted::start(move |asked| (asked.path == path).then(|| Reply::new(200, "x")));
    world.bad(&shorter, "instead of");
    let endless =
        Scripted::start(|asked| asked.path.contains("manifests").then(|| Reply::new(200, vec![b' '; 5 << 20])));
    world.bad(&endless, "larger than 4194304");
    let pinned = Scripted::start(|asked| asked.path.contains("manifests").then(|| Reply::new(200, "{}")));
    let reference = format!("127.0.0.1:{}/team/app@{}", pinned.port, content().manifest);
    assert!(format!("{:#}", world.import(&reference).unwrap_err()).contains("instead of"));
    let noise = Scripted::start(|asked| {
        asked.path.contains("manifests").then(|| Reply::new(403, "{\"errors\":[{\"message\":\"\\u001b[2Jgone\"}]}"))
    });
    let error = format!("{:#}", world.get(&noise).unwrap_err());
    assert!(error.contains("[2Jgone") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn mirrors_get_no_credentials_and_plain_http_needs_permission() {
    if !root("registry::mirrors_get_no_credentials_and_plain_http_needs_permission") {
        return;
    }
    let mut world = World::new();
    // Mirrors must not get these credentials.
    world.access.credentials = Some(("me".into(), "secret".into()));
    let empty = Scripted::start(|asked| asked.path.contains("/v2/team").then(|| Reply::new(404, "")));
    let half = Scripted::start(|asked| asked.path.contains("/blobs/").then(|| Reply::new(404, "")));
    let registry = Scripted::start(|asked| {
        let refused = Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\"");
        (asked.header("authorization") != BASIC).then_some(refused)
    });
    let name = format!("127.0.0.1:{}", registry.port);
    for mirror in [&empty, &half] {
        world.registries.mirrors.push((name.clone(), format!("127.0.0.1:{}", mirror.port)));
    }
    world.good(&registry);
    assert!(registry.count("/v2/team/app/manifests/1") == 0 && half.count("/v2/team/app/manifests/1") == 1);
    assert!(empty.asked().iter().chain(&half.asked()).all(|asked| asked.header("authorization").is_empty()));
    let heard = world.heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("going on without it"), "{heard}");

    // If the registry fails as well, the message begins with the mirror.
    world.access.retries = 0;
    let host = "mirrored.invalid";
    world.registries.mirrors = vec![(host.to_owned(), format!("127.0.0.1:{}", empty.port))];
    let error = format!("{:#}", world.import(&format!("{host}/team/app:1")).unwrap_err());
    let wanted = format!("the mirror 127.0.0.1:{} has no such image; {host} cannot be reached: ", empty.port);
    assert!(error.contains(&wanted), "{error}");

    // A name other than a loopback address requires HTTPS, unless the configuration says otherwise.
    let plain = Scripted::start(|_| None);
    let name = format!("ip6-localhost.invalid:{}", plain.port);
    world.access.retries = 0;
    world.registries = Registries { insecure: vec![name.clone()], ..Registries::default() };
    let error = format!("{:#}", world.import(&format!("{name}/team/app:1")).unwrap_err());
    assert!(error.contains("cannot be reached"), "{error}");
    world.access.tls_verify = Some(true);
    let error = format!("{:#}", world.get(&plain).unwrap_err());
    assert!(error.contains("cannot be reached") && plain.asked().len() < 3, "{error}");
    world.registries.insecure = vec![format!("127.0.0.1:{}", plain.port)];
    world.good(&plain);
}

#[test]
fn newer_uses_what_is_there_when_the_registry_is_down() {
    if !root("registry::newer_uses_what_is_there_when_the_registry_is_down") {
        return;
    }
    let world = World::new();
    let registry =
        Scripted::start(|asked| (asked.path.contains("manifests") && asked.before > 0).then(|| Reply::new(500, "")));
    let source: ImageSource = format!("127.0.0.1:{}/team/app:1", registry.port).parse().unwrap();
    let get = |pull| {
        let request = Request { pull, access: &world.access, ..Request::new("x", &source) };
        import(&Store::open(&world.dir.path().join("system")), &request, &world.heard)
    };
    let found = get(Pull::Newer).unwrap();
    assert!(get(Pull::Always).is_err());
    assert_eq!(get(Pull::Newer).unwrap(), found);
    assert!(world.heard.0.lock().unwrap().join("\n").contains("using what is there"));
    assert!(registry.count("/v2/team/app/manifests/1") > 2);
}
