// SPDX-License-Identifier: MIT
//! `Secret=NAME[,OPTION=VALUE…]`, in the format of podman-run(1), `--secret`. Pure.

use super::mount::{octal, target};
use crate::config::names::SecretName;
use crate::diag::{Fault, did_you_mean};
use crate::unit::is_env_name;

/// The directory of secrets whose target is not an absolute path.
const DIRECTORY: &str = "/run/secrets";

/// A secret that `Secret=` requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name of the credential (systemd.exec(5), `ImportCredential=`).
    pub name: SecretName,
    /// How the application receives the secret.
    pub form: Form,
}

/// How an application receives a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The secret is a file.
    File {
        /// The absolute path of the file.
        target: String,
        /// The owner of the file (default: the user of the application).
        uid: Option<u32>,
        /// The group of the file (default: the group of the application).
        gid: Option<u32>,
        /// The mode of the file.
        mode: u32,
    },
    /// The secret is the environment variable with this name.
    Variable(String),
}

/// Reads one word of `Secret=`.
///
/// # Errors
/// The name, the target or an option is invalid.
pub fn secret(value: &str) -> Result<Secret, Fault> {
    let is_name = |part: &&str| part.split_once('=').is_some_and(|(key, _)| ["source", "src", "id"].contains(&key));
    let mut parts: Vec<&str> = value.split(',').collect();
    // The name is the first part, or the value of `source=`, `src=` or `id=`.
    let name = match parts.iter().position(is_name) {
        Some(place) => parts.remove(place).split_once('=').map_or("", |(_, name)| name).to_owned(),
        None => parts.remove(0).to_owned(),
    };
    let name: SecretName = name.parse().map_err(Fault::from)?;
    let (mut kind, mut place, mut uid, mut gid, mut mode) = ("mount", None, None, None, None);
    for part in parts {
        let (key, value) = part.split_once('=').filter(|(_, v)| !v.is_empty()).unwrap_or((part, ""));
        let wrong = |valid: &str| Fault::new(format!("{key} has no valid value"), format!("write {valid}"));
        let number = || {
            let number = value.parse().ok().filter(|id| *id != u32::MAX);
            number.ok_or_else(|| wrong(&format!("a number such as {key}=1000")))
        };
        match key {
            "type" if ["mount", "env"].contains(&value) => kind = value,
            "type" => return Err(wrong("type=mount or type=env")),
            "target" if value.is_empty() => return Err(wrong("target=PATH or target=NAME")),
            "target" => place = Some(value),
            "uid" => uid = Some(number()?),
            "gid" => gid = Some(number()?),
            "mode" => mode = Some(octal(value).ok_or_else(|| wrong("an octal mode such as mode=0440"))?),
            other => {
                let near = did_you_mean(other, ["type", "target", "uid", "gid", "mode"]);
                return Err(Fault::new(
                    format!("unknown option {other:?}"),
                    near.unwrap_or_else(|| "remove the option".to_owned()),
                ));
            }
        }
    }
    let form = if kind == "env" {
        if uid.or(gid).or(mode).is_some() {
            return Err(Fault::new("a variable has no owner and no mode", "remove uid, gid and mode"));
        }
        let variable = place.unwrap_or(&name);
        if !is_env_name(variable) {
            return Err(Fault::new(format!("{variable:?} is not the name of a variable"), "write target=NAME"));
        }
        Form::Variable(variable.to_owned())
    } else {
        let path = place.unwrap_or(&name);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{DIRECTORY}/{path}") };
        Form::File { target: target(&path)?, uid, gid, mode: mode.unwrap_or(0o444) }
    };
    Ok(Secret { name, form })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn secrets_become_files_or_variables() {
        let file = |target: &str, uid, gid, mode| Form::File { target: target.into(), uid, gid, mode };
        for (value, form) in [
            ("db", file("/run/secrets/db", None, None, 0o444)),
            ("db,target=x,uid=5,gid=6,mode=0440", file("/run/secrets/x", Some(5), Some(6), 0o440)),
            ("db,type=mount,target=/etc/key", file("/etc/key", None, None, 0o444)),
            ("db,type=env", Form::Variable("db".into())),
            ("db,type=env,target=PASSWORD", Form::Variable("PASSWORD".into())),
        ] {
            assert_eq!(secret(value).unwrap(), Secret { name: "db".parse().unwrap(), form }, "{value}");
        }
        for (bad, why) in [
            ("", "cannot be the name of a secret"),
            ("../x", "cannot be the name of a secret"),
            ("a,type=volume", "type=mount or type=env"),
            ("a,uid=-1", "write a number"),
            ("a,mode=u+r", "octal"),
            ("a,target=../../x", "'..'"),
            ("a,type=env,mode=0400", "no owner"),
            ("a,taget=x", "did you mean target?"),
        ] {
            let message = secret(bad).unwrap_err().to_string();
            assert!(message.contains(why), "{bad}: {message}");
        }
    }
}
