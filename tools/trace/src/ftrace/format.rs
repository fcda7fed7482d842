// SPDX-License-Identifier: GPL-2.0
//! The layout of an event in memory, from the `format` files of tracefs.

use std::collections::HashMap;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Signed,
    Unsigned,
    /// An array of characters, up to the first zero.
    Text,
    /// The offset and length of a text elsewhere in the record. The offset counts from the end of
    /// this field if it is relative, else from the beginning of the record.
    TextElsewhere {
        relative: bool,
    },
    Other,
}

/// A field of an event.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    offset: usize,
    size: usize,
    kind: Kind,
    /// The names of the field's values, from the event's print format.
    symbols: Vec<(u64, String)>,
}

/// The layout of one kind of event.
#[derive(Clone, Debug)]
pub struct Format {
    /// The event's number, with which its records begin.
    pub id: u16,
    /// The event's name.
    pub name: String,
    fields: Vec<Field>,
}

impl Format {
    /// Parses a `format` file; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut format = Self {
            id: 0,
            name: text
                .lines()
                .find_map(|line| line.strip_prefix("name: "))?
                .trim()
                .to_owned(),
            fields: Vec::new(),
        };
        format.id = text
            .lines()
            .find_map(|line| line.strip_prefix("ID: "))?
            .trim()
            .parse()
            .ok()?;
        let print = text
            .lines()
            .find_map(|line| line.strip_prefix("print fmt: "));
        let mut symbols = print.map(symbols).unwrap_or_default();
        for line in text.lines() {
            let Some(line) = line.trim_start().strip_prefix("field:") else {
                continue;
            };
            let mut field = parse_field(line)?;
            field.symbols = symbols.remove(&field.name).unwrap_or_default();
            format.fields.push(field);
        }
        Some(format)
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of the event's own fields, without those that all events have.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.fields.iter().map(|field| field.name.as_str());
        names.filter(|name| !name.starts_with("common_") && *name != "__syscall_nr")
    }

    /// The value of a numeric field.
    pub fn number(&self, data: &[u8], name: &str) -> Option<i64> {
        let field = self.field(name)?;
        let bytes = data.get(field.offset..field.offset.checked_add(field.size)?)?;
        integer(bytes, field.kind)
    }

    /// The text in a field, or the name of its value.
    pub fn text<'a>(&'a self, data: &'a [u8], name: &str) -> Option<&'a str> {
        let field = self.field(name)?;
        let bytes = data.get(field.offset..field.offset.checked_add(field.size)?)?;
        match field.kind {
            Kind::Text => until_zero(bytes),
            Kind::TextElsewhere { relative } => {
                let place = u32::from_le_bytes(bytes.try_into().ok()?);
                let (offset, length) = ((place & 0xffff) as usize, (place >> 16) as usize);
                let start = if relative {
                    field.offset + field.size + offset
                } else {
                    offset
                };
                until_zero(data.get(start..start + length)?)
            }
            kind => {
                let value = integer(bytes, kind)? as u64;
                let mut symbols = field.symbols.iter();
                symbols
                    .find(|(symbol, _)| *symbol == value)
                    .map(|(_, name)| name.as_str())
            }
        }
    }
}

fn integer(bytes: &[u8], kind: Kind) -> Option<i64> {
    Some(match (kind, bytes.len()) {
        (Kind::Signed, 1) => i8::from_le_bytes(bytes.try_into().ok()?).into(),
        (Kind::Signed, 2) => i16::from_le_bytes(bytes.try_into().ok()?).into(),
        (Kind::Signed, 4) => i32::from_le_bytes(bytes.try_into().ok()?).into(),
        (Kind::Unsigned, 1) => u8::from_le_bytes(bytes.try_into().ok()?).into(),
        (Kind::Unsigned, 2) => u16::from_le_bytes(bytes.try_into().ok()?).into(),
        (Kind::Unsigned, 4) => u32::from_le_bytes(bytes.try_into().ok()?).into(),
        (Kind::Signed | Kind::Unsigned, 8) => i64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

fn until_zero(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

/// Parses the rest of a line behind `field:`, such as `char comm[16]; offset:8; size:16; signed:0;`
/// (with tabs).
fn parse_field(line: &str) -> Option<Field> {
    let mut parts = line.split(';').map(str::trim);
    let declaration = parts.next()?;
    let mut of = |key: &str| -> Option<usize> { parts.next()?.strip_prefix(key)?.parse().ok() };
    let (offset, size, signed) = (of("offset:")?, of("size:")?, of("signed:")?);
    let (kind, name) = declaration.rsplit_once(' ')?;
    let (bare, is_array) = match name.split_once('[') {
        Some((bare, _)) => (bare, true),
        None => (name, kind.ends_with("[]")),
    };
    let is_text = kind.contains("char") && !kind.contains("unsigned");
    let kind = match (kind.split(' ').next()?, is_array) {
        ("__data_loc", _) if is_text => Kind::TextElsewhere { relative: false },
        ("__rel_loc", _) if is_text => Kind::TextElsewhere { relative: true },
        (_, true) if is_text => Kind::Text,
        (_, true) => Kind::Other,
        _ if !matches!(size, 1 | 2 | 4 | 8) => Kind::Other,
        _ if signed == 1 => Kind::Signed,
        _ => Kind::Unsigned,
    };
    Some(Field {
        name: bare.to_owned(),
        offset,
        size,
        kind,
        symbols: Vec::new(),
    })
}

/// The names of values by field, from each `__print_symbolic(REC->field, { 1, "name" }, ...)`.
fn symbols(print: &str) -> HashMap<String, Vec<(u64, String)>> {
    let mut all = HashMap::new();
    for call in print.split("__print_symbolic(REC->").skip(1) {
        let Some((field, mut rest)) = call.split_once(',') else {
            continue;
        };
        let mut names = Vec::new();
        while let Some(pair) = rest.trim_start().strip_prefix('{') {
            let Some((pair, after)) = pair.split_once('}') else {
                break;
            };
            let value = pair.split_once(',').and_then(|(value, name)| {
                Some((
                    number(value.trim())?,
                    name.trim().strip_prefix('"')?.strip_suffix('"')?,
                ))
            });
            names.extend(value.map(|(value, name)| (value, name.to_owned())));
            rest = after.trim_start().strip_prefix(',').unwrap_or(after);
        }
        all.insert(field.trim().to_owned(), names);
    }
    all
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse::<i64>().ok().map(|value| value as u64),
    }
}

/// Expands `__print_dynamic_array()` in a `format` file, as the kernel's header defines it:
/// trace-cmd's library (libtraceevent 1.8) cannot parse that macro, and prints such events as
/// failures.
pub(crate) fn expand_macros(text: &str) -> String {
    const NAME: &str = "__print_dynamic_array(";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(NAME) {
        out += before;
        let call = after.split_once(')').and_then(|(arguments, after)| {
            let (array, size) = arguments.split_once(',')?;
            Some((array.trim(), size.trim(), after))
        });
        let Some((array, size, after)) = call else {
            out += NAME;
            rest = after;
            continue;
        };
        out += &format!(
            "__print_array(__get_dynamic_array({array}), \
             __get_dynamic_array_len({array}) / {size}, {size})"
        );
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLBACK: &str = "name: repoll_callback\nID: 1234\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:s32 fd;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield:u32 outcome;\toffset:12;\tsize:4;\tsigned:0;\n\
        \tfield:char comm[8];\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"fd=%d outcome=%s\", REC->fd, __print_symbolic(REC->outcome, { 0, \"queued\" }, { 0x1, \"already-queued\" })\n";

    fn data() -> Vec<u8> {
        let mut data = vec![0xd2, 4, 0, 0, 7, 0, 0, 0];
        data.extend((-1i32).to_le_bytes());
        data.extend(1u32.to_le_bytes());
        data.extend(b"echo\0xyz");
        data.extend((28u32 | (5 << 16)).to_le_bytes());
        data.extend(b"eth0\0");
        data
    }

    #[test]
    fn fields_are_found_where_the_format_says() {
        let format = Format::parse(CALLBACK).expect("a format");
        assert_eq!((format.id, format.name.as_str()), (1234, "repoll_callback"));
        assert_eq!(format.number(&data(), "fd"), Some(-1));
        assert_eq!(format.number(&data(), "common_pid"), Some(7));
        assert_eq!(format.text(&data(), "comm"), Some("echo"));
        assert_eq!(format.text(&data(), "name"), Some("eth0"));
        assert_eq!(format.text(&data(), "outcome"), Some("already-queued"));
        assert_eq!(format.number(&data(), "absent"), None);
        assert_eq!(
            format.names().collect::<Vec<_>>(),
            ["fd", "outcome", "comm", "name"]
        );
    }

    #[test]
    fn a_short_record_has_no_such_field() {
        let format = Format::parse(CALLBACK).expect("a format");
        for length in 0..28 {
            assert_eq!(format.text(&data()[..length], "name"), None);
        }
        assert_eq!(format.text(&data()[..30], "name"), None);
    }

    #[test]
    fn a_text_without_a_format_is_refused() {
        for text in [
            "",
            "name: x\n",
            "name: x\nID: y\n",
            "name: x\nID: 1\nformat:\n\tfield:int a;\n",
        ] {
            assert!(Format::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn macros_are_expanded() {
        let text = "print fmt: \"%s, %d\", __print_dynamic_array(__buf_val, 1), REC->fd";
        let expected = "print fmt: \"%s, %d\", __print_array(__get_dynamic_array(__buf_val), \
                        __get_dynamic_array_len(__buf_val) / 1, 1), REC->fd";
        assert_eq!(expand_macros(text), expected);
        for same in [
            "",
            "print fmt: \"\"",
            "x __print_dynamic_array(",
            "x __print_dynamic_array(y) z",
        ] {
            assert_eq!(expand_macros(same), same);
        }
    }
}
