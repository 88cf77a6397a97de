// SPDX-License-Identifier: MIT
//! Policies and images; sdme-gen and podman decide each case on one host.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::containers::{boot_with, ready};
use super::support::host::Host;
use super::support::sign::{self, Layer, Signer};
use super::support::{registry, run};
use super::{Image, TEAM, accept, attachments, image, layout, only, push, reject, signed, write_policy};

/// A policy and an image.
struct Case {
    what: &'static str,
    policy: Value,
    source: String,
    /// Whether sdme-gen accepts the image.
    accepted: bool,
    /// The reason if podman decides otherwise.
    differs: Option<&'static str>,
}

/// The reason for images whose signatures Podman 5.8 does not read.
const UNREAD: &str = "podman reads signatures neither in layouts and archives nor by referrers, and no bundles";

/// The keys of the cases, and the texts of their public keys.
struct World {
    keys: Vec<(&'static str, Signer)>,
    public: Vec<(&'static str, String)>,
}

impl World {
    fn signer(&self, name: &str) -> &Signer {
        &self.keys.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn data(&self, name: &str) -> String {
        STANDARD.encode(&self.public.iter().find(|(known, _)| *known == name).unwrap().1)
    }

    /// A signature of an image for an image reference.
    fn simple(&self, key: &str, image: &Image, reference: &str) -> Layer {
        sign::simple(self.signer(key), &sign::payload(&image.digest, reference))
    }
}

#[test]
fn sdme_gen_decides_as_podman_or_with_a_reason() {
    if !ready("forky-podman", &["skopeo", "docker-registry", "openssl", "curl"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let kinds = [("a", "p256"), ("b", "p256"), ("p384", "p384"), ("ed25519", "ed25519"), ("rsa", "rsa")];
    let keys: Vec<_> = kinds.iter().map(|(name, kind)| (*name, Signer::new(outside.path(), name, kind))).collect();
    let public = |name: &str| fs::read_to_string(outside.path().join(format!("{name}.pub"))).unwrap();
    let world = World { public: kinds.iter().map(|(name, _)| (*name, public(name))).collect(), keys };
    files(directory.path(), &world);
    let builder = Host::builder("forky-podman", "trust-table").bind(directory.path(), "/srv/trust");
    let host = boot_with(builder);
    drop(registry::serve(&host, outside.path()));
    attachments(&host);
    for (name, text) in &world.public {
        host.write(&format!("/etc/pki/{name}.pub"), text);
    }
    host.write("/etc/pki/garbage.pub", "garbage");
    host.write(
        "/etc/containers/registries.d/off.yaml",
        format!("docker:\n  {TEAM}/off:\n    use-sigstore-attachments: false\n"),
    );
    host.write(
        "/etc/containers/registries.conf.d/test.conf",
        "[[registry]]\nlocation=\"images.example.org\"\n[[registry.mirror]]\nlocation=\"127.0.0.1:5000\"\ninsecure=true\n",
    );
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nMirror=images.example.org 127.0.0.1:5000\n");
    host.ok("ln -s /srv/trust/layout /srv/link");
    images(&host, &world);
    let cases: Vec<Case> = keyed(&world).into_iter().chain(scoped(&world)).chain(malformed()).chain(local()).collect();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        write_policy(&host, &case.policy);
        host.run("podman rmi -af; sdme-gen fs rm t");
        let podman = host.run(&format!("podman pull -q --tls-verify=false {}", case.source));
        let own = host.run(&format!("sdme-gen fs import --app t {}", case.source));
        let stored = host.run("test -e /var/lib/sdme/fs/t").success();
        let words = |accepted: bool| if accepted { "accepted" } else { "refused" };
        let mark = if case.differs.is_some() { " (differs)" } else { "" };
        eprintln!("{:64} ours {:9} podman {}{mark}", case.what, words(own.success()), words(podman.success()));
        let right = (case.accepted, case.accepted != case.differs.is_some());
        if (own.success(), podman.success()) != right || stored != case.accepted {
            wrong.push(format!("{}:\nours {own}\npodman {podman}", case.what));
        }
        if !podman.success() {
            let said = podman.stderr.trim().lines().last().unwrap_or_default();
            eprintln!("    {said}");
            assert!(
                ["Source image rejected", "invalid policy"].iter().any(|text| said.contains(text)),
                "{}: {said}",
                case.what
            );
        }
        if case.what == "only the index is signed" {
            assert!(own.stderr.contains("cosign sign --recursive"), "{own}");
        }
        // The message of a refusal names the rule of the policy, or the mistake in the policy.
        if !own.success()
            && !["is not accepted: /etc/containers/policy.json, ", "invalid signature policy"]
                .iter()
                .any(|text| own.stderr.contains(text))
        {
            wrong.push(format!("{}: {}", case.what, own.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{} cases, {} of them differ", cases.len(), cases.iter().filter(|case| case.differs.is_some()).count());
    cached(&host);
}

/// Images that were imported before there was a policy: podman uses them, sdme-gen does not.
fn cached(host: &Host) {
    write_policy(host, &json!({"default": accept()}));
    host.ok("sdme-gen fs rm t 2>/dev/null; true");
    host.ok(&format!(
        "sdme-gen fs import --app t {TEAM}/unsigned:1 && podman pull -q --tls-verify=false {TEAM}/unsigned:1"
    ));
    let reject = json!({"default": [{"type": "reject"}]});
    write_policy(host, &reject);
    let error = host.fails(&format!("sdme-gen fs import --app t {TEAM}/unsigned:1"));
    assert!(error.contains("is not accepted: /etc/containers/policy.json, scope default: reject"), "{error}");
    host.ok(&format!("podman pull -q --policy=missing --tls-verify=false {TEAM}/unsigned:1"));
    // A root file system. podman only accepts one in `podman import`, which ignores the policy.
    host.ok("tar -C /etc -cf /srv/root.tar passwd");
    let error = host.fails("sdme-gen fs import --app r rootfs:/srv/root.tar");
    assert!(error.contains("scope default: reject"), "{error}");
    write_policy(host, &only("tarball", "", &json!([signed("a", &Value::Null)])));
    let error = host.fails("sdme-gen fs import --app r rootfs:/srv/root.tar");
    assert!(error.contains("scope tarball: sigstoreSigned by /etc/pki/a.pub"), "{error}");
    write_policy(host, &only("tarball", "", &accept()));
    host.ok("sdme-gen fs import --app r rootfs:/srv/root.tar");
    write_policy(host, &reject);
    // The policy of the user, here root, takes precedence over the policy of the machine.
    host.ok("mkdir -p /root/.config/containers");
    host.write("/root/.config/containers/policy.json", json!({"default": accept()}).to_string());
    host.ok(&format!("sdme-gen fs import --app t {TEAM}/unsigned:1"));
    host.ok(&format!("HOME=/root podman pull -q --policy=always --tls-verify=false {TEAM}/unsigned:1"));
    host.ok("rm /root/.config/containers/policy.json");
}

/// Writes layouts, archives and directories.
fn files(directory: &Path, world: &World) {
    let at = |name: &str| directory.join(name);
    let named = "vendor.example/local:1";
    for (name, key) in [("layout", Some("a")), ("plain", None), ("layout-b", Some("b"))] {
        let image = image(name);
        layout(&at(name), &image);
        if let Some(key) = key {
            let (manifest, blobs) = sign::manifest(&[world.simple(key, &image, named)], None);
            sign::add(&at(name), &sign::tag(&image.digest), sign::MANIFEST, &manifest, &blobs);
        }
    }
    let image = image("referring");
    layout(&at("referring"), &image);
    let subject = json!({"mediaType": sign::MANIFEST, "digest": image.digest, "size": image.manifest.len()});
    let bundle = sign::bundle(world.signer("a"), &image.digest, Some(named), sign::SIGN);
    let (manifest, blobs) = sign::manifest(&[bundle], Some(&subject));
    sign::add(&at("referring"), "", sign::MANIFEST, &manifest, &blobs);
    for name in ["layout", "plain"] {
        run(Command::new("tar").arg("-C").arg(at(name)).arg("-cf").arg(at(&format!("{name}.tar"))).arg("."));
    }
    let copy = |from: &str, to: &str| {
        run(Command::new("skopeo").args([
            "copy",
            "-q",
            "--insecure-policy",
            &format!("oci:{}:one", at(from).display()),
            to,
        ]));
    };
    copy("plain", &format!("docker-archive:{}:{named}", at("docker.tar").display()));
    for (name, key) in [("dir", Some("a")), ("dir-plain", None), ("dir-b", Some("b"))] {
        copy("plain", &format!("dir:{}", at(name).display()));
        let manifest = fs::read(at(name).join("manifest.json")).unwrap();
        let digest = format!("sha256:{}", super::hex(&manifest));
        if let Some(key) = key {
            let layer = sign::simple(world.signer(key), &sign::payload(&digest, named));
            fs::write(at(name).join("signature-1"), layer.file()).unwrap();
        }
    }
}

/// Pushes the images to the registry.
fn images(host: &Host, world: &World) {
    let of = |name: &str| format!("{TEAM}/{name}:1");
    let put = |name: &str, layers: &dyn Fn(&Image) -> Vec<Layer>| -> Image {
        let image = image(name);
        push(host, name, "1", &image);
        let layers = layers(&image);
        if !layers.is_empty() {
            sign::attach(host, &format!("team/{name}"), &image.digest, &layers);
        }
        image
    };
    let unsigned = put("unsigned", &|_| vec![]);
    let good = put("signed", &|image| vec![world.simple("a", image, &of("signed"))]);
    push(host, "signed", "2", &good);
    put("off", &|image| vec![world.simple("a", image, &of("off"))]);
    put("other-key", &|image| vec![world.simple("b", image, &of("other-key"))]);
    put("corrupt", &|image| {
        let mut layer = world.simple("a", image, &of("corrupt"));
        layer.annotations = world.simple("a", image, &of("else")).annotations;
        vec![layer]
    });
    put("repository", &|image| vec![world.simple("a", image, &format!("{TEAM}/repository"))]);
    put("for-other", &|image| vec![world.simple("a", image, &of("another"))]);
    put("digest", &|_| vec![world.simple("a", &unsigned, &of("digest"))]);
    put("several", &|image| {
        let mut bare = world.simple("a", image, &of("several"));
        bare.annotations = json!({});
        vec![world.simple("b", image, &of("several")), bare, world.simple("a", image, &of("several"))]
    });
    put("several-bad", &|image| {
        vec![world.simple("b", image, &of("several-bad")), world.simple("a", &unsigned, &of("several-bad"))]
    });
    put("both", &|image| vec![world.simple("a", image, &of("both")), world.simple("rsa", image, &of("both"))]);
    for key in ["p384", "ed25519", "rsa"] {
        put(key, &|image| vec![world.simple(key, image, &of(key))]);
    }
    put("sha384", &|image| {
        let payload = sign::payload(&image.digest, &of("sha384"));
        let signature = STANDARD.encode(world.signer("p384").sign(payload.as_bytes(), "sha384"));
        let annotations = json!({"dev.cosignproject.cosign/signature": signature});
        vec![Layer { media: sign::SIMPLE, content: payload.into_bytes(), annotations }]
    });
    put("odd-payload", &|image| {
        let payload = sign::payload(&image.digest, &of("odd-payload"));
        vec![sign::simple(world.signer("a"), &payload.replace("\"optional\"", "\"more\":1,\"optional\""))]
    });
    put("no-optional", &|image| {
        let payload = sign::payload(&image.digest, &of("no-optional"));
        vec![sign::simple(world.signer("a"), &payload.replace(",\"optional\":null", ""))]
    });
    put("annotated", &|image| {
        let optional = r#""optional":{"creator":"me","timestamp":1700000000,"commit":"abc"}"#;
        let payload = sign::payload(&image.digest, &of("annotated"));
        vec![sign::simple(world.signer("a"), &payload.replace("\"optional\":null", optional))]
    });
    put("attested", &|image| {
        let mut layer = world.simple("a", image, &of("attested"));
        layer.media = "application/vnd.dsse.envelope.v1+json";
        vec![layer]
    });
    put("remapped", &|image| vec![world.simple("a", image, "vendor.example/x/remapped:1")]);
    put("mirrored", &|image| vec![world.simple("a", image, "images.example.org/team/mirrored:1")]);
    put("mirror-name", &|image| vec![world.simple("a", image, &of("mirror-name"))]);
    // Images for several platforms: either the manifest is signed, or only the index.
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let platform = json!({"platform": {"os": "linux", "architecture": architecture}});
    for (name, inner) in [("multi", true), ("multi-index", false)] {
        let image = image(name);
        push(host, name, "inner", &image);
        let index = sign::index(&image.manifest, &platform);
        let digest = sign::push(host, &format!("team/{name}"), "1", sign::INDEX, &index, &[]);
        let payload = sign::payload(if inner { &image.digest } else { &digest }, &of(name));
        let signed = if inner { image.digest.clone() } else { digest };
        sign::attach(host, &format!("team/{name}"), &signed, &[sign::simple(world.signer("a"), &payload)]);
    }
    // The registry does not support the referrers API, so the signatures are under the fallback
    // tag.
    for name in
        ["bundle", "bundle-nameless", "attestation", "referrer", "bundle-other", "bundle-ed25519", "bundle-p384"]
    {
        let image = image(name);
        push(host, name, "1", &image);
        let bundle = |key: &str, digest: &str, named: bool, predicate: &str| {
            let reference = of(name);
            sign::bundle(world.signer(key), digest, named.then_some(reference.as_str()), predicate)
        };
        let layer = match name {
            "bundle" => bundle("a", &image.digest, true, sign::SIGN),
            "bundle-nameless" => bundle("a", &image.digest, false, sign::SIGN),
            "bundle-ed25519" => bundle("ed25519", &image.digest, true, sign::SIGN),
            "bundle-p384" => bundle("p384", &image.digest, true, sign::SIGN),
            "attestation" => bundle("a", &image.digest, true, "https://slsa.dev/provenance/v1"),
            "referrer" => world.simple("a", &image, &of(name)),
            _ => bundle("a", &unsigned.digest, true, sign::SIGN),
        };
        let subject = json!({"mediaType": sign::MANIFEST, "digest": image.digest, "size": image.manifest.len()});
        let (manifest, blobs) = sign::manifest(&[layer], Some(&subject));
        sign::push(host, &format!("team/{name}"), "referrer", sign::MANIFEST, &manifest, &blobs);
        let index = sign::index(&manifest, &json!({"artifactType": sign::BUNDLE}));
        sign::push(host, &format!("team/{name}"), &image.digest.replace(':', "-"), sign::INDEX, &index, &[]);
    }
}

/// Cases of signatures, keys and identities.
fn keyed(world: &World) -> Vec<Case> {
    let mut all = Vec::new();
    let mut case = |what, name: &str, accepted, requirements: Value| {
        let policy = only("docker", "", &requirements);
        let name = if name.contains([':', '@']) { name.to_owned() } else { format!("{name}:1") };
        all.push(Case { what, policy, source: format!("{TEAM}/{name}"), accepted, differs: None });
    };
    let (null, by) = (Value::Null, |key: &str| json!([signed(key, &Value::Null)]));
    let identity = |value: Value| json!([signed("a", &value)]);
    let kind = |name: &str| json!([signed("a", &json!({"type": name}))]);
    let reference = |text: &str| json!([signed("a", &json!({"type": "exactReference", "dockerReference": text}))]);
    let repository = |text: &str| json!([signed("a", &json!({"type": "exactRepository", "dockerRepository": text}))]);
    let digest = image("signed").digest;
    case("anything is accepted", "unsigned", true, accept());
    case("everything is rejected", "signed", false, reject());
    case("signed", "signed", true, by("a"));
    case("unsigned", "unsigned", false, by("a"));
    case("signed by another key", "other-key", false, by("a"));
    case("the signature of another payload", "corrupt", false, by("a"));
    case("the signature of another digest", "digest", false, by("a"));
    case("several signatures, one of them good", "several", true, by("a"));
    case("several signatures, none of them good", "several-bad", false, by("a"));
    case("a payload with an unknown key", "odd-payload", false, by("a"));
    case("a payload without optional", "no-optional", false, by("a"));
    case("a payload with annotations", "annotated", true, by("a"));
    case("an attestation and no signature", "attested", false, by("a"));
    case("P-384", "p384", true, by("p384"));
    case("P-384 with SHA-384", "sha384", false, by("p384"));
    case("Ed25519", "ed25519", true, by("ed25519"));
    case("RSA", "rsa", true, by("rsa"));
    case("RSA in place of P-256", "rsa", false, by("a"));
    case("a key that is not there", "signed", false, by("missing"));
    case("a key that is none", "signed", false, by("garbage"));
    case("two requirements, both met", "both", true, json!([signed("a", &null), signed("rsa", &null)]));
    case("two requirements, one met", "signed", false, json!([signed("a", &null), signed("rsa", &null)]));
    case("anything, and signed", "unsigned", false, json!([{"type": "insecureAcceptAnything"}, signed("a", &null)]));
    let keys = |key: &str, value: Value| json!([{"type": "sigstoreSigned", key: value}]);
    case("keyPaths", "signed", true, keys("keyPaths", json!(["/etc/pki/b.pub", "/etc/pki/a.pub"])));
    case("keyPaths without the key", "signed", false, keys("keyPaths", json!(["/etc/pki/b.pub"])));
    case("keyPaths, one missing", "signed", false, keys("keyPaths", json!(["/etc/pki/a.pub", "/etc/pki/missing.pub"])));
    case("keyData", "signed", true, keys("keyData", json!(world.data("a"))));
    case("keyData of another key", "signed", false, keys("keyData", json!(world.data("b"))));
    case("keyDatas", "signed", true, keys("keyDatas", json!([world.data("b"), world.data("a")])));
    case("signed for the repository", "repository", false, by("a"));
    case("signed for the repository, matchExact", "repository", false, kind("matchExact"));
    case("signed for the repository, matchRepository", "repository", true, kind("matchRepository"));
    case("signed for another repository", "for-other", false, by("a"));
    case("signed for another repository, matchRepository", "for-other", false, kind("matchRepository"));
    case("exactReference", "for-other", true, reference(&format!("{TEAM}/another:1")));
    case("exactReference with another tag", "for-other", false, reference(&format!("{TEAM}/another:2")));
    case("exactRepository", "for-other", true, repository(&format!("{TEAM}/another")));
    case("exactRepository of another name", "for-other", false, repository(&format!("{TEAM}/anothe")));
    case("matchExact", "signed", true, kind("matchExact"));
    case("signed for another tag", "signed:2", false, by("a"));
    case("signed for another tag, matchExact", "signed:2", false, kind("matchExact"));
    case("signed for another tag, matchRepository", "signed:2", true, kind("matchRepository"));
    case("by digest", &format!("signed@{digest}"), true, by("a"));
    case("by digest, matchExact", &format!("signed@{digest}"), false, kind("matchExact"));
    case("by tag and digest", &format!("signed:2@{digest}"), true, by("a"));
    let remap = |prefix: &str| json!({"type": "remapIdentity", "prefix": prefix, "signedPrefix": "vendor.example/x"});
    case("remapIdentity", "remapped", true, identity(remap(TEAM)));
    case("remapIdentity of another prefix", "remapped", false, identity(remap("127.0.0.1:5000/tea")));
    case("remapIdentity without its prefix", "signed", true, identity(remap("quay.io")));
    case("the manifest of an index is signed", "multi", true, by("a"));
    case("only the index is signed", "multi-index", false, by("a"));
    case("signatures are not looked for", "off", false, by("a"));
    case("a bundle that names no reference", "bundle-nameless", false, by("a"));
    case("a bundle for another digest", "bundle-other", false, by("a"));
    case("an attestation as a bundle", "attestation", false, by("a"));
    case("a bundle by another key", "bundle", false, by("b"));
    for (what, name, key) in [
        ("a bundle", "bundle", "a"),
        ("a bundle by Ed25519", "bundle-ed25519", "ed25519"),
        ("a bundle by P-384", "bundle-p384", "p384"),
        ("simple signing as a referrer", "referrer", "a"),
    ] {
        case(what, name, true, by(key));
    }
    for case in all.iter_mut().rev().take(4) {
        case.differs = Some(UNREAD);
    }
    all
}

/// Cases of scopes, mirrors, and requirements that are not supported.
fn scoped(_: &World) -> Vec<Case> {
    let mut all = Vec::new();
    let mut case = |what, source: &str, accepted, policy: Value| {
        all.push(Case { what, policy, source: source.to_owned(), accepted, differs: None });
    };
    let by_key = json!([signed("a", &Value::Null)]);
    let scopes = |scopes: Value| json!({"default": reject(), "transports": {"docker": scopes}});
    let (signed_image, unsigned) = (format!("{TEAM}/signed:1"), format!("{TEAM}/unsigned:1"));
    case(
        "the repository before the host",
        &unsigned,
        true,
        scopes(json!({"127.0.0.1:5000": reject(), TEAM: accept()})),
    );
    case("the tag before the repository", &unsigned, false, scopes(json!({&unsigned: reject(), TEAM: accept()})));
    case("the host", &signed_image, true, scopes(json!({"127.0.0.1:5000": by_key})));
    case("the host without its port", &signed_image, false, scopes(json!({"127.0.0.1": accept()})));
    case("the transport before the default", &unsigned, true, scopes(json!({"": accept()})));
    case("part of a name", &unsigned, false, scopes(json!({format!("{TEAM}/unsign"): accept()})));
    case("another transport", &unsigned, false, only("oci", "", &accept()));
    case("an unknown transport", &unsigned, true, json!({"default": accept(), "transports": {"odd": {"x": reject()}}}));
    let mirrored = |name: &str| format!("images.example.org/team/{name}:1");
    case("from a mirror", &mirrored("mirrored"), true, scopes(json!({"*.example.org": by_key})));
    case("from a mirror, unsigned", &mirrored("unsigned"), false, scopes(json!({"images.example.org": by_key})));
    case("from a mirror, signed for the mirror", &mirrored("mirror-name"), false, scopes(json!({"*.org": by_key})));
    case(
        "from a mirror, whose host is accepted",
        &mirrored("unsigned"),
        false,
        scopes(json!({"127.0.0.1:5000": accept()})),
    );
    case("the mirrored image by the mirror's name", &format!("{TEAM}/mirrored:1"), false, scopes(json!({"": by_key})));
    let key = "/etc/pki/a.pub";
    let one = |requirement: Value| scopes(json!({"": [requirement]}));
    case("signedBy", &signed_image, false, one(json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": key})));
    case(
        "a transparency log",
        &signed_image,
        false,
        one(json!({"type": "sigstoreSigned", "keyPath": key, "rekorPublicKeyPath": key})),
    );
    let fulcio = json!({"caPath": key, "oidcIssuer": "https://x.example", "subjectEmail": "x@x.example"});
    case(
        "fulcio",
        &signed_image,
        false,
        one(json!({"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyPath": key})),
    );
    let pki = json!({"caRootsPath": key, "subjectHostname": "x.example"});
    case("pki", &signed_image, false, one(json!({"type": "sigstoreSigned", "pki": pki})));
    case(
        "signedBaseLayer",
        &signed_image,
        false,
        one(json!({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}})),
    );
    all
}

/// Cases of invalid policies.
fn malformed() -> Vec<Case> {
    let source = format!("{TEAM}/unsigned:1");
    let any = json!({"type": "insecureAcceptAnything"});
    let key = json!({"type": "sigstoreSigned", "keyPath": "/etc/pki/a.pub", "keyData": "QQ=="});
    [
        ("no default", json!({"transports": {"docker": {"": accept()}}})),
        ("an unknown key", json!({"default": accept(), "Default": accept()})),
        ("an empty list", json!({"default": accept(), "transports": {"docker": {"quay.io": []}}})),
        ("an unknown type", json!({"default": [any, {"type": "accept"}]})),
        ("an unknown key of a requirement", json!({"default": [{"type": "insecureAcceptAnything", "keyPath": "x"}]})),
        ("two sources of keys", json!({"default": accept(), "transports": {"docker": {"quay.io": [key]}}})),
        ("a scope that is no path", json!({"default": accept(), "transports": {"oci": {"x": accept()}}})),
        ("a scope with a slash at its end", json!({"default": accept(), "transports": {"dir": {"/x/": accept()}}})),
        (
            "an unknown identity",
            json!({"default": accept(), "transports": {"docker": {"q": [signed("a", &json!({"type": "x"}))]}}}),
        ),
    ]
    .map(|(what, policy)| Case { what, policy, source: source.clone(), accepted: false, differs: None })
    .into()
}

/// Cases of images in files.
fn local() -> Vec<Case> {
    let mut all = Vec::new();
    let mut case = |what, source: &str, accepted, policy: Value, differs: Option<&'static str>| {
        all.push(Case { what, policy, source: source.to_owned(), accepted, differs });
    };
    let named = json!({"type": "exactReference", "dockerReference": "vendor.example/local:1"});
    let (by_name, plain) = (json!([signed("a", &named)]), json!([signed("a", &Value::Null)]));
    let oci = |requirements: &Value| only("oci", "/srv/trust", requirements);
    case("a layout", "oci:/srv/trust/plain:one", true, oci(&accept()), None);
    case("a layout in another scope", "oci:/srv/trust/plain:one", false, only("oci", "/srv/trus", &accept()), None);
    let link = json!({"default": accept(), "transports": {"oci": {"/srv/trust": reject()}}});
    case("a layout by a symbolic link", "oci:/srv/link:one", false, link, None);
    case("a signed layout", "oci:/srv/trust/layout:one", true, oci(&by_name), Some(UNREAD));
    case("a layout with a bundle", "oci:/srv/trust/referring:one", true, oci(&by_name), Some(UNREAD));
    case("a signed layout, and its reference asked for", "oci:/srv/trust/layout:one", false, oci(&plain), None);
    case("an unsigned layout", "oci:/srv/trust/plain:one", false, oci(&by_name), None);
    case("a layout signed by another key", "oci:/srv/trust/layout-b:one", false, oci(&by_name), None);
    let archive = |requirements: &Value| only("oci-archive", "/srv/trust", requirements);
    case("an archive", "oci-archive:/srv/trust/plain.tar:one", true, archive(&accept()), None);
    case("an unsigned archive", "oci-archive:/srv/trust/plain.tar:one", false, archive(&by_name), None);
    case("a signed archive", "oci-archive:/srv/trust/layout.tar:one", true, archive(&by_name), Some(UNREAD));
    let docker = |requirements: &Value| only("docker-archive", "", requirements);
    case("an archive of docker save", "docker-archive:/srv/trust/docker.tar", true, docker(&accept()), None);
    case("an unsigned archive of docker save", "docker-archive:/srv/trust/docker.tar", false, docker(&by_name), None);
    let dir = |requirements: &Value| only("dir", "/srv/trust", requirements);
    case("a directory", "dir:/srv/trust/dir-plain", true, dir(&accept()), None);
    case("a signed directory", "dir:/srv/trust/dir", true, dir(&by_name), None);
    case("a signed directory, and its reference asked for", "dir:/srv/trust/dir", false, dir(&plain), None);
    case("an unsigned directory", "dir:/srv/trust/dir-plain", false, dir(&by_name), None);
    case("a directory signed by another key", "dir:/srv/trust/dir-b", false, dir(&by_name), None);
    all
}
