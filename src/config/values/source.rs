// SPDX-License-Identifier: MIT
//! Where an image comes from, what it is taken for and when it is pulled: values of `.image` files, parsed. Pure.

use crate::diag::Fault;
use std::fmt;

/// A parsed image source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageSource {
    /// An image in a registry, fully qualified: `docker.io/library/nginx:1.27`.
    Registry(RegistryRef),
    /// An OCI layout directory on this machine: `oci:/srv/images/nginx[:TAG]`.
    Layout {
        /// Absolute path of the layout directory.
        path: String,
        /// `org.opencontainers.image.ref.name` to choose by, when the index holds several images.
        tag: Option<String>,
    },
    /// The same, packed into one tar file: `oci-archive:/srv/images/nginx.tar[:TAG]`.
    OciArchive {
        /// Absolute path of the archive.
        path: String,
        /// As for [`ImageSource::Layout`].
        tag: Option<String>,
    },
    /// What `docker save` writes: `docker-archive:/srv/images/nginx.tar[:REFERENCE]`.
    DockerArchive {
        /// Absolute path of the archive.
        path: String,
        /// The image to choose when the archive holds several, in full.
        reference: Option<String>,
    },
    /// A directory as `skopeo copy` makes it: `dir:/srv/images/nginx`.
    Directory {
        /// Absolute path of the directory.
        path: String,
    },
    /// An archive of a root file system, without any of an image's metadata: `rootfs:/srv/debian.tar.zst`.
    Rootfs {
        /// Absolute path of the archive.
        path: String,
    },
}

/// Ends of file names that tell an archive of a root file system, so that its path alone is a source.
const TARBALLS: [&str; 9] =
    [".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.zstd"];

/// A registry reference with Docker Hub's shorthand already expanded. At least one of `tag` and `digest` is set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryRef {
    /// Host, with `:port` if one was given: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// Repository below the registry: `library/nginx`.
    pub repository: String,
    /// Tag, `latest` when neither tag nor digest was written.
    pub tag: Option<String>,
    /// Digest, `sha256:` and 64 hex digits.
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

    /// Reads `[docker://][HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]` (the grammar of the OCI distribution
    /// specification and of Docker's short names), a transport of containers-transports(5) and its path, `rootfs:PATH`,
    /// or the path of an archive that is named like one.
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

/// `PATH[:NAME]`. The first colon ends the path, because a name may be a whole reference with colons of its own
/// (containers-transports(5)).
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

/// Whether a text can name an image in a layout: letters, digits and separators, as the value of
/// `org.opencontainers.image.ref.name` may have (image-spec, annotations.md).
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
    // Docker's rule: the first component is a host if it has a dot or a port or is "localhost".
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

/// What an image is taken for (`Mode=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModeSetting {
    /// Decided by the image itself when it is imported.
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
    /// When it is not there, or was pulled from another source.
    #[default]
    Missing,
    /// At every start; nothing is downloaded when the registry still has the same digest.
    Always,
    /// As always; but when the registry cannot be asked, what is there is used.
    Newer,
    /// Not at all: it must have been imported.
    Never,
}

/// What `sdme-gen update` does about new versions of an image (`AutoUpdate=`), in the order of how much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AutoUpdate {
    /// Nothing.
    No,
    /// A new version is reported.
    Check,
    /// A new version is downloaded, and used by the next update that may use it.
    Download,
    /// Sources on this machine are asked, and containers are restarted on what is imported.
    Local,
    /// The source is asked, and containers are restarted on its version.
    Registry,
}

impl AutoUpdate {
    /// The values of the key.
    pub const CHOICES: &'static [&'static str] = &["registry", "local", "check", "download", "no"];

    /// Reads a value that is one of [`AutoUpdate::CHOICES`].
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

/// The platform to choose of an image for several; what is not said is this machine's.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlatformSetting {
    /// `Arch=`, in Go's spelling.
    pub architecture: Option<String>,
    /// `Variant=`
    pub variant: Option<String>,
}

/// A processor and its variant as Go spells them, from the names that kernels and distributions have for the same
/// (containerd, platforms/database.go; uname(2)).
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
        // The kernel's names have letters behind the version: armv7l, armv5tel.
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
    /// Reads `Arch=` and `Variant=`. The kernel's names of processors are translated.
    ///
    /// # Errors
    /// A word that no platform is named by.
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
    /// Nothing for the machine's own platform; else `ARCH/VARIANT` with what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.architecture.as_deref().unwrap_or_default())?;
        self.variant.as_deref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl ModeSetting {
    /// What `auto` means for a source: a bare root file system is an operating system, since nothing in it says how to
    /// run it as an application.
    #[must_use]
    pub fn of(self, source: &ImageSource) -> Self {
        match (self, source) {
            (Self::Auto, ImageSource::Rootfs { .. }) => Self::Base,
            (mode, _) => mode,
        }
    }

    /// Reads a value that the key table has already checked.
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
    /// Reads a value that the key table has already checked.
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
    fn nonsense_is_refused() {
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
    fn platforms() {
        let platform = PlatformSetting::new(Some("aarch64"), Some("v8")).unwrap();
        assert_eq!(platform.to_string(), "arm64/v8");
        assert_eq!(PlatformSetting::new(None, None).unwrap().to_string(), "");
        assert!(PlatformSetting::new(Some("AMD64"), None).is_err());
    }
}
