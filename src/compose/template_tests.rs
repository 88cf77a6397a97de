// SPDX-License-Identifier: MIT
//! Tests of the grammar of variables, form by form. The expected results are those of the reference
//! implementation (compose-go 2).
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn variables(name: &str) -> Option<String> {
    let known = [("SET", "v"), ("EMPTY", ""), ("DOLLAR", "$SET"), ("lower", "l"), ("_x1", "u"), ("LINES", "a\nb")];
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// A text, and its value after substitution or a part of the error message.
const FORMS: [(&str, Result<&str, &str>); 73] = [
    // Texts without a variable, and dollar signs that do not start one.
    ("", Ok("")),
    ("plain", Ok("plain")),
    ("$", Ok("$")),
    ("a$", Ok("a$")),
    ("^a$ b", Ok("^a$ b")),
    ("$1", Ok("$1")),
    ("$-", Ok("$-")),
    ("$}", Ok("$}")),
    ("$(SET)", Ok("$(SET)")),
    ("$.", Ok("$.")),
    // An escaped dollar sign.
    ("$$", Ok("$")),
    ("$$$$", Ok("$$")),
    ("$$SET", Ok("$SET")),
    ("$${SET}", Ok("${SET}")),
    ("$$$SET", Ok("$v")),
    ("a$$b$$", Ok("a$b$")),
    ("$${SET:-$SET}", Ok("${SET:-v}")),
    // Without braces.
    ("$SET", Ok("v")),
    ("a$SET.b", Ok("av.b")),
    ("$SET-b", Ok("v-b")),
    ("$SET:-b", Ok("v:-b")),
    ("$SET$SET", Ok("vv")),
    ("$SETX", Ok("")),
    ("$EMPTY", Ok("")),
    ("$lower", Ok("l")),
    ("$_x1", Ok("u")),
    ("$DOLLAR", Ok("$SET")),
    ("$UNSET!", Ok("!")),
    // With braces.
    ("${SET}", Ok("v")),
    ("${SET}X", Ok("vX")),
    ("${SET}${SET}", Ok("vv")),
    ("${SET}}", Ok("v}")),
    ("${EMPTY}", Ok("")),
    ("${UNSET}", Ok("")),
    ("${LINES}", Ok("a\nb")),
    // A default.
    ("${SET:-d}", Ok("v")),
    ("${EMPTY:-d}", Ok("d")),
    ("${UNSET:-d}", Ok("d")),
    ("${UNSET:-}", Ok("")),
    ("${SET-d}", Ok("v")),
    ("${EMPTY-d}", Ok("")),
    ("${UNSET-d}", Ok("d")),
    ("${UNSET:-a b:c/d?e+f}", Ok("a b:c/d?e+f")),
    ("${UNSET--d}", Ok("-d")),
    ("${UNSET:-:-d}", Ok(":-d")),
    ("${UNSET:-d} and ${SET:-e}", Ok("d and v")),
    ("${UNSET-x?y}", Ok("x?y")),
    // An alternative value for a variable that is set.
    ("${SET:+p}", Ok("p")),
    ("${EMPTY:+p}", Ok("")),
    ("${UNSET:+p}", Ok("")),
    ("${SET+p}", Ok("p")),
    ("${EMPTY+p}", Ok("p")),
    ("${UNSET+p}", Ok("")),
    ("-${SET:+https://${SET}}", Ok("-https://v")),
    // A required variable.
    ("${SET:?why}", Ok("v")),
    ("${SET?why}", Ok("v")),
    ("${EMPTY?why}", Ok("")),
    ("${EMPTY:?why}", Err("EMPTY has no value: why")),
    ("${UNSET?why ${SET}}", Err("UNSET has no value: why v")),
    ("${UNSET:?}", Err("UNSET has no value")),
    // Variables and braces in operands.
    ("${UNSET:-$SET}", Ok("v")),
    ("${UNSET:-${EMPTY:-c}}", Ok("c")),
    ("${UNSET:-${SET} ${SET}}", Ok("v v")),
    ("${SET:-${UNSET:?why}}", Ok("v")),
    ("${UNSET:-{\"a\": {\"b\": 1}}}", Ok("{\"a\": {\"b\": 1}}")),
    ("${UNSET:-{}}", Ok("{}")),
    ("${UNSET:-$$x}", Ok("$x")),
    // Invalid expressions.
    ("${", Err("invalid expression")),
    ("${}", Err("invalid expression")),
    ("${ SET}", Err("invalid expression")),
    ("${SET }", Err("invalid expression")),
    ("${SET!d}", Err("invalid expression")),
    ("${1A}", Err("invalid expression")),
];

#[test]
fn every_form_is_substituted_as_by_the_reference() {
    for (text, expected) in FORMS {
        match (substitute(text, &variables, &mut |_| {}), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (result, _) => assert!(result.is_ok() == expected.is_ok(), "{text}: {result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn an_expression_cannot_span_lines() {
    assert!(substitute("${UNSET:-a\nb}", &variables, &mut |_| {}).is_err());
    assert_eq!(substitute("$SET\n${SET}", &variables, &mut |_| {}).unwrap(), "v\nv");
}

#[test]
fn every_variable_without_a_value_is_reported() {
    let mut unset = Vec::new();
    substitute("$A ${B} ${C:-d} ${D+e} ${SET}", &variables, &mut |name| unset.push(name.to_owned())).unwrap();
    assert_eq!(unset, ["A", "B"]);
}

#[test]
fn defaults_within_defaults_are_bounded() {
    let deep = format!("{}d{}", "${UNSET:-".repeat(100), "}".repeat(100));
    assert!(substitute(&deep, &variables, &mut |_| {}).unwrap_err().cause.contains("levels"));
}

#[test]
fn all_scalars_but_no_keys_are_interpolated() {
    let documents =
        crate::compose::yaml::documents("a: {$SET: [$SET, {b: \"${SET}\"}], n: 5, k: !override [$SET]}\n").unwrap();
    let Some(Value::Map(mut map)) = documents.into_iter().next() else { unreachable!() };
    interpolate(&mut map, &variables, &mut |_| {}).unwrap();
    assert_eq!(format!("{map:?}").matches("Text(\"v\")").count(), 3, "{map:?}");
    assert!(map.get("a").unwrap().get("$SET").is_some());
    let mut map: Map = [("x".to_owned(), Value::List(vec![Value::Text("${".to_owned())]))].into_iter().collect();
    assert!(interpolate(&mut map, &variables, &mut |_| {}).unwrap_err().cause.starts_with("x[0]: invalid"));
}

proptest! {
    #[test]
    fn no_text_makes_the_substitution_panic(text in "[$\\{\\}:?+a-c \\n-]{0,40}") {
        let _ = substitute(&text, &variables, &mut |_| {});
    }

    #[test]
    fn a_text_with_escaped_dollar_signs_is_kept(text in any::<String>()) {
        prop_assert_eq!(substitute(&text.replace('$', "$$"), &variables, &mut |_| {}).unwrap(), text);
    }
}
