// SPDX-License-Identifier: MIT
//! Mounts of an application: `Volume=` (podman-run(1), `--volume`) and `Mount=` (`--mount`). Pure.

use crate::config::names::VolumeName;
use crate::diag::{Code, Fault, did_you_mean};

/// The source of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path of the host, which is absolute or begins with a point or a specifier.
    Path(String),
    /// The volume with this name.
    Named(String),
    /// The volume of the `.volume` file with this name, without the extension.
    File(String),
    /// A volume without a name, which only this mount uses.
    Anonymous,
    /// A tmpfs with these options (tmpfs(5)).
    Tmpfs(String),
}

/// The options of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "mount(8) has as many flags")]
pub struct Options {
    /// Whether the mount is read-only: `ro` or `rw`.
    pub read_only: bool,
    /// Whether an empty volume gets the files of the image at the target: `copy` or `nocopy`.
    pub copy: bool,
    /// Whether mounts below the source are mounted, too: `rbind` or `bind`.
    pub recursive: bool,
    /// Whether device nodes in the mount cannot be opened: `nodev` or `dev`.
    pub no_devices: bool,
    /// Whether programs in the mount cannot be run: `noexec` or `exec`.
    pub no_exec: bool,
    /// Whether programs in the mount gain no privileges by their mode or capabilities: `nosuid` or
    /// `suid`.
    pub no_suid: bool,
}

impl Default for Options {
    /// The default options of Podman (podman-run(1), `--volume`): no device nodes, no setuid
    /// programs.
    fn default() -> Self {
        Self { read_only: false, copy: true, recursive: true, no_devices: true, no_exec: false, no_suid: true }
    }
}

/// A mount that `Volume=` or `Mount=` requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The source of the mount.
    pub source: Source,
    /// The target: an absolute path without `.`, `..` and doubled slashes.
    pub target: String,
    /// The options of the mount.
    pub options: Options,
    /// The path of the part of the volume that is mounted, relative to the volume (`subpath`).
    pub part: Option<String>,
}

/// Reads `Volume=[SOURCE:]TARGET[:OPTIONS]`.
///
/// # Errors
/// The source, the target or an option is invalid.
pub fn volume(value: &str) -> Result<Written, Fault> {
    let parts: Vec<&str> = value.split(':').collect();
    let (source, path, options) = match parts.as_slice() {
        [target] => (Source::Anonymous, *target, ""),
        [source, target] => (self::source(source)?, *target, ""),
        [source, target, options] => (self::source(source)?, *target, *options),
        _ => {
            return Err(Fault::new(
                format!("{value} has too many colons"),
                "write SOURCE:TARGET:OPTIONS, or Mount=type=bind for a path with a colon",
            ));
        }
    };
    let target = target(path)?;
    let mut out = Options::default();
    for option in options.split(',').filter(|_| parts.len() == 3) {
        flag(option, &mut out)?;
    }
    if !out.copy && matches!(source, Source::Path(_)) {
        return Err(Fault::new("nothing is copied into a directory of the host", "remove nocopy"));
    }
    Ok(Written { source, target, options: out, part: None })
}

/// Reads one word of `Mount=`: `type=TYPE,…`.
///
/// # Errors
/// The source, the target or an option is invalid.
pub fn mount(value: &str) -> Result<Written, Fault> {
    let pairs: Vec<(&str, Option<&str>)> =
        value.split(',').map(|p| p.split_once('=').map_or((p, None), |(k, v)| (k, Some(v)))).collect();
    let one = |names: &[&str]| -> Result<Option<&str>, Fault> {
        let mut found = pairs.iter().filter(|(key, _)| names.contains(key));
        match (found.next(), found.next()) {
            (Some(_), Some((key, _))) => Err(Fault::new(format!("{key} is given twice"), "remove one of the two")),
            (Some((key, None | Some(""))), _) => {
                Err(Fault::new(format!("{key} has no value"), format!("write {key}=VALUE")))
            }
            (found, _) => Ok(found.and_then(|(_, value)| *value)),
        }
    };
    let kind = one(&["type"])?.unwrap_or("volume");
    let from = one(&SOURCE)?;
    let target = one(&TARGET)?.ok_or_else(|| Fault::new("the target is missing", "write target=/PATH"))?;
    let (source, known) = match (kind, from) {
        ("bind", None) => return Err(Fault::new("the source is missing", "write source=/PATH")),
        ("bind", Some(path)) if path.starts_with(['/', '.', '%']) => (Source::Path(path.to_owned()), BIND),
        ("bind", Some(path)) if path.ends_with(".volume") => {
            return Err(Fault::new(format!("{path} is not a path"), "write type=volume"));
        }
        // Podman makes a relative source absolute, and the units of Quadlet run in the root
        // directory. `remarks` returns a warning about it.
        ("bind", Some(path)) => (Source::Path(format!("/{path}")), BIND),
        ("volume", None) => (Source::Anonymous, VOLUME),
        ("volume", Some(name)) => match self::source(name)? {
            Source::Path(_) => {
                return Err(Fault::new(format!("{name} is not the name of a volume"), "write type=bind"));
            }
            source => (source, VOLUME),
        },
        ("tmpfs", None) => (Source::Tmpfs(String::new()), TMPFS),
        ("tmpfs", Some(_)) => return Err(Fault::new("type=tmpfs has no source", "remove the source")),
        (other, _) => {
            let near = did_you_mean(other, ["bind", "volume", "tmpfs"]);
            return Err(Fault::new(
                format!("type={other} is not one of bind, volume, tmpfs"),
                near.unwrap_or_else(|| "write one of these types".to_owned()),
            ));
        }
    };
    let part = one(&PART)?.map(self::part).transpose()?;
    let mut out = Written { source, target: self::target(target)?, options: Options::default(), part };
    out.options.copy &= out.part.is_none();
    // These are the default options of a tmpfs of Podman.
    let mut memory = vec!["mode=1777".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
    for (key, value) in &pairs {
        if *key == "type" || SOURCE.contains(key) || TARGET.contains(key) || (kind == "volume" && PART.contains(key)) {
            continue;
        }
        if !known.contains(key) {
            let near = did_you_mean(key, known.iter().copied());
            return Err(Fault::new(
                format!("{key} is not an option of type={kind}"),
                near.unwrap_or_else(|| "remove the option".to_owned()),
            ));
        }
        long(key, *value, &mut out.options, &mut memory)?;
    }
    if let Source::Tmpfs(options) = &mut out.source {
        if out.options.no_exec {
            memory.push("noexec".to_owned());
        }
        if out.options.read_only {
            memory.push("ro".to_owned());
        }
        *options = memory.join(",");
    }
    Ok(out)
}

const SOURCE: [&str; 2] = ["source", "src"];
const PART: [&str; 2] = ["subpath", "volume-subpath"];
const TARGET: [&str; 3] = ["target", "destination", "dst"];
const BIND: &[&str] = &[
    "z",
    "Z",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "consistency",
    "ro",
    "readonly",
    "rw",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "idmap",
    "relabel",
    "bind-propagation",
    "bind-nonrecursive",
    "U",
    "chown",
];
const VOLUME: &[&str] = &[
    "z",
    "Z",
    "consistency",
    "ro",
    "readonly",
    "rw",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "idmap",
    "nocopy",
    "volume-nocopy",
    "subpath",
    "volume-subpath",
    "U",
    "chown",
];
const TMPFS: &[&str] = &[
    "ro",
    "readonly",
    "rw",
    "noexec",
    "nodev",
    "nosuid",
    "size",
    "tmpfs-size",
    "mode",
    "tmpfs-mode",
    "tmpcopyup",
    "notmpcopyup",
    "U",
    "chown",
];

/// Reads a path relative to a volume. Returns the path without slashes at its end.
fn part(path: &str) -> Result<String, Fault> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    let inner = path.trim_end_matches('/');
    if inner.split('/').all(is_plain) {
        return Ok(inner.to_owned());
    }
    Err(Fault::new(format!("{path:?} is not a path in a volume"), "write a relative path such as data/log"))
}

/// Applies an option of `Mount=` to `options`, or adds it to `memory` if it is an option of a
/// tmpfs.
fn long(key: &str, value: Option<&str>, options: &mut Options, memory: &mut Vec<String>) -> Result<(), Fault> {
    let yes = || match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(Fault::new(format!("{key}={other} is not a boolean"), "write true or false")),
    };
    match (key, value) {
        ("size" | "tmpfs-size", Some(size)) if is_size(size) => memory.push(format!("size={size}")),
        ("size" | "tmpfs-size", _) => {
            return Err(Fault::new(format!("{key} has no valid size"), format!("write a size such as {key}=64m")));
        }
        ("mode" | "tmpfs-mode", Some(mode)) if octal(mode).is_some() => {
            memory.retain(|m| !m.starts_with("mode="));
            memory.push(format!("mode={mode}"));
        }
        ("mode" | "tmpfs-mode", _) => {
            return Err(Fault::new(
                format!("{key} has no valid mode"),
                format!("write an octal mode such as {key}=0755"),
            ));
        }
        ("U" | "chown" | "consistency", _)
        | ("relabel", Some("shared" | "private"))
        | ("bind-propagation", Some("slave" | "rslave" | "private" | "rprivate")) => {}
        ("relabel", _) => {
            return Err(Fault::new("relabel has no valid value", "write relabel=shared or relabel=private"));
        }
        ("bind-propagation", Some(other)) => return propagation(other),
        ("bind-propagation", None) => {
            return Err(Fault::new("bind-propagation has no value", "write bind-propagation=rslave"));
        }
        ("bind-nonrecursive", _) => options.recursive = !yes()?,
        ("ro" | "readonly", _) => options.read_only = yes()?,
        ("rw", _) => options.read_only = !yes()?,
        ("nocopy" | "volume-nocopy" | "notmpcopyup", _) => options.copy = !yes()?,
        ("tmpcopyup", _) => options.copy = yes()?,
        (_, None) => flag(key, options)?,
        (_, Some(_)) => return Err(Fault::new(format!("{key} takes no value"), format!("write {key} alone"))),
    }
    Ok(())
}

/// Applies an option of `Volume=`, or an option of `Mount=` without a value.
fn flag(option: &str, options: &mut Options) -> Result<(), Fault> {
    match option {
        "ro" => options.read_only = true,
        "rw" => options.read_only = false,
        "copy" => options.copy = true,
        "nocopy" => options.copy = false,
        "rbind" => options.recursive = true,
        "bind" => options.recursive = false,
        "dev" => options.no_devices = false,
        "nodev" => options.no_devices = true,
        "exec" => options.no_exec = false,
        "noexec" => options.no_exec = true,
        "suid" => options.no_suid = false,
        "nosuid" => options.no_suid = true,
        // These options need no action: the container has no SELinux label, owners are the same on
        // the host and in the container, file systems that the host mounts later appear in the
        // container, and files are not cached. `remarks` returns warnings about other effects of U
        // and private.
        "U" | "private" | "rprivate" | "z" | "Z" | "idmap" | "slave" | "rslave" | "notmpcopyup" | "cached"
        | "delegated" | "consistent" => {}
        "O" => {
            return Err(Fault::new("the option O (overlay) is not supported", "copy the files, or mount them with ro"));
        }
        "shared" | "rshared" | "unbindable" | "runbindable" => return propagation(option),
        "" => return Err(Fault::new("an option is empty", "remove the comma")),
        other => {
            let known = [
                "ro", "rw", "copy", "nocopy", "bind", "rbind", "dev", "nodev", "exec", "noexec", "suid", "nosuid",
                "idmap", "z", "Z",
            ];
            return Err(Fault::new(
                format!("unknown option {other}"),
                did_you_mean(other, known).unwrap_or_else(|| "remove the option".to_owned()),
            ));
        }
    }
    Ok(())
}

/// Returns warnings about options of `Volume=` or `Mount=` whose effect differs from that in
/// Podman.
pub fn remarks(value: &str) -> impl Iterator<Item = (Code, Fault)> {
    const DIFFERENT: [(&[&str], &str, &str); 2] = [
        (
            &["U", "U=true", "chown", "chown=true"],
            "the option U has no effect here: files keep their owners",
            "set User= in a .volume file, or change the owner of the files with chown(1)",
        ),
        (
            &["private", "rprivate", "bind-propagation=private", "bind-propagation=rprivate"],
            "the option private has no effect here: file systems that the host mounts later are seen inside",
            "remove the option",
        ),
    ];
    let words: Vec<&str> = value.split([':', ',']).collect();
    let given = DIFFERENT.iter().filter(|(all, ..)| words.iter().skip(1).any(|word| all.contains(word)));
    let source =
        |word: &&str| SOURCE.iter().find_map(|key| word.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    let from = value.split(',').find_map(|word| source(&word)).filter(|_| value.split(',').any(|w| w == "type=bind"));
    let is_relative = from.is_some_and(|path| !path.starts_with(['/', '.', '%']));
    let relative = is_relative
        .then_some("the source is not an absolute path, so that it begins at the root directory, as in Podman");
    let given = given.map(|(_, cause, remedy)| (Code::NoEffect, Fault::new(*cause, *remedy)));
    given
        .chain(relative.map(|cause| (Code::Differs, Fault::new(cause, "write /PATH or ./PATH"))))
        .collect::<Vec<_>>()
        .into_iter()
}

fn propagation(mode: &str) -> Result<(), Fault> {
    Err(Fault::new(
        format!("{mode} is not supported: mounts made inside are never seen on the host"),
        "write rslave, or remove the option",
    ))
}

fn source(text: &str) -> Result<Source, Fault> {
    if text.is_empty() {
        return Err(Fault::new("the source is empty", "write a path, the name of a volume, or the target alone"));
    }
    if text.starts_with(['/', '.', '%']) {
        return Ok(Source::Path(text.to_owned()));
    }
    if let Some(name) = text.strip_suffix(".volume") {
        return Ok(Source::File(name.to_owned()));
    }
    if text.contains('/') {
        return Err(Fault::new(
            format!("{text} is neither the name of a volume nor a path"),
            format!("write ./{text} or /{text}"),
        ));
    }
    let name = text.parse::<VolumeName>()?;
    Ok(Source::Named(name.into()))
}

/// Checks a target in an application. Returns the path without `.` and doubled slashes.
///
/// # Errors
/// The path is not absolute, has `..` or control characters, or is a place at which nothing can be
/// mounted.
pub fn target(path: &str) -> Result<String, Fault> {
    if !path.starts_with('/') {
        return Err(Fault::new(format!("the target {path:?} is not an absolute path"), format!("write /{path}")));
    }
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if path.chars().any(char::is_control) || parts.contains(&"..") {
        return Err(Fault::new(
            format!("the target {path:?} has '..' or control characters in it"),
            "write the path without them",
        ));
    }
    match parts.first() {
        None => Err(Fault::new("nothing can be mounted over the root directory", "name a directory below it")),
        Some(&"run") if parts.len() == 1 => {
            Err(Fault::new("nothing can be mounted over /run", "name a directory below it"))
        }
        Some(top @ (&"dev" | &"proc" | &"sys")) => {
            Err(Fault::new(format!("nothing can be mounted below /{top}"), "write another target"))
        }
        Some(_) => Ok(format!("/{}", parts.join("/"))),
    }
}

/// Reads a mode in octal digits, at most 7777. Returns none for an invalid mode.
#[must_use]
pub fn octal(text: &str) -> Option<u32> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777)
}

/// Whether `text` is a size in the format of tmpfs(5).
fn is_size(text: &str) -> bool {
    let number = text.strip_suffix(['k', 'm', 'g', 'K', 'M', 'G', '%']).unwrap_or(text);
    !number.is_empty() && number.len() < 16 && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn short(value: &str) -> (Source, String, Options) {
        let Written { source, target, options, .. } = volume(value).unwrap();
        (source, target, options)
    }

    #[test]
    fn volumes_are_read_or_rejected_with_a_remedy() {
        let plain = Options::default();
        assert_eq!(short("/srv/w w:/x"), (Source::Path("/srv/w w".into()), "/x".into(), plain));
        assert_eq!(short("./w:/x/./y//"), (Source::Path("./w".into()), "/x/y".into(), plain));
        assert_eq!(short("%h/w:/x").0, Source::Path("%h/w".into()));
        assert_eq!(short("data:/x").0, Source::Named("data".into()));
        assert_eq!(short("data.volume:/x").0, Source::File("data".into()));
        assert_eq!(short("/x"), (Source::Anonymous, "/x".into(), plain));
        let options = Options { read_only: true, copy: false, no_exec: true, no_suid: true, ..plain };
        assert_eq!(short("d:/x:ro,nocopy,noexec,nosuid,Z,idmap").2, options);
        for (bad, why) in [
            ("", "not an absolute path"),
            ("data", "not an absolute path"),
            ("a:b:c:d", "Mount=type=bind"),
            ("a/b:/x", "./a/b"),
            (":/x", "the source is empty"),
            ("-a:/x", "name of a volume"),
            ("/srv:/", "over the root"),
            ("/srv:/proc/1", "below /proc"),
            ("/srv:/run/", "over /run"),
            ("/srv:/a/../b", "'..'"),
            ("d:/x:", "empty"),
            ("d:/x:r0", "did you mean ro?"),
            ("d:/x:shared", "not supported"),
            ("/srv:/x:nocopy", "nocopy"),
        ] {
            let message = volume(bad).unwrap_err().to_string();
            assert!(message.contains(why), "{bad}: {message}");
        }
    }

    #[test]
    fn mounts_are_read_or_rejected_with_a_remedy() {
        let bind = mount("type=bind,src=./a:b,dst=/x,ro=true,bind-nonrecursive").unwrap();
        let options = Options { read_only: true, recursive: false, ..Options::default() };
        assert_eq!(bind, Written { source: Source::Path("./a:b".into()), target: "/x".into(), options, part: None });
        assert_eq!(mount("source=data,target=/x").unwrap().source, Source::Named("data".into()));
        assert_eq!(mount("type=volume,target=/x").unwrap().source, Source::Anonymous);
        let tmpfs = mount("type=tmpfs,destination=/x,tmpfs-size=64m,tmpfs-mode=0700").unwrap();
        assert_eq!(tmpfs.source, Source::Tmpfs("nosuid,nodev,size=64m,mode=0700".into()));
        for (bad, why) in [
            ("type=bind,target=/x", "the source is missing"),
            ("type=bind,source=/a", "the target is missing"),
            ("type=bind,source=/a,target=/x,dst=/y", "twice"),
            ("type=bnd,source=/a,target=/x", "did you mean bind?"),
            ("type=bind,source=/a,target=/x,ro=maybe", "not a boolean"),
            ("type=bind,source=a.volume,target=/x", "write type=volume"),
            ("type=volume,source=/a,target=/x", "type=bind"),
            ("type=tmpfs,target=/x,size=big", "64m"),
            ("type=tmpfs,target=/x,mode=9", "octal"),
            ("type=tmpfs,target=/x,nocopy", "not an option of type=tmpfs"),
            ("type=bind,source=/a,target=/x,bind-propagation=shared", "not supported"),
        ] {
            let message = mount(bad).unwrap_err().to_string();
            assert!(message.contains(why), "{bad}: {message}");
        }
    }

    #[test]
    fn parts_of_volumes_are_relative_paths() {
        let read = |value: &str| mount(value).map(|written| (written.part, written.options.copy));
        let wanted = Ok((Some("a/b".to_owned()), false));
        assert_eq!(read("type=volume,source=data,subpath=a/b/,target=/x"), wanted);
        assert_eq!(read("source=data.volume,volume-subpath=a/b,target=/x"), wanted);
        for bad in ["..", "a/../b", "/a", "", "a//b", "."] {
            assert!(read(&format!("source=data,subpath={bad},target=/x")).is_err(), "{bad}");
        }
        assert!(read("type=bind,source=/a,subpath=b,target=/x").is_err());
    }
}
