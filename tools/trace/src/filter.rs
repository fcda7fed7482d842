// SPDX-License-Identifier: GPL-2.0
//! Which events are wanted.

use crate::story::Story;
use std::str::FromStr;

/// One condition: `fd=7`, `ep=1`, `item=3` or `event=callback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A field has this value.
    Field(&'static str, u64),
    /// One of repoll's events, without the prefix.
    Event(String),
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("'{text}' is no filter: fd=N, ep=N, item=N or event=NAME is");
        let (key, value) = text.split_once('=').ok_or_else(usage)?;
        let field = ["fd", "ep", "item"].into_iter().find(|field| *field == key);
        match (field, key) {
            (Some(field), _) => Ok(Self::Field(field, value.parse().map_err(|_| usage())?)),
            (None, "event") => Ok(Self::Event(value.trim_start_matches("repoll_").to_owned())),
            (None, _) => Err(usage()),
        }
    }
}

/// Conditions: of those of one kind one must hold, and that for each kind.
#[derive(Clone, Debug, Default)]
pub struct Filter(pub Vec<Condition>);

impl Filter {
    fn values<'a>(&'a self, field: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.0.iter().filter_map(move |condition| match condition {
            Condition::Field(name, value) if *name == field => Some(*value),
            _ => None,
        })
    }

    /// The events of repoll that are wanted, without their prefix.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|condition| match condition {
            Condition::Event(name) => Some(name.as_str()),
            Condition::Field(..) => None,
        })
    }

    /// In the kernel's language, for an event that has the fields that `has` tells; empty if it is
    /// wanted in any case.
    pub fn expression(&self, has: impl Fn(&str) -> bool) -> String {
        let fields = ["fd", "ep", "item"].into_iter().filter(|field| has(field));
        let alternatives = fields.filter_map(|field| {
            let any: Vec<_> = self
                .values(field)
                .map(|value| format!("{field} == {value}"))
                .collect();
            (!any.is_empty()).then(|| format!("({})", any.join(" || ")))
        });
        alternatives.collect::<Vec<_>>().join(" && ")
    }

    /// Whether a story is wanted.
    pub fn wants(&self, story: &Story) -> bool {
        self.wants_item(story.ep, story.item, story.fd)
    }

    /// Whether an instance is wanted.
    pub fn wants_instance(&self, ep: i64) -> bool {
        let mut values = self.values("ep").peekable();
        values.peek().is_none() || values.any(|wanted| wanted as i64 == ep)
    }

    /// Whether an item is wanted.
    pub fn wants_item(&self, ep: i64, item: i64, fd: i64) -> bool {
        [("ep", ep), ("item", item), ("fd", fd)]
            .into_iter()
            .all(|(field, value)| {
                let mut values = self.values(field).peekable();
                values.peek().is_none() || values.any(|wanted| wanted as i64 == value)
            })
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
        assert!(filter.wants_item(1, 9, 4));
        assert!(!filter.wants_item(2, 9, 4));
        assert!(!filter.wants_item(1, 9, 5));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "fd", "fd=", "fd=x", "pid=1", "=1"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
