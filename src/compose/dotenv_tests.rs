// SPDX-License-Identifier: MIT
//! Tests of the `.env` format, value by value. The expected values are those of the reference
//! implementation (compose-go 2).
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn outside(name: &str) -> Option<String> {
    (name == "OUT").then(|| "o".to_owned())
}

/// The text to the right of `A=`, and the value that A gets; `None` means that the file is refused.
const VALUES: [(&str, Option<&str>); 52] = [
    ("1", Some("1")),
    ("", Some("")),
    ("  1  ", Some("1")),
    ("a b", Some("a b")),
    ("a=b==", Some("a=b==")),
    ("1:b", Some("1:b")),
    ("é", Some("é")),
    ("a\r", Some("a")),
    ("\ta", Some("a")),
    // Comments.
    ("x:1 # pinned", Some("x:1")),
    ("a#b", Some("a#b")),
    ("a # b # c", Some("a")),
    ("a\t# b", Some("a\t# b")),
    ("# b", Some("# b")),
    ("'a # b'", Some("a # b")),
    ("\"a # b\" # c", Some("a # b")),
    ("'a' # b", Some("a")),
    // Quotes.
    ("\"a\"", Some("a")),
    ("'a'", Some("a")),
    ("\"\"", Some("")),
    ("''", Some("")),
    ("\" a \"", Some(" a ")),
    ("\"'a'\"", Some("'a'")),
    ("'\"a\"'", Some("\"a\"")),
    ("say \"hi\"", Some("say \"hi\"")),
    ("a'b", Some("a'b")),
    ("\"one\ntwo\"", Some("one\ntwo")),
    ("'one\ntwo'", Some("one\ntwo")),
    ("{\"a\": 1}", Some("{\"a\": 1}")),
    ("\"open", None),
    ("'open", None),
    // Escape sequences.
    ("\"a\\nb\"", Some("a\nb")),
    ("\"a\\tb\\r\"", Some("a\tb\r")),
    ("'a\\nb'", Some("a\\nb")),
    ("a\\nb", Some("a\\nb")),
    ("\"a\\\"b\"", Some("a\"b")),
    ("'a\\'b'", Some("a'b")),
    ("\"a\\\\b\"", Some("a\\b")),
    ("\"a\\qb\"", Some("a\\qb")),
    ("\"\\0123\"", Some("S")),
    // Variables.
    ("$B", Some("b")),
    ("${B}c", Some("bc")),
    ("\"x $B\"", Some("x b")),
    ("'$B'", Some("$B")),
    ("$OUT", Some("o")),
    ("$NONE", Some("")),
    ("${NONE:-d}", Some("d")),
    ("${B:+p}", Some("p")),
    ("\"\\$B\"", Some("$B")),
    ("$$B", Some("$B")),
    ("${NONE:?why}", None),
    ("${", None),
];

#[test]
fn every_form_of_a_value_is_read_as_by_the_reference() {
    for (text, expected) in VALUES {
        let file = format!("B=b\nA={text}\nC=after\n");
        let result = parse(&file, &outside);
        match expected {
            Some(expected) => {
                let result = result.unwrap();
                assert_eq!(result.get("A").map(String::as_str), Some(expected), "{text:?}");
                assert_eq!(result.get("C").map(String::as_str), Some("after"), "{text:?}");
            }
            None => assert!(result.as_ref().is_err_and(|e| e.line == Some(2)), "{text:?}: {result:?}"),
        }
    }
}

#[test]
fn names_comments_and_blank_lines_follow_the_grammar() {
    let text = "\u{feff}# first\n\n  export A=1\nexport\tB = 2\nC: 3\nD.e-f[0]=4\nexported=5\nOUT\nNOTSET\nOUT2=${OUT}\n \t# last\nZ=26";
    let result = parse(text, &outside).unwrap();
    let expected = [
        ("A", "1"),
        ("B", "2"),
        ("C", "3"),
        ("D.e-f[0]", "4"),
        ("OUT", "o"),
        ("OUT2", "o"),
        ("Z", "26"),
        ("exported", "5"),
    ];
    assert_eq!(result.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    // A reference takes the value from outside, but the variable itself keeps the value of the
    // file.
    let result = parse("OUT=mine\nA=$OUT\nA2=${A}\nA=later\n", &outside).unwrap();
    assert_eq!(result.get("OUT").unwrap(), "mine");
    assert_eq!((result.get("A").unwrap().as_str(), result.get("A2").unwrap().as_str()), ("later", "o"));
    for (text, part) in [("A=1\nlol$wut=5\n", "line 2: "), ("a b=1\n", "blank"), ("A=1\n!\n", "line 2: ")] {
        let error = parse(text, &outside).unwrap_err();
        assert!(error.to_string().contains(part), "{text:?}: {error}");
    }
}

#[test]
fn raw_files_are_taken_literally() {
    let result = parse_raw("# c\nA=\"x\" # y\n B=$C\nOUT\nNOTSET\n\n", &outside);
    let expected = [("A", "\"x\" # y"), ("B", "$C"), ("OUT", "o")];
    assert_eq!(result.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[A-B=:'\"\\\\$\\{\\}# \\n0-]{0,40}") {
        let _ = parse(&text, &outside);
    }
}
