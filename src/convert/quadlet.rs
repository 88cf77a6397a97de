// SPDX-License-Identifier: MIT
//! Files of Podman's Quadlet (podman-systemd.unit(5)): what we have is copied as it is written, comments left out.

use std::sync::Arc;

use super::{Builder, Converted};
use crate::config::keys::{FileType, supported};
use crate::ini;

/// Converts files, each a name and a text, that belong together.
///
/// # Errors
/// A file that cannot be read as one of its kind.
pub fn quadlet(files: &[(String, String)]) -> Result<Converted, String> {
    let mut out = Converted::default();
    for (name, text) in files {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let types = [FileType::Container, FileType::Pod, FileType::Volume, FileType::Image];
        match types.into_iter().find(|t| t.extension() == extension) {
            Some(file_type) => {
                let mut builder = Builder::new(file_type);
                file(name, text, &mut builder)?;
                out.notes.append(&mut builder.notes);
                out.files.insert(name.clone(), builder.draft.to_string());
            }
            None => out.notes.push(format!("{name}: {}", without(extension)?)),
        }
    }
    Ok(out.checked())
}

fn without(extension: &str) -> Result<&'static str, String> {
    match extension {
        "network" => Ok("networks have no file here; containers that talk to each other share a pod (Pod=)"),
        "kube" => Ok("Kubernetes files are not read; write a .pod file, and a .container file for each container"),
        "build" => Ok("images are not built here; build it elsewhere and name the result with Image="),
        "artifact" => Ok("artifacts have no counterpart"),
        _ => Err(format!(".{extension} is not a kind of Quadlet file")),
    }
}

fn file(name: &str, text: &str, builder: &mut Builder) -> Result<(), String> {
    let path: Arc<str> = Arc::from(name);
    let document = ini::parse(&path, text.as_bytes())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let own = builder.file_type.section();
    for entry in &document.entries {
        let origin = format!("{}: {}=", entry.at, entry.key);
        if &*entry.section == "Quadlet" {
            builder.note(&origin, "there are no default dependencies to be switched off");
        } else if &*entry.section != own {
            builder.set(&origin, &entry.section, &entry.key, &entry.value);
        } else if entry.key == "Network" && !entry.value.is_empty() {
            builder.network(&format!("{origin}{}", entry.value), &entry.value);
        } else {
            match supported(builder.file_type, &entry.key) {
                // Written as it is: quotes mean the same.
                Ok(_) => builder.set(&origin, own, &entry.key, &entry.value),
                Err(message) => builder.note(&entry.at.to_string(), &message),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_vocabulary_is_kept_and_the_rest_is_named() {
        let web = "# mine\n[Unit]\nAfter=data.volume\n[Container]\nImage=nginx\nPublishPort=8080:80\nExec=a \"b c\"\n\
            PodmanArgs=--x\n[Quadlet]\nDefaultDependencies=no\n[Install]\nWantedBy=default.target\n";
        let files = [("web.container".to_owned(), web.to_owned()), ("net.network".to_owned(), String::new())];
        let converted = quadlet(&files).unwrap();
        assert_eq!(
            converted.files.get("web.container").unwrap(),
            "[Container]\nImage=nginx\nPublishPort=8080:80\nExec=a \"b c\"\n\n[Unit]\nAfter=data.volume\n\n\
             [Install]\nWantedBy=default.target\n"
        );
        let notes = converted.notes.join("\n");
        for part in
            ["web.container:8: PodmanArgs= is a known", "web.container:10: Default", "net.network: ", "no data.volume"]
        {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(quadlet(&[("x.service".to_owned(), String::new())]).is_err());
        assert!(quadlet(&[("x.pod".to_owned(), "[Pod".to_owned())]).unwrap_err().starts_with("x.pod:1: "));
    }
}
