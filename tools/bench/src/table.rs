// SPDX-License-Identifier: GPL-2.0
//! The result: a table, as text and as JSON.

use std::fmt::Write;

/// What a row is to be measured by.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Nothing: it explains the others.
    None,
    /// At most this many times the C epoll, each less its own floor.
    Net(f64),
    /// At most this many times the C epoll.
    Total(f64),
    /// At most so many more than the C epoll.
    Plus(f64),
    /// No more than a hundredth off its own value with few files watched, which is this.
    Flat(f64),
}

/// One line of the table.
pub struct Row {
    /// The path.
    pub name: String,
    /// What it cost: the C epoll, repoll. Instructions, or bytes.
    pub total: [f64; 2],
    /// Without each side's floor.
    pub net: [f64; 2],
    /// What it should cost.
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

    /// Whether the goal, if there is one, is met.
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

/// The table as one line of JSON. Names have nothing that must be quoted.
pub fn json(kernel: &str, rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let [c, ours] = row.total;
            let [c_net, ours_net] = row.net;
            let meets = row
                .meets()
                .map_or("null".to_owned(), |meets| meets.to_string());
            format!(
                "{{\"path\":\"{}\",\"c\":{c:.2},\"c_net\":{c_net:.2},\"repoll\":{ours:.2},\
                 \"repoll_net\":{ours_net:.2},\"goal\":\"{}\",\"meets\":{meets}}}",
                row.name,
                row.shown_goal(),
            )
        })
        .collect();
    format!(
        "{{\"kernel\":\"{kernel}\",\"unit\":\"instructions\",\"rows\":[{}]}}",
        rows.join(",")
    )
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
    fn goals_are_judged_by_what_they_are_about() {
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
