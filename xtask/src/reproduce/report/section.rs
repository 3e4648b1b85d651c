//! An experiment as a section of a document: what was run, and nothing of what was not.

use super::content;
use super::extras;
use super::figures::{self, Drawn};
use super::markdown;
use crate::reproduce::finding::{Finding, Verdict};
use crate::reproduce::study::Study;
use anyhow::Result;

/// The section's text (Markdown) and its figures, which the text expects in the folder `figures` beside the document.
///
/// # Errors
/// If what a run told cannot be read, or a figure cannot be drawn.
pub(crate) fn section(study: &Study<'_>, again: &str) -> Result<(String, Vec<Drawn>)> {
    let (finished, all) = (study.finished().count(), study.runs().count());
    let mut parts = vec![format!("{finished} of {all} runs are finished.\n")];
    if finished == 0 {
        return Ok((parts.concat(), Vec::new()));
    }
    let drawn = figures::of(study)?;
    parts.extend(
        drawn
            .iter()
            .map(|figure| format!("![{}](figures/{}.svg)\n", figure.caption, figure.name)),
    );
    let differences = content::differences(study);
    if !differences.is_empty() {
        parts.push(differences.to_string());
    }
    parts.push(content::accuracies(study).to_string());
    parts.extend(extras::of(study)?.iter().map(|(_, table)| table.to_string()));
    let findings: Vec<Finding> = (study.experiment.findings)(study)?;
    let tested: Vec<_> = findings
        .into_iter()
        .filter(|finding| finding.verdict != Verdict::Untested)
        .collect();
    if !tested.is_empty() {
        parts.push(markdown::table(&tested).to_string());
    }
    parts.push(markdown::list(&content::made_by(study.ledger, again)));
    Ok((parts.join("\n"), drawn))
}
