// SPDX-License-Identifier: MIT
//! Asks the sources of images for their current digests, several sources at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::image::{Address, Progress, Request, Silent, Store, latest};
use crate::model::{Image, Model};
use crate::runtime::pull;

/// The address of an image at its source, or the reason why the source cannot be asked.
pub type Answer = Result<Address, String>;

/// Maximum number of sources that are asked at the same time.
const AT_ONCE: usize = 8;

/// Asks for the current digests of images, and returns the answers by the names of the images. The
/// lock in `sdme.lock` is ignored, because an update moves it.
#[must_use]
pub fn ask(store: &Store, model: &Model, images: &[&Image]) -> BTreeMap<String, Answer> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..images.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = one(store, model, image, &Silent);
                    if let Ok(mut answers) = answers.lock() {
                        answers.insert(image.name.clone(), answer);
                    }
                }
            });
        }
    });
    answers.into_inner().unwrap_or_default()
}

fn one(store: &Store, model: &Model, image: &Image, progress: &dyn Progress) -> Answer {
    let asked = || {
        let request = Request { digest: None, ..pull::request(model, image)? };
        latest(store, &request, progress)
    };
    asked().map_err(|error| format!("{error:#}"))
}
