// SPDX-License-Identifier: MIT
//! How a policy identifies an image: by its transport, its reference, and its scopes, from the most
//! specific to the most general. Pure.

use super::reference::Named;
use crate::config::values::source::ImageSource;

/// The properties of an image that determine its scope in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The transport (containers-transports(5)), or `tarball` for an archive of a root file system.
    pub transport: &'static str,
    /// The reference of an image in a registry or in a `docker-archive:`, if it has one. If an
    /// image in a registry has a tag and a digest, the tag is left out, as in Podman.
    pub reference: Option<Named>,
    /// The path of an image in files, if the scopes of its transport are paths.
    pub path: Option<String>,
}

impl Subject {
    /// Returns the subject of a source. Symbolic links in the path are not followed, because this
    /// module does not access files. The caller replaces the path.
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

    /// Returns the scopes, the most specific one first. The last one is the empty scope, which is
    /// that of the transport.
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

/// Returns a path and its parents, without the root directory, which would be the same as the scope
/// of the transport.
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
    fn scopes_are_ordered_from_specific_to_general() {
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
