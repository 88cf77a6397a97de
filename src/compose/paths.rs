// SPDX-License-Identifier: MIT
//! Resolves the paths of a project, which are relative to the directory of the file that contains
//! them. Pure.

use super::dotenv::Environment;
use super::value::{Map, Value};

/// Resolves `path` against `directory`, and removes `.` and `..`.
#[must_use]
pub fn absolute(directory: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Returns the directory that contains a file.
#[must_use]
pub fn directory_of(path: &str) -> String {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
    }
}

/// Whether the source of a mount is a path instead of the name of a volume.
#[must_use]
pub fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~'])
}

/// Makes the relative paths of a model absolute, and replaces `~` by `HOME` of `environment`.
pub fn make_absolute(model: &mut Map, directory: &str, environment: &Environment) {
    let path = |text: &mut String| {
        let home = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        *text = match (home, environment.get("HOME")) {
            (Some(rest), Some(home)) => absolute("/", &format!("{home}{rest}")),
            (Some(_), None) => return,
            (None, _) => absolute(directory, text),
        };
    };
    each(model, "services", &mut |service| {
        match service.get_mut("env_file") {
            Some(Value::Text(text)) => path(text),
            Some(Value::List(files)) => {
                for file in files {
                    match file {
                        Value::Text(text) => path(text),
                        Value::Map(file) => in_key(file, "path", &path),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        match service.get_mut("build") {
            Some(Value::Text(context)) if !context.contains("://") => path(context),
            Some(Value::Map(build)) => in_key(build, "context", &|text| {
                if !text.contains("://") {
                    path(text);
                }
            }),
            _ => {}
        }
        for volume in items(service, "volumes") {
            match volume {
                Value::Text(text) if is_path(text) => {
                    let (source, rest) = text.split_once(':').map_or((text.as_str(), None), |(s, r)| (s, Some(r)));
                    if let Some(rest) = rest {
                        let mut source = source.to_owned();
                        path(&mut source);
                        *text = format!("{source}:{rest}");
                    }
                }
                Value::Map(volume) if volume.get("type").and_then(Value::scalar).as_deref() == Some("bind") => {
                    in_key(volume, "source", &path);
                }
                _ => {}
            }
        }
    });
    for section in ["configs", "secrets"] {
        each(model, section, &mut |source| in_key(source, "file", &path));
    }
    each(model, "volumes", &mut |volume| {
        let Some(Value::Map(options)) = volume.get_mut("driver_opts") else { return };
        let bind = options.get("o").and_then(Value::scalar).is_some_and(|o| o.split(',').any(|word| word == "bind"));
        if bind {
            in_key(options, "device", &path);
        }
    });
}

fn each(model: &mut Map, section: &str, change: &mut dyn FnMut(&mut Map)) {
    let Some(Value::Map(entries)) = model.get_mut(section) else { return };
    for (_, entry) in entries.iter_mut() {
        if let Value::Map(entry) = entry {
            change(entry);
        }
    }
}

fn in_key(map: &mut Map, key: &str, change: &dyn Fn(&mut String)) {
    if let Some(Value::Text(text)) = map.get_mut(key) {
        change(text);
    }
}

fn items<'a>(map: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Value> {
    match map.get_mut(key) {
        Some(Value::List(items)) => items.as_mut_slice(),
        _ => &mut [],
    }
    .iter_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_resolved_against_the_directory() {
        for (path, expected) in [
            ("a", "/srv/x/a"),
            ("./a/", "/srv/x/a"),
            (".", "/srv/x"),
            ("../a", "/srv/a"),
            ("../../../a", "/a"),
            ("/a//b", "/a/b"),
        ] {
            assert_eq!(absolute("/srv/x", path), expected);
        }
        assert_eq!((directory_of("/a/b"), directory_of("/a")), ("/a".to_owned(), "/".to_owned()));
    }
}
