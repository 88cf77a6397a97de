// SPDX-License-Identifier: MIT
//! Values of `.image` files: sources, platforms, kinds of images, and the policies of pulls and
//! updates. Pure.

use crate::diag::Fault;
use std::fmt;

/// The source of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageSource {
    /// An image in a registry, with its full reference: `docker.io/library/nginx:1.27`.
    Registry(RegistryRef),
    /// An OCI layout directory on this machine: `oci:/srv/images/nginx[:TAG]`.
    Layout {
        /// Absolute path of the layout directory.
        path: String,
        /// The name of the image (`org.opencontainers.image.ref.name`), if the index has several
        /// images.
        tag: Option<String>,
    },
    /// An OCI layout in one tar file: `oci-archive:/srv/images/nginx.tar[:TAG]`.
    OciArchive {
        /// Absolute path of the archive.
        path: String,
        /// The name of the image, as in [`ImageSource::Layout`].
        tag: Option<String>,
    },
    /// An archive of `docker save`: `docker-archive:/srv/images/nginx.tar[:REFERENCE]`.
    DockerArchive {
        /// Absolute path of the archive.
        path: String,
        /// The full reference of the image, if the archive has several images.
        reference: Option<String>,
    },
    /// A directory of `skopeo copy`: `dir:/srv/images/nginx`.
    Directory {
        /// Absolute path of the directory.
        path: String,
    },
    /// An archive of a root file system, without the metadata of an image:
    /// `rootfs:/srv/debian.tar.zst`.
    Rootfs {
        /// Absolute path of the archive.
        path: String,
    },
}

/// Suffixes of archives of root file systems. The path of such an archive is a source without
/// `rootfs:`.
const TARBALLS: [&str; 9] =
    [".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.zstd"];

/// A reference to an image in a registry, in which the short names of Docker Hub are expanded. At
/// least one of `tag` and `digest` is set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryRef {
    /// The host, with `:PORT` if the reference has a port: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// The repository in the registry: `library/nginx`.
    pub repository: String,
    /// The tag, which is `latest` if the reference has neither a tag nor a digest.
    pub tag: Option<String>,
    /// The digest: `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |f: &mut fmt::Formatter<'_>, mark: char, text: &Option<String>| match text {
            Some(text) => write!(f, "{mark}{text}"),
            None => Ok(()),
        };
        match self {
            Self::Registry(r) => {
                write!(f, "{}/{}", r.registry, r.repository)?;
                suffix(f, ':', &r.tag)?;
                suffix(f, '@', &r.digest)
            }
            Self::Layout { path, tag } => {
                write!(f, "oci:{path}")?;
                suffix(f, ':', tag)
            }
            Self::OciArchive { path, tag } => {
                write!(f, "oci-archive:{path}")?;
                suffix(f, ':', tag)
            }
            Self::DockerArchive { path, reference } => {
                write!(f, "docker-archive:{path}")?;
                suffix(f, ':', reference)
            }
            Self::Directory { path } => write!(f, "dir:{path}"),
            Self::Rootfs { path } => write!(f, "rootfs:{path}"),
        }
    }
}

impl std::str::FromStr for ImageSource {
    type Err = Fault;

    /// Reads `[docker://][HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]` (the grammar of the OCI
    /// distribution specification and of the short names of Docker), a transport of
    /// containers-transports(5) with a path, `rootfs:PATH`, or the path of an archive with one of
    /// the suffixes in `TARBALLS`.
    fn from_str(value: &str) -> Result<Self, Fault> {
        if let Some(rest) = value.strip_prefix("oci:") {
            let (path, tag) = tagged("oci", rest)?;
            return Ok(Self::Layout { path, tag });
        }
        if let Some(rest) = value.strip_prefix("oci-archive:") {
            let (path, tag) = tagged("oci-archive", rest)?;
            return Ok(Self::OciArchive { path, tag });
        }
        if let Some(rest) = value.strip_prefix("docker-archive:") {
            let (path, reference) = match rest.split_once(':') {
                Some((path, reference)) => (path, Some(Self::Registry(registry(reference)?).to_string())),
                None => (rest, None),
            };
            return Ok(Self::DockerArchive { path: absolute("docker-archive", path)?, reference });
        }
        if let Some(path) = value.strip_prefix("dir:") {
            return Ok(Self::Directory { path: absolute("dir", path)? });
        }
        if let Some(path) = value.strip_prefix("rootfs:") {
            return Ok(Self::Rootfs { path: absolute("rootfs", path)? });
        }
        if value.starts_with('/') {
            if TARBALLS.iter().any(|end| value.ends_with(end)) {
                return Ok(Self::Rootfs { path: absolute("rootfs", value)? });
            }
            return Err(Fault::new(
                format!("{value:?} does not say what kind of image it is"),
                format!(
                    "write rootfs:{value} for an archive of a root file system, or oci:{value}, oci-archive:{value}, \
                     docker-archive:{value}, dir:{value} for an image"
                ),
            ));
        }
        for transport in ["docker-daemon:", "containers-storage:"] {
            if value.starts_with(transport) {
                return Err(Fault::new(
                    format!("{transport} sources are not supported"),
                    "copy the image with skopeo, and write oci:PATH",
                ));
            }
        }
        registry(value.strip_prefix("docker://").unwrap_or(value)).map(Self::Registry)
    }
}

/// Reads `PATH[:NAME]`. The first colon ends the path, because the name may be a full reference,
/// which contains colons (containers-transports(5)).
fn tagged(transport: &str, rest: &str) -> Result<(String, Option<String>), Fault> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name.to_owned())),
        None => (rest, None),
    };
    let path = absolute(transport, path)?;
    if name.as_deref().is_some_and(|name| !is_layout_name(name)) {
        return Err(Fault::new(format!("invalid image name in {rest:?}"), format!("write {transport}:/PATH:NAME")));
    }
    Ok((path, name))
}

/// Whether `text` is a valid name of an image in a layout: letters, digits and separators, as in
/// the value of `org.opencontainers.image.ref.name` (image-spec, annotations.md), and at most 512
/// bytes.
fn is_layout_name(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.len() <= 512
        && edge(text.bytes().next())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:@/".contains(&b))
}

fn absolute(transport: &str, path: &str) -> Result<String, Fault> {
    let plain = !path.split('/').any(|c| c == "..") && !path.chars().any(char::is_control);
    if !path.starts_with('/') || path.len() < 2 || !plain {
        return Err(Fault::new(format!("{path:?} is not an absolute path"), format!("write {transport}:/PATH")));
    }
    Ok(path.to_owned())
}

fn registry(value: &str) -> Result<RegistryRef, Fault> {
    let (rest, digest) = match value.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (value, None),
    };
    if digest.is_some_and(|d| !is_digest(d)) {
        return Err(Fault::new(
            format!("invalid digest in {value:?}"),
            "write @sha256: and 64 hexadecimal digits in lower case",
        ));
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|t| !is_tag(t)) {
        return Err(Fault::new(
            format!("invalid tag in {value:?}"),
            "write NAME:TAG with letters, digits, '.', '_' and '-'",
        ));
    }
    // Docker's rule: the first component is a host if it contains a point or a port, or is
    // "localhost".
    let (host, repository) = match name.split_once('/') {
        Some(("docker.io", rest)) if !rest.contains('/') => ("docker.io", format!("library/{rest}")),
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    if !is_host(host) {
        return Err(Fault::new(format!("invalid registry host {host:?} in {value:?}"), "write HOST[:PORT]/REPOSITORY"));
    }
    if !repository.split('/').all(is_component) {
        let is_upper = repository.chars().any(char::is_uppercase);
        let rule = if is_upper { ": repository names are lower case" } else { "" };
        return Err(Fault::new(format!("invalid image reference {value:?}{rule}"), "write [HOST/]REPOSITORY[:TAG]"));
    }
    let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(RegistryRef { registry: host.to_owned(), repository, tag, digest: digest.map(str::to_owned) })
}

fn is_component(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

pub(in crate::config) fn is_digest(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:").is_some_and(|d| d.len() == 64 && d.bytes().all(hex))
}

pub(super) fn is_host(text: &str) -> bool {
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    let port = |s: &str| s.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return false };
        let port_ok = after.is_empty() || after.strip_prefix(':').is_some_and(port);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port_ok;
    }
    match text.split_once(':') {
        Some((host, p)) => plain(host) && port(p),
        None => plain(text),
    }
}

/// The kind of an image (`Mode=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModeSetting {
    /// The content of the image determines the kind when it is imported.
    #[default]
    Auto,
    /// A base operating system.
    Base,
    /// An application.
    App,
}

/// When an image is pulled (`Pull=`, `Policy=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pull {
    /// The image is pulled if it is missing, or was imported from another source, for another
    /// platform or with another `Mode=`.
    #[default]
    Missing,
    /// The image is pulled at every start. Nothing is downloaded if the digest in the registry has
    /// not changed.
    Always,
    /// The image is pulled at every start, but the imported image is used if the registry does not
    /// answer.
    Newer,
    /// The image is never pulled, and must have been imported.
    Never,
}

/// What `sdme-gen update` does with new versions of an image (`AutoUpdate=`). Each value does more
/// than the one before it, and values are compared by this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AutoUpdate {
    /// New versions are ignored.
    No,
    /// A new version is reported.
    Check,
    /// A new version is downloaded. A later update with [`AutoUpdate::Local`] or
    /// [`AutoUpdate::Registry`] uses it.
    Download,
    /// The same as [`AutoUpdate::Registry`] for images on this machine. Registries are not asked,
    /// but containers that run on a former version of an image are restarted on the imported one.
    Local,
    /// The source is asked for a new version, and containers are restarted on it.
    Registry,
}

impl AutoUpdate {
    /// The values of `AutoUpdate=`.
    pub const CHOICES: &'static [&'static str] = &["registry", "local", "check", "download", "no"];

    /// Converts one of [`AutoUpdate::CHOICES`]. Returns none for other values.
    #[must_use]
    pub fn from_choice(word: &str) -> Option<Self> {
        match word {
            "registry" => Some(Self::Registry),
            "local" => Some(Self::Local),
            "check" => Some(Self::Check),
            "download" => Some(Self::Download),
            "no" => Some(Self::No),
            _ => None,
        }
    }
}

/// The platform of an image. A part that is not set is that of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlatformSetting {
    /// `Arch=`, with the name that Go uses.
    pub architecture: Option<String>,
    /// `Variant=`
    pub variant: Option<String>,
}

/// Converts the names that kernels and distributions use for a processor and its variant to the
/// names that Go uses (containerd, platforms/database.go; uname(2)).
#[must_use]
pub fn processor(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, implied) = match architecture.as_str() {
        "x86_64" | "x86-64" => ("amd64", String::new()),
        "aarch64" => ("arm64", String::new()),
        "i386" | "i486" | "i586" | "i686" => ("386", String::new()),
        "armhf" => ("arm", "v7".to_owned()),
        "armel" => ("arm", "v6".to_owned()),
        "ppc64el" | "powerpc64le" => ("ppc64le", String::new()),
        "mipsel" => ("mipsle", String::new()),
        "mips64el" => ("mips64le", String::new()),
        "loongarch64" => ("loong64", String::new()),
        // The names of the kernel have letters after the version: armv7l, armv5tel.
        other => match other.strip_prefix("armv").and_then(|rest| rest.chars().next()).filter(char::is_ascii_digit) {
            Some(version) => ("arm", format!("v{version}")),
            None => (other, String::new()),
        },
    };
    let number = variant.bytes().all(|b| b.is_ascii_digit()) && !variant.is_empty();
    let variant = match variant {
        variant if number => format!("v{variant}"),
        variant if variant.is_empty() => implied,
        variant => variant,
    };
    (architecture.to_owned(), variant)
}

impl PlatformSetting {
    /// Reads `Arch=` and `Variant=`. Names that the kernel uses are converted to those of Go.
    ///
    /// # Errors
    /// A value has characters other than lower-case letters, digits and underscores.
    pub fn new(architecture: Option<&str>, variant: Option<&str>) -> Result<Self, Fault> {
        for (key, word) in [("Arch", architecture), ("Variant", variant)] {
            let plain = |w: &str| w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if let Some(word) = word.filter(|w| !plain(w)) {
                return Err(Fault::new(
                    format!("{key}={word} is not the name of a platform"),
                    "write a name such as amd64, arm64 or v8",
                ));
            }
        }
        let go = |word: &str| processor(word, variant.unwrap_or_default());
        let implied = architecture.map(go).map(|(_, variant)| variant).filter(|variant| !variant.is_empty());
        Ok(Self { architecture: architecture.map(|word| go(word).0), variant: variant.map(str::to_owned).or(implied) })
    }
}

impl fmt::Display for PlatformSetting {
    /// Writes the parts that are set, as `ARCH/VARIANT`. The text is empty for the platform of the
    /// machine.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.architecture.as_deref().unwrap_or_default())?;
        self.variant.as_deref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl ModeSetting {
    /// Returns the kind for a source. `auto` means `base` for a root file system, because it has no
    /// metadata about how to run it as an application.
    #[must_use]
    pub fn of(self, source: &ImageSource) -> Self {
        match (self, source) {
            (Self::Auto, ImageSource::Rootfs { .. }) => Self::Base,
            (mode, _) => mode,
        }
    }

    /// Converts a value that was checked against the table of keys. Other values mean `auto`.
    #[must_use]
    pub fn from_choice(word: &str) -> Self {
        match word {
            "base" => Self::Base,
            "app" => Self::App,
            _ => Self::Auto,
        }
    }
}

impl Pull {
    /// Converts a value that was checked against the table of keys. Other values mean `missing`.
    #[must_use]
    pub fn from_choice(word: &str) -> Self {
        match word {
            "always" => Self::Always,
            "newer" => Self::Newer,
            "never" => Self::Never,
            _ => Self::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_are_normalised() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (written, canonical) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("docker://nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            ("docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("bitnami/redis", "docker.io/bitnami/redis:latest".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            ("quay.io/a/b_c", "quay.io/a/b_c:latest".to_owned()),
            (&format!("nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
            (&format!("r.io:443/n:1@{digest}"), format!("r.io:443/n:1@{digest}")),
            ("oci:/srv/nginx", "oci:/srv/nginx".to_owned()),
            ("oci:/srv/nginx:1.27", "oci:/srv/nginx:1.27".to_owned()),
            ("oci:/srv/a:b/nginx", "oci:/srv/a:b/nginx".to_owned()),
            ("oci:/srv/all:example.org/team/two:1.0", "oci:/srv/all:example.org/team/two:1.0".to_owned()),
            ("oci-archive:/srv/nginx.tar:1", "oci-archive:/srv/nginx.tar:1".to_owned()),
            ("docker-archive:/srv/x.tar", "docker-archive:/srv/x.tar".to_owned()),
            ("docker-archive:/x.tar:nginx:1", "docker-archive:/x.tar:docker.io/library/nginx:1".to_owned()),
            ("docker-archive:/x.tar:l.io:5/a/b", "docker-archive:/x.tar:l.io:5/a/b:latest".to_owned()),
            ("dir:/srv/nginx:1", "dir:/srv/nginx:1".to_owned()),
            ("/srv/debian.tar.zst", "rootfs:/srv/debian.tar.zst".to_owned()),
            ("rootfs:/srv/debian", "rootfs:/srv/debian".to_owned()),
        ] {
            let parsed: ImageSource = written.parse().unwrap();
            assert_eq!(parsed.to_string(), canonical, "{written}");
            assert_eq!(parsed.to_string().parse::<ImageSource>().unwrap(), parsed);
        }
    }

    #[test]
    fn invalid_sources_are_rejected() {
        for written in [
            "",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "nginx:",
            "nginx:a b",
            "nginx@sha256:12",
            "nginx@md5:x",
            "-a",
            "a b",
            "host:99999/a",
            "[::1/a",
            "oci:",
            "oci:relative",
            "oci:/a/../b",
            "oci-archive:x.tar",
            "oci-archive:/x.tar:a b",
            "docker-archive:/x.tar:Nginx",
            "docker-archive:",
            "dir:x",
            "rootfs:/",
            "rootfs:/a\nb",
            "/srv/debian.img",
            "docker-daemon:x",
            "a:b:c",
            "..",
        ] {
            assert!(written.parse::<ImageSource>().is_err(), "{written}");
        }
        assert!("Nginx".parse::<ImageSource>().unwrap_err().to_string().contains("lower case"));
        assert!("/srv/x".parse::<ImageSource>().unwrap_err().to_string().contains("rootfs:/srv/x"));
    }

    #[test]
    fn platforms_have_the_names_of_go() {
        let platform = PlatformSetting::new(Some("aarch64"), Some("v8")).unwrap();
        assert_eq!(platform.to_string(), "arm64/v8");
        assert_eq!(PlatformSetting::new(None, None).unwrap().to_string(), "");
        assert!(PlatformSetting::new(Some("AMD64"), None).is_err());
    }
}
