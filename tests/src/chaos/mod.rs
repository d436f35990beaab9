//! The fault laboratory: the whole pipeline on the real engines, load with an oracle of its own,
//! faults by chance from one seed, and after every round the proof that nothing is lost, nothing
//! doubled, nothing changed.
//!
//! ```text
//! settings   what a campaign is told
//! chance     every choice, from the seed
//! request    what a request holds, and the rows that must come of it
//! journal    what was sent and what was acknowledged, on disk before anything else
//! proxy      connections that are cut, delayed, that lose their answers
//! member     a service through all its lives
//! site       engines, services, proxies, organisations
//! sources    what the stores say, past all services
//! agents     who sends
//! fault      the faults, and the script of a round
//! strike     the faults as they strike …
//! recovery   … measured,
//! damage     … behind the system's back,
//! disk       … and on a full disk
//! rest       everything is committed and audited
//! checks     what must hold then
//! watch      what the workers' logs say of resolve
//! tally      what was done and found
//! campaign   round after round
//! report     a section of docs/reliability.md
//! ```
//!
//! It repairs nothing and forgives nothing: what is wrong at rest is a defect, of Millrace or of
//! the laboratory.

pub mod settings;
pub mod chance;
pub mod request;
pub mod journal;
pub mod proxy;
pub mod member;
pub mod site;
pub mod sources;
pub mod agents;
pub mod fault;
pub mod strike;
mod recovery;
mod damage;
mod disk;
pub mod rest;
pub mod checks;
pub mod watch;
pub mod tally;
pub mod campaign;
pub mod report;

pub use campaign::run;
pub use fault::Kind;
pub use settings::Settings;
pub use tally::Tally;
