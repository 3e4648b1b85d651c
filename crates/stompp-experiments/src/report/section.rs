//! An experiment as a section of a document. It shows only the finished runs.

use super::content;
use super::extra_tables;
use super::figures::{self, RenderedFigure};
use super::markdown;
use crate::claim::{ClaimOutcome, ClaimTest};
use crate::error::Result;
use crate::experiment::Experiment;
use crate::run_index::RunIndex;

/// Makes the section of an experiment: its text (Markdown) and its figures. The text refers to the figures in the folder `figures` beside
/// the document.
///
/// # Errors
/// Returns [`ExperimentError::Train`](crate::ExperimentError::Train) if a run's metrics cannot be read,
/// [`ExperimentError::Figure`](crate::ExperimentError::Figure) if a figure cannot be drawn, and the errors of the experiment's claims.
pub(crate) fn section(
    experiment: &Experiment,
    index: &RunIndex,
    command: Option<&str>,
) -> Result<(String, Vec<RenderedFigure>)> {
    let results = &experiment.results(index);
    let (finished, all) = (results.finished_count(), results.runs().count());
    let mut parts = vec![format!("{finished} of {all} runs are finished.\n")];
    if finished == 0 {
        return Ok((parts.concat(), Vec::new()));
    }
    let drawn = figures::draw_all(results)?;
    parts.extend(
        drawn
            .iter()
            .map(|figure| format!("![{}](figures/{}.svg)\n", figure.caption, figure.name)),
    );
    let differences = content::differences(results);
    if !differences.is_empty() {
        parts.push(differences.to_string());
    }
    parts.push(content::accuracies(results).to_string());
    parts.extend(extra_tables::all(results)?.iter().map(|(_, table)| table.to_string()));
    let tests: Vec<ClaimTest> = (experiment.claims)(results)?;
    let tested: Vec<_> = tests
        .into_iter()
        .filter(|test| test.outcome != ClaimOutcome::Untested)
        .collect();
    if !tested.is_empty() {
        parts.push(markdown::claims_table(&tested).to_string());
    }
    parts.push(markdown::list(&content::made_by(index, command)));
    Ok((parts.join("\n"), drawn))
}
