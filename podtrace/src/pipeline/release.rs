//! Decides which paths and events are shown, and which wait for names.
use super::{
    Pipeline,
    consumer::Events,
    name_gate::{Gated, path_waits},
    order::Known,
};
use crate::{model::event::Event, path::Path};

impl Pipeline {
    pub(super) fn show_finished(&mut self) {
        let known = Known {
            oldest_open: self.builder.oldest(),
            settled_ns: self.settled_ns.min(self.drops_ns),
            now_ns: self.now_ns,
        };
        match self.builder.take_only_finished() {
            Some(path) => {
                self.chosen.end(&path);
                self.hand_on_decided(known.now_ns);
                if self.order.may_pass(&path, known) {
                    self.show_next(path);
                } else {
                    self.order.push(path, known.now_ns);
                }
            }
            None => {
                for path in self.builder.take_finished() {
                    self.chosen.end(&path);
                    self.order.push(path, known.now_ns);
                }
                self.hand_on_decided(known.now_ns);
            }
        }
        while let Some(path) = self.order.pop(known) {
            self.show_next(path);
        }
    }

    fn show_next(&mut self, mut path: Box<Path>) {
        path.incomplete |= self.builder.may_lack(&path);
        self.show_or_gate(path);
    }

    fn show_or_gate(&mut self, path: Box<Path>) {
        if path_waits(&path, &self.world, self.now_ns) {
            self.gate(Gated::Path(path));
        } else {
            self.show_path(path);
        }
    }

    pub(super) fn gate(&mut self, item: Gated) {
        for oldest in self.name_gate.push(item) {
            self.show_gated(oldest);
        }
    }

    /// Shows everything that no longer waits for a name.
    pub(super) fn release(&mut self) {
        for item in self.name_gate.release(&self.world, self.now_ns) {
            self.show_gated(item);
        }
    }

    pub(super) fn show_gated(&mut self, item: Gated) {
        match item {
            Gated::Event(event, packet) => self.show_event(&event, packet),
            Gated::Path(path) => self.show_path(path),
        }
    }

    pub(super) fn show_event(&mut self, event: &Event, packet: u64) {
        if packet >= self.show_from {
            self.consumers
                .event(Events::Shown, event, packet, &self.world);
        }
    }

    fn show_path(&mut self, mut path: Box<Path>) {
        // The events of earlier packets were refused as they came.
        if path.id < self.show_from {
            self.consumers.hidden(&path, &self.world);
            return;
        }
        self.builder.amend(&mut path, &self.world);
        if self.has_shown_all() {
            return;
        }
        if self.shows_part() || self.count.is_some() {
            let is_chosen =
                !self.is_filtered(&path.packet) && self.chosen.judge(&path, &self.world);
            self.hand_on_decided(self.now_ns);
            // What was handed on may have let another path pass.
            if !self.has_shown_all() {
                self.show_chosen(path, is_chosen);
            }
            return;
        }
        let corrects = path.late_of.filter(|before| before.id >= self.show_from);
        self.summary.count(&path, corrects);
        self.consumers.path(&path, &self.world);
        self.builder.keep(path);
    }

    /// Shows a path if it is chosen, or what of it matches the expression.
    fn show_chosen(&mut self, mut path: Box<Path>, is_chosen: bool) {
        if is_chosen {
            let before = path.late_of;
            let corrects_shown = self.chosen.corrects_shown(&path);
            path.late_of = before.filter(|before| corrects_shown && before.id >= self.show_from);
            path.is_narrowed = self.chosen.is_narrow();
            self.summary.count(&path, path.late_of);
            self.last_shown.push(path.id);
            self.consumers.path(&path, &self.world);
            path.late_of = before;
        } else {
            self.consumers.hidden(&path, &self.world);
        }
        self.builder.keep(path);
        if self.has_shown_all() {
            self.chosen.end_all();
            self.hand_on_decided(self.now_ns);
        }
    }
}
