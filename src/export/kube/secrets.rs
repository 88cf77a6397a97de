// SPDX-License-Identifier: MIT
//! Exports credentials as Secrets, without their values unless the request asks for them. Pure over
//! [`Outside`](super::Outside).

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, Secret, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};

use super::workloads::Workload;
use super::{Context, dns};
use crate::config::values::secret::Form;
use crate::model::{App, Mount};

/// The key in a Secret for a credential whose name has no part for the key.
const KEY: &str = "value";

/// Splits the name of a credential into the name of a Secret and a key. `convert kube` names
/// credentials `SECRET-KEY`.
pub fn split(credential: &str) -> (String, String) {
    let split = credential.rsplit_once('-').filter(|(secret, key)| dns(secret) == *secret && !key.is_empty());
    let whole = || (dns(credential), KEY.to_owned());
    split.map_or_else(whole, |(secret, key)| (secret.to_owned(), key.to_owned()))
}

/// Returns the variables of an application whose values are secrets.
pub fn variables(app: &App, context: &mut Context<'_>) -> Vec<EnvVar> {
    let mut all = Vec::new();
    for secret in &app.secrets {
        let (name, key) = split(&secret.value.name);
        if format!("{name}-{key}") != secret.value.name {
            let text = format!(
                "{}: the credential {} becomes the key {key} of the Secret {name}",
                secret.at, secret.value.name
            );
            context.remark(text);
        }
        let Form::Variable(variable) = &secret.value.form else { continue };
        let source = EnvVarSource {
            secret_key_ref: Some(SecretKeySelector { key, name, optional: None }),
            ..EnvVarSource::default()
        };
        all.push(EnvVar { name: variable.clone(), value: None, value_from: Some(source) });
    }
    all
}

/// Returns the mount of a credential as a file. The source of the mount is only a number, so the
/// credential is identified by its target.
pub fn mount(mount: &Mount, app: &App, volumes: &mut BTreeMap<String, Volume>) -> Vec<VolumeMount> {
    let found = app.secrets.iter().find_map(|secret| match &secret.value.form {
        Form::File { target, mode, .. } if *target == mount.target => Some((&secret.value.name, *mode)),
        _ => None,
    });
    let Some((credential, mode)) = found else { return Vec::new() };
    let (name, key) = split(credential);
    let volume = dns(&format!("secret-{credential}"));
    let file = mount.target.rsplit('/').next().unwrap_or(&key).to_owned();
    let mode = i32::try_from(mode).ok();
    let source = SecretVolumeSource {
        secret_name: Some(name),
        items: Some(vec![KeyToPath { key, mode, path: file.clone(), ..KeyToPath::default() }]),
        ..SecretVolumeSource::default()
    };
    volumes.insert(volume.clone(), Volume { name: volume.clone(), secret: Some(source), ..Volume::default() });
    vec![VolumeMount {
        name: volume,
        mount_path: mount.target.clone(),
        read_only: Some(true),
        sub_path: Some(file),
        ..VolumeMount::default()
    }]
}

/// Adds the Secrets that a workload uses.
pub fn objects(workload: &Workload<'_>, context: &mut Context<'_>) {
    let mut all: BTreeMap<String, BTreeMap<String, ByteString>> = BTreeMap::new();
    let apps = workload.containers.iter().flat_map(|container| &container.apps);
    for secret in apps.flat_map(|app| &app.secrets) {
        let (name, key) = split(&secret.value.name);
        let value = if context.request.with_secrets { context.outside.credential(&secret.value.name) } else { None };
        if value.is_none() {
            let why = if context.request.with_secrets {
                format!("the credential {} cannot be read, so", secret.value.name)
            } else {
                "without --with-secrets,".to_owned()
            };
            context.remark(format!("{}: {why} the Secret {name} has an empty value for {key}; write it", secret.at));
        }
        all.entry(name).or_default().insert(key, ByteString(value.unwrap_or_default()));
    }
    for (name, data) in all {
        let metadata = context.metadata(&name, BTreeMap::new());
        // Another workload may use other keys of the same Secret, so the keys are added to the
        // object that exists.
        let mut all = context.out.files.values_mut().flatten();
        if let Some(object) = all.find(|object| super::is(object, "Secret", Some(&name))) {
            let known = object.pointer_mut("/data").and_then(serde_json::Value::as_object_mut);
            if let (Some(known), Ok(serde_json::Value::Object(data))) = (known, serde_json::to_value(&data)) {
                known.extend(data);
            }
            continue;
        }
        let secret = Secret { data: Some(data), metadata, type_: Some("Opaque".to_owned()), ..Secret::default() };
        context.add(&workload.name, &secret);
    }
}
