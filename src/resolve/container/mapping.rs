// SPDX-License-Identifier: MIT
//! Podman's settings of user namespaces (podman-run(1), `--userns`, `--uidmap`), and their meaning
//! for sdme-gen. Pure.

use crate::config::keys::{KeyName, key};
use crate::config::settings::Settings;
use crate::diag::{Code, Diagnostic, Problem, Spanned};

/// Keys with mappings of user or group IDs.
const MAPS: [KeyName; 4] = [key::UID_MAP, key::GID_MAP, key::SUB_UID_MAP, key::SUB_GID_MAP];

/// The value of `UserNS=`, with `auto` instead of each mode of Podman that gives the container its
/// own user namespace. The keys with mappings also mean `auto`. Returns None without any of these
/// keys, and after an error. Differences from Podman are warnings.
pub fn user_ns<'a>(settings: &'a Settings, problems: &mut Vec<Diagnostic>) -> Option<Spanned<&'a str>> {
    let written = settings.text("Container", key::USER_NS);
    for key in MAPS {
        let Some(mapping) = settings.words("Container", key).into_iter().next() else { continue };
        if let Some(host) = written.as_ref().filter(|written| ["no", "host"].contains(&written.value)) {
            let problem = Code::Combination
                .problem(format!("{key}= cannot be used with UserNS={}", host.value), "remove one of the two");
            problems.push(Diagnostic::error(&mapping.at, problem));
            return None;
        }
        let problem = Code::Differs.problem(
            format!(
                "{key}={} differs from Podman: the container gets a range of host IDs, as with UserNS=auto, and files of host \
                 paths show the number of their owner inside",
                mapping.value
            ),
            "change the owner of these files to a number that the application uses",
        );
        problems.push(Diagnostic::warning(&mapping.at, problem));
        return Some(Spanned { value: "auto", at: mapping.at });
    }
    let Spanned { value, at } = written?;
    let (mode, options) = value.split_once(':').unwrap_or((value, ""));
    match mode {
        "auto" => {
            for option in options.split(',').filter(|option| !option.is_empty()) {
                let size = option.strip_prefix("size=").and_then(|size| size.parse::<u32>().ok());
                if size.is_none_or(|size| size > super::userns::SIZE) {
                    let problem = Code::Differs.problem(
                        format!(
                            "UserNS=auto:{option} differs from Podman: every container has {} IDs, in a range that is chosen \
                             for it",
                            super::userns::SIZE
                        ),
                        "write UserNS=auto",
                    );
                    problems.push(Diagnostic::warning(&at, problem));
                }
            }
            Some(Spanned { value: "auto", at })
        }
        "private" | "nomap" => Some(Spanned { value: "auto", at }),
        "keep-id" => {
            problems.push(Diagnostic::warning(&at, keep_id(options)));
            Some(Spanned { value: "auto", at })
        }
        "" => None,
        _ => Some(Spanned { value, at }),
    }
}

/// The user of `UserNS=keep-id:uid=UID,gid=GID`, as which podman runs the application: `UID` or
/// `UID:GID`.
#[must_use]
pub fn kept_user(settings: &Settings) -> Option<String> {
    let options = settings.text("Container", key::USER_NS)?.value.strip_prefix("keep-id:")?;
    let number = |key: &str| {
        let mut all = options.split(',').filter_map(|option| option.strip_prefix(key)?.strip_prefix('='));
        // parse() also accepts a plus sign.
        let is_number = |text: &&str| text.bytes().all(|digit| digit.is_ascii_digit()) && text.parse::<u32>().is_ok();
        all.next().filter(is_number)
    };
    let uid = number("uid")?;
    Some(number("gid").map_or_else(|| uid.to_owned(), |gid| format!("{uid}:{gid}")))
}

fn keep_id(options: &str) -> Problem {
    let user = match options {
        "" => "the application runs as the user of the image, not as the user who started it",
        _ => "the application runs as the user with that number",
    };
    let cause = format!(
        "UserNS=keep-id differs from Podman: it is UserNS=auto here, {user}, and files of host paths show the number of \
         their owner inside"
    );
    Code::Differs.problem(cause, "write User= with the number that owns the files")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::keys::FileType;
    use crate::config::sources::{SourceFile, Text};
    use crate::diag::has_errors;

    fn settings(lines: &str) -> Settings {
        let content = Ok(format!("[Container]\nImage=a\n{lines}\n").into_bytes());
        let main = Text { path: "a.container".into(), content };
        let file = SourceFile { file_type: FileType::Container, name: "a".into(), main, drop_ins: Vec::new() };
        Settings::load(&file).unwrap()
    }

    #[test]
    fn modes_of_podman_with_an_own_user_namespace_mean_auto() {
        for (lines, value, warnings) in [
            ("UserNS=auto", Some("auto"), 0),
            ("UserNS=auto:size=65536", Some("auto"), 0),
            ("UserNS=auto:size=131072", Some("auto"), 1),
            ("UserNS=keep-id:uid=5,gid=6", Some("auto"), 1),
            ("UIDMap=0:100000:65536\nGIDMap=0:100000:65536", Some("auto"), 1),
            ("UserNS=host", Some("host"), 0),
            ("UserNS=container:x", Some("container:x"), 0),
            ("", None, 0),
        ] {
            let (settings, mut problems) = (settings(lines), Vec::new());
            let found = user_ns(&settings, &mut problems).map(|found| found.value);
            assert_eq!((found, problems.len()), (value, warnings), "{lines}");
            assert!(!has_errors(&problems), "{lines}");
        }
        let mut problems = Vec::new();
        user_ns(&settings("UserNS=host\nUIDMap=0:1:2"), &mut problems);
        assert!(has_errors(&problems));
        assert_eq!(kept_user(&settings("UserNS=keep-id:uid=5,gid=6")).as_deref(), Some("5:6"));
        for none in ["UserNS=keep-id", "UserNS=keep-id:uid=+5", "UserNS=keep-id:uid="] {
            assert_eq!(kept_user(&settings(none)), None, "{none}");
        }
    }
}
