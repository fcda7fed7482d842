// SPDX-License-Identifier: GPL-2.0
//! Filters: conditions on the events to record or show.

use crate::ftrace::record::Record;
use std::str::FromStr;

/// The fields that conditions can name.
pub(crate) const FIELDS: [&str; 5] = ["fd", "ep", "item", "task", "source"];

/// One condition: `fd=7`, `ep=1`, `item=3`, `task=1234`, `source=2` or `event=callback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A field has a value.
    Field(&'static str, u64),
    /// The event's name, without the prefix `repoll_`.
    Event(String),
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            let fields = FIELDS.map(|field| format!("{field}=N")).join(", ");
            format!("'{text}' is not a filter: use {fields} or event=NAME")
        };
        let (key, value) = text.split_once('=').ok_or_else(usage)?;
        let field = FIELDS.into_iter().find(|field| *field == key);
        match (field, key) {
            (Some(field), _) => Ok(Self::Field(field, value.parse().map_err(|_| usage())?)),
            (None, "event") if !value.is_empty() => {
                Ok(Self::Event(value.trim_start_matches("repoll_").to_owned()))
            }
            (None, _) => Err(usage()),
        }
    }
}

/// Conditions. At least one of each kind must hold: those on one field, or on the event, are one
/// kind.
#[derive(Clone, Debug, Default)]
pub struct Filter(pub Vec<Condition>);

impl Filter {
    fn values<'a>(&'a self, field: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.0.iter().filter_map(move |condition| match condition {
            Condition::Field(name, value) if *name == field => Some(*value),
            _ => None,
        })
    }

    /// Whether `has` is true of a value that the conditions on `field` name, or there are none.
    pub(crate) fn holds(&self, field: &str, has: impl Fn(i64) -> bool) -> bool {
        let mut values = self.values(field).peekable();
        values.peek().is_none() || values.any(|value| has(value as i64))
    }

    /// The names of the events in the conditions, without the prefix `repoll_`.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|condition| match condition {
            Condition::Event(name) => Some(name.as_str()),
            Condition::Field(..) => None,
        })
    }

    /// Whether an event passes, by its full name.
    pub(crate) fn wants_event(&self, event: &str) -> bool {
        let mut events = self.events().peekable();
        events.peek().is_none() || events.any(|name| event.strip_prefix("repoll_") == Some(name))
    }

    /// The filter expression of ftrace for an event that has the fields for which `has` is true;
    /// empty if no condition applies.
    pub fn expression(&self, has: impl Fn(&str) -> bool) -> String {
        let fields = FIELDS.into_iter().filter(|field| has(field));
        let alternatives = fields.filter_map(|field| {
            let any: Vec<_> = self
                .values(field)
                .map(|value| format!("{field} == {value}"))
                .collect();
            (!any.is_empty()).then(|| format!("({})", any.join(" || ")))
        });
        alternatives.collect::<Vec<_>>().join(" && ")
    }

    /// Whether one of repoll's records passes. Conditions on fields that it lacks do not apply.
    pub fn wants_record(&self, record: &Record) -> bool {
        self.wants_event(record.event())
            && FIELDS.into_iter().all(|field| {
                let number = record.number(field);
                number.is_none_or(|number| self.holds(field, |value| value == number))
            })
    }

    /// Whether an object that these fields identify can pass: a condition is on one of them, or
    /// none is on any field.
    pub fn is_about(&self, fields: &[&str]) -> bool {
        let mut any = FIELDS
            .into_iter()
            .filter(|field| self.values(field).next().is_some())
            .peekable();
        any.peek().is_none() || any.any(|field| fields.contains(&field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(conditions: &[&str]) -> Filter {
        Filter(
            conditions
                .iter()
                .map(|text| text.parse().expect("a condition"))
                .collect(),
        )
    }

    #[test]
    fn conditions_of_a_kind_are_alternatives() {
        let filter = filter(&["fd=3", "fd=4", "ep=1", "event=repoll_callback"]);
        assert_eq!(
            filter.expression(|_| true),
            "(fd == 3 || fd == 4) && (ep == 1)"
        );
        assert_eq!(filter.expression(|field| field == "ep"), "(ep == 1)");
        assert_eq!(filter.events().collect::<Vec<_>>(), ["callback"]);
        assert!(filter.holds("fd", |fd| fd == 4) && !filter.holds("fd", |fd| fd == 5));
        assert!(filter.holds("item", |_| false));
        assert!(filter.is_about(&["source", "ep"]) && !filter.is_about(&["source"]));
        assert!(
            filter.wants_event("repoll_callback") && !filter.wants_event("repoll_callback_exit")
        );
    }

    #[test]
    fn an_invalid_condition_is_refused() {
        for text in ["", "fd", "fd=", "fd=x", "pid=1", "=1", "event="] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
