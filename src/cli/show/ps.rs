// SPDX-License-Identifier: MIT
//! `sdme-gen ps`: the output as a table, as JSON, as names, or by a template in the style of
//! podman.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::admin::show::ps;
use crate::admin::show::ps::Listed;
use crate::cli::print::{print_json, print_table};
use crate::diag::suggestion;
use crate::text;

/// What to list, and how.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Also list leftovers of containers without a file
    #[arg(long, short)]
    all: bool,
    /// Print names only
    #[arg(long, short, conflicts_with_all = ["json", "format"])]
    quiet: bool,
    /// Output format: table, json, or a template such as '{{.Names}} {{.Status}}'
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<String>,
    /// Print JSON, as --format json does
    #[arg(long)]
    json: bool,
    /// Containers (default: all)
    names: Vec<String>,
}

/// Prints the list of containers.
///
/// # Errors
/// The errors of [`ps::list`], and an invalid template.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode> {
    // An invalid template is refused even if there are no containers.
    let format = if options.json { Some("json") } else { options.format.as_deref() };
    let template = match format {
        None | Some("table" | "json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let all = ps::list(&options.names, options.all)?;
    if options.quiet {
        for listed in &all {
            writeln!(out, "{}", text::line(&listed.name))?;
        }
    } else if format == Some("json") {
        print_json(&all, out)?;
    } else if let Some(template) = template {
        template.print(&all, out)?;
    } else {
        let terminal = std::io::stdout().is_terminal();
        // https://no-color.org
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        table(&all, width(terminal), colour, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The width of the table in columns: that of `COLUMNS`, or that of the terminal. None without
/// both; then no cell is cut.
fn width(terminal: bool) -> Option<usize> {
    let set = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let size = || {
        let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the structure lives until the call returns, and the kernel writes only to it
        // (ioctl_tty(2)).
        let got = unsafe { nix::libc::ioctl(1, nix::libc::TIOCGWINSZ, &raw mut size) };
        (terminal && got == 0).then_some(usize::from(size.ws_col))
    };
    set.or_else(size).filter(|columns| *columns > 0)
}

const HEAD: [&str; 7] = ["NAME", "STATE", "UP", "HEALTH", "NETWORK", "PORTS", "IMAGE"];

/// The columns that are narrowed if the table is too wide, in this order, with their minimum widths
/// in characters.
const SHRINK: [(usize, usize); 4] = [(6, 16), (5, 10), (0, 12), (4, 6)];

fn table(all: &[Listed], width: Option<usize>, colour: bool, out: &mut dyn Write) -> Result<()> {
    let rows: Vec<[String; 7]> = all.iter().map(row).collect();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(HEAD.get(column).map(|head| head.len())).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..HEAD.len()).map(widest).collect();
    for (column, least) in SHRINK {
        let total = widths.iter().sum::<usize>() + 2 * (HEAD.len() - 1);
        if let Some(cell) = widths.get_mut(column) {
            let excess = total.saturating_sub(width.unwrap_or(usize::MAX));
            *cell = (*cell).min((*cell).saturating_sub(excess).max(least));
        }
    }
    let head = HEAD.map(str::to_owned);
    for (index, row) in std::iter::once(&head).chain(&rows).enumerate() {
        let listed = index.checked_sub(1).and_then(|index| all.get(index));
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = text::line(&cut(cell, *width, column == 6));
            let style = listed.filter(|_| colour).and_then(|listed| style(listed, column));
            let last = column + 1 == HEAD.len();
            let padding = if last { 0 } else { (width + 2).saturating_sub(cell.chars().count()) };
            match style {
                Some(style) => write!(line, "{style}{cell}\x1b[0m{:padding$}", "")?,
                None => write!(line, "{cell}{:padding$}", "")?,
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    let notes: Vec<_> = all.iter().filter_map(|listed| Some((listed, listed.note.as_ref()?))).collect();
    if !notes.is_empty() {
        writeln!(out)?;
    }
    for (listed, note) in notes {
        writeln!(out, "{}", text::line(&format!("{}: {note}", listed.name)))?;
    }
    Ok(())
}

/// Shortens a cell to `width` characters. For an image, the end is kept, because it is more
/// specific.
fn cut(cell: &str, width: usize, keep_end: bool) -> String {
    let length = cell.chars().count();
    if length <= width {
        return cell.to_owned();
    }
    let kept = width.saturating_sub(1);
    if keep_end {
        let end: String = cell.chars().skip(length - kept).collect();
        format!("…{end}")
    } else {
        let start: String = cell.chars().take(kept).collect();
        format!("{start}…")
    }
}

/// The escape sequence for the colour of a cell, if it has one.
fn style(listed: &Listed, column: usize) -> Option<&'static str> {
    const RED: &str = "\x1b[1;31m";
    const YELLOW: &str = "\x1b[1;33m";
    match column {
        1 => match listed.state.as_str() {
            "failed" | "rejected" | "no image" | "port taken" | "no network" => Some(RED),
            "restarting" | "starting" | "stopping" | "importing" | "leftover" => Some(YELLOW),
            _ if !listed.changed.is_empty() => Some(YELLOW),
            _ => None,
        },
        3 if listed.health.values().any(|word| ["unhealthy", "failed"].contains(&word.as_str())) => Some(RED),
        _ => None,
    }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn row(listed: &Listed) -> [String; 7] {
    [
        listed.name.clone(),
        state(listed),
        dash(listed.uptime.map(duration).unwrap_or_default()),
        dash(health(listed)),
        dash(network(listed)),
        dash(listed.published.join(",")),
        dash(listed.images.join(",")),
    ]
}

/// The pod that the container is in. Without a pod, its named networks.
fn network(listed: &Listed) -> String {
    listed.pod.clone().unwrap_or_else(|| listed.networks.join(","))
}

/// The state, followed by the exit status or signal of a failed container, and by a note if the
/// container does not run on its present file.
fn state(listed: &Listed) -> String {
    let cause = listed.cause.as_deref().filter(|_| listed.state == "failed");
    let end = match (listed.status, listed.signal) {
        _ if cause.is_some() => String::new(),
        (Some(status), _) if status != 0 => format!(" {status}"),
        (_, Some(signal)) => format!(" (signal {signal})"),
        _ => String::new(),
    };
    let mark = ["rejected", "removed"].into_iter().find(|mark| listed.changed.contains(*mark));
    let mark = mark.or((!listed.changed.is_empty()).then_some("changed"));
    let mark = mark.map(|mark| format!(" ({mark})")).unwrap_or_default();
    format!("{}{end}{mark}", cause.unwrap_or(&listed.state))
}

fn health(listed: &Listed) -> String {
    match listed.health.iter().collect::<Vec<_>>().as_slice() {
        [(_, only)] if listed.images.len() == 1 => (*only).clone(),
        several => several.iter().map(|(app, word)| format!("{app}:{word}")).collect::<Vec<_>>().join(","),
    }
}

/// A time as text in its two largest units; `seconds` is in seconds.
pub(crate) fn duration(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(3);
    let largest = parts.iter().skip(first).take(2);
    largest.fold(String::new(), |text, (number, unit)| text + &number.to_string() + unit)
}

/// The names of fields in templates. Fields that podman also has use podman's names.
const FIELDS: [&str; 21] = [
    "Names",
    "Name",
    "ID",
    "State",
    "Status",
    "Image",
    "Images",
    "Digest",
    "ImageID",
    "Key",
    "Ports",
    "ExposedPorts",
    "Networks",
    "Pod",
    "PodName",
    "Health",
    "Users",
    "Uptime",
    "RunningFor",
    "Changed",
    "Note",
];

fn field(listed: &Listed, name: &str) -> String {
    match name {
        "Names" | "Name" | "ID" => listed.name.clone(),
        "State" => listed.state.clone(),
        "Status" => match listed.uptime {
            Some(uptime) => format!("{} {}", state(listed), duration(uptime)),
            None => state(listed),
        },
        "Image" | "Images" => listed.images.join(","),
        "Digest" | "ImageID" => listed.digests.iter().flatten().cloned().collect::<Vec<_>>().join(","),
        "Key" => {
            let keys: BTreeSet<&str> = listed.accepted.iter().flatten().map(|accepted| accepted.key.as_str()).collect();
            keys.into_iter().collect::<Vec<_>>().join(",")
        }
        "Ports" => listed.published.join(","),
        "ExposedPorts" => listed.exposed.join(","),
        "Networks" => listed.networks.join(","),
        "Pod" | "PodName" => listed.pod.clone().unwrap_or_default(),
        "Health" => health(listed),
        "Users" => listed.users.map(|(first, count)| format!("{first}:{count}")).unwrap_or_default(),
        "Uptime" | "RunningFor" => listed.uptime.map(duration).unwrap_or_default(),
        "Changed" => listed.changed.iter().cloned().collect::<Vec<_>>().join(","),
        _ => listed.note.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

/// A template: text with fields such as `{{.Names}}`. Columns are separated by tabs. After the word
/// `table`, the columns are aligned and get a header.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    table: bool,
    parts: Vec<Part>,
}

impl Template {
    fn parse(text: &str) -> Result<Self> {
        let table = text.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\\', '\t']));
        let body = table.unwrap_or(text).trim_start_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        let mut parts = Vec::new();
        let mut rest = body.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, after)) = after.split_once("}}") else {
                bail!("--format: {{{{ is never closed; write }}}}")
            };
            let name = inside.trim().trim_start_matches('.');
            let Some(known) = FIELDS.into_iter().find(|field| *field == name) else {
                let all = FIELDS.map(|field| format!(".{field}")).join(", ");
                let hint = suggestion(name, FIELDS);
                bail!("--format: unknown field {{{{{inside}}}}}{hint}; the fields are {all}");
            };
            parts.extend((!before.is_empty()).then(|| Part::Text(before.to_owned())));
            parts.push(Part::Field(known));
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Text(rest.to_owned())));
        if !parts.iter().any(|part| matches!(part, Part::Field(_))) {
            bail!(
                "--format={text} has no field; write table, json or a template such as '{{{{.Names}}}} {{{{.Status}}}}'"
            );
        }
        Ok(Self { table: table.is_some(), parts })
    }

    fn fill(&self, value: impl Fn(&'static str) -> String) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(name) => value(name),
        });
        parts.collect()
    }

    fn print(&self, all: &[Listed], out: &mut dyn Write) -> Result<()> {
        let mut lines: Vec<String> =
            all.iter().map(|listed| self.fill(|name| text::line(&field(listed, name)))).collect();
        if self.table {
            lines.insert(0, self.fill(str::to_uppercase));
            let cells: Vec<Vec<String>> =
                lines.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
            return print_table(&cells, out);
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cause::Cause;

    fn web() -> Listed {
        let mut listed = Listed {
            name: "web".into(),
            state: "running".into(),
            images: vec!["docker.io/library/nginx:1.27".into()],
            uptime: Some(90_061),
            published: vec!["8080:80/tcp".into(), "8443:443/tcp".into()],
            ..Listed::default()
        };
        listed.health.insert("app".into(), "unhealthy".into());
        listed
    }

    fn printed(all: &[Listed], width: Option<usize>, colour: bool) -> String {
        let mut out = Vec::new();
        table(all, width, colour, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1min1s"), (90_061, "1d1h"), (3600, "1h0min")] {
            assert_eq!(duration(seconds), text);
        }
        let mut listed = web();
        assert_eq!(
            row(&listed),
            ["web", "running", "1d1h", "unhealthy", "-", "8080:80/tcp,8443:443/tcp", "docker.io/library/nginx:1.27"]
        );
        listed.images.push("b".into());
        assert_eq!(health(&listed), "app:unhealthy");
        listed.changed.insert("files".into());
        assert_eq!(state(&listed), "running (changed)");
        let failed = Listed { state: "failed".into(), status: Some(3), ..Listed::default() };
        assert_eq!(state(&failed), "failed 3");
    }

    #[test]
    fn lines_fit_the_terminal() {
        let mut other =
            Listed { name: "a-container-with-a-long-name".into(), state: "no image".into(), ..Listed::default() };
        other.note = Some(Cause::new("", "its image could not be imported", ""));
        let all = [web(), other];
        for width in [80, 100, 120] {
            let text = printed(&all, Some(width), false);
            let rows: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
            assert_eq!(rows.len(), 3);
            assert!(rows.iter().all(|row| row.chars().count() <= width), "{text}");
            assert!(
                text.contains("nginx:1.27\n")
                    && text.ends_with("a-container-with-a-long-name: its image could not be imported\n")
            );
        }
        let coloured = printed(&all, None, true);
        assert!(coloured.contains("\x1b[1;31mno image\x1b[0m") && coloured.contains("\x1b[1;31munhealthy\x1b[0m"));
        assert!(!printed(&all, None, false).contains('\x1b'));
    }

    #[test]
    fn templates() {
        let filled = |text: &str| {
            let mut out = Vec::new();
            Template::parse(text)
                .and_then(|template| template.print(&[web()], &mut out))
                .map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(filled("{{.Names}}|{{ .State }}").unwrap(), "web|running\n");
        assert_eq!(filled("table {{.Names}}\\t{{.Health}}").unwrap(), "NAMES  HEALTH\nweb    unhealthy\n");
        assert_eq!(filled("{{.Status}}").unwrap(), "running 1d1h\n");
        assert!(filled("{{.Nmes}}").unwrap_err().to_string().contains("did you mean Names?"));
        assert!(filled("{{.Names").is_err() && filled("names").is_err());
    }
}
