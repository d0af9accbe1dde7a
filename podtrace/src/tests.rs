//! Recorder, reader, merge and outputs together: what is recorded is what is read.
mod agents;
mod ahead;
mod apart;
mod damage;
mod docs;
mod earlier;
mod layout;
mod losses;
mod old;
mod passed_over;
mod round_trip;
mod runs;
mod sample;
mod selected;
mod services;
mod ties;
mod tracked;
