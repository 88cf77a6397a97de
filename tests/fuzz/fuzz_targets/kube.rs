// SPDX-License-Identifier: MIT
//! Converts arbitrary files as Kubernetes manifests, each of which is a piece of the data. Nothing
//! panics, the converted files pass `check`, and each mistake is reported with a line of its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdme_gen::compile;
use sdme_gen::convert::kube::kube;
use sdme_gen::convert::sources;
use sdme_gen::diag::Severity;
use sdme_gen::kube::read;
use sdme_gen::model::Facts;

fuzz_target!(|data: &[u8]| {
    let pieces = data.split(|byte| *byte == 0xff).take(4).enumerate();
    let files: Vec<(String, String)> =
        pieces.map(|(number, piece)| (format!("{number}.yaml"), String::from_utf8_lossy(piece).into_owned())).collect();
    let read = read(&files);
    let outcome = match kube(&read, "fuzz") {
        Ok(outcome) => outcome,
        Err(problems) => {
            for problem in problems {
                let number: usize = problem.field.file.split('.').next().unwrap().parse().unwrap();
                let lines = files[number].1.split('\n').count() + 1;
                assert!(usize::try_from(problem.field.line).unwrap() <= lines, "{problem}");
                assert!(problem.message.contains(';'), "{problem}");
            }
            return;
        }
    };
    let instances = outcome.links.iter().map(|(link, target)| (link, &outcome.files[target]));
    let problems = compile(&sources(outcome.files.iter().chain(instances)), &Facts::default()).diagnostics;
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    for path in outcome.mounted.keys() {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
    }
});
