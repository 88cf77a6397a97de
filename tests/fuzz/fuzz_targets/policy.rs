// SPDX-License-Identifier: MIT
//! Parses arbitrary text as a signature policy. Nothing panics. In a valid policy, a scope applies
//! to every image, and the scopes and references in the policy are compared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdme_gen::config::trust::identity::Identity;
use sdme_gen::config::trust::policy::{Policy, Requirement};
use sdme_gen::config::trust::reference::Named;
use sdme_gen::config::trust::scope::Subject;

/// A source of each transport.
const SOURCES: [&str; 6] = [
    "quay.io:443/team/app:1",
    "oci:/srv/a/b:tag",
    "oci-archive:/srv/a.tar",
    "dir:/srv/d",
    "docker-archive:/a:b",
    "rootfs:/r.tar",
];

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(named) = Named::parse(text)
    {
        assert_eq!(Named::parse(&named.to_string()).as_ref(), Ok(&named));
    }
    // serde_json must accept each text that this parser accepts.
    let Ok(policy) = Policy::parse(data) else { return };
    let _: serde_json::Value = serde_json::from_slice(data).unwrap();
    for source in SOURCES {
        let subject = Subject::of(&source.parse().unwrap());
        let (scope, requirements) = policy.applied(&subject);
        assert!(!requirements.is_empty() && (scope == "default" || scope.starts_with(subject.transport)));
        for requirement in requirements {
            let _ = requirement.describe();
            if let Requirement::Signed(signed) = requirement {
                assert!(!signed.keys.is_empty() && signed.identity != Identity::Digest);
                let other = Named::parse("quay.io:443/team/other:1").unwrap();
                let exact =
                    matches!(signed.identity, Identity::Exact | Identity::RepoDigestOrExact | Identity::Repository);
                assert!(!exact || !signed.identity.accepts(subject.reference.as_ref(), &other));
            }
        }
    }
});
