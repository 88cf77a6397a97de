// SPDX-License-Identifier: MIT
//! Tests of imports of images with wrong documents, and of the error messages.

use super::*;

/// Creates a manifest with the changed parts and imports it. Returns the error.
fn refused(change: impl FnOnce(&mut serde_json::Value, &mut serde_json::Value)) -> String {
    let mut world = world();
    let digests = world.layout.image(None, app_config(), &app_layers());
    let parse = |at: usize| -> serde_json::Value {
        serde_json::from_slice(&fs::read(world.layout.blob_path(digests.get(at).unwrap())).unwrap()).unwrap()
    };
    let (mut manifest, mut config) = (parse(0), parse(1));
    change(&mut manifest, &mut config);
    let bytes = serde_json::to_vec(&config).unwrap();
    manifest["config"]["digest"] = world.layout.blob(&bytes).to_string().into();
    if manifest["config"]["size"] != json!(1_u64 << 40) {
        manifest["config"]["size"] = bytes.len().into();
    }
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let digest = world.layout.blob(&bytes).to_string();
    let media = manifest["mediaType"].clone();
    world.layout.index = vec![json!({"mediaType": media, "digest": digest, "size": bytes.len()})];
    world.layout.write_index();
    let error = world.error(None);
    assert!(world.entries().is_empty());
    error
}

#[test]
fn documents_that_contradict_the_content_are_refused() {
    if !root("image::documents_that_contradict_the_content_are_refused") {
        return;
    }
    let zeros = format!("sha256:{}", "0".repeat(64));
    for (name, want, error) in [
        (
            "diff_id",
            "uncompressed content has the digest",
            refused(|_, c| c["rootfs"]["diff_ids"][1] = zeros.as_str().into()),
        ),
        (
            "count",
            "the manifest has 3 layers",
            refused(|_, c| drop(c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop())),
        ),
        ("arch", "the image is for linux/pdp11 and not for linux/", refused(|_, c| c["architecture"] = "pdp11".into())),
        ("os", "the image is for windows/", refused(|_, c| c["os"] = "windows".into())),
        ("config size", "larger than", refused(|m, _| m["config"]["size"] = json!(1_u64 << 40))),
        ("config type", "not a container image", refused(|m, _| m["config"]["mediaType"] = "application/x".into())),
        ("layer type", "cannot be unpacked", refused(|m, _| m["layers"][0]["mediaType"] = "text/html".into())),
        ("layer size", "bytes instead of", refused(|m, _| m["layers"][0]["size"] = 1.into())),
        (
            "layer algorithm",
            "not supported",
            refused(|m, _| {
                m["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
            }),
        ),
        (
            "too many layers",
            "more than 128",
            refused(|m, _| {
                let layer = m["layers"][0].clone();
                m["layers"] = vec![layer; 129].into();
            }),
        ),
    ] {
        assert!(error.contains(want), "{name}: {error}");
    }
}

/// Returns the error about an image whose user is not in its files.
fn unknown_user(name: &serde_json::Value) -> String {
    let mut world = world();
    world.layout.image(None, json!({"Cmd": ["/app"], "User": name}), &[Archive::new()]);
    world.import(None).unwrap().image.user.process().unwrap_err()
}

#[test]
fn messages_quote_an_image_without_its_control_characters() {
    if !root("image::messages_quote_an_image_without_its_control_characters") {
        return;
    }
    let odd = || serde_json::Value::from("x\x1b[2J\n<0>forged\u{202e}");
    for (name, error) in [
        ("architecture", refused(|_, c| c["architecture"] = odd())),
        ("os", refused(|_, c| c["os"] = odd())),
        ("user", unknown_user(&odd())),
        ("diff_id", refused(|_, c| c["rootfs"]["diff_ids"][1] = odd())),
        ("media type", refused(|m, _| m["layers"][0]["mediaType"] = odd())),
        ("type of the configuration", refused(|m, _| m["config"]["mediaType"] = odd())),
    ] {
        let printed = crate::text::line(&error);
        assert!(printed.contains("forged") && printed.contains("\\u{1b}[2J"), "{name}: {printed}");
        assert!(!printed.contains(|c: char| c.is_control() || c == '\u{202e}'), "{name}: {printed:?}");
    }
}
