// SPDX-License-Identifier: MIT
//! Documents as Go's JSON decoder reads them, which every other tool for images is built on: it ignores the case of keys and
//! takes `null` for a value that is not set. Pure.

use serde_json::Value;

/// Gives the keys of an object the spelling that `names` has of them, and removes those whose value is `null`. A key that is
/// spelt right already wins over one that is not. What is no object stays as it is.
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

/// Does the same, and leaves nothing but the keys of `names`.
pub fn only(value: &mut Value, names: &[&str]) {
    respell(value, names);
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| names.contains(&key.as_str()));
    }
}

/// Does the same as [`respell`] to an object that is a field of another one.
pub fn respell_field(value: &mut Value, field: &str, names: &[&str]) {
    if let Some(inner) = value.get_mut(field) {
        respell(inner, names);
    }
}

/// Does the same as [`respell`] to each object of a list that is a field of another one.
pub fn respell_each(value: &mut Value, field: &str, names: &[&str]) {
    for entry in value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
        respell(entry, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_another_case() {
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
