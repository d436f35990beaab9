//! What was found, as a page: one line a figure, with its target and whether it is met.

use std::fmt::Write as _;

/// One figure.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is of.
    pub scenario: String,
    /// What it is.
    pub what: &'static str,
    /// As found.
    pub found: String,
    /// As it should be; empty where there is no target.
    pub target: &'static str,
    /// Whether it is.
    pub holds: bool,
    /// Whether it does not depend on how fast the machine is just now: such a finding fails a test.
    pub certain: bool,
}

/// All figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order they were found.
    pub findings: Vec<Finding>,
    scenario: String,
}

impl Report {
    /// Names the scenario of the findings that follow.
    pub fn scenario(&mut self, name: &str) {
        name.clone_into(&mut self.scenario);
    }

    fn find(&mut self, what: &'static str, found: String, target: &'static str) -> &mut Finding {
        self.findings.push(Finding {
            scenario: self.scenario.clone(),
            what,
            found,
            target,
            holds: true,
            certain: false,
        });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// A figure without a target.
    pub fn note(&mut self, what: &'static str, found: String) {
        self.find(what, found, "");
    }

    /// A figure with a target that a busy machine may miss.
    pub fn aim(
        &mut self,
        what: &'static str,
        found: String,
        (target, holds): (&'static str, bool),
    ) {
        self.find(what, found, target).holds = holds;
    }

    /// A figure that must be right on any machine.
    pub fn must(
        &mut self,
        what: &'static str,
        found: String,
        (target, holds): (&'static str, bool),
    ) {
        let finding = self.find(what, found, target);
        (finding.holds, finding.certain) = (holds, true);
    }

    /// The findings as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut page =
            String::from("| scenario | figure | found | target | |\n|---|---|---|---|---|\n");
        for finding in &self.findings {
            let Finding {
                scenario,
                what,
                found,
                target,
                ..
            } = finding;
            let mark = match (target.is_empty(), finding.holds) {
                (true, _) => "",
                (false, true) => "met",
                (false, false) => "**missed**",
            };
            let _ = writeln!(
                page,
                "| {scenario} | {what} | {found} | {target} | {mark} |"
            );
        }
        page
    }

    /// Findings that must be right on any machine and are not.
    #[must_use]
    pub fn wrong(&self) -> Vec<&Finding> {
        let wrong = |finding: &&Finding| finding.certain && !finding.holds;
        self.findings.iter().filter(wrong).collect()
    }
}
