// SPDX-License-Identifier: MIT
//! Normalizes JSON documents to what the JSON decoder of Go accepts, which all other image tools
//! use: Go ignores the case of keys, and treats `null` as a missing value. Pure.

use serde_json::Value;

/// Renames the keys of an object to their spelling in `names`, and removes keys whose value is
/// `null`. A key with the correct spelling takes precedence over one with another case. Other
/// values are not changed.
pub fn respell(value: &mut Value, names: &[&str]) {
    let Some(object) = value.as_object_mut() else { return };
    object.retain(|_, value| !value.is_null());
    for name in names {
        if !object.contains_key(*name)
            && let Some(found) = object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
            && let Some(value) = object.remove(&found)
        {
            object.insert((*name).to_owned(), value);
        }
    }
}

/// The same as [`respell`], and removes all keys that are not in `names`.
pub fn only(value: &mut Value, names: &[&str]) {
    respell(value, names);
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| names.contains(&key.as_str()));
    }
}

/// The same as [`respell`], for an object in a field of `value`.
pub fn respell_field(value: &mut Value, field: &str, names: &[&str]) {
    if let Some(inner) = value.get_mut(field) {
        respell(inner, names);
    }
}

/// The same as [`respell`], for each object of a list in a field of `value`.
pub fn respell_each(value: &mut Value, field: &str, names: &[&str]) {
    for entry in value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
        respell(entry, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_get_the_spelling_of_the_list() {
        let mut value = serde_json::json!({
            "cmd": ["a"], "ENV": null, "workingDir": "/w", "User": "right", "user": "wrong", "Other": 1,
            "inner": {"KEY": 1}, "list": [{"key": 2}, 3]
        });
        respell(&mut value, &["Cmd", "Env", "WorkingDir", "User"]);
        respell_field(&mut value, "inner", &["key"]);
        respell_each(&mut value, "list", &["Key"]);
        let want = serde_json::json!({
            "Cmd": ["a"], "WorkingDir": "/w", "User": "right", "user": "wrong", "Other": 1,
            "inner": {"key": 1}, "list": [{"Key": 2}, 3]
        });
        assert_eq!(value, want);
        only(&mut value, &["USER"]);
        assert_eq!(value, serde_json::json!({"USER": "right"}));
        let mut scalar = serde_json::json!(1);
        respell(&mut scalar, &["a"]);
        assert_eq!(scalar, serde_json::json!(1));
    }
}
