// SPDX-License-Identifier: GPL-2.0
//! The verdicts and the recordings as one self-contained HTML page.
//!
//! Everything but the recordings can be read without a script.

use crate::claim::{Claim, Mechanism, Outcome, Verdict};
use crate::side::Side;
use anyhow::Result;
use repoll_trace::filter::Filter;
use repoll_trace::record::Trace;
use repoll_trace::report::{self, SCRIPT, STYLE};
use repoll_trace::stat::Statistics;
use repoll_trace::story::{self, Story};
use std::fmt::Write;

const OWN_STYLE: &str = include_str!("../page/style.css");
const OWN_SCRIPT: &str = include_str!("../page/script.js");

/// The number of steps of a recording that are shown.
const STEPS: usize = 300;
/// The number of stories that are shown without JavaScript.
const STORIES_IN_WORDS: usize = 2;

/// A claim with its outcome.
pub struct Tried<'a> {
    pub number: usize,
    pub claim: &'a Claim,
    pub outcome: Outcome,
}

/// Writes the page. `kernel` is the kernel's release.
///
/// # Errors
///
/// Only a failed write of the text causes one, and no outcome.
pub fn page(kernel: &str, tried: &[(&Mechanism, Vec<Tried<'_>>)]) -> Result<String> {
    let mut page = String::new();
    let p = &mut page;
    write!(
        p,
        "<!DOCTYPE html>\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n<html lang=\"en\">\n\
         <head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>repoll: the lab</title>\n<style>\n{STYLE}{OWN_STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>The lab: claims about I/O multiplexing, tried</h1>\n"
    )?;
    write!(
        p,
        "<p class=\"lead\">Articles explain how Linux waits for many files at once. Each of their \
         claims was tried on a running kernel ({}), on the kernel's own calls, on repoll, and \
         on the kernel's calls while repoll takes them over. The verdict is from the measurement or, where nothing can be measured, from the source code. \
         The recordings of the experiments can be played step by step.</p>\n\
         <p class=\"counts\">{}</p>\n",
        escaped(kernel),
        counts(tried)
    )?;
    overview(p, tried)?;
    for (at, (mechanism, results)) in tried.iter().enumerate() {
        write!(
            p,
            "<section id=\"mechanism-{at}\">\n<h2>{}</h2>\n<p>{}</p>\n",
            escaped(mechanism.name),
            escaped(mechanism.text)
        )?;
        if let Some(sample) = mechanism.sample {
            writeln!(
                p,
                "<p class=\"source\">Sample program: {}</p>",
                sample_path(sample)
            )?;
        }
        for result in results {
            claim(p, result)?;
        }
        p.push_str("</section>\n");
    }
    write!(
        p,
        "</main>\n<script type=\"module\">\n{SCRIPT}{OWN_SCRIPT}</script>\n</body>\n</html>\n"
    )?;
    Ok(page)
}

fn sample_path(sample: &str) -> String {
    format!("samples/src/bin/{sample}.rs")
}

fn counts(tried: &[(&Mechanism, Vec<Tried<'_>>)]) -> String {
    let results = || tried.iter().flat_map(|(_, results)| results);
    let of = |test: fn(&Verdict) -> bool| {
        results()
            .filter(|result| match &result.outcome {
                Outcome::Found(finding) => test(&finding.verdict),
                _ => false,
            })
            .count()
    };
    let holds = of(|verdict| *verdict == Verdict::Holds);
    let fails = of(|verdict| *verdict == Verdict::Fails);
    let only = of(|verdict| matches!(verdict, Verdict::OnlyIf(_)));
    let unexpected = results()
        .filter(|result| !result.claim.is_as_expected(&result.outcome))
        .count();
    let mut text = format!(
        "{} claims: {holds} hold, {fails} do not, {only} hold only under a condition.",
        results().count()
    );
    if unexpected > 0 {
        text += &format!(" {unexpected} have another verdict than expected.");
    }
    text
}

fn overview(p: &mut String, tried: &[(&Mechanism, Vec<Tried<'_>>)]) -> Result<()> {
    p.push_str(
        "<table class=\"overview\">\n\
         <thead><tr><th></th><th>claim</th><th>verdict</th></tr></thead>\n<tbody>\n",
    );
    for (at, (mechanism, results)) in tried.iter().enumerate() {
        writeln!(
            p,
            "<tr><th colspan=\"3\" scope=\"rowgroup\"><a href=\"#mechanism-{at}\">{}</a></th></tr>",
            escaped(mechanism.name)
        )?;
        for result in results {
            let Tried { number, claim, .. } = result;
            writeln!(
                p,
                "<tr><td>{number}</td><td><a href=\"#claim-{number}\">{}</a></td><td>{}</td></tr>",
                escaped(claim.text),
                verdict(result)
            )?;
        }
    }
    p.push_str("</tbody>\n</table>\n");
    Ok(())
}

fn verdict(result: &Tried<'_>) -> String {
    let (class, text) = match &result.outcome {
        Outcome::Skipped(_) => ("untried", "not tried".to_owned()),
        Outcome::Failed(_) => ("unusual", "could not be tried".to_owned()),
        Outcome::Found(finding) => {
            let class = match finding.verdict {
                Verdict::Holds => "holds",
                Verdict::OnlyIf(_) => "only",
                Verdict::Fails => "fails",
                Verdict::Differs => "unusual",
            };
            (class, finding.verdict.to_string())
        }
    };
    let mut html = format!("<span class=\"verdict {class}\">{}</span>", escaped(&text));
    if !result.claim.is_as_expected(&result.outcome) {
        let expected = result.claim.expected.to_string();
        html += &format!(
            " <span class=\"verdict unusual\">expected: {}</span>",
            escaped(&expected)
        );
    }
    html
}

fn claim(p: &mut String, result: &Tried<'_>) -> Result<()> {
    let Tried {
        number,
        claim,
        outcome,
    } = result;
    write!(
        p,
        "<article class=\"claim\" id=\"claim-{number}\">\n\
         <h3><span>{number}</span>{}</h3>\n<p>{}</p>\n",
        escaped(claim.text),
        verdict(result)
    )?;
    match outcome {
        Outcome::Skipped(reason) => writeln!(p, "<p>{}</p>", escaped(reason))?,
        Outcome::Failed(error) => writeln!(p, "<p>{}</p>", escaped(&format!("{error:#}")))?,
        Outcome::Found(finding) if !finding.seen.is_empty() => {
            p.push_str("<dl class=\"sides\">\n");
            for (side, seen) in &finding.seen {
                writeln!(
                    p,
                    "<div><dt>{}</dt><dd>{}</dd></div>",
                    side.in_words(),
                    escaped(seen)
                )?;
            }
            if let Some(obstacle) = &finding.obstacle {
                writeln!(
                    p,
                    "<div><dt>{}</dt><dd>not on this kernel: {}</dd></div>",
                    Side::TakenOver.in_words(),
                    escaped(obstacle)
                )?;
            }
            p.push_str("</dl>\n");
        }
        Outcome::Found(_) => p.push_str("<p>From the source code: nothing can be measured.</p>\n"),
    }
    if !claim.because.is_empty() {
        writeln!(p, "<p>{}</p>", escaped(claim.because))?;
    }
    writeln!(p, "<p class=\"source\">{}</p>", escaped(claim.source))?;
    if let Outcome::Found(finding) = outcome {
        for (side, trace) in &finding.recordings {
            recording(p, *number, *side, trace)?;
        }
    }
    p.push_str("</article>\n");
    Ok(())
}

fn recording(p: &mut String, number: usize, side: Side, trace: &Trace) -> Result<()> {
    let stories = story::all(&trace.records);
    let statistics = Statistics::of(&trace.records, &stories, &Filter::default());
    let data = report::recording(trace, &stories, &statistics, STEPS)?;
    writeln!(
        p,
        "<details class=\"film\" id=\"recording-{number}-{}\">\
         <summary>The recording of {}, step by step</summary>\n\
         <div class=\"frame\"><script type=\"application/json\">{data}</script>\n<noscript>",
        side.to_string().replace(' ', "-"),
        side.in_words()
    )?;
    if stories.is_empty() {
        p.push_str("<p>The recording needs JavaScript; all of it is in this file.</p>");
    }
    for story in stories.iter().take(STORIES_IN_WORDS) {
        in_words(p, story)?;
    }
    p.push_str("</noscript></div></details>\n");
    Ok(())
}

fn in_words(p: &mut String, story: &Story) -> Result<()> {
    p.push_str("<ol>\n");
    let start = story.steps.first().map_or(0, |step| step.time);
    for step in &story.steps {
        writeln!(
            p,
            "<li>{} µs, CPU {}, {}: <b>{}</b> {}</li>",
            repoll_trace::render::micros(step.time - start),
            step.cpu,
            step.context,
            escaped(step.name),
            escaped(&step.detail)
        )?;
    }
    p.push_str("</ol>\n");
    Ok(())
}

fn escaped(text: &str) -> String {
    let mut html = String::new();
    for char in text.chars() {
        match char {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            char => html.push(char),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Finding;
    use crate::claims;
    use std::path::Path;

    /// A page: the verdict of the first claim is not as expected, and the second was not tried.
    fn a_page(mechanisms: &[Mechanism]) -> Result<String> {
        let mut number = 0;
        let mut tried = Vec::new();
        for mechanism in mechanisms {
            let mut results = Vec::new();
            for claim in &mechanism.claims {
                number += 1;
                let outcome = match number {
                    1 => Outcome::Found(Finding::read(Verdict::Differs)?),
                    2 => Outcome::Skipped("no <peer>".to_owned()),
                    3 => Outcome::Found(Finding {
                        obstacle: Some("no gates".to_owned()),
                        ..Finding::of(Side::Kernel, claim.expected, String::new())?
                    }),
                    _ => Outcome::Found(
                        Finding::of(Side::Kernel, claim.expected, "1 < 2 & 3".to_owned())?
                            .with(Trace::default()),
                    ),
                };
                results.push(Tried {
                    number,
                    claim,
                    outcome,
                });
            }
            tried.push((mechanism, results));
        }
        page("7.3.4 <test>", &tried)
    }

    /// Checks that each tag is closed, in order.
    fn balance(html: &str) -> std::result::Result<(), String> {
        let mut open = Vec::new();
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            let end = rest.find('>').ok_or("a tag without end")?;
            let (tag, after) = rest.split_at(end);
            rest = &after[1..];
            let name = |tag: &str| tag.split([' ', '\n']).next().unwrap_or("").to_owned();
            if tag.starts_with('!') || ["meta", "input", "br"].contains(&name(tag).as_str()) {
                continue;
            }
            match tag.strip_prefix('/') {
                Some(closed) => {
                    if open.pop().as_deref() != Some(closed) {
                        return Err(format!("</{closed}> does not fit"));
                    }
                }
                None => {
                    let name = name(tag);
                    // The contents of these are not HTML.
                    if name == "script" || name == "style" {
                        let end = format!("</{name}>");
                        let at = rest.find(&end).ok_or("a script without end")?;
                        rest = &rest[at + end.len()..];
                    } else {
                        open.push(name);
                    }
                }
            }
        }
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("{open:?} are open"))
        }
    }

    #[test]
    fn the_page_is_well_formed_and_has_all_claims() -> Result<()> {
        let mechanisms = claims::all();
        let page = a_page(&mechanisms)?;
        balance(&page).map_err(anyhow::Error::msg)?;
        let mut number = 0;
        for mechanism in &mechanisms {
            assert!(page.contains(&escaped(mechanism.name)));
            assert!(
                page.contains(&escaped(mechanism.text)),
                "{}",
                mechanism.name
            );
            for claim in &mechanism.claims {
                number += 1;
                assert!(page.contains(&format!("id=\"claim-{number}\"")));
                assert_eq!(
                    page.matches(&escaped(claim.text)).count(),
                    2,
                    "{}",
                    claim.text
                );
                assert!(page.contains(&escaped(claim.source)), "{}", claim.text);
            }
        }
        assert!(page.contains("expected: holds"));
        assert!(page.contains("no &lt;peer&gt;"));
        assert!(page.contains("not on this kernel: no gates"));
        assert!(page.contains("1 &lt; 2 &amp; 3"));
        for outside in [" src=", "href=\"http", "url(", "import ", "fetch("] {
            assert!(!page.contains(outside), "it needs the network: {outside}");
        }
        Ok(())
    }

    #[test]
    fn samples_are_there() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for sample in claims::all()
            .iter()
            .filter_map(|mechanism| mechanism.sample)
        {
            assert!(checkout.join(sample_path(sample)).exists(), "{sample}");
        }
    }

    #[test]
    fn a_page_that_is_not_well_formed_is_noticed() {
        assert!(balance("<p><b>x</b></p>").is_ok());
        assert!(balance("<p><b>x</p></b>").is_err());
        assert!(balance("<p>").is_err());
        assert!(balance("<script>if (a < b) c();</script>").is_ok());
    }
}
