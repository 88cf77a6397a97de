// SPDX-License-Identifier: MIT
//! Tests of signatures in registries: the requests for them, and hostile answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::scripted::{Asked, Reply, Scripted, content};
use crate::config::trust::policy::KeySource;
use crate::config::trust::{Trust, Verify};
use crate::config::values::access::{Access, Registries};
use crate::config::values::source::ImageSource;
use crate::diag::{Location, Spanned};
use crate::image::store::digest::Digest;
use crate::image::testing::root;
use crate::image::trust::is_refusal;
use crate::image::trust::tests::{key, payload, sign};
use crate::image::{Imported, Request, Silent, Store, import};

/// A host with a key, and the attachments of the image in the scripted registry: documents and
/// blobs by path.
struct World {
    dir: tempfile::TempDir,
    files: BTreeMap<String, Vec<u8>>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        key(dir.path(), "k", &["-algorithm", "ED25519"]);
        Self { dir, files: BTreeMap::new() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Creates a layer with a valid signature of the image for a reference.
    fn layer(&mut self, reference: &str) -> Value {
        let payload = payload(&content().manifest, reference);
        let signature = sign(self.path(), "k", payload.as_bytes(), "");
        let described = self.blob(payload.as_bytes(), "application/vnd.dev.cosign.simplesigning.v1+json");
        let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signature);
        with(described, "annotations", json!({"dev.cosignproject.cosign/signature": signature}))
    }

    fn blob(&mut self, bytes: &[u8], media: &str) -> Value {
        let digest = Digest::of(bytes);
        self.files.insert(format!("/v2/team/app/blobs/{digest}"), bytes.to_vec());
        json!({"mediaType": media, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Adds a document with attachments under its digest, and under a tag if one is given.
    fn document(&mut self, tag: Option<&str>, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        if let Some(tag) = tag {
            self.files.insert(format!("/v2/team/app/manifests/{tag}"), bytes.clone());
        }
        let described = json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": bytes.len()});
        self.files.insert(format!("/v2/team/app/manifests/{digest}"), bytes);
        described
    }

    /// Serves the attachments with the image, and imports the image. `script` may replace any
    /// answer.
    fn import(
        &self,
        script: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static,
    ) -> (anyhow::Result<Imported>, Scripted) {
        let files = self.files.clone();
        let registry = Scripted::start(move |asked| {
            script(asked).or_else(|| Some(Reply::new(200, files.get(&asked.path)?.clone())))
        });
        let auth = self.path().join("auth.json");
        std::fs::write(&auth, "{}").unwrap();
        let access = Access { auth_file: Some(auth.to_str().unwrap().to_owned()), delay: 1, ..Access::default() };
        let registries = Registries::default();
        let source: ImageSource = format!("127.0.0.1:{}/team/app:1", registry.port).parse().unwrap();
        let at = Location::new(&Arc::from("/f"), 1);
        let keys = Spanned { value: vec![KeySource::Path("/k.pub".to_owned())], at };
        let identity = crate::config::trust::identity(&["quay.io/team/app:1".to_owned()]).unwrap();
        let trust = Trust { verify: Verify { keys: Some(keys), identity: Some(identity) }, ..Trust::default() };
        let request = Request { access: &access, registries: &registries, trust: &trust, ..Request::new("x", &source) };
        (import(&Store::open(self.path()), &request, &Silent), registry)
    }
}

fn with(mut value: Value, key: &str, inner: Value) -> Value {
    value[key] = inner;
    value
}

fn tag(end: &str) -> String {
    format!("sha256-{}{end}", content().manifest.hex())
}

/// Asserts that no layer of the image was requested.
fn no_blob(registry: &Scripted) {
    let layers = content().layers;
    assert!(registry.asked().iter().all(|asked| !layers.iter().any(|layer| asked.path.ends_with(&layer.to_string()))));
}

const GOOD: &str = "quay.io/team/app:1";

#[test]
fn signatures_are_found_by_tag_referrers_and_fallback_tag() {
    if !root("signed::signatures_are_found_by_tag_referrers_and_fallback_tag") {
        return;
    }
    // With the tag of cosign, nothing else is requested.
    let mut world = World::new();
    let layer = world.layer(GOOD);
    world.document(Some(&tag(".sig")), &json!({"layers": [layer]}));
    let (found, registry) = world.import(|_| None);
    let accepted = found.unwrap().image.accepted;
    assert_eq!(
        (accepted[0].policy.as_str(), accepted[0].scope.as_str(), accepted[0].key.as_str()),
        ("/f:1", "VerifyKey=", "/k.pub")
    );
    assert!(registry.asked().iter().all(|asked| !asked.path.contains("referrers")));
    // With the list of referrers, and with the tag that replaces this list.
    for listed in [true, false] {
        let mut world = World::new();
        let layer = world.layer(GOOD);
        let subject = json!({"digest": content().manifest.to_string(), "size": 1});
        let described = world.document(None, &json!({"layers": [layer], "subject": subject}));
        let index = json!({"manifests": [described]});
        if listed {
            let path = format!("/v2/team/app/referrers/{}", content().manifest);
            world.files.insert(path, index.to_string().into_bytes());
        } else {
            world.document(Some(&tag("")), &index);
        }
        let (found, registry) = world.import(move |asked| {
            // The answer of a registry without support for referrers.
            (!listed && asked.path.contains("referrers")).then(|| Reply::new(405, "no"))
        });
        assert_eq!(found.unwrap().image.accepted.len(), 1, "{listed}");
        assert_eq!(registry.count(&format!("/v2/team/app/manifests/{}", tag(""))), usize::from(!listed));
    }
}

#[test]
fn hostile_answers_are_not_accepted_as_signatures() {
    if !root("signed::hostile_answers_are_not_accepted_as_signatures") {
        return;
    }
    let failed = |world: &World, script: fn(&Asked) -> Option<Reply>, refused: bool, want: &str| {
        let (found, registry) = world.import(script);
        let error = found.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(want) && is_refusal(&error) == refused, "{want}: {text}");
        no_blob(&registry);
        let store = world.path().join("var/lib/sdme/store");
        let left: Vec<_> = std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".locks"], "{want}");
    };
    failed(&World::new(), |_| None, true, "the image has no signature");
    // An error of a registry leads to a retry, and is not the same as an image without signatures.
    failed(
        &World::new(),
        |asked| asked.path.ends_with(".sig").then(|| Reply::new(500, "")),
        false,
        "problem of its own",
    );
    let sized = |text: &'static str| move |asked: &Asked| asked.path.ends_with(".sig").then(|| Reply::new(200, text));
    let (found, registry) = World::new().import(sized("<html>"));
    assert!(format!("{:#}", found.unwrap_err()).contains("the manifest of the signatures is malformed"));
    no_blob(&registry);

    let mut world = World::new();
    let layer = world.layer(GOOD);
    world.document(Some(&tag(".sig")), &json!({"layers": vec![layer.clone(); 65]}));
    failed(&world, |_| None, false, "more than 64 signatures");
    world.document(Some(&tag(".sig")), &json!({"layers": [with(layer.clone(), "size", json!(u64::MAX))]}));
    failed(&world, |_| None, false, "is larger than");
    // The content differs from the digest.
    world.document(Some(&tag(".sig")), &json!({"layers": [layer.clone()]}));
    let path = world.files.keys().find(|path| path.contains("/blobs/")).unwrap().clone();
    let bytes = world.files.insert(path.clone(), b"{}".to_vec()).unwrap();
    failed(&world, |_| None, false, "does not have the content its digest says");
    world.files.insert(path, bytes);
    // The referrer refers to another image.
    world.files.retain(|path, _| !path.ends_with(".sig"));
    let subject = json!({"digest": Digest::of(b"other").to_string(), "size": 1});
    let described = world.document(None, &json!({"layers": [layer], "subject": subject}));
    world.document(Some(&tag("")), &json!({"manifests": [described]}));
    failed(&world, |_| None, true, "the image has no signature");
    let other = world.layer("quay.io/team/other:1");
    world.document(Some(&tag(".sig")), &json!({"layers": [other]}));
    failed(&world, |_| None, true, "a signature is for \"quay.io/team/other:1\"");
}
