//! Passes over the files in advance.
use super::Player;
use crate::{
    replay::{
        inputs::{Input, join, link},
        interfaces::{Interfaces, Links},
        merge::{Merge, Step},
        prescan::{Prescan, prescan},
        same::leave_out,
        select::Selection,
    },
    session::recorder::Outline,
};

impl Player<'_> {
    /// Reads the files in advance, without those whose packets others have, and finds those
    /// that one kernel made.
    pub(super) fn prescan(&mut self, inputs: &mut Vec<Input>) -> anyhow::Result<Prescan> {
        let found = prescan(inputs, self.args, &self.stop)?;
        if self.stop.is_set() {
            return Ok(found);
        }
        for (number, input) in inputs.iter_mut().enumerate() {
            input.span = found.spans[number];
            input.links.clone_from(&found.links[number]);
            input.has_all = found.has_all[number];
        }
        let given = inputs.len();
        self.notices.extend(leave_out(&found.copies, inputs)?);
        if !self.args.each_file {
            self.notices.extend(join(inputs));
        }
        let (are_linked, notices) = link(inputs);
        self.notices.extend(notices);
        if inputs.len() == given && !are_linked {
            return Ok(found);
        }
        prescan(inputs, self.args, &self.stop)
    }

    /// Whether the files are read once in advance for their interfaces.
    pub(super) fn needs_outline(&self, inputs: &[Input]) -> bool {
        let can_be_read = !inputs.iter().any(Input::is_stream);
        self.vantage.is_some() || self.is_recorded && can_be_read
    }

    /// Determines the interfaces in advance, if that is necessary and possible.
    pub(super) fn outline(
        &mut self,
        inputs: &[Input],
        prescan: Option<&Prescan>,
    ) -> anyhow::Result<Outline> {
        if !self.needs_outline(inputs) {
            return Ok(Outline::default());
        }
        let mut pipeline = self.pipeline(inputs, prescan);
        let mut merge = Merge::new(self.streams(inputs, prescan, false)?);
        let mut links = Links::default();
        while merge.step(&mut pipeline, &mut links, false)? != Step::Over {
            if self.stop.is_set() {
                return Ok(Outline::default());
            }
        }
        let interfaces = Interfaces::new(&links, pipeline.world());
        if let Some(vantage) = &self.vantage {
            self.selection.vantage = Some(interfaces.find(vantage)?);
        }
        let selection = &self.selection;
        Ok(interfaces.outline(&selection.interfaces, selection.vantage.as_ref()))
    }

    /// The number of the first of the last packets, so many of them.
    pub(super) fn last(
        &self,
        inputs: &[Input],
        prescan: Option<&Prescan>,
        packets: u64,
    ) -> anyhow::Result<u64> {
        let mut pipeline = self.pipeline(inputs, prescan);
        pipeline.remember_last(packets);
        let mut first = Player {
            args: self.args,
            inputs: Vec::new(),
            notices: Vec::new(),
            follow: false,
            may_grow: false,
            speed: None,
            selection: Selection {
                interfaces: self.selection.interfaces.clone(),
                vantage: self.selection.vantage.clone(),
                since: self.selection.since,
                until: self.selection.until,
                ..Selection::default()
            },
            vantage: None,
            is_recorded: false,
            shows_bytes: false,
            shows_numbers: true,
            first_packet: 1,
            stop: self.stop.clone(),
            show_progress: None,
            cluster: None,
        };
        let merge = Merge::new(first.streams(inputs, prescan, false)?);
        first.play(merge, prescan, &mut pipeline, None)?;
        let all = pipeline.newest_packet();
        Ok(match (pipeline.shows_part(), pipeline.first_of_last()) {
            (false, _) => (all + 1).saturating_sub(packets),
            (true, Some(first)) => first,
            (true, None) => all + 1,
        })
    }
}
