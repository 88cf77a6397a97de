// SPDX-License-Identifier: MIT
//! Images: from a registry, a layout directory or an archive to a directory tree in the store.
//!
//! [`import`] is the whole of it: it is what `sdme-image@NAME.service` runs. Everything in an image is taken for
//! hostile: digests are verified before use, sizes are bounded, and nothing is written outside the tree. Whether an
//! image is a base or an application is decided by the rule in [`mode`]. Must not know about containers or units.

mod ahead;
mod applayer;
mod compress;
mod deadline;
pub mod digest;
mod extract;
mod imageconfig;
mod import;
mod install;
mod inventory;
mod json;
mod layers;
mod manifest;
pub mod mark;
pub mod mode;
pub mod overlay;
mod pax;
mod progress;
mod prune;
mod record;
mod scratch;
mod source;
mod sparse;
mod store;
mod tarstream;
mod user;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::extract::{Extractor, Limits};
pub use self::imageconfig::Healthcheck;
pub use self::import::{Request, import};
pub use self::progress::{Progress, Silent, shown};
pub use self::prune::{Removed, prune, remove, verify};
pub use self::record::ImageRecord;
pub use self::store::{Imported, Store, application_root, check_name};
pub use self::user::{User, identify};
pub use crate::config::install::{InstallSetting, Installers};
pub use crate::config::source::{ModeSetting, PlatformSetting, Pull};
pub use crate::resolve::model::Mode;
