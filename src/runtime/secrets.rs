// SPDX-License-Identifier: MIT
//! `sdme-gen secrets NAME`, run by the container's service before systemd-nspawn: turns the
//! credentials that systemd has loaded and decrypted into files for the applications. The files are
//! in a directory of root, which systemd makes before this command and removes when the service
//! stops.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::config::values::secret::Form;
use crate::diag::{Fault, Location};
use crate::model::Stack;
use crate::paths;
use crate::unit::env_assignment;

/// Writes the secrets of the container `name`.
///
/// # Errors
/// A credential is missing, or a file cannot be written.
pub fn secrets(name: &str) -> Result<()> {
    let (model, facts) = super::known(Path::new("/"));
    let container = model.containers.get(name).with_context(|| format!("there is no {name}.container"))?;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let credentials = credentials.context("only the service of a container can call this, with credentials")?;
    let directory = PathBuf::from(paths::secrets(name));
    let applications = matches!(model.stack(container, &facts), Stack::Application(..));
    let mut variables: Vec<(&str, String)> = Vec::new();
    for (number, app, secret) in container.secrets() {
        let (secret, at) = (&secret.value, &secret.at);
        let content = read(&credentials, &secret.name, at)?;
        match &secret.form {
            Form::File { uid, gid, mode, .. } => {
                let user = facts
                    .images
                    .get(&app.image)
                    .filter(|_| applications)
                    .and_then(|i| i.users.get(&app.startup.identity));
                let user = match user {
                    Some(Err(message)) => bail!("{message}"),
                    Some(Ok(user)) => Some(user),
                    None => None,
                };
                let owner = (uid.or(user.map(|u| u.uid)), gid.or(user.map(|u| u.gid)));
                write(&directory.join(number.to_string()), &content, *mode, owner)?;
            }
            Form::Variable(_) if !applications => {
                bail!(Fault::new(format!("{at}: an operating system has no environment"), "remove type=env"))
            }
            Form::Variable(variable) => {
                let value = String::from_utf8(content).ok().filter(|value| !value.contains('\0'));
                let Some(value) = value else { bail!("{at}: the secret {} is no text; use type=mount", secret.name) };
                variables.push((&app.name, env_assignment(variable, &value)));
            }
        }
    }
    for app in container.apps.iter().filter(|app| app.has_secret_variables()) {
        let text: String = variables.iter().filter(|(of, _)| *of == app.name).map(|(_, line)| line.as_str()).collect();
        write(&directory.join(format!("{}.env", app.name)), text.as_bytes(), 0o400, (None, None))?;
    }
    Ok(())
}

fn read(credentials: &Path, name: &str, at: &Location) -> Result<Vec<u8>> {
    match fs::read(credentials.join(name)) {
        Err(e) if e.kind() == ErrorKind::NotFound => bail!(
            "{at}: there is no credential {name}; put it into /etc/credstore/{name}, or encrypted by systemd-creds(1) into \
             /etc/credstore.encrypted/{name}"
        ),
        other => other.with_context(|| format!("{at}: cannot read the credential {name}")),
    }
}

fn write(path: &Path, content: &[u8], mode: u32, (uid, gid): (Option<u32>, Option<u32>)) -> Result<()> {
    let write = || {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        fchown(&file, uid, gid)?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
