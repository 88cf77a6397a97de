// SPDX-License-Identifier: MIT
//! Images: imports them from a registry, a layout directory or an archive into directory trees of
//! the store.
//!
//! [`import`] is the entry point, which `sdme-image@NAME.service` runs. Everything in an image is
//! treated as hostile: digests are verified before use, sizes are limited, and nothing is written
//! outside of the tree. The rules in [`mode`] decide whether an image is a base or an application.
//! This module must not know about containers or units.

mod import;
mod kind;
mod progress;
mod source;
mod store;
mod tar;
pub mod trust;
mod unpack;
mod versions;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::import::{Request, download, import, latest};
pub use self::kind::imageconfig::Healthcheck;
pub use self::kind::mode;
pub use self::kind::user::{User, identify};
pub use self::progress::{Progress, Silent, shown};
pub use self::source::manifest::Address;
pub use self::source::registry_remedy;
pub use self::store::prune::{Removed, Retention, has_superseded, prune, remove, retire, verify};
pub use self::store::record::ImageRecord;
pub use self::store::{Imported, Store, application_root, check_name};
pub use self::store::{digest, local, mark};
pub use self::unpack::extract::{Extractor, Limits};
pub use self::unpack::overlay;
pub use self::versions::{Failure, Switch, Updates, now, short};
pub use crate::config::values::install::{InstallSetting, Installers};
pub use crate::config::values::source::{ModeSetting, PlatformSetting, Pull};
pub use crate::model::Mode;
