// SPDX-License-Identifier: GPL-2.0
//! The result: a table, as text and as JSON.

use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;

/// The goal of a row.
#[derive(Clone, Copy)]
pub enum Goal {
    /// No goal: the row explains the others.
    None,
    /// At most this many times the C epoll, both without their entry costs.
    Net(f64),
    /// At most this many times the C epoll.
    Total(f64),
    /// At most this much more than the C epoll.
    Plus(f64),
    /// Within a hundredth of this, repoll's own value with few files watched.
    Flat(f64),
}

/// One line of the table.
pub struct Row {
    /// The path.
    pub name: String,
    /// The cost on the C epoll and on repoll, in instructions or bytes.
    pub total: [f64; 2],
    /// The cost without each side's entry costs.
    pub net: [f64; 2],
    /// The goal.
    pub goal: Goal,
}

impl Row {
    fn ratio(&self) -> f64 {
        match self.goal {
            Goal::Total(_) => self.total[1] / self.total[0],
            Goal::Flat(few) => self.total[1] / few,
            _ => self.net[1] / self.net[0],
        }
    }

    fn shown_ratio(&self) -> String {
        match self.goal {
            Goal::Plus(_) => format!("{:+.0}", self.total[1] - self.total[0]),
            Goal::None if self.net[0] == 0.0 => String::new(),
            _ => format!("{:.2}", self.ratio()),
        }
    }

    fn shown_goal(&self) -> String {
        match self.goal {
            Goal::None => String::new(),
            Goal::Net(ratio) => format!("{ratio:.2}"),
            Goal::Total(ratio) => format!("{ratio:.2} total"),
            Goal::Plus(more) => format!("{more:+.0}"),
            Goal::Flat(_) => "flat".to_owned(),
        }
    }

    /// Whether the goal is met; none without a goal.
    pub fn meets(&self) -> Option<bool> {
        match self.goal {
            Goal::None => None,
            Goal::Net(most) | Goal::Total(most) => Some(self.ratio() <= most),
            Goal::Plus(most) => Some(self.total[1] - self.total[0] <= most),
            Goal::Flat(_) => Some((self.ratio() - 1.0).abs() <= 0.01),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.meets() {
            None => "",
            Some(true) => "meets",
            Some(false) => "MISSES",
        }
    }
}

/// The table in columns.
pub fn text(rows: &[Row]) -> String {
    let mut lines =
        vec![["path", "C", "C net", "repoll", "net", "ratio", "goal", ""].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.name.clone(),
            format!("{:.0}", row.total[0]),
            format!("{:.0}", row.net[0]),
            format!("{:.0}", row.total[1]),
            format!("{:.0}", row.net[1]),
            row.shown_ratio(),
            row.shown_goal(),
            row.verdict().to_owned(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let widths: Vec<_> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let mut shown = format!("{:<1$}", line[0], widths[0]);
        for (cell, width) in line[1..7].iter().zip(&widths[1..7]) {
            let _ = write!(shown, "  {cell:>width$}");
        }
        let _ = write!(shown, "  {}", line[7]);
        out.push_str(shown.trim_end());
        out.push('\n');
    }
    out
}

#[derive(Serialize)]
struct Json<'a> {
    kernel: &'a str,
    unit: &'a str,
    rows: Vec<JsonRow<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    path: &'a str,
    c: f64,
    c_net: f64,
    repoll: f64,
    repoll_net: f64,
    goal: String,
    meets: Option<bool>,
}

impl<'a> JsonRow<'a> {
    fn new(row: &'a Row) -> Self {
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        let [c, repoll] = row.total.map(hundredths);
        let [c_net, repoll_net] = row.net.map(hundredths);
        Self {
            path: &row.name,
            c,
            c_net,
            repoll,
            repoll_net,
            goal: row.shown_goal(),
            meets: row.meets(),
        }
    }
}

/// The table as one line of JSON.
pub fn json(kernel: &str, rows: &[Row]) -> Result<String> {
    Ok(serde_json::to_string(&Json {
        kernel,
        unit: "instructions",
        rows: rows.iter().map(JsonRow::new).collect(),
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(total: [f64; 2], net: [f64; 2], goal: Goal) -> Row {
        Row {
            name: "a path".to_owned(),
            total,
            net,
            goal,
        }
    }

    #[test]
    fn goals_are_judged_by_the_figures_that_they_name() {
        let meets = |goal| row([100.0, 120.0], [50.0, 40.0], goal).meets();
        assert_eq!(meets(Goal::None), None);
        assert_eq!(meets(Goal::Net(0.8)), Some(true));
        assert_eq!(meets(Goal::Net(0.7)), Some(false));
        assert_eq!(meets(Goal::Total(1.2)), Some(true));
        assert_eq!(meets(Goal::Plus(19.0)), Some(false));
        assert_eq!(meets(Goal::Flat(120.5)), Some(true));
        assert_eq!(meets(Goal::Flat(100.0)), Some(false));
    }

    #[test]
    fn json_has_figures_goals_and_verdicts() -> Result<()> {
        let rows = [row([100.126, 120.0], [50.0, 40.0], Goal::Net(0.8))];
        assert_eq!(
            json("7.3", &rows)?,
            "{\"kernel\":\"7.3\",\"unit\":\"instructions\",\"rows\":[{\"path\":\"a path\",\
             \"c\":100.13,\"c_net\":50.0,\"repoll\":120.0,\"repoll_net\":40.0,\"goal\":\"0.80\",\
             \"meets\":true}]}"
        );
        Ok(())
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            row([1.0, 2.0], [1.0, 2.0], Goal::Net(1.0)),
            row([1000.0, 2.0], [1.0, 2.0], Goal::Net(2.0)),
        ];
        let text = text(&rows);
        let ends: Vec<_> = text.lines().skip(1).map(|l| l.find(" 2.00")).collect();
        assert_eq!(ends[0], ends[1]);
        assert!(text.contains("MISSES") && text.contains("meets"));
    }
}
