// SPDX-License-Identifier: MIT
//! What a policy knows an image by: its transport, its reference, and the scopes from the narrowest to the widest. Pure.

use super::reference::Named;
use crate::config::values::source::ImageSource;

/// An image as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The transport (containers-transports(5)); `tarball` for a bare root file system.
    pub transport: &'static str,
    /// The reference of an image in a registry. A tag beside a digest says nothing and is left out, as podman does.
    pub reference: Option<Named>,
    /// The path of an image in files.
    pub path: Option<String>,
}

impl Subject {
    /// The image at a source. Of a path, symbolic links are not followed: whoever knows the file system replaces it.
    #[must_use]
    pub fn of(source: &ImageSource) -> Self {
        let file = |transport, path: &String| Self { transport, reference: None, path: Some(clean(path)) };
        match source {
            ImageSource::Registry(parts) => {
                let name = format!("{}/{}", parts.registry, parts.repository);
                let tag = parts.tag.clone().filter(|_| parts.digest.is_none());
                let reference = Some(Named { name, tag, digest: parts.digest.clone() });
                Self { transport: "docker", reference, path: None }
            }
            ImageSource::Layout { path, .. } => file("oci", path),
            ImageSource::OciArchive { path, .. } => file("oci-archive", path),
            ImageSource::Directory { path } => file("dir", path),
            ImageSource::DockerArchive { reference, .. } => {
                let reference = reference.as_deref().and_then(|reference| Named::parse(reference).ok());
                Self { transport: "docker-archive", reference, path: None }
            }
            ImageSource::Rootfs { .. } => Self { transport: "tarball", reference: None, path: None },
        }
    }

    /// The scopes, the most specific one first; the last one is the transport's own.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        let mut scopes = Vec::new();
        match (self.transport, &self.reference, &self.path) {
            ("docker", Some(reference), _) => {
                scopes.push(reference.to_string());
                scopes.extend(parents(&reference.name));
                let host = reference.name.split(['/', ':']).next().unwrap_or_default();
                scopes.extend(host.match_indices('.').filter_map(|(at, _)| Some(format!("*{}", host.get(at..)?))));
            }
            (.., Some(path)) => scopes.extend(parents(path)),
            _ => {}
        }
        scopes.push(String::new());
        scopes
    }
}

/// A path and those above it. The root is none: it would be the same as the scope of the transport.
fn parents(path: &str) -> impl Iterator<Item = String> + '_ {
    std::iter::successors(Some(path), |path| {
        path.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty())
    })
    .map(str::to_owned)
}

fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn from_the_narrowest_to_the_widest() {
        for (source, want) in [
            (
                "docker.io/library/nginx:1",
                &["docker.io/library/nginx:1", "docker.io/library/nginx", "docker.io/library", "docker.io", "*.io", ""]
                    [..],
            ),
            ("a.b.c:5000/x:1", &["a.b.c:5000/x:1", "a.b.c:5000/x", "a.b.c:5000", "*.b.c", "*.c", ""]),
            ("localhost/x", &["localhost/x:latest", "localhost/x", "localhost", ""]),
            ("oci:/srv//images/./x:tag", &["/srv/images/x", "/srv/images", "/srv", ""]),
            ("oci-archive:/x.tar", &["/x.tar", ""]),
            ("dir:/a/b", &["/a/b", "/a", ""]),
            ("docker-archive:/a/b:nginx", &[""]),
            ("rootfs:/a/b.tar", &[""]),
        ] {
            assert_eq!(Subject::of(&source.parse().unwrap()).scopes(), want, "{source}");
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        let both = Subject::of(&format!("q.io/a:1@{digest}").parse().unwrap());
        assert_eq!(both.scopes().first().unwrap(), &format!("q.io/a@{digest}"));
    }
}
