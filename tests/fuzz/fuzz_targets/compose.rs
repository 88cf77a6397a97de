// SPDX-License-Identifier: MIT
//! Resolves and converts arbitrary files as a Compose project. The pieces of the data are the
//! project file, a file that overrides it, variables, an included file and an `env_file`. Nothing
//! panics, the resolved project stays within the limits, and the converted files pass `check`.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use sdme_gen::compile;
use sdme_gen::compose::{Files, Kind, Request, dotenv, resolve};
use sdme_gen::convert::compose::compose;
use sdme_gen::convert::sources;
use sdme_gen::diag::{Fault, Severity};
use sdme_gen::model::Facts;

/// The names of the pieces of the data, in order.
const NAMES: [&str; 5] = ["compose.yaml", "compose.override.yaml", ".env", "more/compose.yaml", "service.env"];

/// Maximum size of a resolved project in bytes, which the limits on aliases and variables
/// guarantee.
const MOST: usize = 64 << 20;

struct Given(BTreeMap<String, String>);

impl Files for Given {
    fn read(&self, path: &str) -> Result<Option<String>, Fault> {
        Ok(self.0.get(path).cloned())
    }

    fn kind(&self, path: &str) -> Kind {
        if self.0.contains_key(path) { Kind::File } else { Kind::Missing }
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let inside = |path: &String| path.strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        self.0.keys().filter_map(inside).collect()
    }
}

fuzz_target!(|data: &[u8]| {
    let pieces = data.split(|byte| *byte == 0xff).zip(NAMES);
    let files = pieces.map(|(piece, name)| (format!("/srv/shop/{name}"), String::from_utf8_lossy(piece).into_owned()));
    let files = Given(files.collect());
    if let Some(text) = files.0.get("/srv/shop/service.env") {
        let _ = dotenv::parse(text, &|_| None);
        let _ = dotenv::parse_raw(text, &|_| None);
    }
    let request = Request { directory: "/srv/shop".to_owned(), ..Request::default() };
    let Ok(resolved) = resolve(&request, &files) else { return };
    assert!(format!("{:?}", resolved.model).len() < MOST);
    let Ok(outcome) = compose(&resolved, &files) else { return };
    let instances = outcome.links.iter().map(|(link, target)| (link, &outcome.files[target]));
    let problems = compile(&sources(outcome.files.iter().chain(instances)), &Facts::default()).diagnostics;
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
});
