// SPDX-License-Identifier: MIT
//! Replaces variables in the values of a Compose file: `$NAME`, `${NAME}` and the operators `-`,
//! `?` and `+`, by the grammar of the reference implementation (compose-go 2). Pure.

use super::value::{Map, Value};
use crate::diag::Fault;

/// A function that returns the value of a variable, or `None` if the variable is not set.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Maximum nesting of variables in the operands of other variables.
const MOST_LEVELS: usize = 32;

/// Replaces the variables of a text. Calls `unset` with the name of each variable that has neither
/// a value nor a default.
///
/// # Errors
/// Returns an error if an expression is invalid, or if a required variable has no value.
pub fn substitute(text: &str, variables: Variables<'_>, unset: &mut dyn FnMut(&str)) -> Result<String, Fault> {
    expand(text, variables, unset, MOST_LEVELS)
}

/// Replaces the variables in all values of a mapping. Keys are not changed.
///
/// # Errors
/// The same errors as those of [`substitute`], with the path of the value.
pub fn interpolate(map: &mut Map, variables: Variables<'_>, unset: &mut dyn FnMut(&str)) -> Result<(), Fault> {
    for (key, value) in map.iter_mut() {
        value_of(value, key, variables, unset)?;
    }
    Ok(())
}

fn value_of(value: &mut Value, path: &str, variables: Variables<'_>, unset: &mut dyn FnMut(&str)) -> Result<(), Fault> {
    match value {
        Value::Text(text) if text.contains('$') => {
            *text = substitute(text, variables, unset).map_err(|fault| fault.of(path))?;
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                value_of(item, &format!("{path}[{index}]"), variables, unset)?;
            }
        }
        Value::Map(map) => {
            for (key, value) in map.iter_mut() {
                value_of(value, &format!("{path}.{key}"), variables, unset)?;
            }
        }
        Value::Override(value) => value_of(value, path, variables, unset)?,
        _ => {}
    }
    Ok(())
}

fn expand(text: &str, variables: Variables<'_>, unset: &mut dyn FnMut(&str), levels: usize) -> Result<String, Fault> {
    let invalid = || Fault::new(format!("invalid expression in {text:?}"), "write $$ for a dollar sign before a brace");
    let Some(levels) = levels.checked_sub(1) else {
        let cause = format!("more than {MOST_LEVELS} levels of variables in defaults");
        return Err(Fault::new(cause, "use fewer levels"));
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out += before;
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let (name, tail) = split_name(inner);
            if name.is_empty() {
                return Err(invalid());
            }
            if let Some(after) = tail.strip_prefix('}') {
                out += &value(name, variables, unset);
                rest = after;
                continue;
            }
            let operator = [":-", "-", ":?", "?", ":+", "+"].into_iter().find(|operator| tail.starts_with(operator));
            let operand = operator.and_then(|operator| tail.strip_prefix(operator));
            let (Some(operator), Some(operand)) = (operator, operand) else { return Err(invalid()) };
            let (operand, after) = split_operand(operand).ok_or_else(invalid)?;
            out += &operate(name, operator, operand, variables, unset, levels)?;
            rest = after;
        } else {
            let (name, after) = split_name(after);
            if name.is_empty() {
                out.push('$');
            } else {
                out += &value(name, variables, unset);
            }
            rest = after;
        }
    }
    Ok(out + rest)
}

fn value(name: &str, variables: Variables<'_>, unset: &mut dyn FnMut(&str)) -> String {
    variables(name).unwrap_or_else(|| {
        unset(name);
        String::new()
    })
}

fn operate(
    name: &str,
    operator: &str,
    operand: &str,
    variables: Variables<'_>,
    unset: &mut dyn FnMut(&str),
    levels: usize,
) -> Result<String, Fault> {
    let value = variables(name);
    // An operator with a colon treats an empty value like an unset variable.
    let counts = value.as_ref().is_some_and(|value| !operator.starts_with(':') || !value.is_empty());
    let mut operand = || expand(operand, variables, unset, levels);
    match operator.trim_start_matches(':') {
        "-" if !counts => operand(),
        "+" if counts => operand(),
        "?" if !counts => {
            let reason = operand()?;
            let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
            let cause = format!("the required variable {name} has no value{reason}");
            Err(Fault::new(cause, "set it in .env or in the environment"))
        }
        _ => Ok(value.unwrap_or_default()),
    }
}

fn split_name(text: &str) -> (&str, &str) {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", text);
    }
    text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()))
}

/// Splits a text at the brace that ends an expression, into the operand and the text after the
/// brace. Nested braces are counted; if they do not match, the last brace of the line ends the
/// expression. An expression cannot span lines.
fn split_operand(text: &str) -> Option<(&str, &str)> {
    let line = text.split('\n').next().unwrap_or(text);
    let last = line.rfind('}')?;
    let mut open = 1_usize;
    let mut skip = false;
    let mut end = last;
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            // The reference implementation skips the character after an opening brace.
            _ if skip => skip = false,
            b'{' => {
                open += 1;
                skip = true;
            }
            b'}' => {
                open -= 1;
                if open == 0 {
                    end = index;
                    break;
                }
            }
            _ => {}
        }
    }
    Some((text.get(..end)?, text.get(end + 1..)?))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
